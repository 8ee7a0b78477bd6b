//! `[resolver]`: how the names of backends are looked up.

use std::{net::SocketAddr, ops::RangeInclusive, time::Duration};

use super::{
    model::Resolver,
    name,
    reader::{Field, Shape, Table},
};
use crate::units::duration_text;

pub(super) static RESOLVER: Shape = Shape {
    name: "[resolver]",
    keys: &[
        "servers",
        "family",
        "timeout",
        "start_wait",
        "min_ttl",
        "max_ttl",
        "max_retry",
        "hold",
        "max_addresses",
    ],
};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Below, a slow name server is taken for a dead one.
const A_LOOKUP: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);
/// Nobody waits longer for a start.
const A_START: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(60);
/// Asking more often than once a second is load on the name server.
const A_TTL: RangeInclusive<Duration> = SECOND..=DAY;
/// Longer, and a name that comes back is not noticed.
const A_RETRY: RangeInclusive<Duration> = SECOND..=Duration::from_secs(60 * 60);
const A_HOLD: RangeInclusive<Duration> = Duration::ZERO..=DAY;
/// More are one pool each.
const MOST_ADDRESSES: usize = 1024;

pub(super) fn read(top: &Table<'_>) -> Resolver {
    let default = Resolver::default();
    let Some(table) = top.field("resolver").and_then(|field| field.table(&RESOLVER)) else {
        return default;
    };
    let min_ttl = table.duration("min_ttl", A_TTL, default.min_ttl);
    Resolver {
        servers: table.field("servers").map(|field| servers(&field)).unwrap_or_default(),
        family: table.word("family", default.family),
        timeout: table.duration("timeout", A_LOOKUP, default.timeout),
        start_wait: table.duration("start_wait", A_START, default.start_wait),
        min_ttl,
        max_ttl: max_ttl(&table, min_ttl),
        max_retry: table.duration("max_retry", A_RETRY, default.max_retry),
        hold: table.duration("hold", A_HOLD, default.hold),
        max_addresses: table.integer("max_addresses", 1..=MOST_ADDRESSES, default.max_addresses),
    }
}

/// No less than `min_ttl`, whichever of the two is written.
fn max_ttl(table: &Table<'_>, min_ttl: Duration) -> Duration {
    let default = Resolver::default().max_ttl.max(min_ttl);
    let Some(field) = table.field("max_ttl") else {
        return default;
    };
    let max_ttl = field.duration(A_TTL).unwrap_or(default);
    if max_ttl < min_ttl {
        let min_ttl = duration_text(min_ttl);
        field.fail(
            format!("a `max_ttl` shorter than the `min_ttl` of {min_ttl}"),
            format!("expected at least \"{min_ttl}\", or a shorter `min_ttl`"),
        );
    }
    max_ttl
}

fn servers(field: &Field<'_>) -> Vec<SocketAddr> {
    const EXPECTED: &str = r#"expected the addresses of name servers: servers = ["10.0.0.53:53"]"#;
    let Some(items) = field.judge(field.as_items().ok_or_else(|| EXPECTED.to_owned())) else {
        return Vec::new();
    };
    if items.is_empty() {
        field.fail("no name server", format!("{EXPECTED}, or no key for the system's own"));
    }
    items.iter().filter_map(|item| item.judge(name::address(item.text()?))).collect()
}
