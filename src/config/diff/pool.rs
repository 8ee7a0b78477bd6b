//! What changes at one pool.

use super::{Changes, or_none};
use crate::{
    config::{
        model::{
            Backend, Breaker, Certificate, Hash, HashKey, Health, Hedge, HostHeader, HttpProbe,
            Passive, Pool, PoolTimeouts, PoolTls, ProbeKind, ProxyProtocol, Queue, ReleaseSource,
            Retry, Sticky, Trust,
        },
        words::Words,
    },
    units::{duration_text, share_text},
};

pub(super) fn compare(changes: &mut Changes, old: &Pool, new: &Pool) {
    let Pool {
        name: _,
        balance,
        hash,
        sticky: old_sticky,
        slow_start: old_slow_start,
        backends,
        tls: old_tls,
        health: old_health,
        passive: old_passive,
        when_all_down,
        retry: old_retry,
        timeouts: old_timeouts,
        max_idle,
        buffers,
        host_header: old_host_header,
        queue: old_queue,
        on_skew,
        on_skew_min,
        pin,
        protocol,
        splice,
        proxy_protocol,
        breaker: old_breaker,
        hedge: old_hedge,
    } = old;
    changes.value("balance", balance.word(), new.balance.word());
    changes.value(
        "hash",
        or_none(hash.as_ref().map(hash_text)),
        or_none(new.hash.as_ref().map(hash_text)),
    );
    let slow_start = |over: Option<std::time::Duration>| or_none(over.map(duration_text));
    changes.value("slow_start", slow_start(*old_slow_start), slow_start(new.slow_start));
    sticky(changes, old_sticky.as_ref(), new.sticky.as_ref());
    for (old, new) in changes.by_key("", backends, &new.backends, |backend| backend.address.clone())
    {
        let Backend { address, weight, backup, max_requests } = old;
        changes.value(&format!("{address} weight"), weight, new.weight);
        changes.value(&format!("{address} backup"), backup, new.backup);
        let most = |most: Option<usize>| or_none(most.map(|most| most.to_string()));
        let what = format!("{address} max_requests");
        changes.value(&what, most(*max_requests), most(new.max_requests));
    }
    tls(changes, old_tls.as_ref(), new.tls.as_ref());
    health(changes, old_health.as_ref(), new.health.as_ref());
    passive(changes, old_passive, &new.passive);
    changes.value("when_all_down", when_all_down.word(), new.when_all_down.word());
    retry(changes, old_retry, &new.retry);
    timeouts(changes, old_timeouts, &new.timeouts);
    changes.value("max_idle", max_idle, new.max_idle);
    changes.value("buffers", buffers, new.buffers);
    changes.value("host_header", host_header(old_host_header), host_header(&new.host_header));
    queue(changes, old_queue, &new.queue);
    breaker(changes, old_breaker.as_ref(), new.breaker.as_ref());
    hedge(changes, old_hedge.as_ref(), new.hedge.as_ref());
    changes.value("on_skew", on_skew.word(), new.on_skew.word());
    changes.value("on_skew_min", share_text(*on_skew_min), share_text(new.on_skew_min));
    changes.value("pin", pin, new.pin);
    changes.value("protocol", protocol.word(), new.protocol.word());
    changes.value("splice", splice, new.splice);
    let version =
        |version: Option<ProxyProtocol>| or_none(version.map(|version| version.word().to_owned()));
    changes.value("proxy_protocol", version(*proxy_protocol), version(new.proxy_protocol));
}

fn sticky(changes: &mut Changes, old: Option<&Sticky>, new: Option<&Sticky>) {
    let (old, new) = match (old, new) {
        (None, None) => return,
        (None, Some(_)) => return changes.note("sticky added"),
        (Some(_), None) => return changes.note("sticky removed"),
        (Some(old), Some(new)) => (old, new),
    };
    let Sticky { cookie, secret_file, max_age: old_max_age, place: _ } = old;
    changes.value("sticky cookie", cookie, &new.cookie);
    changes.value("sticky secret_file", secret_file.display(), new.secret_file.display());
    let max_age = |max_age: Option<std::time::Duration>| or_none(max_age.map(duration_text));
    changes.value("sticky max_age", max_age(*old_max_age), max_age(new.max_age));
}

