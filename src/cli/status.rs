//! The daemon's state as a table that can be read aloud. Pure: an answer in, text out.

mod files;
mod routes;

use std::time::{Duration, SystemTime};

use crate::control::protocol::{
    AskedWord, BackendStatus, LastReload, ListenerStatus, NameStatus, PhaseWord, PoolStatus,
    ReleaseStatus, ReleasesStatus, Status, TlsWord,
};

const BACKEND_HEAD: [&str; 7] =
    ["backend", "verdict", "since", "in flight", "requests", "weight", "last probe"];

const NAME_HEAD: [&str; 5] = ["name", "standing", "since", "addresses", "last look-up"];

/// The whole of `equipoise status`. The daemon and we read the same clock: it is on this machine.
pub fn table(status: &Status, now: SystemTime) -> String {
    let mut text = first_line(status, now);
    text.push_str(&last_reload(status.last_reload.as_ref(), now));
    if let Some(begun) = status.reloading_since {
        let words = "a reload has been under way for";
        text.push_str(&format!("{words} {}: what it reads may not answer\n", since(begun, now)));
    }
    text.push_str("\nlisteners\n");
    text.push_str(&columns(status.listeners.iter().map(listener)));
    text.push_str(&routes::table(&status.routes));
    text.push_str(&files::table(&status.files));
    for pool in &status.pools {
        text.push_str(&pool_table(pool, now));
    }
    text
}

/// How long ago something was, in words.
pub fn since(unix_seconds: u64, now: SystemTime) -> String {
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(unix_seconds);
    // A clock that was set back makes no negative times.
    duration_words(now.duration_since(then).unwrap_or_default().as_secs())
}

/// `12 s`, `3 min`, `5 h`, `3 days`.
fn duration_words(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Lines of cells, each column as wide as its widest cell, two blanks in front.
pub fn columns<const N: usize>(rows: impl IntoIterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = rows.into_iter().collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..N).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths);
        let line: String = cells.map(|(cell, &width)| format!("  {cell:<width$}")).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn first_line(status: &Status, now: SystemTime) -> String {
    format!(
        "equipoise {} {} for {}, generation {}, {}\n",
        status.version,
        phase(status.phase),
        since(status.since, now),
        status.generation,
        counted(status.workers, "worker"),
    )
}

fn phase(phase: PhaseWord) -> &'static str {
    match phase {
        PhaseWord::Serving => "serving",
        PhaseWord::Draining => "draining",
        PhaseWord::Closing => "closing",
    }
}

fn last_reload(reload: Option<&LastReload>, now: SystemTime) -> String {
    let Some(reload) = reload else {
        return "last reload: none yet\n".to_owned();
    };
    let verdict = if reload.ok { "taken" } else { "refused, the generation before still serves" };
    let mut text = format!("last reload: {} ago, {verdict}\n", since(reload.at, now));
    for line in reload.words.iter().flat_map(|words| words.lines()) {
        text.push_str(&format!("  {line}\n"));
    }
    text
}

fn listener(listener: &ListenerStatus) -> [String; 3] {
    let bind: Vec<String> = listener.bind.iter().map(ToString::to_string).collect();
    let speaks = match (listener.tcp, listener.tls) {
        (false, false) => "http",
        (false, true) => "https",
        (true, false) => "tcp",
        (true, true) => "tcp over tls",
    };
    let asked = match listener.client_certificates {
        AskedWord::None => "",
        AskedWord::Optional => ", client certificates optional",
        AskedWord::Required => ", client certificates required",
    };
    [listener.name.clone(), format!("{speaks}{asked}"), bind.join(" ")]
}

