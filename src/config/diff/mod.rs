//! What a reload changes, in words for the log.

mod compress;
mod files;
mod listener;
mod pool;
mod resolver;
mod route;

use std::{
    collections::{HashMap, HashSet},
    fmt::Display,
    hash::Hash,
    net::SocketAddr,
    time::Duration,
};

use super::{
    error_pages::{ErrorPage, Statuses},
    model::{AccessLog, Config, Listener, LogTarget},
    words::Words,
};
use crate::units::duration_text;

/// One thing that a reload changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// A line for people.
    pub words: String,
    /// Connections that came by these addresses end when they have been answered. Nothing else that
    /// a configuration says closes a client's connection.
    pub closes: Vec<SocketAddr>,
}

/// One line a change, in the order of the file's tables; empty where both mean the same.
pub fn diff(old: &Config, new: &Config) -> Vec<Change> {
    // Taken apart by name, here and below, so that a new field can't be forgotten.
    let Config {
        workers,
        drain_timeout,
        max_compressions,
        listeners,
        routes,
        pools,
        files: old_files,
        resolver: old_resolver,
        access_log,
        metrics,
        admin,
    } = old;
    let mut changes = Changes { closing: closing(old, new), ..Changes::default() };
    if *workers != new.workers {
        changes.line(format!("workers {workers} -> {}", new.workers));
    }
    changes.duration("drain_timeout", *drain_timeout, new.drain_timeout);
    changes.value("max_compressions", max_compressions, new.max_compressions);
    for gone in gone(listeners, &new.listeners, |it| &it.name) {
        changes.note(format!("listener {} removed", gone.name));
        changes.closes(&gone.bind);
    }
    let name = |listener: &'_ Listener| listener.name.clone();
    for (old, new) in changes.come_and_stayed("listener ", listeners, &new.listeners, name) {
        changes.about(format!("listener {}: ", old.name));
        listener::compare(&mut changes, old, new);
    }
    for (old, new) in changes.by_name("route", routes, &new.routes, |it| &it.name) {
        changes.about(format!("route {}: ", old.name));
        route::compare(&mut changes, old, new);
    }
    for (old, new) in changes.by_name("pool", pools, &new.pools, |it| &it.name) {
        changes.about(format!("pool {}: ", old.name));
        pool::compare(&mut changes, old, new);
    }
    for (old, new) in changes.by_name("files", old_files, &new.files, |it| &it.name) {
        changes.about(format!("files {}: ", old.name));
        files::compare(&mut changes, old, new);
    }
    changes.about("resolver: ".to_owned());
    resolver::compare(&mut changes, old_resolver, &new.resolver);
    changes.about(String::new());
    log(&mut changes, access_log.as_ref(), new.access_log.as_ref());
    let bind = |metrics: &super::model::Metrics| metrics.bind.to_string();
    changes.value(
        "metrics bind",
        or_none(metrics.as_ref().map(bind)),
        or_none(new.metrics.as_ref().map(bind)),
    );
    let (socket, new_socket) = (admin.socket.display(), new.admin.socket.display());
    changes.value("admin socket", socket, new_socket);
    changes.lines
}

fn log(changes: &mut Changes, old: Option<&AccessLog>, new: Option<&AccessLog>) {
    let (old, new) = match (old, new) {
        (None, None) => return,
        (None, Some(new)) => {
            return changes.note(format!("access_log added, to {}", target(&new.to)));
        }
        (Some(_), None) => return changes.note("access_log removed"),
        (Some(old), Some(new)) => (old, new),
    };
    let AccessLog { to, format, queue } = old;
    changes.value("access_log to", target(to), target(&new.to));
    changes.value("access_log format", format.word(), new.format.word());
    changes.value("access_log queue", queue, new.queue);
}

fn target(target: &LogTarget) -> String {
    match target {
        LogTarget::Stdout => "stdout".to_owned(),
        LogTarget::File(path) => path.display().to_string(),
    }
}

fn error_pages(pages: &[ErrorPage]) -> String {
    let page = |page: &ErrorPage| match page.statuses {
        Statuses::One(status) => format!("{status} {}", page.file.display()),
        Statuses::Class(class) => format!("{class}xx {}", page.file.display()),
    };
    match pages {
        [] => "none".to_owned(),
        pages => pages.iter().map(page).collect::<Vec<_>>().join(", "),
    }
}

