//! What changes at one listener.

use std::sync::Arc;

use super::{Changes, error_pages, gone, or_none};
use crate::{
    config::{
        model::{
            Certificate, ClientCertificates, Hsts, Limits, Listener, ListenerTimeouts, Tcp, Tls,
            Versions,
        },
        network::Network,
        words::Words,
    },
    units::{duration_text, size_text},
};

pub(super) fn compare(changes: &mut Changes, old: &Listener, new: &Listener) {
    let Listener {
        name: _,
        bind,
        tls: old_tls,
        tcp: old_tcp,
        versions: old_versions,
        redirect_https,
        hsts: old_hsts,
        trusted_proxies,
        proxy_protocol_from,
        max_connections,
        max_connections_per_source,
        limits: old_limits,
        error_pages: old_pages,
        timeouts: old_timeouts,
    } = old;
    for gone in gone(bind, &new.bind, |address| *address) {
        changes.note(format!("bind {gone} removed"));
        changes.closes(&[*gone]);
    }
    changes.come_and_stayed("bind ", bind, &new.bind, |address| *address);
    tls(changes, old_tls.as_ref(), new);
    if old_tls.is_some() != new.tls.is_some() {
        changes.closes(&new.bind);
    }
    tcp(changes, old_tcp.as_ref(), new.tcp.as_ref());
    if old_tcp.is_some() != new.tcp.is_some() {
        changes.closes(&new.bind);
    }
    let redirect = |port: Option<u16>| or_none(port.map(|port| format!("https:{port}")));
    changes.value("protocols", versions(*old_versions), versions(new.versions));
    changes.value("error_pages", error_pages(old_pages), error_pages(&new.error_pages));
    changes.value("redirect", redirect(*redirect_https), redirect(new.redirect_https));
    changes.value("hsts", hsts(old_hsts.as_ref()), hsts(new.hsts.as_ref()));
    let (networks, new_networks) = (trusted_proxies, &new.trusted_proxies);
    changes.by_key("trusted_proxies ", networks, new_networks, |network| network.to_string());
    let proxies = |networks: &Option<Vec<Network>>| {
        let words = |networks: &Vec<Network>| {
            networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        or_none(networks.as_ref().map(words))
    };
    let (from, new_from) = (proxies(proxy_protocol_from), proxies(&new.proxy_protocol_from));
    changes.value("proxy_protocol_from", from, new_from);
    changes.value("max_connections", max_connections, new.max_connections);
    changes.value(
        "max_connections_per_source",
        max_connections_per_source,
        new.max_connections_per_source,
    );
    limits(changes, old_limits, &new.limits);
    timeouts(changes, old_timeouts, &new.timeouts);
}

fn tls(changes: &mut Changes, old: Option<&Tls>, listener: &Listener) {
    let plain = if listener.tcp.is_some() { "plain" } else { "plain HTTP" };
    let (old, new) = match (old, &listener.tls) {
        (None, None) => return,
        (None, Some(_)) => return changes.note(format!("{plain} -> TLS")),
        (Some(_), None) => return changes.note(format!("TLS -> {plain}")),
        (Some(old), Some(new)) => (old, new),
    };
    let Tls { certificates, min_version, versions: _, clients } = old;
    changes.value("min_tls", min_version.word(), new.min_version.word());
    let asked = |clients: &Option<ClientCertificates>| match clients {
        None => "none",
        Some(clients) if clients.required => "required",
        Some(_) => "optional",
    };
    changes.value("client_certificates", asked(clients), asked(&new.clients));
    if let (Some(old), Some(new)) = (clients, &new.clients) {
        let file = |clients: &ClientCertificates| clients.authorities.file.display().to_string();
        changes.value("client_certificates ca", file(old), file(new));
    }
    let path = |certificate: &Certificate| certificate.cert.display().to_string();
    for (old, new) in changes.by_key("certificate ", certificates, &new.certificates, path) {
        let Certificate { cert, key, default, place: _, key_place: _ } = old;
        let cert = cert.display();
        changes.value(&format!("certificate {cert}: key"), key.display(), new.key.display());
        changes.value(&format!("certificate {cert}: default"), default, new.default);
    }
}

fn tcp(changes: &mut Changes, old: Option<&Tcp>, new: Option<&Tcp>) {
    let (old, new) = match (old, new) {
        (None, None) => return,
        (None, Some(_)) => return changes.note("HTTP -> TCP"),
        (Some(_), None) => return changes.note("TCP -> HTTP"),
        (Some(old), Some(new)) => (old, new),
    };
    let Tcp { pool, sni } = old;
    let named = |pool: &Option<Arc<str>>| or_none(pool.as_ref().map(ToString::to_string));
    changes.value("tcp", named(pool), named(&new.pool));
    for (old, new) in changes.by_key("sni ", sni, &new.sni, |(host, _)| host.to_string()) {
        changes.value(&format!("sni {}", old.0), &old.1, &new.1);
    }
}

fn versions(versions: Versions) -> &'static str {
    match versions {
        Versions::Both => "h2 and http/1.1",
        Versions::Http1 => "http/1.1",
        Versions::Http2 => "h2",
    }
}

fn hsts(hsts: Option<&Hsts>) -> String {
    let Some(Hsts { max_age, include_subdomains, preload }) = hsts else {
        return or_none(None);
    };
    let mut text = duration_text(*max_age);
    if *include_subdomains {
        text.push_str(" include_subdomains");
    }
    if *preload {
        text.push_str(" preload");
    }
    text
}

fn limits(changes: &mut Changes, old: &Limits, new: &Limits) {
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
    } = *old;
    let bytes = |size: usize| size_text(size as u64);
    changes.value("max_request_line", bytes(max_request_line), bytes(new.max_request_line));
    changes.value("max_header", bytes(max_header), bytes(new.max_header));
    changes.value("max_headers_size", bytes(max_headers_size), bytes(new.max_headers_size));
    changes.value("max_headers", max_headers, new.max_headers);
    changes.value("max_body", size_text(max_body), size_text(new.max_body));
    changes.value("max_requests", max_requests, new.max_requests);
    changes.value("max_streams", max_streams, new.max_streams);
    changes.value("max_control_frames", max_control_frames, new.max_control_frames);
    changes.value("max_resets", max_resets, new.max_resets);
}

fn timeouts(changes: &mut Changes, old: &ListenerTimeouts, new: &ListenerTimeouts) {
    let ListenerTimeouts { header, keep_alive, body_idle } = *old;
    changes.duration("timeout header", header, new.header);
    changes.duration("timeout keep_alive", keep_alive, new.keep_alive);
    changes.duration("timeout body_idle", body_idle, new.body_idle);
}
