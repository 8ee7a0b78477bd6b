//! The certificates that serve, and those on disk that renew them.
//!
//! What lies on disk is looked at every few seconds. A pair that changed and loads is served. One
//! that changed and does not load may be half of a renewal (the certificate written, the key not
//! yet), so nothing is said before the next look finds the very same files and the very same
//! trouble; then it is said once.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    config::{Certificate, Config, Place, Tls},
    control::event::Line,
    net::{
        certificates::{Pair, PairError, Stamp},
        tls::{self, ServerTls, Tickets},
    },
    observe::{
        dates,
        metrics::{CertificateExpiry, ControlMetrics},
    },
};

/// How often the files are looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Before this much is left, each start and reload warns.
const EXPIRES_SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// The two files of a pair, which say who it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

impl Files {
    fn of(certificate: &Certificate) -> Files {
        Files { cert: certificate.cert.clone(), key: certificate.key.clone() }
    }
}

/// Every pair that a configuration names, loaded.
#[derive(Clone, Debug, Default)]
pub struct Pairs(HashMap<Files, Arc<Pair>>);

impl Pairs {
    /// Loads what `config` names; what `held` has and did not change on disk is kept.
    ///
    /// # Errors
    /// For each pair that can't be used: its place in the file, what is wrong, what to do.
    pub fn load(config: &Config, held: &Pairs) -> Result<Pairs, Vec<(Place, String, String)>> {
        let mut pairs = HashMap::new();
        let mut troubles = Vec::new();
        for certificate in every(config) {
            let files = Files::of(certificate);
            if pairs.contains_key(&files) {
                continue;
            }
            match held.unchanged(&files).map_or_else(|| load(&files), Ok) {
                Ok(pair) => {
                    pairs.insert(files, pair);
                }
                Err(error) => troubles.push(trouble(certificate, &error)),
            }
        }
        if troubles.is_empty() { Ok(Pairs(pairs)) } else { Err(troubles) }
    }

    /// The pairs of one listener, in the order of the file.
    pub fn of(&self, tls: &Tls) -> Vec<Arc<Pair>> {
        tls.certificates.iter().map(|certificate| self.0[&Files::of(certificate)].clone()).collect()
    }

    /// Whether a listener's pairs are the very same in both.
    pub fn same(&self, other: &Pairs, tls: &Tls) -> bool {
        tls.certificates.iter().map(Files::of).all(|files| {
            match (self.0.get(&files), other.0.get(&files)) {
                (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs),
                _ => false,
            }
        })
    }

    /// What works but should not stay so.
    pub fn warnings(&self, now: SystemTime) -> Vec<Line> {
        let mut lines: Vec<Line> = self.0.values().flat_map(|pair| warnings(pair, now)).collect();
        lines.sort_by(|a, b| a.text().cmp(b.text()));
        lines
    }

    /// Tells the metrics until when each is valid.
    pub fn tell(&self, config: &Config, metrics: &ControlMetrics) {
        let mut expiries = Vec::new();
        for (listener, tls) in tls_listeners(config) {
            for pair in self.of(tls) {
                expiries.push(CertificateExpiry {
                    listener: listener.to_string(),
                    certificate: name(&pair),
                    not_after: pair.not_after(),
                });
            }
        }
        metrics.set_certificates(expiries);
    }

    fn unchanged(&self, files: &Files) -> Option<Arc<Pair>> {
        let held = self.0.get(files)?;
        let stamp = Stamp::of(&files.cert, &files.key).ok()?;
        (stamp == held.stamp()).then(|| held.clone())
    }
}

/// What looks at the files have found amiss so far.
#[derive(Clone, Debug, Default)]
pub struct Doubts(HashMap<Files, Doubt>);

/// A changed pair that did not load.
#[derive(Clone, Debug, PartialEq)]
struct Doubt {
    /// `None`: a file is missing.
    stamp: Option<Stamp>,
    told: bool,
}

impl Doubt {
    /// The doubt after one more look that found `stamp` and could not load it.
    fn after(before: Option<&Doubt>, stamp: Option<Stamp>) -> Doubt {
        Doubt { stamp, told: before.is_some_and(|before| before.stamp == stamp) }
    }
}

/// What one look at the files found.
#[derive(Default)]
pub struct Look {
    pub pairs: Pairs,
    pub doubts: Doubts,
    /// The TLS of listeners whose certificates were renewed.
    pub tls: HashMap<Arc<str>, ServerTls>,
    pub failures: Vec<Failure>,
    pub lines: Vec<Line>,
}

