//! One look-up of a name, from the hosts file to the servers of SRV records.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use hickory_resolver::{
    TokioResolver,
    lookup::Lookup,
    net::{DnsError, NetError, NoRecords},
    proto::{
        op::{Query, ResponseCode},
        rr::{self, RData, Record, RecordType},
    },
};
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};

use crate::{
    config::{Family, Name, Resolver},
    control::names::{
        answer::{self, Addresses, Answer, Destination, Found, Gap, Reply, Service},
        servers::{Directory, ROUNDS, Servers},
    },
    units::duration_text,
};

/// SRV records of one answer that are looked at: any `max_addresses` is less.
const MOST_RECORDS: usize = 1024;

/// Servers of SRV records that are looked up at once.
const TARGETS_AT_ONCE: usize = 32;

/// How long an entry of the hosts file holds, which tells no time to live.
const HOSTS_TTL: Duration = Duration::from_secs(5);

/// Looks a name up. It ends in time: no question takes longer than `timeout`.
pub async fn look_up(name: &Name, rules: &Resolver, servers: &Arc<Servers>) -> Answer {
    let directory = match servers.directory(rules).await {
        Ok(directory) => directory,
        Err(words) => return Answer::Failed(words),
    };
    let asking = Arc::new(Asking { directory, rules: rules.clone() });
    match name {
        Name::Host(host) => match asking.host(host).await {
            Ok(addresses) => Answer::Found(of_host(addresses)),
            Err(answer) => answer,
        },
        Name::Srv(service) => asking.service(service).await,
    }
}

fn of_host(addresses: Addresses) -> Found {
    let Addresses { ips, gaps, ttl } = addresses;
    let destination = |ip| Destination { ip, service: None };
    let gap = |family| Gap { target: None, family };
    Found {
        destinations: ips.into_iter().map(destination).collect(),
        gaps: gaps.into_iter().map(gap).collect(),
        ttl,
    }
}

/// Whom to ask, and how.
struct Asking {
    directory: Arc<Directory>,
    rules: Resolver,
}

impl Asking {
    /// The addresses of a host, under the first of its names that has any.
    async fn host(&self, host: &str) -> Result<Addresses, Answer> {
        if let Some(addresses) = self.in_hosts_file(host) {
            return Ok(addresses);
        }
        let mut last = Answer::Absent("no such name".to_owned());
        for name in self.names(host)? {
            // Both families of one name: what another of the search list has is another host.
            match self.addresses(&name).await {
                // Whether this one has an address is not known: the next may be another host.
                Err(Answer::Failed(words)) => return Err(Answer::Failed(words)),
                Err(answer) => last = answer,
                Ok(addresses) => return Ok(addresses),
            }
        }
        Err(last)
    }

    async fn service(self: &Arc<Self>, service: &str) -> Answer {
        let names = match self.names(service) {
            Ok(names) => names,
            Err(answer) => return answer,
        };
        let mut last = Answer::Absent("no such name".to_owned());
        for name in names {
            match self.ask(&name, RecordType::SRV, service_of).await {
                Reply::Failed(words) => return Answer::Failed(words),
                Reply::Absent(words) => last = Answer::Absent(words),
                Reply::Records(records, ttl) => return self.servers(records, ttl).await,
            }
        }
        last
    }

    /// The servers that SRV records tell, with their addresses.
    async fn servers(self: &Arc<Self>, mut records: Vec<Service>, ttl: Duration) -> Answer {
        // `max_addresses` cuts where it is known what is in use; this bounds the look-ups alone.
        records.sort_by(|a, b| (a.rank(), a).cmp(&(b.rank(), b)));
        records.dedup();
        records.truncate(MOST_RECORDS);
        // A lone `.` says that the service is not offered here (RFC 2782).
        records.retain(|service| *service.target != *".");
        let targets = records.iter().map(|service| service.target.clone());
        let targets: BTreeSet<Arc<str>> = targets.collect();
        let slots = Arc::new(Semaphore::new(TARGETS_AT_ONCE));
        let mut asked = JoinSet::new();
        for target in targets {
            let (asking, slots) = (self.clone(), slots.clone());
            asked.spawn(async move {
                let _slot = slots.acquire().await;
                let addresses = asking.host(&target).await;
                (target, addresses)
            });
        }
        let mut addresses = HashMap::new();
        while let Some(joined) = asked.join_next().await {
            addresses.extend(joined.ok());
        }
        let broken = || Err(Answer::Failed("the look-up broke off".to_owned()));
        let of = |target: &Arc<str>| addresses.get(target).cloned().unwrap_or_else(broken);
        answer::services(records, of, ttl)
    }

    /// As resolver(3): an entry for one family is the whole answer, and no name server is asked.
    fn in_hosts_file(&self, host: &str) -> Option<Addresses> {
        let name = rr::Name::from_str_relaxed(host).ok()?;
        let of = |record_type| {
            let query = Query::query(name.clone(), record_type);
            self.directory.hosts.lookup_static_host(&query)
        };
        let found = [of(RecordType::A), of(RecordType::AAAA)].into_iter().flatten();
        let records: Vec<Record> = found.flat_map(|lookup| lookup.answers().to_vec()).collect();
        let ips: Vec<IpAddr> = records.iter().filter_map(|record| ip_of(&record.data)).collect();
        let wanted = |ip: &IpAddr| match self.rules.family {
            Family::Both => true,
            Family::Ipv4 => ip.is_ipv4(),
            Family::Ipv6 => ip.is_ipv6(),
        };
        let ips: Vec<IpAddr> = ips.into_iter().filter(wanted).collect();
        (!ips.is_empty()).then(|| Addresses { ips, gaps: Vec::new(), ttl: HOSTS_TTL })
    }

