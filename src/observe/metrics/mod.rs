//! All that /metrics shows: counted in a slot a thread, summed when it is scraped.
//!
//! A series hangs on a name of the configuration. Whoever asks for a name that is held elsewhere
//! gets the same counts, so that they outlive a reload; when nobody holds it any more (the name
//! has left the configuration and the last snapshot with it is gone) it leaves the page.

mod control;
mod family;
mod files;
mod listener;
mod name;
mod pool;
mod process;
mod route;
mod tcp;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use prometheus::proto::MetricFamily;

pub use control::{CertificateExpiry, CertificateOwner, ControlMetrics, GenerationAlive};
pub use family::{Family, encode};
pub use files::{FilesError, FilesMetrics};
pub use listener::{Handshake, ListenerMetrics, Refusal};
pub use name::{LookupEnd, NameMetrics};
pub use pool::{BackendHandshake, BackendMetrics, PickedBy, PoolMetrics};
pub use route::{Coding, Mirrored, RouteMetrics, UNROUTED};
pub use tcp::{Ended, TcpMetrics};

use crate::observe::{
    counter::{Slots, Tally},
    log,
    reason::Reason,
};
use files::FilesFamilies;
use listener::ListenerFamilies;
use name::NameFamilies;
use pool::{BackendFamilies, PoolFamilies};
use route::RouteFamilies;
use tcp::TcpFamilies;

/// The counts of the whole process; one for its life.
#[derive(Debug)]
pub struct Metrics {
    workers: usize,
    started: SystemTime,
    /// Reloads, generations, certificates.
    pub control: ControlMetrics,
    errors: Slots<Errors>,
    access_log_lost: Arc<AtomicU64>,
    listeners: Held<String, ListenerMetrics>,
    routes: Held<String, RouteMetrics>,
    names: Held<String, NameMetrics>,
    pools: Held<String, PoolMetrics>,
    files: Held<String, FilesMetrics>,
    /// By pool, then address.
    backends: Held<(String, String), BackendMetrics>,
    /// By listener, then pool.
    tcp: Held<(String, String), TcpMetrics>,
}

/// A cell a reason.
#[derive(Debug)]
struct Errors([Tally; Reason::ALL.len()]);

impl Default for Errors {
    fn default() -> Self {
        Errors(std::array::from_fn(|_| Tally::default()))
    }
}

impl Metrics {
    /// With a slot for each of `workers`, and one for the control thread. To be made first of all:
    /// its moment is told as the start of the process.
    pub fn new(workers: usize) -> Arc<Metrics> {
        let started = SystemTime::now();
        Arc::new(Metrics {
            workers,
            started,
            control: ControlMetrics::new(started),
            errors: Slots::new(workers + 1),
            access_log_lost: Arc::new(AtomicU64::new(0)),
            listeners: Held::default(),
            routes: Held::default(),
            names: Held::default(),
            pools: Held::default(),
            files: Held::default(),
            backends: Held::default(),
            tcp: Held::default(),
        })
    }

    /// The slot that the control thread counts in; those of the workers are their numbers.
    pub fn control_slot(&self) -> usize {
        self.workers
    }

    pub fn listener(&self, name: &str) -> Arc<ListenerMetrics> {
        self.listeners.hold(name.to_owned(), || ListenerMetrics::new(self.slots()))
    }

    pub fn route(&self, name: &str) -> Arc<RouteMetrics> {
        self.routes.hold(name.to_owned(), || RouteMetrics::new(self.slots()))
    }

    /// Of a name that is looked up.
    pub fn name(&self, name: &str) -> Arc<NameMetrics> {
        self.names.hold(name.to_owned(), || NameMetrics::new(self.slots()))
    }

    pub fn pool(&self, name: &str) -> Arc<PoolMetrics> {
        self.pools.hold(name.to_owned(), || PoolMetrics::new(self.slots()))
    }

    /// `address` as the configuration writes it.
    pub fn backend(&self, pool: &str, address: &str) -> Arc<BackendMetrics> {
        let key = (pool.to_owned(), address.to_owned());
        self.backends.hold(key, || BackendMetrics::new(self.slots()))
    }

    pub fn files(&self, name: &str) -> Arc<FilesMetrics> {
        self.files.hold(name.to_owned(), || FilesMetrics::new(self.slots()))
    }

    pub fn tcp(&self, listener: &str, pool: &str) -> Arc<TcpMetrics> {
        let key = (listener.to_owned(), pool.to_owned());
        self.tcp.hold(key, || TcpMetrics::new(self.slots()))
    }

    /// A request was refused or failed. To be called by the thread that owns `slot`.
    pub fn error(&self, slot: usize, reason: Reason) {
        self.errors.slot(slot).0[reason.index()].add(1);
    }

