//! Backends by name, and the resolver.

use super::*;
use crate::config::{Address, Family};

fn address(written: &str) -> Result<Address, String> {
    written.parse()
}

#[test]
fn names_as_people_write_them() {
    let host = |name: &str, port| Address::Host { name: name.into(), port };
    assert_eq!(address("App.internal:8080"), Ok(host("app.internal", 8080)));
    assert_eq!(address("app:80"), Ok(host("app", 80)));
    assert_eq!(address("app.internal.:80"), Ok(host("app.internal.", 80)));
    assert_eq!(address("3com.example:80"), Ok(host("3com.example", 80)));
    let service = Address::Srv("_http._tcp.app.internal".into());
    assert_eq!(address("srv:_HTTP._tcp.app.internal"), Ok(service));
    assert!(matches!(address("[2001:db8::1]:80"), Ok(Address::Socket(_))));
    for written in ["10.0.1.11:8080", "app.internal:8080", "srv:_http._tcp.app.internal"] {
        assert_eq!(address(written).unwrap().to_string(), written);
    }
}

#[test]
fn what_is_no_backend_is_told_with_what_it_lacks() {
    for (written, help) in [
        ("app.internal", "the port is missing"),
        ("app.internal:0", "a port is a number from 1 to 65535"),
        ("app.internal:http", "a port is a number from 1 to 65535"),
        ("10.0.1.11", "the port is missing"),
        ("[2001:db8::1]", "an address and a port"),
        ("http://app.internal:80", "without a scheme"),
        ("srv:app.internal", "a service, `_tcp` and a name"),
        ("srv:_http._udp.app.internal", "a service, `_tcp` and a name"),
        ("srv:_http._tcp", "a service, `_tcp` and a name"),
        ("srv:_http._tcp.app.internal:80", "without a port"),
        ("app_.internal-:80", "app.internal:8080"),
        ("", "app.internal:8080"),
    ] {
        let told = address(written).unwrap_err();
        assert!(told.contains(help), "{written}: {told}");
    }
}

#[test]
#[rustfmt::skip]
fn pools_and_resolvers_that_can_not_be() {
    check(&[
        ("[pool.x]\nbackends = [\"a.internal:1\", \"A.internal:1\"]", "15:29", "a.internal:1 is in this pool twice", "e.toml:15:13"),
        ("[pool.x]\nbackends = [{ address = \"srv:_http._tcp.a\", weight = 2 }]", "15:45", "a `weight` beside SRV records", "remove it"),
        ("[resolver]\nservers = [\"10.0.0.53\"]", "15:12", "`10.0.0.53` is no value", "the port is missing"),
        ("[resolver]\nservers = []", "15:11", "no name server", "or no key"),
        ("[resolver]\nservers = [\"dns.internal:53\"]", "15:12", "`dns.internal:53` is no value", "only backends are looked up by name"),
        ("[resolver]\nfamily = \"6\"", "15:10", "`6` is no value", "ipv6"),
        ("[resolver]\nmin_ttl = \"10m\"\nmax_ttl = \"5m\"", "16:11", "a `max_ttl` shorter than the `min_ttl` of 10m", "\"10m\""),
        ("[resolver]\nmin_ttl = \"10ms\"", "15:11", "`10ms` is no value", "\"1s\" to"),
        ("[resolver]\nmax_addresses = 0", "15:17", "0 is no value", "from 1 to 1024"),
    ]);
}

#[test]
fn a_resolver_has_careful_defaults() {
    let resolver =
        |keys: &str| parse(&format!("{RIGHT}{keys}"), Path::new("e.toml")).unwrap().resolver;
    let default = resolver("");
    assert_eq!((default.servers.len(), default.family), (0, Family::Both));
    let longer = resolver("[resolver]\nmin_ttl = \"10m\"");
    assert_eq!(longer.max_ttl, longer.min_ttl, "never below it");
}
