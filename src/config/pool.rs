//! `[pool.NAME]`: from the table as written to the pool as meant.

use std::{collections::HashMap, ops::RangeInclusive, sync::Arc, time::Duration};

use super::{
    breaker,
    diagnostic::{Diagnostic, Place},
    fastcgi, hash, health, hedge,
    listener::A_WAIT,
    model::{
        Address, Backend, Balance, HostHeader, OnSkew, Passive, Pool, PoolTimeouts, Protocol,
        ProxyProtocol, Queue, Retry, WhenAllDown,
    },
    name, pool_tls,
    reader::{Field, Shape, Table},
    sticky,
    words::Words,
};

pub(super) static POOL: Shape = Shape {
    name: "[pool.NAME]",
    keys: &[
        "balance",
        "hash",
        "sticky",
        "slow_start",
        "backends",
        "tls",
        "health",
        "passive",
        "when_all_down",
        "retry",
        "timeouts",
        "max_idle",
        "buffers",
        "host_header",
        "max_requests",
        "queue",
        "on_skew",
        "on_skew_min",
        "pin",
        "protocol",
        "splice",
        "proxy_protocol",
        "breaker",
        "hedge",
    ],
};

pub(super) static BACKEND: Shape = Shape {
    name: "`backends` of [pool.NAME]",
    keys: &["address", "weight", "backup", "max_requests"],
};

pub(super) static PASSIVE: Shape =
    Shape { name: "`passive` of [pool.NAME]", keys: &["fall", "count_5xx", "retry_after"] };

pub(super) static RETRY: Shape =
    Shape { name: "`retry` of [pool.NAME]", keys: &["attempts", "budget"] };

pub(super) static TIMEOUTS: Shape = Shape {
    name: "`timeouts` of [pool.NAME]",
    keys: &["connect", "first_byte", "idle", "whole", "keep_alive", "tunnel_idle"],
};

pub(super) static QUEUE: Shape =
    Shape { name: "`queue` of [pool.NAME]", keys: &["max", "timeout"] };

/// A machine has no more.
const BODIES: RangeInclusive<u64> = 0..=1 << 40;

/// More at once is no limit that a server knows.
const A_LIMIT: RangeInclusive<usize> = 1..=1_000_000;

pub(super) fn read(field: &Field<'_>) -> Option<Pool> {
    let table = field.table(&POOL)?;
    if let Err(expected) = name::name(field.key) {
        let message = format!("`{}` is no name for a pool", field.key);
        table.findings().add(Diagnostic::at(field.key_place, message).help(expected));
    }
    let balance = table.word("balance", Balance::RoundRobin);
    let host_header = host_header(&table);
    let protocol = table.word("protocol", Protocol::Http1);
    let backends = backends(&table);
    if backends.iter().any(|backend| matches!(backend.address, Address::Unix(_))) {
        nothing_of_tcp(&table);
    }
    if protocol == Protocol::Fastcgi {
        fastcgi::probe_path(&table);
    }
    Some(Pool {
        name: Arc::from(field.key),
        balance,
        hash: hash::read(&table, balance),
        sticky: sticky::read(&table),
        slow_start: table.field("slow_start").and_then(|field| field.duration(A_RAMP)),
        backends,
        tls: table.field("tls").and_then(|field| pool_tls::read(&field, &host_header)),
        health: table.field("health").and_then(|field| health::read(&field)),
        passive: passive(&table),
        when_all_down: table.word("when_all_down", WhenAllDown::Fail),
        retry: retry(&table),
        timeouts: timeouts(&table),
        max_idle: table.integer("max_idle", 0..=65_536, idle_by_default(protocol)),
        buffers: table.size("buffers", BODIES, 64 << 20),
        host_header,
        queue: queue(&table),
        on_skew: on_skew(&table),
        on_skew_min: table.share("on_skew_min", 1.0, 0.5),
        pin: pin(&table),
        protocol,
        splice: table.boolean("splice", true),
        proxy_protocol: proxy_protocol(&table, protocol),
        breaker: table.field("breaker").and_then(|field| breaker::read(&field)),
        hedge: table.field("hedge").and_then(|field| hedge::read(&field)),
    })
}