/// A changed pair that was refused.
pub struct Failure {
    pub listener: Arc<str>,
    pub certificate: String,
}

/// Looks at every pair that serves; reads files.
pub fn look(config: &Config, pairs: &Pairs, doubts: &Doubts, tickets: &Tickets) -> Look {
    let mut look = Look { pairs: pairs.clone(), ..Look::default() };
    for (files, held) in &pairs.0 {
        let stamp = Stamp::of(&files.cert, &files.key).ok();
        if stamp == Some(held.stamp()) {
            continue;
        }
        let before = doubts.0.get(files);
        if let Some(before) = before.filter(|before| before.told && before.stamp == stamp) {
            look.doubts.0.insert(files.clone(), before.clone());
            continue;
        }
        let loaded = load(files).map_err(|error| error.to_string());
        let taken = loaded.and_then(|pair| look.take(config, files, pair, tickets));
        if let Err(why) = taken {
            let doubt = Doubt::after(before, stamp);
            if doubt.told {
                look.refuse(config, files, held, &why);
            }
            look.doubts.0.insert(files.clone(), doubt);
        }
    }
    look
}

impl Look {
    /// Serves a renewed pair on every listener that names it, or on none.
    fn take(
        &mut self,
        config: &Config,
        files: &Files,
        pair: Arc<Pair>,
        tickets: &Tickets,
    ) -> Result<(), String> {
        let mut pairs = self.pairs.clone();
        pairs.0.insert(files.clone(), pair.clone());
        let mut renewed = Vec::new();
        for (listener, tls) in tls_listeners(config).filter(|(_, tls)| names(tls, files)) {
            let served = tls::server_config(tls, &pairs.of(tls), tickets);
            renewed.push((listener.clone(), served.map_err(|error| error.to_string())?));
        }
        for (listener, served) in renewed {
            let until = dates::rfc3339(pair.not_after());
            let name = name(&pair);
            let line =
                format!("listener {listener}: certificate {name} renewed: valid until {until}");
            self.lines.push(Line::Info(line));
            self.tls.insert(listener, served);
        }
        self.lines.extend(warnings(&pair, SystemTime::now()));
        self.pairs = pairs;
        Ok(())
    }

    fn refuse(&mut self, config: &Config, files: &Files, held: &Pair, why: &str) {
        for (listener, _) in tls_listeners(config).filter(|(_, tls)| names(tls, files)) {
            let certificate = name(held);
            self.lines.push(Line::Warn(format!(
                "listener {listener}: certificate {certificate} not renewed: {why}; the old one is served"
            )));
            self.failures.push(Failure { listener: listener.clone(), certificate });
        }
    }
}

fn load(files: &Files) -> Result<Arc<Pair>, PairError> {
    Pair::load(&files.cert, &files.key).map(Arc::new)
}

/// At the place of the file at fault.
fn trouble(certificate: &Certificate, error: &PairError) -> (Place, String, String) {
    let of_key = error.file() == certificate.key;
    let place = if of_key { certificate.key_place } else { certificate.place };
    let help = if error.is_missing() {
        "expected a PEM file; a relative path starts at the folder of this configuration"
    } else {
        ""
    };
    (place, error.to_string(), help.to_owned())
}

fn every(config: &Config) -> impl Iterator<Item = &Certificate> {
    tls_listeners(config).flat_map(|(_, tls)| &tls.certificates)
}

fn tls_listeners(config: &Config) -> impl Iterator<Item = (&Arc<str>, &Tls)> {
    config.listeners.iter().filter_map(|listener| Some((&listener.name, listener.tls.as_ref()?)))
}

fn names(tls: &Tls, files: &Files) -> bool {
    tls.certificates.iter().any(|certificate| Files::of(certificate) == *files)
}

/// What a certificate is called in metrics and logs: its first name, else its file.
fn name(pair: &Pair) -> String {
    let first = pair.names().first().cloned();
    first.unwrap_or_else(|| pair.cert().display().to_string())
}