    /// The names to ask for, in their order: with the search list, unless a dot ends the name.
    fn names(&self, written: &str) -> Result<Vec<rr::Name>, Answer> {
        let failed = |error: &dyn std::fmt::Display| Answer::Failed(error.to_string());
        let name = rr::Name::from_str_relaxed(written).map_err(|error| failed(&error))?;
        let mut itself = name.clone();
        itself.set_fqdn(true);
        if name.is_fqdn() {
            return Ok(vec![itself]);
        }
        let behind = |domain: &rr::Name| {
            let mut name = name.clone().append_domain(domain).ok()?;
            name.set_fqdn(true);
            Some(name)
        };
        let searched = self.directory.search.iter().filter_map(behind);
        let dots = usize::from(name.num_labels()).saturating_sub(1);
        Ok(match dots >= self.directory.ndots {
            true => std::iter::once(itself).chain(searched).collect(),
            false => searched.chain([itself]).collect(),
        })
    }

    async fn addresses(&self, name: &rr::Name) -> Result<Addresses, Answer> {
        let ipv4 = self.ask(name, RecordType::A, ip_of);
        let ipv6 = self.ask(name, RecordType::AAAA, ip_of);
        let unasked = || Reply::Absent("no such name".to_owned());
        let (v4, v6) = match self.rules.family {
            Family::Both => tokio::join!(ipv4, ipv6),
            Family::Ipv4 => (ipv4.await, unasked()),
            Family::Ipv6 => (unasked(), ipv6.await),
        };
        answer::both(v4, v6)
    }

    /// One question: each server is asked in its turn until one answers.
    async fn ask<T>(
        &self,
        name: &rr::Name,
        record_type: RecordType,
        read: fn(&RData) -> Option<T>,
    ) -> Reply<T> {
        let asked = timeout(self.rules.timeout, async {
            let mut last = String::new();
            let servers = &self.directory.servers;
            for server in (0..ROUNDS).flat_map(|_| servers) {
                match ask_one(server, name, record_type, read).await {
                    Reply::Failed(words) => last = words,
                    reply => return reply,
                }
            }
            Reply::Failed(last)
        });
        asked.await.unwrap_or_else(|_| Reply::Failed(self.late()))
    }

    fn late(&self) -> String {
        format!("no name server answers within {}", duration_text(self.rules.timeout))
    }
}

async fn ask_one<T>(
    server: &TokioResolver,
    name: &rr::Name,
    record_type: RecordType,
    read: fn(&RData) -> Option<T>,
) -> Reply<T> {
    match server.lookup(name.clone(), record_type).await {
        Ok(lookup) => records(&lookup, read),
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) => none_found(&none),
        Err(error) => Reply::Failed(words(&error)),
    }
}

fn records<T>(lookup: &Lookup, read: fn(&RData) -> Option<T>) -> Reply<T> {
    let answers = lookup.answers();
    let records: Vec<T> = answers.iter().filter_map(|record| read(&record.data)).collect();
    // With those of the aliases that lead to it.
    let ttl = answers.iter().map(|record| record.ttl).min().unwrap_or(0);
    match records.is_empty() {
        true => Reply::Absent("no such record".to_owned()),
        false => Reply::Records(records, Duration::from_secs(ttl.into())),
    }
}

fn none_found<T>(none: &NoRecords) -> Reply<T> {
    match none.response_code {
        ResponseCode::NXDomain => Reply::Absent("no such name".to_owned()),
        // Who resolves nothing for others refers to them: that says nothing of the name.
        ResponseCode::NoError if none.ns.is_some() && none.soa.is_none() => {
            Reply::Failed("the name server refers to others instead of asking them".to_owned())
        }
        ResponseCode::NoError => Reply::Absent("the name has no such record".to_owned()),
        code => Reply::Failed(said(code)),
    }
}

fn words(error: &NetError) -> String {
    match error {
        NetError::Dns(DnsError::ResponseCode(code)) => said(*code),
        NetError::Timeout => "no name server answers".to_owned(),
        NetError::NoConnections => "no name server can be reached".to_owned(),
        NetError::Io(error) => format!("no name server can be reached: {error}"),
        error => error.to_string(),
    }
}

fn said(code: ResponseCode) -> String {
    format!("the name server says: {code}")
}

fn ip_of(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(address) => Some(address.0.into()),
        RData::AAAA(address) => Some(IpAddr::from(address.0).to_canonical()),
        _ => None,
    }
}

fn service_of(data: &RData) -> Option<Service> {
    let RData::SRV(record) = data else {
        return None;
    };
    let target = record.target.to_ascii().to_ascii_lowercase();
    // Nobody serves at port 0.
    (record.port > 0).then(|| Service {
        port: record.port,
        priority: record.priority,
        weight: record.weight,
        target: target.into(),
    })
}
