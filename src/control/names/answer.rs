//! What a look-up of a name came to. Pure.

use std::{
    cmp::Reverse,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

/// What one look-up came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Found(Found),
    /// The name servers say that there is nothing: in words.
    Absent(String),
    /// No name server gave an answer: in words.
    Failed(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// At least one.
    pub destinations: Vec<Destination>,
    /// What could not be had: what was held of it before is not disproved.
    pub gaps: Vec<Gap>,
    /// The shortest of all its records.
    pub ttl: Duration,
}

/// Where a name leads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Destination {
    pub ip: IpAddr,
    /// What an SRV record says of it.
    pub service: Option<Service>,
}

/// An SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Service {
    pub port: u16,
    /// The lowest is asked first.
    pub priority: u16,
    pub weight: u16,
    /// The server's own name.
    pub target: Arc<str>,
}

impl Destination {
    /// Whom an SRV record wants asked first is less (RFC 2782); without one all are alike.
    pub fn rank(&self) -> Option<(u16, Reverse<u16>)> {
        self.service.as_ref().map(Service::rank)
    }

    /// Whether both are one server, whatever is said of it.
    pub fn is_at(&self, other: &Destination) -> bool {
        let port = |it: &Destination| it.service.as_ref().map(|service| service.port);
        self.ip == other.ip && port(self) == port(other)
    }
}

impl Service {
    pub fn rank(&self) -> (u16, Reverse<u16>) {
        (self.priority, Reverse(self.weight))
    }
}

/// The addresses of one family of one host could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The server of an SRV record; `None`: the name itself.
    pub target: Option<Arc<str>>,
    pub family: IpFamily,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpFamily {
    V4,
    V6,
}

impl Gap {
    pub fn covers(&self, destination: &Destination) -> bool {
        let target = destination.service.as_ref().map(|service| &service.target);
        self.target.as_ref() == target && self.family == IpFamily::of(destination.ip)
    }
}

impl IpFamily {
    fn of(ip: IpAddr) -> IpFamily {
        match ip {
            IpAddr::V4(_) => IpFamily::V4,
            IpAddr::V6(_) => IpFamily::V6,
        }
    }
}

/// What one question to the name servers came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply<T> {
    /// With the shortest time to live of the records.
    Records(Vec<T>, Duration),
    Absent(String),
    Failed(String),
}

/// The addresses of a host, as far as they could be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    pub ips: Vec<IpAddr>,
    pub gaps: Vec<IpFamily>,
    pub ttl: Duration,
}

/// The replies of both families as one: what one of them says is not lost because the other fails.
/// The family that is not asked for is absent.
pub fn both(v4: Reply<IpAddr>, v6: Reply<IpAddr>) -> Result<Addresses, Answer> {
    let mut addresses = Addresses { ips: Vec::new(), gaps: Vec::new(), ttl: Duration::MAX };
    let mut absent = None;
    let mut failed = None;
    for (family, reply) in [(IpFamily::V4, v4), (IpFamily::V6, v6)] {
        match reply {
            Reply::Records(ips, ttl) => {
                addresses.ips.extend(ips.into_iter().filter(|ip| usable(*ip)));
                addresses.ttl = addresses.ttl.min(ttl);
            }
            Reply::Absent(words) => absent = absent.or(Some(words)),
            Reply::Failed(words) => {
                addresses.gaps.push(family);
                failed = failed.or(Some(words));
            }
        }
    }
    if !addresses.ips.is_empty() {
        return Ok(addresses);
    }
    // That there is nothing is known only when nobody failed to say so.
    Err(match (failed, absent) {
        (Some(words), _) => Answer::Failed(words),
        (None, Some(words)) => Answer::Absent(words),
        (None, None) => Answer::Absent("no address that could be connected to".to_owned()),
    })
}

/// Filters that block a name answer with 0.0.0.0, which would lead to ourselves.
fn usable(ip: IpAddr) -> bool {
    if ip.is_unspecified() || ip.is_multicast() {
        return false;
    }
    match ip {
        IpAddr::V4(ip) => ip != Ipv4Addr::BROADCAST,
        // It takes an interface besides the address.
        IpAddr::V6(ip) => !ip.is_unicast_link_local(),
    }
}