fn or_none(text: Option<String>) -> String {
    text.unwrap_or_else(|| "none".to_owned())
}

/// The addresses that `new` gives up, or on which it speaks TLS where `old` did not, or the other
/// way round, or relays bytes. One that moves to another listener and speaks the same keeps its
/// connections; one whose bytes are relayed keeps them whatever becomes of its listener.
fn closing(old: &Config, new: &Config) -> HashSet<SocketAddr> {
    let spoken = |config: &Config| -> HashSet<(SocketAddr, bool)> {
        let listeners = config.listeners.iter().filter(|it| it.tcp.is_none());
        listeners.flat_map(|it| it.bind.iter().map(|bind| (*bind, it.tls.is_some()))).collect()
    };
    spoken(old).difference(&spoken(new)).map(|(address, _)| *address).collect()
}

/// What of `old` is not in `new`.
fn gone<'a, T, K: Eq + Hash>(old: &'a [T], new: &'a [T], key: impl Fn(&'a T) -> K) -> Vec<&'a T> {
    let after: HashSet<K> = new.iter().map(&key).collect();
    old.iter().filter(|item| !after.contains(&key(item))).collect()
}

/// The lines so far, and what the next ones are about.
#[derive(Default)]
struct Changes {
    subject: String,
    lines: Vec<Change>,
    /// See the function of this name.
    closing: HashSet<SocketAddr>,
}

impl Changes {
    fn about(&mut self, subject: String) {
        self.subject = subject;
    }

    fn line(&mut self, words: String) {
        self.lines.push(Change { words, closes: Vec::new() });
    }

    fn note(&mut self, note: impl Display) {
        self.line(format!("{}{note}", self.subject));
    }

    /// What the last line says closes those of `addresses` that are closed at all.
    fn closes(&mut self, addresses: &[SocketAddr]) {
        if let Some(last) = self.lines.last_mut() {
            let closed = addresses.iter().filter(|address| self.closing.contains(address));
            last.closes.extend(closed);
        }
    }

    fn value(&mut self, what: &str, old: impl Display, new: impl Display) {
        let (old, new) = (old.to_string(), new.to_string());
        if old != new {
            self.note(format!("{what} {old} -> {new}"));
        }
    }

    fn duration(&mut self, what: &str, old: Duration, new: Duration) {
        self.value(what, duration_text(old), duration_text(new));
    }

    /// Tells what of a set came and went, and returns what stayed, old beside new.
    fn by_key<'a, T, K: Eq + Hash + Display>(
        &mut self,
        what: &str,
        old: &'a [T],
        new: &'a [T],
        key: impl Fn(&'a T) -> K,
    ) -> Vec<(&'a T, &'a T)> {
        for gone in gone(old, new, &key) {
            self.note(format!("{what}{} removed", key(gone)));
        }
        self.come_and_stayed(what, old, new, key)
    }

    /// As `by_key`, without what went.
    fn come_and_stayed<'a, T, K: Eq + Hash + Display>(
        &mut self,
        what: &str,
        old: &'a [T],
        new: &'a [T],
        key: impl Fn(&'a T) -> K,
    ) -> Vec<(&'a T, &'a T)> {
        let before: HashMap<K, &T> = old.iter().map(|item| (key(item), item)).collect();
        for come in new.iter().map(&key).filter(|key| !before.contains_key(key)) {
            self.note(format!("{what}{come} added"));
        }
        let stayed = |item: &'a T| Some((*before.get(&key(item))?, item));
        new.iter().filter_map(stayed).collect()
    }

