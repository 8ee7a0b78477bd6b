//! The backends of a pool once its names are looked up. Pure.
//!
//! Each address of a name is a backend of its own, with the settings of the entry that it comes
//! from. Of an SRV name the records say port and weight, and the lowest priority serves while all
//! others are backups: a pool has two tiers, not as many as there are priorities.
//!
//! What two entries lead to is one backend: it is one server. It has the larger of their weights,
//! not the sum, the smaller of their limits, and is a backup if all of them say so.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use crate::{
    config::{self, Address, Endpoint},
    control::names::{answer::Destination, held::Names},
};

/// One backend of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub address: Endpoint,
    /// As the file writes it: the first entry that leads here.
    pub from: Address,
    pub weight: u32,
    pub backup: bool,
    pub max_requests: Option<usize>,
}

impl Listed {
    /// The name that the server goes by, where it has one.
    ///
    /// Of an SRV name this is the name that was asked for, not the one that the answer tells: whoever
    /// can forge an answer could name a server that he has a certificate of (RFC 9525, section 6.1.1).
    pub fn name(&self) -> Option<Arc<str>> {
        match &self.from {
            Address::Socket(_) | Address::Unix(_) => None,
            Address::Host { name, .. } => Some(without_dot(name)),
            Address::Srv(name) => name.splitn(3, '.').nth(2).map(without_dot),
        }
    }
}

fn without_dot(name: &str) -> Arc<str> {
    name.strip_suffix('.').unwrap_or(name).into()
}

/// The backends of a pool, in the order of the file, and of one name in that of its addresses.
pub fn listed(pool: &config::Pool, names: &Names) -> Vec<Listed> {
    let mut listed: Vec<Listed> = Vec::new();
    let mut places: HashMap<Endpoint, usize> = HashMap::new();
    for found in pool.backends.iter().flat_map(|backend| of(backend, names)) {
        match places.get(&found.address) {
            Some(&place) => merge(&mut listed[place], &found),
            None => {
                places.insert(found.address.clone(), listed.len());
                listed.push(found);
            }
        }
    }
    listed
}

/// What one entry of the file leads to.
pub fn of(backend: &config::Backend, names: &Names) -> Vec<Listed> {
    let listed = |address: Endpoint, weight, backup| Listed {
        address,
        from: backend.address.clone(),
        weight,
        backup: backend.backup || backup,
        max_requests: backend.max_requests,
    };
    let destinations = backend.address.name().map(|name| names.destinations(&name));
    let destinations = destinations.unwrap_or_default();
    match &backend.address {
        Address::Socket(address) => vec![listed((*address).into(), backend.weight, false)],
        Address::Unix(path) => vec![listed(Endpoint::Unix(path.clone()), backend.weight, false)],
        Address::Host { port, .. } => {
            let at = |it: &Destination| {
                listed(SocketAddr::new(it.ip, *port).into(), backend.weight, false)
            };
            destinations.iter().map(at).collect()
        }
        Address::Srv(_) => {
            let services = || destinations.iter().filter_map(|it| it.service.as_ref());
            let first = services().map(|service| service.priority).min();
            let heaviest = services().map(|service| service.weight).max().unwrap_or(0);
            let at = |it: &Destination| {
                let service = it.service.as_ref()?;
                let address = SocketAddr::new(it.ip, service.port);
                let weight = weight(service.weight, heaviest);
                Some(listed(address.into(), weight, Some(service.priority) != first))
            };
            destinations.iter().filter_map(at).collect()
        }
    }
}

/// A weight of ours, 1 to 256, for one of an SRV record, 0 to 65535, where `heaviest` is the largest
/// beside it. 0 is a very small chance (RFC 2782), not none.
fn weight(written: u16, heaviest: u16) -> u32 {
    const LARGEST: u32 = 256;
    let (written, heaviest) = (u32::from(written), u32::from(heaviest));
    let scaled = if heaviest > LARGEST { written * LARGEST / heaviest } else { written };
    scaled.max(1)
}

fn merge(listed: &mut Listed, other: &Listed) {
    listed.weight = listed.weight.max(other.weight);
    listed.backup &= other.backup;
    let limits = [listed.max_requests, other.max_requests];
    listed.max_requests = limits.into_iter().flatten().min();
}