fn hash_text(hash: &Hash) -> String {
    let key = match &hash.key {
        HashKey::Source => "source".to_owned(),
        HashKey::Path => "path".to_owned(),
        HashKey::Header(name) => format!("header {name}"),
        HashKey::Cookie(name) => format!("cookie {name}"),
    };
    match hash.bound {
        Some(bound) => format!("{key} bound {bound}"),
        None => key,
    }
}

fn tls(changes: &mut Changes, old: Option<&PoolTls>, new: Option<&PoolTls>) {
    let (old, new) = match (old, new) {
        (None, None) => return,
        (None, Some(_)) => return changes.note("plain -> TLS"),
        (Some(_), None) => return changes.note("TLS -> plain"),
        (Some(old), Some(new)) => (old, new),
    };
    let PoolTls { trust: old_trust, name: old_name, identity: old_identity, min_version, place: _ } =
        old;
    changes.value("tls trust", trust(old_trust), trust(&new.trust));
    let name = |name: &Option<String>| name.clone().unwrap_or("each backend's".to_owned());
    changes.value("tls name", name(old_name), name(&new.name));
    let cert =
        |of: &Option<Certificate>| or_none(of.as_ref().map(|it| it.cert.display().to_string()));
    let key =
        |of: &Option<Certificate>| or_none(of.as_ref().map(|it| it.key.display().to_string()));
    changes.value("tls cert", cert(old_identity), cert(&new.identity));
    changes.value("tls key", key(old_identity), key(&new.identity));
    changes.value("tls min_tls", min_version.word(), new.min_version.word());
}

fn trust(trust: &Trust) -> String {
    match trust {
        Trust::System => "the system's authorities".to_owned(),
        Trust::Authorities(authorities) => authorities.file.display().to_string(),
        Trust::Anyone => "anyone".to_owned(),
    }
}

fn health(changes: &mut Changes, old: Option<&Health>, new: Option<&Health>) {
    let (old, new) = match (old, new) {
        (None, None) => return,
        (None, Some(_)) => return changes.note("health added"),
        (Some(_), None) => return changes.note("health removed: watched passively only"),
        (Some(old), Some(new)) => (old, new),
    };
    let Health { kind, interval, timeout, rise, fall, jitter, start, port: old_port, tls } = old;
    probe(changes, kind, &new.kind);
    changes.duration("health interval", *interval, new.interval);
    changes.duration("health timeout", *timeout, new.timeout);
    changes.value("health rise", rise, new.rise);
    changes.value("health fall", fall, new.fall);
    changes.value("health jitter", share_text(*jitter), share_text(new.jitter));
    changes.value("health start", start.word(), new.start.word());
    let port = |port: Option<u16>| port.map_or("the backend's".to_owned(), |port| port.to_string());
    changes.value("health port", port(*old_port), port(new.port));
    changes.value("health tls", tls, new.tls);
}

fn probe(changes: &mut Changes, old: &ProbeKind, new: &ProbeKind) {
    let (old, new) = match (old, new) {
        (ProbeKind::Http(old), ProbeKind::Http(new)) => (old, new),
        (ProbeKind::Tcp, ProbeKind::Tcp) => return,
        (ProbeKind::Tcp, ProbeKind::Http(_)) => return changes.note("health type tcp -> http"),
        (ProbeKind::Http(_), ProbeKind::Tcp) => return changes.note("health type http -> tcp"),
    };
    let HttpProbe { method, path, host: old_host, status, text, release } = old;
    changes.value("health method", method.word(), new.method.word());
    changes.value("health path", path, &new.path);
    let host = |host: &Option<String>| host.clone().unwrap_or("the backend's".to_owned());
    changes.value("health host", host(old_host), host(&new.host));
    changes.value("health status", statuses(status), statuses(&new.status));
    let quoted = |text: &Option<String>| or_none(text.as_ref().map(|text| format!("{text:?}")));
    changes.value("health text", quoted(text), quoted(&new.text));
    changes.value("health release", release_source(release), release_source(&new.release));
}

