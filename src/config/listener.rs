//! `[listener.NAME]`: from the table as written to the listener as meant.

use std::{net::SocketAddr, ops::RangeInclusive, sync::Arc, time::Duration};

use super::{
    diagnostic::{Diagnostic, Place},
    error_pages,
    model::{Limits, Listener, ListenerTimeouts, Versions},
    name,
    network::Network,
    reader::{Field, Shape, Table},
    tcp::{self, WrittenTcp},
    tls,
    words::Words,
};

pub(super) static LISTENER: Shape = Shape {
    name: "[listener.NAME]",
    keys: &[
        "bind",
        "certificates",
        "min_tls",
        "client_certificates",
        "tcp",
        "sni",
        "protocols",
        "redirect",
        "hsts",
        "trusted_proxies",
        "proxy_protocol_from",
        "max_connections",
        "max_connections_per_source",
        "limits",
        "timeouts",
        "error_pages",
    ],
};

pub(super) static LIMITS: Shape = Shape {
    name: "`limits` of [listener.NAME]",
    keys: &[
        "max_request_line",
        "max_header",
        "max_headers_size",
        "max_headers",
        "max_body",
        "max_requests",
        "max_streams",
        "max_control_frames",
        "max_resets",
    ],
};

pub(super) static TIMEOUTS: Shape =
    Shape { name: "`timeouts` of [listener.NAME]", keys: &["header", "keep_alive", "body_idle"] };

/// Bounds of everything we wait for: zero would never be met, and a week is no limit.
pub(super) const A_WAIT: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(24 * 60 * 60);

/// Bounds of a body's limit.
pub(super) const MOST_BODY: RangeInclusive<u64> = 0..=1 << 50;

const HTTPS_PORT: u16 = 443;

/// A listener, and the places that only the whole file can judge.
pub(super) struct WrittenListener {
    pub listener: Listener,
    pub binds: Vec<(SocketAddr, Place)>,
    pub redirect: Option<WrittenRedirect>,
    /// The pools that a TCP listener names.
    pub pools: Vec<(Arc<str>, Place)>,
}

/// `redirect = "https"`, whose port is that of another listener, or `"https:8443"`.
pub(super) struct WrittenRedirect {
    pub place: Place,
    pub port: Option<u16>,
}

pub(super) fn read(field: &Field<'_>) -> Option<WrittenListener> {
    let table = field.table(&LISTENER)?;
    if let Err(expected) = name::name(field.key) {
        let message = format!("`{}` is no name for a listener", field.key);
        let diagnostic = Diagnostic::at(field.key_place, message).help(expected);
        table.findings().add(diagnostic);
    }
    let binds = binds(&table);
    let versions = versions(&table);
    let tcp = tcp::read(&table);
    let tls = tls::read(&table, tcp.is_none().then_some(versions));
    let redirect = if tcp.is_none() { redirect(&table) } else { None };
    let hsts = tls::hsts(&table);
    if redirect.is_some()
        && let Some(certificates) = table.field("certificates")
    {
        let message =
            "a listener that redirects to HTTPS serves plain HTTP, without `certificates`";
        let help = "remove `redirect`, or give the certificates to another listener";
        table.findings().add(Diagnostic::at(certificates.key_place, message).help(help));
    }
    let (tcp, pools) = match tcp {
        Some(WrittenTcp { tcp, pools }) => (Some(tcp), pools),
        None => (None, Vec::new()),
    };
    let listener = Listener {
        name: Arc::from(field.key),
        bind: binds.iter().map(|(address, _)| *address).collect(),
        tls,
        tcp,
        versions,
        redirect_https: redirect.as_ref().map(|redirect| redirect.port.unwrap_or(HTTPS_PORT)),
        hsts,
        trusted_proxies: networks(table.field("trusted_proxies")),
        proxy_protocol_from: proxy_protocol_from(&table),
        max_connections: table.integer("max_connections", 1..=1_000_000, 20_000),
        max_connections_per_source: table.integer(
            "max_connections_per_source",
            1..=1_000_000,
            4_096,
        ),
        limits: limits(&table),
        error_pages: error_pages::read(&table),
        timeouts: timeouts(&table),
    };
    Some(WrittenListener { listener, binds, redirect, pools })
}

fn binds(table: &Table<'_>) -> Vec<(SocketAddr, Place)> {
    let help = r#"expected the address to accept connections on, such as bind = "0.0.0.0:443""#;
    let Some(field) = table.required("bind", help) else {
        return Vec::new();
    };
    let items = field.as_items().unwrap_or_else(|| vec![field.again()]);
    if items.is_empty() {
        field.fail("`bind` is empty", help);
    }
    items.iter().filter_map(bind).collect()
}