#[cfg(test)]
mod tests {
    use std::{
        path::Path,
        time::{Duration, Instant, SystemTime},
    };

    use super::*;
    use crate::{
        config::{Config, Name},
        control::{
            event::Moment,
            names::answer::{Answer, Found, Service},
        },
    };

    fn config(backends: &str) -> Config {
        let text = format!(
            "[listener.web]\nbind = \"127.0.0.1:80\"\n[[route]]\npool = \"app\"\n\
             [pool.app]\nbackends = [{backends}]\n"
        );
        config::parse(&text, Path::new("e.toml")).unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn ip(ip: &str) -> Destination {
        Destination { ip: ip.parse().unwrap(), service: None }
    }

    fn service(ip: &str, priority: u16, weight: u16) -> Destination {
        let service = Service { port: 8080, priority, weight, target: "a.internal".into() };
        Destination { ip: ip.parse().unwrap(), service: Some(service) }
    }

    /// `address weight backup` of each, where each of the names leads to these.
    #[track_caller]
    fn check(backends: &str, answers: &[(&str, &[Destination])], expected: &[&str]) {
        let config = config(backends);
        let now = Moment { steady: Instant::now(), wall: SystemTime::UNIX_EPOCH };
        let mut names = Names::default();
        names.settle(&config, now);
        for (name, destinations) in answers {
            let name = match name.strip_prefix(config::SRV) {
                Some(name) => Name::Srv(name.into()),
                None => Name::Host((*name).into()),
            };
            let (destinations, gaps) = (destinations.to_vec(), Vec::new());
            let found = Found { destinations, gaps, ttl: Duration::from_secs(5) };
            assert!(names.take(&name, Answer::Found(found), &config.resolver, now).is_some());
        }
        let listed = listed(&config.pools[0], &names);
        let words = listed.iter().map(|it| {
            let backup = if it.backup { " backup" } else { "" };
            format!("{} {}{backup}", it.address, it.weight)
        });
        assert_eq!(words.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn each_address_of_a_name_is_a_backend() {
        check(
            r#""10.0.0.9:80", { address = "app.internal:8080", weight = 3, backup = true }"#,
            &[("app.internal", &[ip("10.0.0.1"), ip("2001:db8::1")])],
            &["10.0.0.9:80 1", "10.0.0.1:8080 3 backup", "[2001:db8::1]:8080 3 backup"],
        );
        check(r#""app.internal:8080""#, &[], &[]);
    }

    #[test]
    fn records_of_services_say_port_weight_and_who_is_a_backup() {
        let records =
            [service("10.0.0.1", 10, 60), service("10.0.0.2", 10, 0), service("10.0.0.3", 20, 5)];
        check(
            r#""srv:_http._tcp.app.internal""#,
            &[("srv:_http._tcp.app.internal", &records)],
            &["10.0.0.1:8080 60", "10.0.0.2:8080 1", "10.0.0.3:8080 5 backup"],
        );
        let records = [service("10.0.0.1", 0, 50_000), service("10.0.0.2", 0, 10)];
        check(
            r#"{ address = "srv:_http._tcp.app.internal", backup = true }"#,
            &[("srv:_http._tcp.app.internal", &records)],
            &["10.0.0.1:8080 256 backup", "10.0.0.2:8080 1 backup"],
        );
    }

    #[test]
    fn what_two_entries_lead_to_is_one_backend() {
        check(
            r#"{ address = "a.internal:80", backup = true }, { address = "b.internal:80", weight = 2 }"#,
            &[("a.internal", &[ip("10.0.0.1")]), ("b.internal", &[ip("10.0.0.1")])],
            &["10.0.0.1:80 2"],
        );
    }

    #[test]
    fn a_server_goes_by_the_name_that_was_asked_for() {
        let name = |backend: &str| {
            let from = config(backend).pools[0].backends[0].address.clone();
            let address = "10.0.0.1:80".parse().unwrap();
            let listed = Listed { address, from, weight: 1, backup: false, max_requests: None };
            listed.name()
        };
        assert_eq!(name(r#""10.0.0.1:80""#), None);
        assert_eq!(name(r#""App.internal.:80""#).as_deref(), Some("app.internal"));
        let service = name(r#""srv:_http._tcp.app.internal""#);
        assert_eq!(service.as_deref(), Some("app.internal"));
    }
}