fn pool_table(pool: &PoolStatus, now: SystemTime) -> String {
    let rows = pool.backends.iter().map(|each| backend(each, now));
    let rows = std::iter::once(BACKEND_HEAD.map(str::to_owned)).chain(rows);
    let mut words = format!("pool {}, {}", pool.name, pool.balance);
    words.push_str(match pool.tls {
        TlsWord::None => "",
        TlsWord::Verified => ", TLS",
        TlsWord::Unverified => ", TLS unverified",
    });
    if pool.waiting > 0 {
        let waiting = counted(pool.waiting, "request");
        words.push_str(&format!(", {waiting} waiting for a backend"));
    }
    let (names, why) = (names_table(pool, now), why_down(pool));
    let Some(releases) = &pool.releases else {
        return format!("\n{words}\n{names}{}{why}", columns(rows));
    };
    words.push_str(&format!(", {}", releases_words(releases, now)));
    let unknown = || "unknown".to_owned();
    let named = pool.backends.iter().map(|each| each.release.clone().unwrap_or_else(unknown));
    let named = std::iter::once("release".to_owned()).chain(named);
    let table = columns(rows.zip(named).map(with_release));
    format!("\n{words}\n{names}{table}{why}")
}

/// A line for each backend that was turned down by something else than its last probe.
fn why_down(pool: &PoolStatus) -> String {
    let probe_says = |backend: &BackendStatus, why: &str| {
        backend.last_probe.as_ref().is_some_and(|last| why.starts_with(last.as_str()))
    };
    let line = |backend: &BackendStatus| {
        let why = backend.why_down.as_ref().filter(|why| !probe_says(backend, why))?;
        Some(format!("  {} is down: {why}\n", backend.address))
    };
    pool.backends.iter().filter_map(line).collect()
}

/// Nothing where all backends are written by their addresses.
fn names_table(pool: &PoolStatus, now: SystemTime) -> String {
    if pool.names.is_empty() {
        return String::new();
    }
    let rows = pool.names.iter().map(|each| name(each, now));
    columns(std::iter::once(NAME_HEAD.map(str::to_owned)).chain(rows))
}

fn name(name: &NameStatus, now: SystemTime) -> [String; 5] {
    let standing = name.standing.word();
    let answered = name.answered.map(|at| format!("answered {} ago", since(at, now)));
    let last = [name.trouble.clone(), answered].into_iter().flatten().next();
    [
        name.written.clone(),
        if name.drained { format!("{standing}, draining") } else { standing.to_owned() },
        since(name.since, now),
        name.addresses.to_string(),
        last.unwrap_or_else(|| "none".to_owned()),
    ]
}

/// Beside what its last probe said.
fn with_release((row, release): ([String; 7], String)) -> [String; 8] {
    let [address, verdict, since, in_flight, requests, weight, last_probe] = row;
    [address, verdict, since, in_flight, requests, weight, release, last_probe]
}

/// `1 release`, `2 releases for 3 min: 1.4.2 on 3, 1.5.0 on 1; traffic keeps to 1.4.2`.
fn releases_words(releases: &ReleasesStatus, now: SystemTime) -> String {
    let count = counted(releases.known.len(), "release");
    let Some(skewed_since) = releases.skewed_since else {
        return count;
    };
    let on = |each: &ReleaseStatus| format!("{} on {}", each.release, each.backends);
    let known: Vec<String> = releases.known.iter().map(on).collect();
    let traffic = match &releases.preferred {
        Some(release) => format!("; traffic keeps to {release}"),
        None => String::new(),
    };
    format!("{count} for {}: {}{traffic}", since(skewed_since, now), known.join(", "))
}

fn backend(backend: &BackendStatus, now: SystemTime) -> [String; 7] {
    [
        match &backend.name {
            Some(name) => format!("{} ({name})", backend.address),
            None => backend.address.to_string(),
        },
        verdict(backend),
        since(backend.since, now),
        match backend.max_requests {
            Some(max) => format!("{} of {max}", backend.in_flight),
            None => backend.in_flight.to_string(),
        },
        backend.requests.to_string(),
        weight(backend, now),
        backend.last_probe.clone().unwrap_or_else(|| "none".to_owned()),
    ]
}

/// `5`, `5 backup`, `0 (file 5)` where an operator said another than the file, and `5 (whole in
/// 12 s)` while it comes up slowly.
fn weight(backend: &BackendStatus, now: SystemTime) -> String {
    let mut words = backend.weight.to_string();
    let whole_at =
        backend.whole_weight_at.map(|at| SystemTime::UNIX_EPOCH + Duration::from_secs(at));
    let left = whole_at.and_then(|at| at.duration_since(now).ok()).filter(|left| !left.is_zero());
    if let Some(left) = left {
        words.push_str(&format!(" (whole in {})", duration_words(left.as_secs())));
    }
    if backend.weight != backend.file_weight {
        words.push_str(&format!(" (file {})", backend.file_weight));
    }
    if backend.backup {
        words.push_str(" backup");
    }
    words
}

