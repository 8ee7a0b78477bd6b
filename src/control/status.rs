//! What the state looks like from outside: for `equipoise status`, for /readyz. Pure.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::{
    config::{self, Trust, Words},
    control::{
        event::Named,
        names::{
            held::Standing,
            listed::{Listed, listed},
        },
        protocol::{
            AskedWord, BackendStatus, BreakerStatus, FilesStatus, ListenerStatus, NameStatus,
            PhaseWord, PoolStatus, ReleaseStatus, ReleasesStatus, StandingWord, Status, TlsWord,
            VerdictWord,
        },
        skew::Census,
        state::State,
    },
    pool::{
        backend::{Key, Verdict},
        breaker::Breaker,
    },
    snapshot::Phase,
};

impl State {
    /// Without reloads, which the state can't know: a refused one never reaches it.
    pub fn status(&self) -> Status {
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            generation: self.snapshot().generation,
            phase: phase_word(self.phase),
            since: unix_seconds(self.started),
            workers: self.workers,
            listeners: self.config.listeners.iter().map(listener).collect(),
            routes: self.routes_status(),
            files: self.config.files.iter().map(|files| self.files_status(files)).collect(),
            pools: self.config.pools.iter().map(|pool| self.pool_status(pool)).collect(),
            last_reload: None,
            reloading_since: None,
        }
    }

    fn files_status(&self, files: &config::Files) -> FilesStatus {
        let counts = self.parts.metrics.files(&files.name);
        FilesStatus {
            name: files.name.to_string(),
            root: files.root.display().to_string(),
            requests: counts.requests(),
            hits: counts.hits(),
            misses: counts.misses(),
            kept_bytes: counts.kept_bytes(),
            open: counts.open(),
        }
    }

    /// Why this process should get no traffic from a balancer before it; empty when it is ready.
    pub fn unready(&self) -> Vec<String> {
        if self.phase != Phase::Serving {
            return vec!["draining".to_owned()];
        }
        let awaited = self.book.values().filter(|entry| entry.awaited);
        awaited.map(|entry| format!("{} waits for its first probe", entry.backend.key())).collect()
    }

    fn pool_status(&self, pool: &config::Pool) -> PoolStatus {
        let backends = listed(pool, &self.names);
        let backends = backends.iter().map(|backend| self.backend_status(pool, backend));
        PoolStatus {
            name: pool.name.to_string(),
            balance: pool.balance.word().to_owned(),
            releases: self.releases_status(pool),
            waiting: self.waiting(&pool.name),
            tls: tls_word(pool.tls.as_ref()),
            names: self.names_status(pool),
            backends: backends.collect(),
        }
    }

    fn releases_status(&self, pool: &config::Pool) -> Option<ReleasesStatus> {
        let held = self.snapshot.pools.iter().find(|held| held.config.name == pool.name);
        let held = held.filter(|held| held.config.reads_releases())?;
        let census = Census::of(held);
        let known = census.releases.iter();
        Some(ReleasesStatus {
            known: known
                .map(|(release, &backends)| ReleaseStatus {
                    release: release.to_string(),
                    backends,
                })
                .collect(),
            unknown: census.unknown,
            skewed_since: self.skewed.get(&pool.name).map(|since| unix_seconds(*since)),
            on_skew: pool.on_skew.word().to_owned(),
            preferred: held.preferred.as_ref().map(ToString::to_string),
        })
    }

    fn waiting(&self, pool: &str) -> usize {
        let served = self.snapshot().pools.iter().find(|it| *it.config.name == *pool);
        served.map_or(0, |pool| pool.queue.length())
    }

    fn names_status(&self, pool: &config::Pool) -> Vec<NameStatus> {
        let status = |backend: &config::Backend| {
            let name = backend.address.name()?;
            let held = self.names.get(&name)?;
            let named = Named { pool: pool.name.clone(), written: backend.address.to_string() };
            Some(NameStatus {
                name: name.to_string(),
                standing: standing_word(held.standing),
                since: unix_seconds(held.since),
                addresses: held.addresses(),
                answered: held.answered.map(unix_seconds),
                trouble: held.trouble.as_ref().map(ToString::to_string),
                drained: self.orders.drains(&named),
                written: named.written,
            })
        };
        pool.backends.iter().filter_map(status).collect()
    }

    fn backend_status(&self, pool: &config::Pool, backend: &Listed) -> BackendStatus {
        let entry = &self.book[&Key { pool: pool.name.clone(), address: backend.address }];
        BackendStatus {
            address: backend.address,
            name: backend.from.name().map(|_| backend.from.to_string()),
            verdict: verdict_word(entry.verdict()),
            since: unix_seconds(entry.since),
            weight: entry.weights.effective(),
            file_weight: entry.weights.file(),
            whole_weight_at: entry.whole_weight_at().map(unix_seconds),
            backup: backend.backup,
            in_flight: entry.backend.in_flight(),
            max_requests: backend.max_requests,
            breaker: entry.breaker.as_ref().map(breaker),
            requests: entry.backend.metrics().requests(),
            last_probe: entry.last_probe.clone(),
            why_down: entry.why_down().map(str::to_owned),
            release: entry.runs.deployed().map(|deployed| deployed.release.to_string()),
        }
    }
}

fn breaker(breaker: &Breaker) -> BreakerStatus {
    let position = breaker.position().word().to_owned();
    BreakerStatus { position, openings: breaker.openings }
}

fn listener(listener: &config::Listener) -> ListenerStatus {
    ListenerStatus {
        name: listener.name.to_string(),
        bind: listener.bind.clone(),
        tls: listener.tls.is_some(),
        tcp: listener.tcp.is_some(),
        client_certificates: asked_word(listener.tls.as_ref()),
    }
}

fn asked_word(tls: Option<&config::Tls>) -> AskedWord {
    match tls.and_then(|tls| tls.clients.as_ref()) {
        None => AskedWord::None,
        Some(clients) if clients.required => AskedWord::Required,
        Some(_) => AskedWord::Optional,
    }
}

/// Whole seconds since 1970; 0 for a clock that is set before it.
pub fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn phase_word(phase: Phase) -> PhaseWord {
    match phase {
        Phase::Serving => PhaseWord::Serving,
        Phase::Draining => PhaseWord::Draining,
        Phase::Closing => PhaseWord::Closing,
    }
}

fn tls_word(tls: Option<&config::PoolTls>) -> TlsWord {
    match tls.map(|tls| &tls.trust) {
        None => TlsWord::None,
        Some(Trust::Anyone) => TlsWord::Unverified,
        Some(Trust::System | Trust::Authorities(_)) => TlsWord::Verified,
    }
}

fn standing_word(standing: Standing) -> StandingWord {
    match standing {
        Standing::Resolved => StandingWord::Resolved,
        Standing::Kept => StandingWord::Kept,
        Standing::Unresolved => StandingWord::Unresolved,
    }
}

fn verdict_word(verdict: Verdict) -> VerdictWord {
    match verdict {
        Verdict::Up => VerdictWord::Up,
        Verdict::Down => VerdictWord::Down,
        Verdict::Draining => VerdictWord::Draining,
    }
}
