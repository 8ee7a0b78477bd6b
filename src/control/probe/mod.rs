//! Active probes: one task a backend, on the control thread.
//!
//! - `ask`: one probe on the wire.
//! - `h2`, `fastcgi`: the same over HTTP/2, and over FastCGI.
//! - `answer`: what an HTTP answer means; pure.
//! - `release`: which release it names; pure.
//! - `room`: how many at once.

mod answer;
mod ask;
mod fastcgi;
mod h2;
mod release;
mod room;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::mpsc,
    task::AbortHandle,
    time::{Instant, sleep_until},
};

use crate::{
    config::{self, Endpoint, Protocol, ProxyProtocol},
    net::{
        proxy_protocol::{Announcement, Told},
        tls::{Alpn, ClientTls},
    },
    pool::{
        backend::{Backend, Key},
        dial::Dial,
        health::ProbeResult,
        members::{Member, Pool},
    },
};
use room::Room;

/// Reports that may wait; probes wait then too.
pub const MAX_REPORTS: usize = 256;

/// First probes start this far apart: at once for a person, not all in one tick.
const SPREAD: Duration = Duration::from_millis(2);

/// One probe came back.
pub struct Report {
    key: Key,
    result: ProbeResult,
    /// Which task asked.
    task: u64,
}

/// The probe tasks that run. Dropping it ends them.
pub struct Probes {
    running: HashMap<Key, Running>,
    reports: mpsc::Sender<Report>,
    /// By the pool's name: thousands of backends must not take every descriptor.
    rooms: HashMap<Arc<str>, Arc<Room>>,
    most_at_once: usize,
    next_task: u64,
    /// The slot in which the control thread counts.
    metrics_slot: usize,
}

struct Running {
    task: u64,
    name: Option<Arc<str>>,
    health: config::Health,
    protocol: Protocol,
    proxy_protocol: Option<ProxyProtocol>,
    tls: Option<Arc<ClientTls>>,
    handle: AbortHandle,
}