const READ_IT: &str = r#"add health = { release = { header = "X-Release" } }, with your header"#;

/// To keep to a release takes a probe that reads it.
fn on_skew(pool: &Table<'_>) -> OnSkew {
    let on_skew = pool.word("on_skew", OnSkew::Report);
    if let Some(field) = pool.field("on_skew").filter(|_| on_skew != OnSkew::Report)
        && !reads_releases(pool)
    {
        field.fail("`on_skew` prefers a release, but no probe reads one", READ_IT);
    }
    on_skew
}

/// A Unix socket has no port, and nobody can listen in on it.
fn nothing_of_tcp(pool: &Table<'_>) {
    let port = pool.field("health").and_then(|health| health.entry("port"));
    for field in pool.field("tls").into_iter().chain(port) {
        let message = format!("`{}` in a pool with a Unix socket", field.key);
        field.tell(
            Diagnostic::at(field.key_place, message)
                .help("remove it, or give the socket a pool of its own"),
        );
    }
}

/// A process of a FastCGI server waits on its idle connection, and serves nobody meanwhile.
fn idle_by_default(protocol: Protocol) -> usize {
    match protocol {
        Protocol::Http1 | Protocol::H2 => 64,
        Protocol::Fastcgi => 0,
    }
}

/// A connection names one client, and one of HTTP/2 carries the requests of many.
fn proxy_protocol(pool: &Table<'_>, protocol: Protocol) -> Option<ProxyProtocol> {
    let field = pool.field("proxy_protocol")?;
    let version = field.word()?;
    let help = match protocol {
        Protocol::Http1 => return Some(version),
        Protocol::H2 => {
            "requests of many clients share a connection there, and it can name but one: \
             remove either; X-Forwarded-For names the client of each request"
        }
        Protocol::Fastcgi => "FastCGI servers are told of each client by REMOTE_ADDR: remove it",
    };
    let message = format!("`proxy_protocol` beside protocol = \"{}\"", protocol.word());
    field.tell(Diagnostic::at(field.key_place, message).help(help));
    Some(version)
}

/// A longer one would outlast deployments.
const A_RAMP: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3_600);

/// What a client has seen is in its cookie.
fn pin(pool: &Table<'_>) -> bool {
    let pin = pool.boolean("pin", false);
    let Some(field) = pool.field("pin").filter(|_| pin) else {
        return pin;
    };
    if pool.field("sticky").is_none() {
        let help = r#"add sticky = { cookie = "srv", secret_file = "secrets/sticky" }"#;
        field.fail("`pin` without a cookie that says what a client has seen", help);
    }
    if !reads_releases(pool) {
        field.fail("`pin` to a release, but no probe reads one", READ_IT);
    }
    pin
}

fn reads_releases(pool: &Table<'_>) -> bool {
    pool.field("health").is_some_and(|health| health.entry("release").is_some())
}

fn backends(pool: &Table<'_>) -> Vec<Backend> {
    let help =
        r#"expected the addresses that answer: backends = ["10.0.1.11:8080", "10.0.1.12:8080"]"#;
    let Some(field) = pool.required("backends", help) else {
        return Vec::new();
    };
    let Some(items) = field.as_items() else {
        field.judge::<()>(Err(help.to_owned()));
        return Vec::new();
    };
    if items.is_empty() {
        field.fail("a pool without backends", help);
    }
    let usual = Usual { max_requests: max_requests(pool) };
    let mut first: HashMap<Address, Place> = HashMap::new();
    let mut backends = Vec::new();
    for item in items {
        let Some((backend, place)) = backend(&item, usual) else {
            continue;
        };
        if let Some(earlier) = first.insert(backend.address.clone(), place) {
            let message = format!("{} is in this pool twice", backend.address);
            let help = "for a larger share of the traffic give it a `weight`";
            item.tell(Diagnostic::at(place, message).beside(earlier, "the first").help(help));
        }
        backends.push(backend);
    }
    backends
}