fn bind(item: &Field<'_>) -> Option<(SocketAddr, Place)> {
    let text = item.judge(item.as_text().ok_or_else(|| name::NO_ADDRESS.to_owned()))?;
    let address = item.judge(name::address(text))?;
    Some((address, item.place()))
}

/// A version of HTTP, as it is written.
#[derive(Clone, Copy, PartialEq)]
enum Version {
    Http1,
    H2,
}

impl Words for Version {
    const WORDS: &'static [(&'static str, Version)] =
        &[("http/1.1", Version::Http1), ("h2", Version::H2)];
}

fn versions(table: &Table<'_>) -> Versions {
    let Some(field) = table.field("protocols") else {
        return Versions::Both;
    };
    let items = field.as_items().unwrap_or_else(|| vec![field.again()]);
    let spoken: Vec<Version> = items.iter().filter_map(Field::word).collect();
    match (spoken.contains(&Version::Http1), spoken.contains(&Version::H2)) {
        (true, false) => Versions::Http1,
        (false, true) => Versions::Http2,
        (true, true) => Versions::Both,
        (false, false) => {
            if items.is_empty() {
                field.fail("`protocols` is empty", r#"expected ["h2", "http/1.1"] or one of them"#);
            }
            Versions::Both
        }
    }
}

fn redirect(table: &Table<'_>) -> Option<WrittenRedirect> {
    let field = table.field("redirect")?;
    let port = match field.as_text().unwrap_or_default() {
        "https" => None,
        text => Some(field.judge(https_port(text))?),
    };
    Some(WrittenRedirect { place: field.place(), port })
}

fn https_port(text: &str) -> Result<u16, String> {
    let digits = text.strip_prefix("https:").unwrap_or_default();
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let port = digits.parse().ok().filter(|port| plain && *port > 0);
    port.ok_or_else(|| r#"expected "https", or "https:8443" to name the port"#.to_owned())
}

fn proxy_protocol_from(table: &Table<'_>) -> Option<Vec<Network>> {
    let field = table.field("proxy_protocol_from")?;
    if field.as_items().is_some_and(|items| items.is_empty()) {
        let help = r#"expected the proxies before this listener, such as "10.0.0.0/8""#;
        field.fail("`proxy_protocol_from` is empty: every connection would be refused", help);
    }
    Some(networks(Some(field)))
}

fn networks(field: Option<Field<'_>>) -> Vec<Network> {
    let Some(field) = field else {
        return Vec::new();
    };
    let items = field.as_items().unwrap_or_else(|| vec![field.again()]);
    let network = |item: &Field<'_>| item.judge(item.text()?.parse());
    items.iter().filter_map(network).collect()
}

fn limits(listener: &Table<'_>) -> Limits {
    let field = listener.field("limits");
    let Some(table) = field.and_then(|field| field.table(&LIMITS)) else {
        return Limits::default();
    };
    let Limits {
        max_request_line,
        max_header,
        max_headers_size,
        max_headers,
        max_body,
        max_requests,
        max_streams,
        max_control_frames,
        max_resets,
    } = Limits::default();
    Limits {
        max_request_line: bytes(&table, "max_request_line", 64..=64 << 10, max_request_line),
        max_header: bytes(&table, "max_header", 64..=64 << 10, max_header),
        max_headers_size: bytes(&table, "max_headers_size", 256..=1 << 20, max_headers_size),
        max_headers: table.integer("max_headers", 1..=256, max_headers),
        max_body: table.size("max_body", MOST_BODY, max_body),
        max_requests: table.integer("max_requests", 1..=1_000_000_000, max_requests),
        max_streams: table.integer("max_streams", 1..=65_536, max_streams),
        max_control_frames: table.integer("max_control_frames", 1..=1_000_000, max_control_frames),
        max_resets: table.integer("max_resets", 1..=1_000_000, max_resets),
    }
}

fn bytes(
    table: &Table<'_>,
    key: &'static str,
    range: RangeInclusive<u64>,
    default: usize,
) -> usize {
    let field = table.field(key);
    let size = field.and_then(|field| field.size(range));
    size.and_then(|size| usize::try_from(size).ok()).unwrap_or(default)
}

fn timeouts(listener: &Table<'_>) -> ListenerTimeouts {
    let field = listener.field("timeouts");
    let Some(table) = field.and_then(|field| field.table(&TIMEOUTS)) else {
        return ListenerTimeouts::default();
    };
    let ListenerTimeouts { header, keep_alive, body_idle } = ListenerTimeouts::default();
    ListenerTimeouts {
        header: table.duration("header", A_WAIT, header),
        keep_alive: table.duration("keep_alive", A_WAIT, keep_alive),
        body_idle: table.duration("body_idle", A_WAIT, body_idle),
    }
}