fn warnings(pair: &Pair, now: SystemTime) -> Vec<Line> {
    let mut lines: Vec<Line> = pair.warnings().iter().cloned().map(Line::Warn).collect();
    let (name, until) = (name(pair), dates::rfc3339(pair.not_after()));
    if pair.expired(now) {
        lines.push(Line::Warn(format!("certificate {name} expired at {until}: renew it")));
    } else if pair.expired(now + EXPIRES_SOON) {
        lines.push(Line::Warn(format!("certificate {name} expires at {until}: renew it")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::{
        config,
        net::fixture::{Directory, replace},
    };

    /// A listener with the pair `a`, and what looks at it have found so far.
    struct Watched {
        directory: Directory,
        config: Config,
        pairs: Pairs,
        doubts: Doubts,
        tickets: Tickets,
    }

    fn watched() -> Watched {
        let directory = Directory::new();
        directory.write("a", &["a.example"]);
        let config = config(&directory, &["a"]);
        let pairs = Pairs::load(&config, &Pairs::default()).unwrap();
        let tickets = Tickets::new().unwrap();
        Watched { directory, config, pairs, doubts: Doubts::default(), tickets }
    }

    fn config(directory: &Directory, stems: &[&str]) -> Config {
        let certificate = |stem: &&str| {
            let (cert, key) =
                (directory.path(&format!("{stem}.crt")), directory.path(&format!("{stem}.key")));
            format!("{{ cert = {cert:?}, key = {key:?} }}")
        };
        let certificates: Vec<String> = stems.iter().map(certificate).collect();
        let text = format!(
            "[listener.https]\nbind = \"127.0.0.1:443\"\ncertificates = [{}]\n\
             [[route]]\nrespond = {{ status = 200 }}\n",
            certificates.join(", ")
        );
        config::parse(&text, Path::new("test.toml")).unwrap_or_else(|errors| panic!("{errors}"))
    }

    impl Watched {
        /// Looks once: how many listeners were renewed and how many failures told.
        fn look(&mut self) -> (usize, usize) {
            let look = look(&self.config, &self.pairs, &self.doubts, &self.tickets);
            let found = (look.tls.len(), look.failures.len());
            (self.pairs, self.doubts) = (look.pairs, look.doubts);
            found
        }

        fn until(&self) -> SystemTime {
            self.pairs.0.values().next().unwrap().not_after()
        }
    }

    #[test]
    fn what_did_not_change_is_not_read() {
        let mut watched = watched();
        assert_eq!(watched.look(), (0, 0));
    }

    #[test]
    fn a_renewed_pair_is_served_once() {
        let mut watched = watched();
        watched.directory.write("a", &["a.example"]);
        assert_eq!(watched.look(), (1, 0));
        assert_eq!(watched.look(), (0, 0));
    }

    #[test]
    fn half_a_renewal_is_waited_for_in_silence() {
        let mut watched = watched();
        let (cert, key) = watched.directory.write("b", &["a.example"]);
        let until = watched.until();
        replace(&watched.directory.path("a.crt"), &fs::read(cert).unwrap());
        assert_eq!(watched.look(), (0, 0));
        assert_eq!(watched.until(), until);
        replace(&watched.directory.path("a.key"), &fs::read(key).unwrap());
        assert_eq!(watched.look(), (1, 0));
    }

    #[test]
    fn what_stays_mismatched_is_told_once_a_change() {
        let mut watched = watched();
        let (_, key) = watched.directory.write("b", &["a.example"]);
        replace(&watched.directory.path("a.key"), &fs::read(key).unwrap());
        assert_eq!([watched.look(), watched.look(), watched.look()], [(0, 0), (0, 1), (0, 0)]);
        replace(&watched.directory.path("a.key"), b"nonsense");
        assert_eq!([watched.look(), watched.look(), watched.look()], [(0, 0), (0, 1), (0, 0)]);
        fs::remove_file(watched.directory.path("a.key")).unwrap();
        assert_eq!([watched.look(), watched.look(), watched.look()], [(0, 0), (0, 1), (0, 0)]);
        watched.directory.write("a", &["a.example"]);
        assert_eq!(watched.look(), (1, 0));
    }

    #[test]
    fn a_pair_that_no_client_could_be_given_is_refused() {
        let mut watched = watched();
        watched.directory.write("a", &[]);
        assert_eq!([watched.look(), watched.look()], [(0, 0), (0, 1)]);
    }

    #[test]
    fn a_reload_keeps_what_did_not_change() {
        let watched = watched();
        watched.directory.write("b", &["b.example"]);
        let wider = config(&watched.directory, &["a", "b"]);
        let pairs = Pairs::load(&wider, &watched.pairs).unwrap();
        assert!(pairs.same(&watched.pairs, watched.config.listeners[0].tls.as_ref().unwrap()));
        assert_eq!(pairs.0.len(), 2);
    }

    #[test]
    fn every_pair_that_fails_is_told() {
        let watched = watched();
        let wider = config(&watched.directory, &["a", "b", "c"]);
        assert_eq!(Pairs::load(&wider, &watched.pairs).unwrap_err().len(), 2);
    }
}
