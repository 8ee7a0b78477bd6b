//! The demo's files: a certificate made just now and a configuration as a person would write it, in
//! a folder that goes when the demo ends.

use std::{
    env, fs, io,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process,
};

use rcgen::{CertificateParams, KeyPair};

use crate::demo::ports::Doors;

/// Removed with all that is in it when dropped.
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes the folder, for this user only, and writes certificate, key and configuration.
    ///
    /// # Errors
    /// The temporary folder of the machine can't be written to.
    pub fn write(doors: &Doors, backends: &[SocketAddr]) -> io::Result<Folder> {
        let folder = Folder::new(&env::temp_dir())?;
        let (cert, key) = certificate().map_err(io::Error::other)?;
        fs::write(folder.certificate(), cert)?;
        write_secret(&folder.path.join("demo.key"), &key)?;
        fs::write(folder.config(), config(doors, backends))?;
        Ok(folder)
    }

    pub fn config(&self) -> PathBuf {
        self.path.join("equipoise.toml")
    }

    pub fn certificate(&self) -> PathBuf {
        self.path.join("demo.crt")
    }

    pub fn socket(&self) -> PathBuf {
        self.path.join("admin.sock")
    }

    /// A name that is taken, as by a demo that was killed, is passed over: what stands there is
    /// not ours.
    fn new(under: &Path) -> io::Result<Folder> {
        let mut builder = fs::DirBuilder::new();
        builder.mode(0o700);
        for attempt in 0..100 {
            let path = under.join(format!("equipoise-demo-{}-{attempt}", process::id()));
            match builder.create(&path) {
                Ok(()) => return Ok(Folder { path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(folder_error(&path, &error)),
            }
        }
        Err(folder_error(under, &io::ErrorKind::AlreadyExists.into()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("{} stays behind: {error}", self.path.display());
        }
    }
}

fn folder_error(path: &Path, error: &io::Error) -> io::Error {
    let words = format!(
        "can't make the folder {}: {error}; set TMPDIR to one that can be written to",
        path.display()
    );
    io::Error::new(error.kind(), words)
}

/// For localhost and 127.0.0.1, signed by itself: `curl --cacert` takes it.
fn certificate() -> Result<(String, String), rcgen::Error> {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(names)?.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
    io::Write::write_all(&mut file, text.as_bytes())
}

/// Probes are quick, so that a newcomer need not wait for what there is to see.
fn config(doors: &Doors, backends: &[SocketAddr]) -> String {
    let Doors { https, http, metrics } = doors;
    let quoted = |address: &SocketAddr| format!("\"{address}\"");
    let backends: Vec<String> = backends.iter().map(quoted).collect();
    format!(
        r#"# Written by `equipoise demo`, and gone when it ends. `equipoise check` takes it.
drain_timeout = "2s"

[listener.https]
bind = "{https}"
certificates = [{{ cert = "demo.crt", key = "demo.key", default = true }}]

[listener.http]
bind = "{http}"
redirect = "https"

[[route]]
pool = "app"

[pool.app]
balance = "round-robin"
backends = [{}]
health = {{ path = "/healthz", interval = "1s", timeout = "500ms", rise = 2, fall = 2 }}

[metrics]
bind = "{metrics}"

[admin]
socket = "admin.sock"
"#,
        backends.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, time::SystemTime};

    use super::*;
    use crate::cli::check;

    fn doors() -> Doors {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Doors { https: local(8444), http: local(8080), metrics: local(9180) }
    }

    fn backends() -> Vec<SocketAddr> {
        (9101..=9103).map(|port| ([127, 0, 0, 1], port).into()).collect()
    }

    #[test]
    fn the_files_pass_the_check_without_a_warning() {
        let folder = Folder::write(&doors(), &backends()).unwrap();
        let report = check::check(&folder.config(), SystemTime::now())
            .map_err(|errors| errors.to_string())
            .unwrap();
        assert_eq!(report.warnings, Vec::<String>::new());
        assert!(report.summary.ends_with("2 listeners, 1 route, 1 pool, 3 backends"));
    }

    #[test]
    fn the_folder_is_for_one_user_and_goes() {
        let under = tempfile::tempdir().unwrap();
        let folder = Folder::new(under.path()).unwrap();
        let mode = fs::metadata(&folder.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let second = Folder::new(under.path()).unwrap();
        assert_ne!(second.path, folder.path, "what stands there is not ours");
        drop((folder, second));
        assert_eq!(fs::read_dir(under.path()).unwrap().count(), 0);
    }
}