    fn by_name<'a, T>(
        &mut self,
        kind: &str,
        old: &'a [T],
        new: &'a [T],
        name: impl Fn(&'a T) -> &'a str,
    ) -> Vec<(&'a T, &'a T)> {
        self.about(String::new());
        self.by_key(&format!("{kind} "), old, new, name)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{Config, diff, parse};

    const BEFORE: &str = r#"
workers = 4
[listener.https]
bind = ["0.0.0.0:443", "[::]:443"]
certificates = [{ cert = "/a.crt", key = "/a.key" }]
[[route]]
host = "www.example.com"
pool = "app"
[pool.app]
backends = ["10.0.1.11:8080", "10.0.1.12:8080"]
[pool.blue]
backends = ["10.0.1.21:8080"]
"#;

    fn config(text: &str) -> Config {
        parse(text, Path::new("e.toml")).unwrap_or_else(|errors| panic!("{errors}"))
    }

    #[track_caller]
    fn check(from: &str, to: &str, expected: &[&str]) {
        assert!(BEFORE.contains(from), "{from}");
        let after = BEFORE.replace(from, to);
        let changes = diff(&config(BEFORE), &config(&after));
        let words: Vec<&str> = changes.iter().map(|change| change.words.as_str()).collect();
        assert_eq!(words, expected);
    }

    /// What closes connections: the words, and the addresses.
    #[track_caller]
    fn check_closes(from: &str, to: &str, expected: &[(&str, &[&str])]) {
        assert!(BEFORE.contains(from), "{from}");
        let changes = diff(&config(BEFORE), &config(&BEFORE.replace(from, to)));
        let closing = changes.iter().filter(|change| !change.closes.is_empty());
        let found: Vec<(&str, Vec<String>)> = closing
            .map(|it| (it.words.as_str(), it.closes.iter().map(ToString::to_string).collect()))
            .collect();
        let expected: Vec<(&str, Vec<String>)> = expected
            .iter()
            .map(|(words, closes)| (*words, closes.iter().map(ToString::to_string).collect()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn an_address_that_goes_or_speaks_otherwise_closes_its_connections() {
        check_closes(
            ", \"[::]:443\"",
            "",
            &[("listener https: bind [::]:443 removed", &["[::]:443"])],
        );
        let both: &[&str] = &["0.0.0.0:443", "[::]:443"];
        check_closes(
            "certificates = [{ cert = \"/a.crt\", key = \"/a.key\" }]",
            "",
            &[("listener https: TLS -> plain HTTP", both)],
        );
        let other = "[listener.more]\nbind = \"0.0.0.0:444\"";
        let elsewhere = BEFORE.lines().skip(2).take(3).collect::<Vec<_>>().join("\n");
        check_closes(&elsewhere, other, &[("listener https removed", both)]);
        let relayed = "certificates = [{ cert = \"/a.crt\", key = \"/a.key\" }]\ntcp = \"app\"";
        let pair = "certificates = [{ cert = \"/a.crt\", key = \"/a.key\" }]";
        check_closes(pair, relayed, &[("listener https: HTTP -> TCP", both)]);
    }

    #[test]
    fn a_listener_that_relays_is_compared_too() {
        let tcp = |keys: &str| BEFORE.replacen("[[route]]", &format!("{keys}\n[[route]]"), 1);
        let changes = |old: &str, new: &str| -> Vec<String> {
            let changes = diff(&config(&tcp(old)), &config(&tcp(new)));
            assert!(changes.iter().all(|change| change.closes.is_empty()), "relays go on");
            changes.into_iter().map(|change| change.words).collect()
        };
        assert_eq!(changes("tcp = \"app\"", "tcp = \"blue\""), ["listener https: tcp app -> blue"]);
        assert_eq!(changes("tcp = \"app\"", ""), ["listener https: TCP -> HTTP"]);
    }

    #[test]
    fn an_address_that_stays_closes_none() {
        check_closes("[listener.https]", "[listener.web]", &[]);
        check_closes("\"10.0.1.11:8080\", ", "", &[]);
        check_closes("/a.key", "/b.key", &[]);
    }

    #[test]
    fn nothing_different() {
        check("workers = 4\n", "\n# moved\nworkers = 4\n", &[]);
        let turned = r#"["10.0.1.12:8080", "10.0.1.11:8080"]"#;
        check(r#"["10.0.1.11:8080", "10.0.1.12:8080"]"#, turned, &[]);
    }

    #[test]
    fn backends_come_go_and_change() {
        check(
            r#""10.0.1.11:8080", "10.0.1.12:8080""#,
            r#"{ address = "10.0.1.12:8080", weight = 2 }, "10.0.1.14:8080""#,
            &[
                "pool app: 10.0.1.11:8080 removed",
                "pool app: 10.0.1.14:8080 added",
                "pool app: 10.0.1.12:8080 weight 1 -> 2",
            ],
        );
    }

    #[test]
    fn keys_of_a_pool() {
        check(
            "[pool.app]\n",
            "[pool.app]\nbalance = \"least-connections\"\nhealth = {}\nretry = { budget = \"5%\" }\n",
            &[
                "pool app: balance round-robin -> least-connections",
                "pool app: health added",
                "pool app: retry budget 20% -> 5%",
            ],
        );
    }

    #[test]
    fn where_a_release_is_read() {
        let header = "[pool.app]\nhealth = { release = { header = \"X-Release\" } }\n";
        let json = header.replace("header = \"X-Release\"", "json = \"build.version\"");
        let (before, after) =
            (BEFORE.replace("[pool.app]\n", header), BEFORE.replace("[pool.app]\n", &json));
        let changes = diff(&config(&before), &config(&after));
        let words = "pool app: health release header X-Release -> json build.version";
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].words, words);
    }

    #[test]
    fn tls_to_a_pool() {
        let tls = |inside: &str| format!("[pool.app]\ntls = {{ {inside} }}\n");
        check("[pool.app]\n", &tls(""), &["pool app: plain -> TLS"]);
        let diff = |old: &str, new: &str| -> Vec<String> {
            let of = |inside: &str| config(&BEFORE.replace("[pool.app]\n", &tls(inside)));
            diff(&of(old), &of(new)).into_iter().map(|change| change.words).collect()
        };
        assert_eq!(
            diff("", "ca = \"/ca\", name = \"a\", cert = \"/c\", key = \"/k\", min_tls = \"1.3\""),
            [
                "pool app: tls trust the system's authorities -> /ca",
                "pool app: tls name each backend's -> a",
                "pool app: tls cert none -> /c",
                "pool app: tls key none -> /k",
                "pool app: tls min_tls 1.2 -> 1.3",
            ]
        );
        assert_eq!(diff("ca = \"/ca\"", "verify = false"), ["pool app: tls trust /ca -> anyone"]);
    }

    #[test]
    fn routes_and_tables_by_name() {
        check("pool = \"app\"", "pool = \"blue\"", &["route www.example.com/: pool app -> blue"]);
        let redirect = "redirect = { to = \"/x\", status = 308 }";
        let line = "route www.example.com/: action pool app -> redirect 308 /x";
        check("pool = \"app\"", redirect, &[line]);
        check("[pool.blue]", "[pool.green]", &["pool blue removed", "pool green added"]);
    }

    #[test]
    fn listeners() {
        check(", \"[::]:443\"", "", &["listener https: bind [::]:443 removed"]);
        check("/a.key", "/b.key", &["listener https: certificate /a.crt: key /a.key -> /b.key"]);
        check(
            "/a.crt",
            "/b.crt",
            &[
                "listener https: certificate /a.crt removed",
                "listener https: certificate /b.crt added",
            ],
        );
    }

    #[test]
    fn compression_that_comes_changes_and_goes() {
        check(
            "pool = \"app\"\n",
            "pool = \"app\"\ncompress = true\n",
            &["route www.example.com/: compress none -> br, zstd, gzip"],
        );
        let (one, other) = (
            "compress = true",
            "compress = { types = [\"text/html\", \"text/css\"], \
            min_length = \"2KiB\", encodings = [\"gzip\"], level = \"best\" }",
        );
        let with = |compress: &str| {
            config(&BEFORE.replace("pool = \"app\"\n", &format!("pool = \"app\"\n{compress}\n")))
        };
        let changes = diff(&with(one), &with(other));
        let words: Vec<&str> = changes.iter().map(|change| change.words.as_str()).collect();
        assert!(
            words[0].starts_with("route www.example.com/: compress types text/*, application/json")
        );
        assert!(words[0].ends_with(" -> text/html, text/css"));
        assert_eq!(
            words[1..],
            [
                "route www.example.com/: compress min_length 1KiB -> 2KiB",
                "route www.example.com/: compress encodings br, zstd, gzip -> gzip",
                "route www.example.com/: compress level default -> best",
            ]
        );
        check(
            "workers = 4\n",
            "workers = 4\nmax_compressions = 9\n",
            &["max_compressions 64 -> 9"],
        );
    }

    #[test]
    fn the_top_of_the_file() {
        check("workers = 4", "workers = 8", &["workers 4 -> 8"]);
        check(
            "[pool.blue]",
            "[metrics]\nbind = \"127.0.0.1:9180\"\n[access_log]\n[pool.blue]",
            &["access_log added, to stdout", "metrics bind none -> 127.0.0.1:9180"],
        );
    }
}