/// `up`, and `up, breaker open` where that keeps it out of use.
fn verdict(backend: &BackendStatus) -> String {
    let word = backend.verdict.word();
    match &backend.breaker {
        Some(breaker) if breaker.position != "closed" => {
            format!("{word}, breaker {}", breaker.position)
        }
        Some(_) | None => word.to_owned(),
    }
}

/// `1 worker`, `4 workers`.
pub fn counted(count: usize, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::{BreakerStatus, StandingWord, VerdictWord};

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn times_are_said_as_people_say_them() {
        let now = at(1_000_000);
        for (ago, words) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3_599, "59 min"),
            (3_600, "1 h"),
            (172_799, "47 h"),
            (172_800, "2 days"),
        ] {
            assert_eq!(since(1_000_000 - ago, now), words);
        }
        assert_eq!(since(1_000_001, now), "0 s", "a clock that was set back");
    }

    fn a_backend() -> BackendStatus {
        BackendStatus {
            address: ([10, 0, 1, 11], 80).into(),
            name: None,
            verdict: VerdictWord::Up,
            since: 0,
            weight: 1,
            file_weight: 1,
            whole_weight_at: None,
            backup: false,
            in_flight: 0,
            max_requests: None,
            breaker: None,
            requests: 9,
            last_probe: None,
            why_down: None,
            release: None,
        }
    }

    #[test]
    fn weights_as_they_are_and_as_they_will_be() {
        let check = |weight, file_weight, whole_weight_at, backup, expected: &str| {
            let backend =
                BackendStatus { weight, file_weight, whole_weight_at, backup, ..a_backend() };
            assert_eq!(super::weight(&backend, at(100)), expected);
        };
        check(5, 5, None, false, "5");
        check(5, 5, Some(100), true, "5 backup");
        check(5, 5, Some(130), false, "5 (whole in 30 s)");
        check(0, 5, None, false, "0 (file 5)");
        check(3, 5, Some(101), true, "3 (whole in 1 s) (file 5) backup");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a", "é", "x"], ["bbb", "c", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(columns(rows), "  a    é  x\n  bbb  c\n");
        assert_eq!(columns::<2>([]), "");
    }

    #[test]
    fn the_whole_table() {
        let backend = |port, verdict, since, last_probe: Option<&str>| BackendStatus {
            address: ([10, 0, 1, 11], port).into(),
            name: None,
            verdict,
            since,
            backup: port == 82,
            in_flight: 2,
            max_requests: (port == 81).then_some(2),
            breaker: (port == 81)
                .then(|| BreakerStatus { position: "half-open".into(), openings: 2 }),
            requests: 1234,
            last_probe: last_probe.map(str::to_owned),
            why_down: (port == 81).then(|| "3 requests in a row failed".to_owned()),
            ..a_backend()
        };
        let status = Status {
            version: "0.1.0".into(),
            generation: 4,
            phase: PhaseWord::Serving,
            since: 0,
            workers: 1,
            listeners: vec![ListenerStatus {
                name: "https".into(),
                bind: vec!["0.0.0.0:443".parse().unwrap(), "[::]:443".parse().unwrap()],
                tls: true,
                client_certificates: AskedWord::Required,
                tcp: false,
            }],
            routes: Vec::new(),
            files: Vec::new(),
            pools: vec![PoolStatus {
                name: "app".into(),
                balance: "round-robin".into(),
                releases: None,
                waiting: 3,
                tls: TlsWord::Verified,
                names: Vec::new(),
                backends: vec![
                    backend(80, VerdictWord::Up, 7_020, Some("200 in 3 ms")),
                    backend(81, VerdictWord::Down, 7_195, Some("connection refused")),
                    backend(82, VerdictWord::Draining, 7_200, None),
                ],
            }],
            last_reload: Some(LastReload {
                at: 7_190,
                ok: true,
                words: vec!["pool app: 10.0.1.11:82 added".into()],
            }),
            reloading_since: Some(7_140),
        };
        let expected = "\
equipoise 0.1.0 serving for 2 h, generation 4, 1 worker
last reload: 10 s ago, taken
  pool app: 10.0.1.11:82 added
a reload has been under way for 1 min: what it reads may not answer

listeners
  https  https, client certificates required  0.0.0.0:443 [::]:443

pool app, round-robin, TLS, 3 requests waiting for a backend
  backend       verdict                  since  in flight  requests  weight    last probe
  10.0.1.11:80  up                       3 min  2          1234      1         200 in 3 ms
  10.0.1.11:81  down, breaker half-open  5 s    2 of 2     1234      1         connection refused
  10.0.1.11:82  draining                 0 s    2          1234      1 backup  none
  10.0.1.11:81 is down: 3 requests in a row failed
";
        assert_eq!(table(&status, at(7_200)), expected);
    }

    #[test]
    fn names_stand_above_the_backends_that_they_lead_to() {
        let name = |written: &str, standing, trouble: Option<&str>| NameStatus {
            written: written.to_owned(),
            name: String::new(),
            standing,
            since: 0,
            addresses: usize::from(standing != StandingWord::Unresolved),
            answered: (standing == StandingWord::Resolved).then_some(57),
            trouble: trouble.map(str::to_owned),
            drained: standing == StandingWord::Kept,
        };
        let names = [
            name("a.internal:80", StandingWord::Resolved, None),
            name("b.internal:80", StandingWord::Kept, Some("no name server answers")),
            name("c.internal:80", StandingWord::Unresolved, Some("no such name")),
            name("d.internal:80", StandingWord::Unresolved, None),
        ];
        let pool = PoolStatus {
            name: "app".into(),
            balance: "round-robin".into(),
            releases: None,
            waiting: 0,
            tls: TlsWord::None,
            names: names.into(),
            backends: Vec::new(),
        };
        let expected = "
pool app, round-robin
  name           standing        since  addresses  last look-up
  a.internal:80  resolved        1 min  1          answered 3 s ago
  b.internal:80  kept, draining  1 min  1          no name server answers
  c.internal:80  unresolved      1 min  0          no such name
  d.internal:80  unresolved      1 min  0          none
  backend  verdict  since  in flight  requests  weight  last probe
";
        assert_eq!(pool_table(&pool, at(60)), expected);
    }

    #[test]
    fn releases_have_a_column_where_they_are_read() {
        let backend = |port, release: Option<&str>, last_probe: &str| BackendStatus {
            address: ([10, 0, 1, 11], port).into(),
            last_probe: Some(last_probe.to_owned()),
            release: release.map(str::to_owned),
            ..a_backend()
        };
        let known = |release: &str| ReleaseStatus { release: release.into(), backends: 1 };
        let pool = PoolStatus {
            name: "app".into(),
            waiting: 0,
            balance: "round-robin".into(),
            tls: TlsWord::None,
            releases: Some(ReleasesStatus {
                known: vec![known("1.4.2"), known("1.5.0")],
                unknown: 1,
                skewed_since: Some(10),
                on_skew: "prefer-newest".into(),
                preferred: Some("1.5.0".into()),
            }),
            names: Vec::new(),
            backends: vec![
                backend(80, Some("1.4.2"), "200 in 3 ms"),
                backend(81, Some("1.5.0"), "200 in 3 ms"),
                backend(82, None, "200 in 3 ms, release unknown: X-Release is missing"),
            ],
        };
        let expected = "
pool app, round-robin, 2 releases for 50 s: 1.4.2 on 1, 1.5.0 on 1; traffic keeps to 1.5.0
  backend       verdict  since  in flight  requests  weight  release  last probe
  10.0.1.11:80  up       1 min  0          9         1       1.4.2    200 in 3 ms
  10.0.1.11:81  up       1 min  0          9         1       1.5.0    200 in 3 ms
  10.0.1.11:82  up       1 min  0          9         1       unknown  200 in 3 ms, release unknown: X-Release is missing
";
        assert_eq!(pool_table(&pool, at(60)), expected);
    }
}
