//! What a pool says of HTTP, where TCP listeners alone lead to it: none is read there.

use crate::config::model::{
    Breaker, Hash, HashKey, HostHeader, Passive, Pool, PoolTimeouts, ProbeKind, Protocol,
};

/// A note for each key that has no effect. A default that is written out is none.
pub(super) fn notes(pool: &Pool) -> Vec<String> {
    let keys = of_clients(pool).into_iter().chain(of_backends(pool)).chain(of_timeouts(pool));
    let note = |Key { name, why, .. }| {
        format!("`{name}` has no effect: only TCP listeners lead to it, and they {why}")
    };
    keys.filter(|key| key.is_written).map(note).collect()
}

struct Key {
    name: &'static str,
    is_written: bool,
    /// What keeps it from having an effect, and what to do.
    why: &'static str,
}

fn of_clients(pool: &Pool) -> [Key; 2] {
    let by_request = is_of_requests(pool.hash.as_ref());
    let by_address = "see no cookie; balance = \"consistent-hash\" keeps a client at a backend";
    let one_key = "see a client's address alone; expected hash = { by = \"source\" }";
    [
        Key { name: "sticky", is_written: pool.sticky.is_some(), why: by_address },
        Key { name: "hash", is_written: by_request, why: one_key },
    ]
}

fn is_of_requests(hash: Option<&Hash>) -> bool {
    match hash.map(|hash| &hash.key) {
        Some(HashKey::Path | HashKey::Header(_) | HashKey::Cookie(_)) => true,
        Some(HashKey::Source) | None => false,
    }
}

fn of_backends(pool: &Pool) -> [Key; 6] {
    let is_http = |kind: &ProbeKind| matches!(kind, ProbeKind::Http(_));
    let probes_http = pool.health.as_ref().is_some_and(|health| is_http(&health.kind));
    // It is the name in TLS as well, where there is some.
    let sets_host = pool.host_header != HostHeader::Pass && pool.tls.is_none();
    let counts = pool.passive.count_5xx != Passive::default().count_5xx;
    let usual = Breaker::default().count_5xx;
    let breaks = pool.breaker.is_some_and(|breaker| breaker.count_5xx != usual);
    let protocol = pool.protocol != Protocol::Http1 && !probes_http;
    let no_status = "read no status; remove it";
    [
        Key {
            name: "hedge",
            is_written: pool.hedge.is_some(),
            why: "wait for no answer; remove it",
        },
        Key { name: "protocol", is_written: protocol, why: "relay any; remove it" },
        Key { name: "splice", is_written: !pool.splice, why: "splice nothing; remove it" },
        Key { name: "host_header", is_written: sets_host, why: "send no header; remove it" },
        Key { name: "passive.count_5xx", is_written: counts, why: no_status },
        Key { name: "breaker.count_5xx", is_written: breaks, why: no_status },
    ]
}

fn of_timeouts(pool: &Pool) -> [Key; 4] {
    let (written, usual) = (&pool.timeouts, PoolTimeouts::default());
    let key = |name, is_written| Key {
        name,
        is_written,
        why: "keep to `connect` and `tunnel_idle`; remove it",
    };
    [
        key("timeouts.first_byte", written.first_byte != usual.first_byte),
        key("timeouts.idle", written.idle != usual.idle),
        key("timeouts.whole", written.whole != usual.whole),
        key("timeouts.keep_alive", written.keep_alive != usual.keep_alive),
    ]
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{self, notes};

    fn check(pool: &str, expected: &[(&str, &str)]) {
        let relaying = "[listener.db]\nbind = \"0.0.0.0:5432\"\ntcp = \"db\"\n\
                        [pool.db]\nbackends = [\"10.0.1.11:5432\"]\n";
        let text = format!("{relaying}{pool}");
        let notes = |text: &str| {
            let config = config::parse(text, Path::new("e.toml"));
            notes(&config.unwrap_or_else(|errors| panic!("{errors}")))
        };
        let note = |(key, why): &(&str, &str)| {
            format!("pool db: `{key}` has no effect: only TCP listeners lead to it, and they {why}")
        };
        assert_eq!(notes(&text), expected.iter().map(note).collect::<Vec<_>>(), "{pool}");
        // A route reads requests.
        let routed = "[listener.web]\nbind = \"0.0.0.0:80\"\n[[route]]\npool = \"db\"\n";
        assert_eq!(notes(&format!("{routed}{text}")), Vec::<String>::new(), "{pool}");
    }

    const PROBED: &str = "health = { type = \"tcp\" }\n";

    #[test]
    fn clients_are_told_apart_by_their_addresses() {
        let sticky = "sticky = { cookie = \"srv\", secret_file = \"a\" }\n";
        let why = "see no cookie; balance = \"consistent-hash\" keeps a client at a backend";
        check(&format!("{PROBED}{sticky}"), &[("sticky", why)]);
        let hash = format!("{PROBED}balance = \"consistent-hash\"\n");
        let why = "see a client's address alone; expected hash = { by = \"source\" }";
        check(&format!("{hash}hash = {{ header = \"X-User\" }}"), &[("hash", why)]);
        check(&format!("{hash}hash = {{ by = \"source\" }}"), &[]);
    }

    #[test]
    fn backends_are_sent_what_comes() {
        let keys = "hedge = {}\nprotocol = \"h2\"\nsplice = false\nhost_header = \"a.internal\"\n\
                    passive = { count_5xx = true }\nbreaker = { count_5xx = false }";
        let told = [
            ("hedge", "wait for no answer; remove it"),
            ("protocol", "relay any; remove it"),
            ("splice", "splice nothing; remove it"),
            ("host_header", "send no header; remove it"),
            ("passive.count_5xx", "read no status; remove it"),
            ("breaker.count_5xx", "read no status; remove it"),
        ];
        check(&format!("{PROBED}{keys}"), &told);
        // Probes speak it, and TLS asks for the name.
        check("health = {}\nprotocol = \"h2\"\nhost_header = \"a.internal\"\ntls = {}", &[]);
    }

    #[test]
    fn a_connection_has_two_timeouts() {
        let why = "keep to `connect` and `tunnel_idle`; remove it";
        let timeouts = "timeouts = { connect = \"1s\", whole = \"1m\", idle = \"1m\", \
                        keep_alive = \"1m\", first_byte = \"1m\", tunnel_idle = \"2h\" }";
        let keys = ["first_byte", "idle", "whole", "keep_alive"];
        let told = keys.map(|key| format!("timeouts.{key}"));
        check(&format!("{PROBED}{timeouts}"), &told.each_ref().map(|key| (key.as_str(), why)));
        check(&format!("{PROBED}timeouts = {{ idle = \"30s\" }}"), &[]);
    }
}