fn release_source(source: &Option<ReleaseSource>) -> String {
    or_none(source.as_ref().map(|source| match source {
        ReleaseSource::Header(_) => format!("header {source}"),
        ReleaseSource::Json(_) => format!("json {source}"),
    }))
}

fn statuses(ranges: &[(u16, u16)]) -> String {
    let range = |(low, high): &(u16, u16)| match low == high {
        true => low.to_string(),
        false => format!("{low}-{high}"),
    };
    ranges.iter().map(range).collect::<Vec<_>>().join(",")
}

fn passive(changes: &mut Changes, old: &Passive, new: &Passive) {
    let Passive { fall, count_5xx, retry_after } = *old;
    changes.value("passive fall", fall, new.fall);
    changes.value("passive count_5xx", count_5xx, new.count_5xx);
    changes.duration("passive retry_after", retry_after, new.retry_after);
}

fn retry(changes: &mut Changes, old: &Retry, new: &Retry) {
    let Retry { attempts, budget } = *old;
    changes.value("retry attempts", attempts, new.attempts);
    changes.value("retry budget", share_text(budget), share_text(new.budget));
}

fn timeouts(changes: &mut Changes, old: &PoolTimeouts, new: &PoolTimeouts) {
    let PoolTimeouts { connect, first_byte, idle, whole: old_whole, keep_alive, tunnel_idle } =
        *old;
    changes.duration("timeout connect", connect, new.connect);
    changes.duration("timeout first_byte", first_byte, new.first_byte);
    changes.duration("timeout idle", idle, new.idle);
    let whole = |whole: Option<std::time::Duration>| or_none(whole.map(duration_text));
    changes.value("timeout whole", whole(old_whole), whole(new.whole));
    changes.duration("timeout keep_alive", keep_alive, new.keep_alive);
    changes.duration("timeout tunnel_idle", tunnel_idle, new.tunnel_idle);
}

fn queue(changes: &mut Changes, old: &Queue, new: &Queue) {
    let Queue { max, timeout } = *old;
    changes.value("queue max", max, new.max);
    changes.duration("queue timeout", timeout, new.timeout);
}

fn breaker(changes: &mut Changes, old: Option<&Breaker>, new: Option<&Breaker>) {
    let (old, new) = match (old, new) {
        (None, None) => return,
        (None, Some(_)) => return changes.note("breaker added"),
        (Some(_), None) => return changes.note("breaker removed"),
        (Some(old), Some(new)) => (old, new),
    };
    let Breaker { failures, count_5xx, window, min_requests, open, longest, trials, max_open } =
        *old;
    changes.value("breaker failures", share_text(failures), share_text(new.failures));
    changes.value("breaker count_5xx", count_5xx, new.count_5xx);
    changes.duration("breaker window", window, new.window);
    changes.value("breaker min_requests", min_requests, new.min_requests);
    changes.duration("breaker open", open, new.open);
    changes.duration("breaker longest", longest, new.longest);
    changes.value("breaker trials", trials, new.trials);
    changes.value("breaker max_open", share_text(max_open), share_text(new.max_open));
}

fn hedge(changes: &mut Changes, old: Option<&Hedge>, new: Option<&Hedge>) {
    let (old, new) = match (old, new) {
        (None, None) => return,
        (None, Some(_)) => return changes.note("hedge added"),
        (Some(_), None) => return changes.note("hedge removed"),
        (Some(old), Some(new)) => (old, new),
    };
    let Hedge { percentile, at_least, min_requests } = *old;
    changes.value("hedge percentile", percentile, new.percentile);
    changes.duration("hedge at_least", at_least, new.at_least);
    changes.value("hedge min_requests", min_requests, new.min_requests);
}

fn host_header(header: &HostHeader) -> &str {
    match header {
        HostHeader::Pass => "pass",
        HostHeader::Set(name) => name,
    }
}
