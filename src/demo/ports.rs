//! Which ports the demo uses: the ones it is known for, or the next free ones.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

/// How many ports after the wanted one are looked at.
const TRIES: u16 = 100;

/// The addresses of the demo's front door.
pub struct Doors {
    pub https: SocketAddr,
    pub http: SocketAddr,
    pub metrics: SocketAddr,
}

/// Picks the addresses of the front door. The second value says, in words, which wanted ports were
/// taken.
///
/// # Errors
/// None of a hundred ports is free.
pub fn doors() -> io::Result<(Doors, Vec<String>)> {
    let mut picked = Vec::new();
    let mut notes = Vec::new();
    for wanted in [8443, 8080, 9180] {
        let port = next_free(wanted, &picked, is_free).ok_or_else(|| none_free(wanted))?;
        notes.extend(note(wanted, port));
        picked.push(port);
    }
    let doors =
        Doors { https: local(picked[0]), http: local(picked[1]), metrics: local(picked[2]) };
    Ok((doors, notes))
}

/// Listens on the wanted port or the next free one. The second value says so in words.
///
/// # Errors
/// None of a hundred ports is free.
pub fn listen(wanted: u16) -> io::Result<(TcpListener, Option<String>)> {
    for port in candidates(wanted) {
        if let Ok(listener) = TcpListener::bind(local(port)) {
            return Ok((listener, note(wanted, port)));
        }
    }
    Err(none_free(wanted))
}

fn next_free(wanted: u16, picked: &[u16], is_free: impl Fn(u16) -> bool) -> Option<u16> {
    candidates(wanted).find(|port| !picked.contains(port) && is_free(*port))
}

fn candidates(wanted: u16) -> impl Iterator<Item = u16> {
    wanted..=wanted.saturating_add(TRIES - 1)
}

/// A plain listener shares its port with nobody, so this finds a second demo too, whose
/// SO_REUSEPORT sockets ours would otherwise join.
fn is_free(port: u16) -> bool {
    TcpListener::bind(local(port)).is_ok()
}

fn note(wanted: u16, port: u16) -> Option<String> {
    (wanted != port).then(|| format!("port {wanted} is taken: using {port}"))
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn none_free(wanted: u16) -> io::Error {
    let last = wanted.saturating_add(TRIES - 1);
    let words =
        format!("no port from {wanted} to {last} is free on 127.0.0.1: stop what uses them");
    io::Error::new(io::ErrorKind::AddrInUse, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wanted_port_or_the_next_that_is_free_and_not_picked() {
        let all = |_| true;
        assert_eq!(next_free(8080, &[], all), Some(8080));
        assert_eq!(next_free(8080, &[8080], all), Some(8081));
        assert_eq!(next_free(8080, &[8081], |port| port > 8080), Some(8082));
        assert_eq!(next_free(8080, &[], |_| false), None);
        assert_eq!(next_free(65535, &[65535], all), None);
    }

    #[test]
    fn another_port_is_said_in_words() {
        assert_eq!(note(8080, 8080), None);
        assert_eq!(note(8080, 8082).as_deref(), Some("port 8080 is taken: using 8082"));
    }

    #[test]
    fn a_port_that_someone_listens_on_is_not_free() {
        let (listener, _) = listen(20_000).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(!is_free(port));
        let (second, said) = listen(port).unwrap();
        assert_ne!(second.local_addr().unwrap().port(), port);
        assert!(said.unwrap().starts_with(&format!("port {port} is taken: using ")));
    }
}
