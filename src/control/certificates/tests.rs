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
    certificates: Certificates,
    doubts: Doubts,
    tickets: Tickets,
}

fn watched() -> Watched {
    let directory = Directory::new();
    directory.write("a", &["a.example"]);
    let config = config(&directory, &["a"]);
    let certificates = Certificates::load(&config, &Certificates::default()).unwrap();
    let tickets = Tickets::new().unwrap();
    Watched { directory, config, certificates, doubts: Doubts::default(), tickets }
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
    /// Looks once: for how many it was renewed and how many failures told.
    fn look(&mut self) -> (usize, usize) {
        let look = look(&self.config, &self.certificates, &self.doubts, &self.tickets);
        let found = (look.renewed.listeners.len() + look.renewed.pools.len(), look.failures.len());
        (self.certificates, self.doubts) = (look.certificates, look.doubts);
        found
    }

    fn until(&self) -> SystemTime {
        self.certificates.0.values().next().unwrap().not_after()
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
    let certificates = Certificates::load(&wider, &watched.certificates).unwrap();
    let tls = watched.config.listeners[0].tls.as_ref().unwrap();
    assert!(certificates.same_for_listener(&watched.certificates, tls));
    assert_eq!(certificates.0.len(), 2);
}

#[test]
fn every_pair_that_fails_is_told() {
    let watched = watched();
    let wider = config(&watched.directory, &["a", "b", "c"]);
    assert_eq!(Certificates::load(&wider, &watched.certificates).unwrap_err().len(), 2);
}
