//! What makes a listener a TCP listener: `tcp` and `sni`, and the keys that then mean nothing.

use std::{collections::HashMap, sync::Arc};

use super::{
    diagnostic::{Diagnostic, Place},
    model::{HostMatch, Tcp},
    name,
    reader::{Field, Table},
};

/// Keys of HTTP.
const ONLY_HTTP: [&str; 6] =
    ["protocols", "redirect", "hsts", "trusted_proxies", "limits", "error_pages"];
/// Of `timeouts`.
const ONLY_HTTP_TIMEOUTS: [&str; 2] = ["keep_alive", "body_idle"];

/// A TCP listener's own keys, and the places that only the whole file can judge.
pub(super) struct WrittenTcp {
    pub tcp: Tcp,
    /// Each pool that is named, and where.
    pub pools: Vec<(Arc<str>, Place)>,
}

/// `None`: an HTTP listener.
pub(super) fn read(listener: &Table<'_>) -> Option<WrittenTcp> {
    let fields = (listener.field("tcp"), listener.field("sni"));
    if let (None, None) = fields {
        return None;
    }
    nothing_of_http(listener);
    let mut pools = Vec::new();
    let pool = fields.0.and_then(|field| pool(&field, &mut pools));
    let sni = fields.1.map(|field| sni(listener, &field, &mut pools)).unwrap_or_default();
    Some(WrittenTcp { tcp: Tcp { pool, sni }, pools })
}

fn pool(field: &Field<'_>, pools: &mut Vec<(Arc<str>, Place)>) -> Option<Arc<str>> {
    let name: Arc<str> = Arc::from(field.text()?);
    pools.push((name.clone(), field.place()));
    Some(name)
}

fn sni(
    listener: &Table<'_>,
    field: &Field<'_>,
    pools: &mut Vec<(Arc<str>, Place)>,
) -> Vec<(HostMatch, Arc<str>)> {
    if let Some(certificates) = listener.field("certificates") {
        let message = "`certificates` beside `sni`: names are read without terminating TLS";
        let help = "terminate it at a listener with `tcp` alone, or leave it to the backends";
        field.tell(Diagnostic::at(certificates.key_place, message).help(help));
    }
    let Some(entries) = field.entries() else {
        return Vec::new();
    };
    if entries.is_empty() {
        let expected = r#"expected names and the pools they lead to: { "db.example.com" = "db" }"#;
        field.fail("`sni` is empty", expected);
    }
    let mut first: HashMap<HostMatch, Place> = HashMap::new();
    let mut read = Vec::new();
    for entry in &entries {
        let pool = pool(entry, pools);
        let Some(host) = host(entry) else {
            continue;
        };
        if let Some(earlier) = first.insert(host.clone(), entry.key_place) {
            let message = format!("`{}` stands twice in `sni`", entry.key);
            let twice = Diagnostic::at(entry.key_place, message).beside(earlier, "the first");
            entry.tell(twice.help("names are the same in any case: remove one"));
        }
        read.extend(pool.map(|pool| (host, pool)));
    }
    // In an order of its own: that of the file means nothing.
    read.sort();
    read
}

fn host(entry: &Field<'_>) -> Option<HostMatch> {
    let read = match entry.key {
        "*" => Err("write `tcp` for all that no name leads elsewhere".to_owned()),
        key => name::host_match(key),
    };
    let help = match read {
        Ok(host) => return Some(host),
        Err(help) => help,
    };
    let message = format!("`{}` is no name for `sni`", entry.key);
    entry.tell(Diagnostic::at(entry.key_place, message).help(help));
    None
}

fn nothing_of_http(listener: &Table<'_>) {
    let own = ONLY_HTTP.iter().filter_map(|key| listener.field(key));
    let timeouts = listener.field("timeouts");
    let timeouts = ONLY_HTTP_TIMEOUTS.iter().filter_map(|key| timeouts.as_ref()?.entry(key));
    for field in own.chain(timeouts) {
        let message = format!("`{}` on a TCP listener, which relays bytes", field.key);
        let help = format!("remove `{}`; or `tcp` and `sni`, to serve HTTP", field.key);
        field.tell(Diagnostic::at(field.key_place, message).help(help));
    }
}