/// What a pool says for those of its backends that say nothing else.
#[derive(Clone, Copy)]
struct Usual {
    max_requests: Option<usize>,
}

/// A backend is an address, or a table with one.
fn backend(item: &Field<'_>, usual: Usual) -> Option<(Backend, Place)> {
    let Usual { max_requests: most } = usual;
    if !item.is_table() {
        let address = item.judge(name::backend(item.text()?))?;
        let backend = Backend { address, weight: 1, backup: false, max_requests: most };
        return Some((backend, item.place()));
    }
    let table = item.table(&BACKEND)?;
    let weight = table.integer("weight", 1..=256, 1);
    let backup = table.boolean("backup", false);
    let max_requests = max_requests(&table).or(most);
    let address = table.required("address", r#"expected { address = "10.0.1.11:8080" }"#)?;
    let place = address.place();
    let address = address.judge(name::backend(address.text()?))?;
    if let (Address::Srv(_), Some(weight)) = (&address, table.field("weight")) {
        let message = "a `weight` beside SRV records, which tell a weight each";
        weight.tell(Diagnostic::at(weight.key_place, message).help("remove it"));
    }
    Some((Backend { address, weight, backup, max_requests }, place))
}

fn max_requests(table: &Table<'_>) -> Option<usize> {
    table.field("max_requests").and_then(|field| field.integer(A_LIMIT))
}

fn passive(pool: &Table<'_>) -> Passive {
    let default = Passive::default();
    let field = pool.field("passive");
    let Some(table) = field.and_then(|field| field.table(&PASSIVE)) else {
        return default;
    };
    Passive {
        fall: table.integer("fall", 0..=1_000, default.fall),
        count_5xx: table.boolean("count_5xx", default.count_5xx),
        retry_after: table.duration("retry_after", A_WAIT, default.retry_after),
    }
}

fn retry(pool: &Table<'_>) -> Retry {
    let default = Retry::default();
    let field = pool.field("retry");
    let Some(table) = field.and_then(|field| field.table(&RETRY)) else {
        return default;
    };
    Retry {
        attempts: table.integer("attempts", 1..=10, default.attempts),
        budget: table.share("budget", 1.0, default.budget),
    }
}

fn timeouts(pool: &Table<'_>) -> PoolTimeouts {
    let default = PoolTimeouts::default();
    let field = pool.field("timeouts");
    let Some(table) = field.and_then(|field| field.table(&TIMEOUTS)) else {
        return default;
    };
    PoolTimeouts {
        connect: table.duration("connect", A_WAIT, default.connect),
        first_byte: table.duration("first_byte", A_WAIT, default.first_byte),
        idle: table.duration("idle", A_WAIT, default.idle),
        whole: table.field("whole").and_then(|field| field.duration(A_WAIT)),
        keep_alive: table.duration("keep_alive", A_WAIT, default.keep_alive),
        tunnel_idle: table.duration("tunnel_idle", A_WAIT, default.tunnel_idle),
    }
}

fn queue(pool: &Table<'_>) -> Queue {
    let default = Queue::default();
    let field = pool.field("queue");
    let Some(table) = field.and_then(|field| field.table(&QUEUE)) else {
        return default;
    };
    Queue {
        max: table.integer("max", 0..=1_000_000, default.max),
        timeout: table.duration("timeout", A_WAIT, default.timeout),
    }
}

fn host_header(pool: &Table<'_>) -> HostHeader {
    let field = pool.field("host_header");
    let written = field.and_then(|field| match field.text()? {
        "pass" => None,
        text => field.judge(name::authority(text)),
    });
    written.map_or(HostHeader::Pass, HostHeader::Set)
}