impl Running {
    fn asks_as(&self, health: &config::Health, pool: &Pool, member: &Member) -> bool {
        let same = self.health == *health
            && self.name == member.name
            && self.protocol == pool.config.protocol
            && self.proxy_protocol == pool.config.proxy_protocol;
        same && pool.speaks(self.tls.as_ref())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

impl Probes {
    pub fn new(reports: mpsc::Sender<Report>, metrics_slot: usize) -> Probes {
        Probes {
            running: HashMap::new(),
            reports,
            rooms: HashMap::new(),
            most_at_once: room::most_at_once(),
            next_task: 0,
            metrics_slot,
        }
    }

    /// Brings the tasks in line with the pools: those whose settings stay go on undisturbed.
    /// Needs the runtime.
    pub fn follow(&mut self, pools: &[Arc<Pool>]) {
        let mut wanted = HashSet::new();
        let mut started = 0;
        self.settle_rooms(pools);
        for pool in pools {
            let Some(health) = &pool.config.health else {
                continue;
            };
            for member in &pool.members {
                let key = member.backend.key();
                wanted.insert(key.clone());
                if self
                    .running
                    .get(key)
                    .is_some_and(|running| running.asks_as(health, pool, member))
                {
                    continue;
                }
                self.start(health, pool, member, SPREAD * started);
                started += 1;
            }
        }
        self.running.retain(|key, _| wanted.contains(key));
    }

    fn settle_rooms(&mut self, pools: &[Arc<Pool>]) {
        let probed = || pools.iter().filter(|pool| pool.config.health.is_some());
        let share = room::share(self.most_at_once, probed().count());
        let mut before = std::mem::take(&mut self.rooms);
        for name in probed().map(|pool| &pool.config.name) {
            let room = before.remove(name).unwrap_or_else(|| Arc::new(Room::new(share)));
            room.settle(share);
            self.rooms.insert(name.clone(), room);
        }
    }

    /// What a report says, unless its task was ended meanwhile.
    pub fn take(&self, report: Report) -> Option<(Key, ProbeResult)> {
        let running = self.running.get(&report.key)?;
        (running.task == report.task).then_some((report.key, report.result))
    }

    fn start(&mut self, health: &config::Health, pool: &Pool, member: &Member, delay: Duration) {
        self.next_task += 1;
        let probing = Probing {
            backend: member.backend.clone(),
            name: member.name.clone(),
            address: match health.port {
                Some(port) => member.backend.address().at_port(port),
                None => member.backend.address().clone(),
            },
            health: health.clone(),
            protocol: pool.config.protocol,
            proxy_protocol: pool.config.proxy_protocol,
            tls: pool.tls.clone(),
            task: self.next_task,
            room: self.rooms[&pool.config.name].clone(),
            reports: self.reports.clone(),
            metrics_slot: self.metrics_slot,
        };
        let handle = tokio::spawn(probing.run(delay)).abort_handle();
        let running = Running {
            task: self.next_task,
            name: member.name.clone(),
            health: health.clone(),
            protocol: pool.config.protocol,
            proxy_protocol: pool.config.proxy_protocol,
            tls: pool.tls.clone(),
            handle,
        };
        self.running.insert(member.backend.key().clone(), running);
    }
}

/// The probes of one backend.
struct Probing {
    backend: Arc<Backend>,
    name: Option<Arc<str>>,
    /// Where it is probed.
    address: Endpoint,
    health: config::Health,
    protocol: Protocol,
    proxy_protocol: Option<ProxyProtocol>,
    tls: Option<Arc<ClientTls>>,
    task: u64,
    room: Arc<Room>,
    reports: mpsc::Sender<Report>,
    metrics_slot: usize,
}

impl Probing {
    async fn run(self, delay: Duration) {
        let mut next = Instant::now() + delay;
        loop {
            sleep_until(next).await;
            // From start to start, but never a second probe while the first still waits.
            let wait = stretched(self.health.interval, self.health.jitter, fastrand::f64());
            let due = Instant::now();
            next = due + wait;
            let Some(slot) = self.room.enter().await else {
                return;
            };
            let now = Instant::now();
            if let Some(words) = self.room.late(now - due, self.health.interval, now.into_std()) {
                tracing::warn!("pool {}: {words}", self.backend.key().pool);
            }
            let result = ask::probe(&self.health, self.asked_by(), &self.dial()).await;
            drop(slot);
            self.count(&result);
            let key = self.backend.key().clone();
            if self.reports.send(Report { key, result, task: self.task }).await.is_err() {
                return;
            }
        }
    }

    /// What is spoken to who is probed.
    fn asked_by(&self) -> Protocol {
        match self.health.port {
            None => self.protocol,
            Some(_) => Protocol::Http1,
        }
    }

    /// As requests are sent; another port that is probed is a server of its own, which is asked over
    /// HTTP/1.1 and told nothing.
    fn dial(&self) -> Dial<'_> {
        let alpn = match self.asked_by() {
            Protocol::Http1 => Alpn::Http1,
            Protocol::H2 => Alpn::Http2,
            Protocol::Fastcgi => Alpn::Silent,
        };
        let tls = self.tls.as_deref().filter(|_| self.health.tls);
        let version = self.proxy_protocol.filter(|_| self.health.port.is_none());
        let announced = version.map(|version| Announcement { version, told: Told::Nobody });
        let (name, metrics_slot) = (self.name.as_deref(), self.metrics_slot);
        let address = &self.address;
        Dial { backend: &self.backend, name, address, tls, alpn, announced, metrics_slot }
    }

    fn count(&self, result: &ProbeResult) {
        let metrics = self.backend.metrics();
        match result {
            ProbeResult::Passed { .. } => metrics.probe_passed(self.metrics_slot),
            ProbeResult::Failed(_) => metrics.probe_failed(self.metrics_slot),
        }
    }
}

/// The interval, longer or shorter by up to `jitter` of it; `random` is from 0 to 1.
fn stretched(interval: Duration, jitter: f64, random: f64) -> Duration {
    interval.mul_f64((1.0 + jitter * (2.0 * random - 1.0)).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_stays_within_its_jitter() {
        let interval = Duration::from_secs(10);
        assert_eq!(stretched(interval, 0.0, 0.7), interval);
        assert_eq!(stretched(interval, 0.2, 0.0), Duration::from_secs(8));
        assert_eq!(stretched(interval, 0.2, 1.0), Duration::from_secs(12));
        assert_eq!(stretched(interval, 1.0, 0.0), Duration::ZERO);
    }
}
