//! The configuration, and the certificates and error pages it names, looked at as the daemon would; nothing is
//! bound and nobody is asked.

use std::{collections::HashMap, fs, io, path::Path, time::SystemTime};

use crate::{
    cli::status::counted,
    config::{self, Action, Config, Errors, Loaded, LogTarget, Place, PoolTls, Tls},
    control::{self, certificates::Certificates, directories, error_pages, secrets},
    net::tls::{Tickets, TlsError},
};

/// What is to be said of a configuration without errors.
pub struct Report {
    /// What works but should not stay so.
    pub warnings: Vec<String>,
    /// One line.
    pub summary: String,
}

/// Looks at a whole configuration.
///
/// # Errors
/// All of them at once: those of the file, or, once it has none, those of the files it names.
pub fn check(path: &Path, now: SystemTime) -> Result<Report, Errors> {
    let Loaded { config, source } = config::load(path)?;
    let found = |findings| Errors::from_places(&source, findings);
    let mut troubles = error_pages::load(&config).err().unwrap_or_default();
    troubles.extend(directories::roots(&config).err().unwrap_or_default());
    let certificates = Certificates::load(&config, &Certificates::default());
    let certificates = certificates.map_err(|found| troubles.extend(found)).unwrap_or_default();
    let secrets = secrets::load(&config, &HashMap::new());
    let secrets = secrets.map_err(|found| troubles.extend(found)).unwrap_or_default();
    if !troubles.is_empty() {
        return Err(found(troubles));
    }
    let refusals = refusals(&config, &certificates);
    if !refusals.is_empty() {
        return Err(found(refusals));
    }
    let mut warnings = config::notes(&config);
    warnings.extend(missing_log_folder(&config));
    warnings.extend(missing_roots(&config));
    warnings.extend(secrets.warnings);
    warnings.extend(certificates.warnings(now).iter().map(|line| line.text().to_owned()));
    Ok(Report { warnings, summary: summary(path, &config) })
}

/// What the TLS library, or a client, would make of certificates that load.
fn refusals(config: &Config, certificates: &Certificates) -> Vec<(Place, String, String)> {
    let listeners = config.listeners.iter().filter_map(|listener| listener.tls.as_ref());
    let of_listener = |tls: &Tls| {
        let made = Tickets::new().and_then(|keys| certificates.server_tls(tls, &keys));
        made.err().map(|error| (place(tls, &error), error.to_string(), String::new()))
    };
    let pools = config.pools.iter().filter_map(|pool| pool.tls.as_ref());
    let of_pool = |tls: &PoolTls| {
        let made = certificates.client_tls(tls);
        made.err().map(|error| (tls.place, error.to_string(), String::new()))
    };
    listeners.filter_map(of_listener).chain(pools.filter_map(of_pool)).collect()
}

/// The certificate at fault, else the listener's first.
fn place(tls: &Tls, error: &TlsError) -> Place {
    let at_fault = match error {
        TlsError::NoName(cert) => tls.certificates.iter().find(|each| each.cert == *cert),
        TlsError::NoCertificates | TlsError::ServerName(_) | TlsError::Library(_) => None,
    };
    let at_fault = at_fault.or(tls.certificates.first());
    at_fault.map_or_else(Place::default, |certificate| certificate.place)
}

/// No error: the service manager may make the folder at the start (`LogsDirectory=`).
fn missing_log_folder(config: &Config) -> Option<String> {
    let LogTarget::File(path) = &config.access_log.as_ref()?.to else {
        return None;
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty())?;
    let found = fs::metadata(folder).map_err(|error| error.kind());
    let words = "does not exist, and the daemon can't start without it";
    (found.err()? == io::ErrorKind::NotFound)
        .then(|| format!("access log: the folder {} {words}", folder.display()))
}

/// No error: a deployment may make the folder later.
fn missing_roots(config: &Config) -> Vec<String> {
    let missing = |route: &config::Route| {
        let Action::Fastcgi(fastcgi) = &route.action else {
            return None;
        };
        let (name, root) = (&route.name, fastcgi.root.display());
        (fastcgi.check_script && !fastcgi.root.is_dir()).then(|| {
            format!(
                "route {name}: {root} is no folder here, and every script of it a 404; for servers with \
                 files of their own write `check_script = false`"
            )
        })
    };
    config.routes.iter().filter_map(missing).collect()
}

