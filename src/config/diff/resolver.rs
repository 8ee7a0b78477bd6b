//! What changes at the looking up of names.

use std::net::SocketAddr;

use super::Changes;
use crate::config::{model::Resolver, words::Words};

pub(super) fn compare(changes: &mut Changes, old: &Resolver, new: &Resolver) {
    let Resolver {
        servers,
        family,
        timeout,
        start_wait,
        min_ttl,
        max_ttl,
        max_retry,
        hold,
        max_addresses,
    } = old;
    changes.value("servers", listed(servers), listed(&new.servers));
    changes.value("family", family.word(), new.family.word());
    changes.duration("timeout", *timeout, new.timeout);
    changes.duration("start_wait", *start_wait, new.start_wait);
    changes.duration("min_ttl", *min_ttl, new.min_ttl);
    changes.duration("max_ttl", *max_ttl, new.max_ttl);
    changes.duration("max_retry", *max_retry, new.max_retry);
    changes.duration("hold", *hold, new.hold);
    changes.value("max_addresses", max_addresses, new.max_addresses);
}

fn listed(servers: &[SocketAddr]) -> String {
    match servers {
        [] => "the system's".to_owned(),
        servers => servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}