    /// Where the access log counts the lines it lost.
    pub fn access_log_lost(&self) -> Arc<AtomicU64> {
        self.access_log_lost.clone()
    }

    /// Gives back the memory of names that nobody holds any more. To be called after a reload, and when
    /// backends have left: where nobody scrapes, nobody else would.
    pub fn forget(&self) {
        self.listeners.forget();
        self.routes.forget();
        self.names.forget();
        self.pools.forget();
        self.files.forget();
        self.backends.forget();
        self.tcp.forget();
    }

    /// Every family, summed now. More of the same form may be added before [`encode`].
    pub fn families(&self) -> Vec<MetricFamily> {
        let mut families = self.control.families();
        families.extend([build_info(), self.error_family(), self.lost_lines_family()]);
        families.push(lost_log_lines());
        families.extend(self.listener_families());
        families.extend(self.route_families());
        families.extend(self.name_families());
        families.extend(self.pool_families());
        families.extend(self.files_families());
        families.extend(self.backend_families());
        families.extend(self.tcp_families());
        families.extend(process::families(self.started));
        families.into_iter().map(MetricFamily::from).collect()
    }

    fn slots(&self) -> usize {
        self.workers + 1
    }

    fn error_family(&self) -> Family {
        let mut family = Family::counter(
            "equipoise_http_errors_total",
            "Requests refused or failed, by the reason in the access log and on the error page.",
        );
        for reason in Reason::ALL {
            let count = self.errors.sum(|errors| &errors.0[reason.index()]);
            family.add(&[("reason", reason.word())], count as f64);
        }
        family
    }

    fn lost_lines_family(&self) -> Family {
        Family::counter(
            "equipoise_access_log_lost_lines_total",
            "Access log lines dropped because the queue was full or writing failed.",
        )
        .with(&[], self.access_log_lost.load(Ordering::Relaxed) as f64)
    }

    fn listener_families(&self) -> [Family; 8] {
        let mut families = ListenerFamilies::new();
        for (name, listener) in self.listeners.all() {
            families.add(&name, &listener);
        }
        families.into_families()
    }

    fn route_families(&self) -> [Family; 9] {
        let mut families = RouteFamilies::new();
        for (name, route) in self.routes.all() {
            families.add(&name, &route);
        }
        families.into_families()
    }

    fn name_families(&self) -> [Family; 2] {
        let mut families = NameFamilies::new();
        for (name, metrics) in self.names.all() {
            families.add(&name, &metrics);
        }
        families.into_families()
    }

    fn pool_families(&self) -> [Family; 13] {
        let mut families = PoolFamilies::new();
        for (name, pool) in self.pools.all() {
            families.add(&name, &pool);
        }
        families.into_families()
    }

    fn files_families(&self) -> [Family; 8] {
        let mut families = FilesFamilies::new();
        for (name, files) in self.files.all() {
            families.add(&name, &files);
        }
        families.into_families()
    }

    fn backend_families(&self) -> [Family; 9] {
        let mut families = BackendFamilies::new();
        for ((pool, address), backend) in self.backends.all() {
            families.add(&pool, &address, &backend);
        }
        families.into_families()
    }

    fn tcp_families(&self) -> [Family; 3] {
        let mut families = TcpFamilies::new();
        for ((listener, pool), tcp) in self.tcp.all() {
            families.add(&listener, &pool, &tcp);
        }
        families.into_families()
    }
}

fn build_info() -> Family {
    Family::gauge("equipoise_build_info", "Always 1; the version is a label.")
        .with(&[("version", env!("CARGO_PKG_VERSION"))], 1.0)
}

fn lost_log_lines() -> Family {
    Family::counter(
        "equipoise_log_lost_lines_total",
        "Lines of the daemon's own log dropped because stderr took none.",
    )
    .with(&[], log::lost_lines() as f64)
}

/// What is held by name somewhere in the house; in the order of names.
#[derive(Debug)]
struct Held<K, T>(Mutex<BTreeMap<K, Weak<T>>>);

impl<K, T> Default for Held<K, T> {
    fn default() -> Self {
        Held(Mutex::new(BTreeMap::new()))
    }
}

impl<K: Ord + Clone, T> Held<K, T> {
    /// The one of this name, made if nobody holds it.
    fn hold(&self, key: K, make: impl FnOnce() -> T) -> Arc<T> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = held.get(&key).and_then(Weak::upgrade) {
            return found;
        }
        let made = Arc::new(make());
        held.insert(key, Arc::downgrade(&made));
        made
    }

    /// Those that somebody holds.
    fn all(&self) -> Vec<(K, Arc<T>)> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.iter().filter_map(|(key, weak)| Some((key.clone(), weak.upgrade()?))).collect()
    }

    /// A `Weak` keeps the memory of what it no longer leads to.
    fn forget(&self) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, weak| weak.strong_count() > 0);
    }
}

#[cfg(test)]
mod tests;