fn summary(path: &Path, config: &Config) -> String {
    let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let backends = config.pools.iter().map(|pool| pool.backends.len()).sum();
    let names = match control::names_of(config) {
        0 => String::new(),
        some => format!("; {}, not looked up", counted(some, "name")),
    };
    format!(
        "{file} is fine: {}, {}, {}, {}{names}",
        counted(config.listeners.len(), "listener"),
        counted(config.routes.len(), "route"),
        counted(config.pools.len(), "pool"),
        counted(backends, "backend"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"
[listener.https]
bind = "127.0.0.1:8443"
certificates = [{ cert = "a.crt", key = "a.key" }]

[[route]]
pool = "app"

[pool.app]
backends = ["127.0.0.1:9101", "127.0.0.1:9102"]
"#;

    fn check_with(cert: &str, key: &str) -> Result<Report, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("equipoise.toml");
        fs::write(&file, CONFIG).unwrap();
        fs::write(folder.path().join("a.crt"), cert).unwrap();
        fs::write(folder.path().join("a.key"), key).unwrap();
        check(&file, SystemTime::now()).map_err(|errors| errors.to_string())
    }

    fn pair(names: &[&str]) -> (String, String) {
        let names = names.iter().map(|name| name.to_string()).collect::<Vec<String>>();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_fine_file_is_summed_up_and_its_passive_pool_noted() {
        let (cert, key) = pair(&["localhost"]);
        let report = check_with(&cert, &key).map_err(|text| panic!("{text}")).unwrap();
        assert_eq!(
            report.summary,
            "equipoise.toml is fine: 1 listener, 1 route, 1 pool, 2 backends"
        );
        assert!(report.warnings.iter().any(|each| each.contains("app")), "{:?}", report.warnings);
    }

    #[test]
    fn a_pair_that_does_not_match_is_shown_at_its_place() {
        let text = check_with(&pair(&["localhost"]).0, &pair(&["localhost"]).1).err().unwrap();
        assert!(text.contains("equipoise.toml:4:"), "{text}");
        assert!(text.contains("does not belong to"), "{text}");
    }

    #[test]
    fn a_certificate_that_no_client_would_get_is_shown_at_its_place() {
        let (cert, key) = pair(&[]);
        let text = check_with(&cert, &key).err().unwrap();
        assert!(text.contains("equipoise.toml:4:"), "{text}");
        assert!(text.contains("names no host"), "{text}");
    }

    #[test]
    fn each_file_of_a_pair_is_shown_at_its_place() {
        let (cert, _) = pair(&["localhost"]);
        let text = check_with(&cert, "nonsense").err().unwrap();
        assert!(text.contains("equipoise.toml:4:41: "), "{text}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("equipoise.toml");
        fs::write(&file, CONFIG).unwrap();
        let text = check(&file, SystemTime::now()).err().unwrap().to_string();
        assert!(text.contains("equipoise.toml:4:26: "), "{text}");
        assert!(text.contains("starts at the folder of this configuration"), "{text}");
    }

    #[test]
    fn a_log_without_a_folder_is_remarked() {
        let config = |to: &str| {
            let text = format!("[listener.a]\nbind = \"127.0.0.1:80\"\n[access_log]\nto = {to:?}");
            config::parse(&text, Path::new("e.toml")).unwrap_or_else(|errors| panic!("{errors}"))
        };
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("none/access.log").display().to_string();
        let there = folder.path().join("access.log").display().to_string();
        assert!(missing_log_folder(&config(&missing)).unwrap().contains("none does not exist"));
        for fine in [there.as_str(), "access.log", "stdout"] {
            assert_eq!(missing_log_folder(&config(fine)), None, "{fine}");
        }
    }

    #[test]
    fn scripts_without_a_folder_are_remarked() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().display().to_string();
        let notes = |keys: &str| {
            let text = format!(
                "[listener.a]\nbind = \"127.0.0.1:80\"\n[[route]]\nfastcgi = {{ pool = \"php\", {keys} }}\n\
                 [pool.php]\nprotocol = \"fastcgi\"\nbackends = [\"127.0.0.1:9000\"]"
            );
            missing_roots(&config::parse(&text, Path::new("e.toml")).unwrap())
        };
        let missing = format!("root = \"{there}/none\"");
        assert!(notes(&missing)[0].contains("none is no folder here"));
        assert!(notes(&format!("{missing}, check_script = false")).is_empty());
        assert!(notes(&format!("root = \"{there}\"")).is_empty());
    }

    #[test]
    fn the_configuration_of_the_readme_loads() {
        let readme = include_str!("../../README.md");
        let (_, rest) = readme.split_once("```toml\n").unwrap();
        let (text, _) = rest.split_once("```").unwrap();
        let path = Path::new("equipoise.toml");
        let config = config::parse(text, path).map_err(|errors| errors.to_string()).unwrap();
        let expected = "equipoise.toml is fine: 2 listeners, 1 route, 1 pool, 3 backends";
        assert_eq!(summary(path, &config), expected);
    }
}
