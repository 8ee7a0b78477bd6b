//! The words of the closed choices: the same in the file, the logs and the metrics.

use super::model::{
    Balance, Encoding, Family, Level, Listing, LogFormat, OnSkew, ProbeMethod, Protocol,
    ProxyProtocol, Start, Symlinks, TlsVersion, Try, WhenAllDown,
};

/// A closed choice whose values are written as words.
pub trait Words: Copy + PartialEq + 'static {
    const WORDS: &'static [(&'static str, Self)];

    fn word(self) -> &'static str {
        let named = Self::WORDS.iter().find(|(_, value)| *value == self);
        named.map_or("", |(word, _)| word)
    }
}

impl Words for Balance {
    const WORDS: &'static [(&'static str, Balance)] = &[
        ("round-robin", Balance::RoundRobin),
        ("least-connections", Balance::LeastConnections),
        ("random-two-choices", Balance::RandomTwoChoices),
        ("least-time", Balance::LeastTime),
        ("consistent-hash", Balance::ConsistentHash),
    ];
}

impl Words for TlsVersion {
    const WORDS: &'static [(&'static str, TlsVersion)] =
        &[("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];
}

impl Words for ProbeMethod {
    const WORDS: &'static [(&'static str, ProbeMethod)] = &[
        ("GET", ProbeMethod::Get),
        ("HEAD", ProbeMethod::Head),
        ("OPTIONS", ProbeMethod::Options),
    ];
}

impl Words for Start {
    const WORDS: &'static [(&'static str, Start)] =
        &[("wait", Start::Wait), ("assume-up", Start::AssumeUp)];
}

impl Words for WhenAllDown {
    const WORDS: &'static [(&'static str, WhenAllDown)] =
        &[("fail", WhenAllDown::Fail), ("serve-anyway", WhenAllDown::ServeAnyway)];
}

impl Words for Protocol {
    const WORDS: &'static [(&'static str, Protocol)] =
        &[("http/1.1", Protocol::Http1), ("h2", Protocol::H2), ("fastcgi", Protocol::Fastcgi)];
}

impl Words for ProxyProtocol {
    const WORDS: &'static [(&'static str, ProxyProtocol)] =
        &[("v1", ProxyProtocol::V1), ("v2", ProxyProtocol::V2)];
}

impl Words for OnSkew {
    const WORDS: &'static [(&'static str, OnSkew)] = &[
        ("report", OnSkew::Report),
        ("prefer-newest", OnSkew::PreferNewest),
        ("prefer-majority", OnSkew::PreferMajority),
    ];
}

impl Words for Family {
    const WORDS: &'static [(&'static str, Family)] =
        &[("both", Family::Both), ("ipv4", Family::Ipv4), ("ipv6", Family::Ipv6)];
}

impl Words for Listing {
    const WORDS: &'static [(&'static str, Listing)] = &[
        ("off", Listing::Off),
        ("html", Listing::Html),
        ("json", Listing::Json),
        ("auto", Listing::Auto),
    ];
}

impl Words for Try {
    const WORDS: &'static [(&'static str, Try)] =
        &[("file", Try::File), ("directory", Try::Directory)];
}

impl Words for Symlinks {
    const WORDS: &'static [(&'static str, Symlinks)] =
        &[("inside", Symlinks::Inside), ("never", Symlinks::Never), ("follow", Symlinks::Follow)];
}

/// Those that fields of HTTP say (RFC 9110, section 16.6.1).
impl Words for Encoding {
    const WORDS: &'static [(&'static str, Encoding)] =
        &[("br", Encoding::Brotli), ("zstd", Encoding::Zstd), ("gzip", Encoding::Gzip)];
}

impl Words for Level {
    const WORDS: &'static [(&'static str, Level)] =
        &[("fast", Level::Fast), ("default", Level::Default), ("best", Level::Best)];
}

impl Words for LogFormat {
    const WORDS: &'static [(&'static str, LogFormat)] =
        &[("json", LogFormat::Json), ("combined", LogFormat::Combined)];
}