/// The servers of SRV records with their addresses. A server without an address is left out; where
/// none is left the first trouble is the whole answer.
pub fn services(
    records: Vec<Service>,
    mut addresses_of: impl FnMut(&Arc<str>) -> Result<Addresses, Answer>,
    ttl: Duration,
) -> Answer {
    let mut found = Found { destinations: Vec::new(), gaps: Vec::new(), ttl };
    let mut trouble = None;
    for service in records {
        let target = service.target.clone();
        let gap = |family| Gap { target: Some(target.clone()), family };
        match addresses_of(&target) {
            Ok(addresses) => {
                found.ttl = found.ttl.min(addresses.ttl);
                found.gaps.extend(addresses.gaps.into_iter().map(gap));
                let destination = |ip| Destination { ip, service: Some(service.clone()) };
                found.destinations.extend(addresses.ips.into_iter().map(destination));
            }
            Err(answer) => {
                if let Answer::Failed(_) = &answer {
                    found.gaps.extend([IpFamily::V4, IpFamily::V6].map(gap));
                }
                // A failure outweighs an absence: it may hide an address.
                let outweighed = matches!(trouble, None | Some(Answer::Absent(_)));
                trouble = if outweighed { Some(answer) } else { trouble };
            }
        }
    }
    match trouble {
        Some(trouble) if found.destinations.is_empty() => trouble,
        _ if found.destinations.is_empty() => Answer::Absent("no SRV record".to_owned()),
        _ => Answer::Found(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(ips: &[&str], seconds: u64) -> Reply<IpAddr> {
        let ips = ips.iter().map(|ip| ip.parse().unwrap()).collect();
        Reply::Records(ips, Duration::from_secs(seconds))
    }

    fn absent() -> Reply<IpAddr> {
        Reply::Absent("no such name".to_owned())
    }

    fn failed() -> Reply<IpAddr> {
        Reply::Failed("no answer".to_owned())
    }

    #[test]
    fn both_families_are_one_answer_with_the_shorter_time() {
        let addresses = both(records(&["10.0.0.1"], 60), records(&["2001:db8::1"], 30)).unwrap();
        assert_eq!(addresses.ips.len(), 2);
        assert_eq!((addresses.gaps.len(), addresses.ttl), (0, Duration::from_secs(30)));
        let addresses = both(records(&["10.0.0.1"], 60), absent()).unwrap();
        assert_eq!((addresses.gaps.len(), addresses.ttl), (0, Duration::from_secs(60)));
    }

    #[test]
    fn one_family_that_fails_is_a_gap_and_nothing_else() {
        let addresses = both(records(&["10.0.0.1"], 60), failed()).unwrap();
        assert_eq!((addresses.ips.len(), addresses.gaps), (1, vec![IpFamily::V6]));
        assert_eq!(both(absent(), failed()), Err(Answer::Failed("no answer".to_owned())));
        assert_eq!(both(failed(), absent()), Err(Answer::Failed("no answer".to_owned())));
        assert_eq!(both(absent(), absent()), Err(Answer::Absent("no such name".to_owned())));
    }

    #[test]
    fn addresses_that_lead_nowhere_are_none() {
        let sinkhole = records(&["0.0.0.0", "255.255.255.255", "224.0.0.1"], 60);
        let link_local = records(&["::", "fe80::1", "ff02::1"], 60);
        assert!(matches!(both(sinkhole, link_local), Err(Answer::Absent(_))));
        let addresses = both(records(&["0.0.0.0", "10.0.0.1"], 60), absent()).unwrap();
        assert_eq!(addresses.ips.len(), 1);
    }

    fn service(target: &str, priority: u16) -> Service {
        Service { target: target.into(), port: 8080, priority, weight: 1 }
    }

    #[test]
    fn servers_whose_addresses_fail_leave_gaps_and_the_absent_nothing() {
        let records = vec![service("a", 1), service("b", 1), service("c", 2)];
        let of = |target: &Arc<str>| match &**target {
            "a" => both(records_of_a(), absent()),
            "b" => Err(Answer::Failed("no answer".to_owned())),
            _ => Err(Answer::Absent("no such name".to_owned())),
        };
        let Answer::Found(found) = services(records, of, Duration::from_secs(60)) else { panic!() };
        assert_eq!(found.destinations.len(), 1);
        assert_eq!(found.ttl, Duration::from_secs(5));
        let held = |target, ip: &str| Destination {
            ip: ip.parse().unwrap(),
            service: Some(service(target, 1)),
        };
        let covered = |destination| found.gaps.iter().any(|gap| gap.covers(&destination));
        assert!(covered(held("b", "10.0.0.2")) && covered(held("b", "2001:db8::2")));
        assert!(!covered(held("a", "10.0.0.1")) && !covered(held("c", "10.0.0.3")));
        let none = |_: &Arc<str>| Err(Answer::Absent("no such name".to_owned()));
        let answer = services(vec![service("a", 1)], none, Duration::from_secs(60));
        assert_eq!(answer, Answer::Absent("no such name".to_owned()));
        let answer = services(Vec::new(), none, Duration::from_secs(60));
        assert_eq!(answer, Answer::Absent("no SRV record".to_owned()));
    }

    fn records_of_a() -> Reply<IpAddr> {
        records(&["10.0.0.1"], 5)
    }
}
