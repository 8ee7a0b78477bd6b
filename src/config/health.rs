//! `health` of a pool: its active probes.

use std::{ops::RangeInclusive, time::Duration};

use super::{
    diagnostic::Diagnostic,
    model::{Health, HttpProbe, ProbeKind, ProbeMethod, ReleaseSource, Start},
    name,
    reader::{Field, Shape, Table},
    words::Words,
};
use crate::units::duration_text;

pub(super) static HEALTH: Shape = Shape {
    name: "`health` of [pool.NAME]",
    keys: &[
        "type", "path", "host", "method", "status", "text", "interval", "timeout", "rise", "fall",
        "jitter", "start", "port", "tls", "release",
    ],
};

pub(super) static RELEASE: Shape =
    Shape { name: "`release` of [pool.NAME]", keys: &["header", "json"] };

const ONLY_HTTP: [&str; 6] = ["path", "host", "method", "status", "text", "release"];

/// A shorter interval is load, a longer one is no watching.
const AN_INTERVAL: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(60 * 60);
const INTERVAL: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(1);
/// More would let a wait shrink to nothing.
const MOST_JITTER: f64 = 0.5;
/// Text is looked for in the first 64 KiB of an answer.
const LONGEST_TEXT: usize = 1024;

#[derive(Clone, Copy, PartialEq)]
enum Type {
    Http,
    Tcp,
}

impl Words for Type {
    const WORDS: &'static [(&'static str, Type)] = &[("http", Type::Http), ("tcp", Type::Tcp)];
}

pub(super) fn read(field: &Field<'_>) -> Option<Health> {
    let table = field.table(&HEALTH)?;
    let kind = match table.word("type", Type::Http) {
        Type::Tcp => {
            nothing_of_http(&table);
            ProbeKind::Tcp
        }
        Type::Http => ProbeKind::Http(http_probe(&table)),
    };
    let interval = table.duration("interval", AN_INTERVAL, INTERVAL);
    Some(Health {
        kind,
        interval,
        timeout: timeout(&table, interval),
        rise: table.integer("rise", 1..=100, 2),
        fall: table.integer("fall", 1..=100, 3),
        jitter: table.share("jitter", MOST_JITTER, 0.1),
        start: table.word("start", Start::Wait),
        port: table.field("port").and_then(|field| field.integer(1..=u16::MAX)),
        tls: table.boolean("tls", true),
    })
}

fn nothing_of_http(table: &Table<'_>) {
    for key in ONLY_HTTP {
        if let Some(field) = table.field(key) {
            let message = format!("`{key}` on a TCP probe, which only opens a connection");
            let help = format!("remove `{key}`, or `type = \"tcp\"`");
            field.tell(Diagnostic::at(field.key_place, message).help(help));
        }
    }
}

/// A probe has to be over before the next begins.
fn timeout(table: &Table<'_>, interval: Duration) -> Duration {
    let default = TIMEOUT.min(interval);
    let Some(field) = table.field("timeout") else {
        return default;
    };
    let timeout = field.duration(AN_INTERVAL).unwrap_or(default);
    if timeout > interval {
        let interval = duration_text(interval);
        field.fail(
            format!("a `timeout` longer than the interval of {interval}"),
            format!("expected at most \"{interval}\": a probe is over before the next begins"),
        );
    }
    timeout
}

fn http_probe(table: &Table<'_>) -> HttpProbe {
    let method = table.word("method", ProbeMethod::Get);
    let path = |field: Field<'_>| Some(field.judge(name::origin_form(field.text()?))?.to_owned());
    let host = |field: Field<'_>| field.judge(name::authority(field.text()?));
    let path = table.field("path").and_then(path);
    let status = table.field("status").and_then(|field| statuses(&field));
    let text = table.field("text");
    HttpProbe {
        method,
        path: path.unwrap_or_else(|| "/".to_owned()),
        host: table.field("host").and_then(host),
        status: status.unwrap_or_else(|| vec![(200, 399)]),
        text: text.and_then(|field| body_text(&field, method)),
        release: table.field("release").and_then(|field| release(&field, method)),
    }
}

fn release(field: &Field<'_>, method: ProbeMethod) -> Option<ReleaseSource> {
    const ONE: &str =
        r#"expected one of release = { header = "X-Release" } and { json = "build.version" }"#;
    let table = field.table(&RELEASE)?;
    match (table.field("header"), table.field("json")) {
        (Some(header), None) => {
            let name = header.judge(name::field_name(header.text()?))?;
            Some(ReleaseSource::Header(name.to_owned()))
        }
        (None, Some(json)) => {
            no_body(&json, method);
            Some(ReleaseSource::Json(json.judge(name::json_path(json.text()?))?))
        }
        (None, None) => {
            field.fail("a `release` without `header` or `json`", ONE);
            None
        }
        (Some(_), Some(json)) => {
            let message = "a `release` with both `header` and `json`";
            json.tell(Diagnostic::at(json.key_place, message).help(ONE));
            None
        }
    }
}

/// What is looked for in the body of an answer to HEAD is never there.
fn no_body(field: &Field<'_>, method: ProbeMethod) {
    if method == ProbeMethod::Head {
        let key = field.key;
        let message = format!("`{key}` on a HEAD probe, whose answer has no body");
        let help = format!("remove `{key}`, or `method = \"HEAD\"`");
        field.tell(Diagnostic::at(field.key_place, message).help(help));
    }
}

fn body_text(field: &Field<'_>, method: ProbeMethod) -> Option<String> {
    no_body(field, method);
    let text = field.text()?;
    let valid = (1..=LONGEST_TEXT).contains(&text.len());
    let expected = || format!("expected a text of 1 to {LONGEST_TEXT} bytes");
    field.judge(valid.then(|| text.to_owned()).ok_or_else(expected))
}

/// 200, "200-399", or an array of these.
fn statuses(field: &Field<'_>) -> Option<Vec<(u16, u16)>> {
    let items = field.as_items().unwrap_or_else(|| vec![field.again()]);
    if items.is_empty() {
        field.fail("no status passes", "expected a status such as 200 or \"200-399\"");
    }
    let ranges: Vec<Option<(u16, u16)>> = items.iter().map(status).collect();
    ranges.into_iter().collect()
}

fn status(field: &Field<'_>) -> Option<(u16, u16)> {
    let code = |text: &str| {
        let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|code| digits && (100..=599).contains(code))
    };
    let range = match (field.as_integer(), field.as_text()) {
        (Some(number), _) => code(&number.to_string()).map(|only| (only, only)),
        (None, Some(text)) => {
            let (low, high) = text.split_once('-').unwrap_or((text, text));
            code(low).zip(code(high)).filter(|(low, high)| low <= high)
        }
        (None, None) => None,
    };
    let expected = || r#"expected a status from 100 to 599, such as 200 or "200-399""#.to_owned();
    field.judge(range.ok_or_else(expected))
}
