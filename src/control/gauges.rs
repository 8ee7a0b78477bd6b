//! What /metrics shows of the state, beside what the workers count. Pure.

use std::collections::BTreeMap;

use crate::{
    control::protocol::{
        BackendStatus, NameStatus, PhaseWord, PoolStatus, StandingWord, Status, VerdictWord,
    },
    observe::metrics::Family,
};

/// The gauges of a moment.
pub fn families(status: &Status) -> Vec<Family> {
    let serving = u8::from(status.phase == PhaseWord::Serving);
    let workers = Family::gauge("equipoise_workers", "Data-plane threads.");
    let phase = Family::gauge("equipoise_serving", "1 while serving, 0 while draining.");
    let mut families =
        vec![workers.with(&[], status.workers as f64), phase.with(&[], f64::from(serving))];
    families.extend(backends(&status.pools));
    families.extend(names(&status.pools));
    families.extend(releases(&status.pools));
    families.extend(limits(&status.pools));
    families.extend(breakers(&status.pools));
    families
}

/// Of each name once, however many pools have it.
fn names(pools: &[PoolStatus]) -> [Family; 3] {
    let mut resolved = Family::gauge(
        "equipoise_name_resolved",
        "1 if the last look-up of the name was answered; 0 also while an older answer is kept.",
    );
    let mut addresses =
        Family::gauge("equipoise_name_addresses", "Addresses that the name leads to now.");
    let mut answered = Family::gauge(
        "equipoise_name_answered_timestamp_seconds",
        "When the name was last answered; absent if never.",
    );
    let entries = pools.iter().flat_map(|pool| &pool.names);
    let names: BTreeMap<&str, &NameStatus> = entries.map(|it| (it.name.as_str(), it)).collect();
    for (name, status) in names {
        let labels = [("name", name)];
        let is_resolved = status.standing == StandingWord::Resolved;
        resolved.add(&labels, f64::from(u8::from(is_resolved)));
        addresses.add(&labels, status.addresses as f64);
        if let Some(at) = status.answered {
            answered.add(&labels, at as f64);
        }
    }
    [resolved, addresses, answered]
}

/// Of pools whose probes read releases. A name that nobody says any more leaves the page.
fn releases(pools: &[PoolStatus]) -> [Family; 3] {
    let mut of_backend = Family::gauge(
        "equipoise_backend_release_info",
        "Always 1; the release that the backend last said it runs is a label, empty if unknown.",
    );
    let mut of_pool = Family::gauge(
        "equipoise_pool_releases",
        "How many releases the pool's backends run, as far as they say; more than 1 is a skew.",
    );
    let mut preferred = Family::gauge(
        "equipoise_pool_preferred_release_info",
        "Always 1; the release that the pool's traffic keeps to is a label, empty if to none.",
    );
    for pool in pools {
        let Some(releases) = &pool.releases else {
            continue;
        };
        of_pool.add(&[("pool", &pool.name)], releases.known.len() as f64);
        let release = releases.preferred.as_deref().unwrap_or_default();
        preferred.add(&[("pool", &pool.name), ("release", release)], 1.0);
        for backend in &pool.backends {
            let address = backend.address.to_string();
            let release = backend.release.as_deref().unwrap_or_default();
            let labels =
                [("pool", pool.name.as_str()), ("backend", &address), ("release", release)];
            of_backend.add(&labels, 1.0);
        }
    }
    [of_backend, of_pool, preferred]
}

/// Of pools that have them.
fn breakers(pools: &[PoolStatus]) -> [Family; 2] {
    let mut position = Family::gauge(
        "equipoise_backend_breaker_position",
        "1 for the position that the backend's circuit breaker has, 0 for the others.",
    );
    let mut openings = Family::counter(
        "equipoise_backend_breaker_openings_total",
        "How often the backend's circuit breaker opened.",
    );
    for (pool, backend) in
        pools.iter().flat_map(|pool| pool.backends.iter().map(move |it| (pool, it)))
    {
        let Some(breaker) = &backend.breaker else {
            continue;
        };
        let address = backend.address.to_string();
        let labels = [("pool", pool.name.as_str()), ("backend", address.as_str())];
        openings.add(&labels, breaker.openings as f64);
        for each in ["closed", "open", "half-open"] {
            let [pool, backend] = labels;
            let holds = f64::from(u8::from(breaker.position == each));
            position.add(&[pool, backend, ("position", each)], holds);
        }
    }
    [position, openings]
}

fn limits(pools: &[PoolStatus]) -> [Family; 2] {
    let mut waiting = Family::gauge(
        "equipoise_pool_queue_length",
        "Requests that wait for a place at a backend.",
    );
    let mut limit = Family::gauge(
        "equipoise_backend_max_requests",
        "Requests that may be under way; absent without a limit.",
    );
    for pool in pools {
        waiting.add(&[("pool", &pool.name)], pool.waiting as f64);
        for backend in &pool.backends {
            let address = backend.address.to_string();
            if let Some(max) = backend.max_requests {
                limit.add(&[("pool", &pool.name), ("backend", &address)], max as f64);
            }
        }
    }
    [waiting, limit]
}

fn backends(pools: &[PoolStatus]) -> [Family; 4] {
    let gauge = |name, help, value: &dyn Fn(&BackendStatus) -> f64| {
        let mut family = Family::gauge(name, help);
        for pool in pools {
            for backend in &pool.backends {
                let address = backend.address.to_string();
                family.add(&[("pool", &pool.name), ("backend", &address)], value(backend));
            }
        }
        family
    };
    let holds = |verdict: VerdictWord| {
        move |backend: &BackendStatus| f64::from(u8::from(backend.verdict == verdict))
    };
    [
        gauge("equipoise_backend_up", "1 if held to be up.", &holds(VerdictWord::Up)),
        gauge(
            "equipoise_backend_draining",
            "1 if an operator drains it.",
            &holds(VerdictWord::Draining),
        ),
        gauge("equipoise_backend_in_flight", "Requests under way.", &|backend| {
            backend.in_flight as f64
        }),
        gauge("equipoise_backend_weight", "Share of the pool's traffic.", &|backend| {
            f64::from(backend.weight)
        }),
    ]
}
