//! config/equipoise.toml is the full reference, and every example loads.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use equipoise::{config, units};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config")
}

fn reference() -> String {
    fs::read_to_string(folder().join("equipoise.toml")).unwrap()
}

fn parse(text: &str) -> Result<config::Config, config::Errors> {
    config::parse(text, Path::new("/etc/equipoise/equipoise.toml"))
}

#[test]
fn the_reference_loads() {
    if let Err(errors) = config::load(&folder().join("equipoise.toml")) {
        panic!("{errors}");
    }
}

#[test]
fn every_example_loads_and_says_what_it_is_for() {
    let mut count = 0;
    for entry in fs::read_dir(folder().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        let loaded = config::load(&path).unwrap_or_else(|errors| panic!("{errors}"));
        let purpose = loaded.source.text.lines().take(2);
        assert!(purpose.clone().all(|line| line.starts_with("# ")), "{path:?}");
        assert!(!loaded.config.listeners.is_empty(), "{path:?}");
        count += 1;
    }
    assert!(count >= 10, "only {count} examples were found");
}

#[test]
fn examples_hold_nothing_that_check_would_remark() {
    // One shows, and says so, what passive watching is.
    let meant = "pool old: no `health`: watched passively only; `health = {}` adds probes";
    for entry in fs::read_dir(folder().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        let loaded = config::load(&path).unwrap_or_else(|errors| panic!("{errors}"));
        let notes = config::notes(&loaded.config);
        let unmeant =
            notes.iter().filter(|note| *note != meant && !note.contains("no default certificate"));
        assert_eq!(unmeant.count(), 0, "{path:?}: {notes:?}");
    }
}

/// Whoever measures fills in the template; what is then left of it must load.
fn template(name: &str) -> config::Config {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/versus").join(name);
    let mut text = fs::read_to_string(file).unwrap();
    for (placeholder, value) in [
        ("$plain", "8080"),
        ("$tls", "8443"),
        ("$workers", "2"),
        ("$upstream1", "9001"),
        ("$upstream2", "9002"),
        ("$cert", "/tmp/cert.pem"),
        ("$key", "/tmp/key.pem"),
        ("$docroot", "/srv/www"),
        ("$state", "/tmp/state"),
        ("$max_conns", "12000"),
    ] {
        text = text.replace(placeholder, value);
    }
    assert!(!text.contains('$'), "a placeholder that no one fills in: {text}");
    let config = parse(&text).unwrap_or_else(|errors| panic!("{errors}"));
    let ports = |listener: &config::Listener| {
        (listener.bind[0].port(), listener.tls.is_some(), listener.max_connections)
    };
    let listeners: Vec<_> = config.listeners.iter().map(ports).collect();
    assert_eq!(listeners, [(8080, false, 12_000), (8443, true, 12_000)]);
    assert_eq!((config.workers, &config.access_log), (2, &None));
    assert_eq!(config.admin.socket, Path::new("/tmp/state/admin.sock"));
    config
}

#[test]
fn the_templates_of_the_measurements_load() {
    let proxy = template("proxy.toml");
    let backends = proxy.pools[0].backends.iter().map(|backend| backend.address.port());
    assert_eq!(backends.collect::<Vec<_>>(), [Some(9001), Some(9002)]);
    let largest_upload = 64 << 20;
    assert!(proxy.listeners.iter().all(|listener| listener.limits.max_body >= largest_upload));
    assert_eq!(template("files.toml").files[0].root, Path::new("/srv/www"));
}

#[test]
fn the_reference_holds_every_key_that_is_known() {
    let tree: toml::Table = reference().parse().unwrap();
    let mut shown: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    collect(&mut Vec::new(), &tree, &mut shown);
    let known: BTreeMap<String, BTreeSet<String>> = config::known_keys()
        .into_iter()
        .map(|(table, keys)| (table.to_owned(), keys.iter().map(|key| key.to_string()).collect()))
        .collect();
    assert_eq!(shown, known);
}

const FREE_TABLES: [&str; 8] =
    ["headers", "query", "cookies", "set", "add", "split", "error_pages", "params"];

/// Tables that people name.
const NAMED_TABLES: [&str; 3] = ["listener", "pool", "files"];

/// Gathers the keys of each table under the name that `known_keys` gives it.
fn collect<'a>(
    path: &mut Vec<&'a str>,
    table: &'a toml::Table,
    shown: &mut BTreeMap<String, BTreeSet<String>>,
) {
    let known_as = match path.as_slice() {
        [] => Some(String::new()),
        [top] if NAMED_TABLES.contains(top) => None,
        ["route"] => Some("[[route]]".to_owned()),
        [top] => Some(format!("[{top}]")),
        [top, _] if NAMED_TABLES.contains(top) => Some(format!("[{top}.NAME]")),
        // Their keys are names of the application's own.
        ["route", .., key] if FREE_TABLES.contains(key) => None,
        ["listener", _, "error_pages" | "sni"] | ["files", _, "types"] => None,
        [.., key] if path[0] == "route" => Some(format!("`{key}` of [[route]]")),
        [top, .., key] => Some(format!("`{key}` of [{top}.NAME]")),
    };
    if let Some(name) = known_as {
        shown.entry(name).or_default().extend(table.keys().cloned());
    }
    for (key, value) in table {
        path.push(key);
        let items = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        for table in items.iter().filter_map(toml::Value::as_table) {
            collect(path, table, shown);
        }
        path.pop();
    }
}

/// For each one-line key whose comment says `Default: VALUE`: writing that value means the same as
/// leaving the key out.
#[test]
fn the_defaults_that_the_reference_tells_are_true() {
    let text = reference();
    let lines: Vec<&str> = text.lines().collect();
    let mut checked = 0;
    for (number, line) in lines.iter().enumerate() {
        let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| !key.contains('#')) else {
            continue;
        };
        let Some(default) = told_default(&lines[..number]) else {
            continue;
        };
        let with = |replacement: &str| {
            let mut lines = lines.clone();
            lines[number] = replacement;
            let text = lines.join("\n");
            parse(&text).unwrap_or_else(|errors| panic!("{errors}"))
        };
        assert_eq!(with(&format!("{key} = {default}")), with(""), "`{line}`");
        checked += 1;
    }
    assert!(checked >= 40, "only {checked} defaults were found");
}

fn told_default(before: &[&str]) -> Option<String> {
    let comment =
        before.last().filter(|line| line.starts_with("# ") && !line.starts_with("#  "))?;
    let (_, told) = comment.rsplit_once("Default: ")?;
    let literal = told.strip_suffix('.')?.split(", ").next()?;
    let value = format!("key = {literal}").parse::<toml::Table>();
    value.is_ok().then(|| literal.to_owned())
}

/// Leaving out a line either changes nothing, or is an error, or is told by the diff.
#[test]
fn no_change_of_the_reference_goes_untold() {
    let text = reference();
    let whole = parse(&text).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let mut told = 0;
    for number in 0..lines.len() {
        let mut fewer = lines.clone();
        fewer.remove(number);
        let Ok(changed) = parse(&fewer.join("\n")) else {
            continue;
        };
        let differs = changed != whole;
        assert_eq!(
            differs,
            !config::diff(&whole, &changed).is_empty(),
            "without `{}`",
            lines[number]
        );
        told += usize::from(differs);
    }
    assert!(told >= 15, "only {told} lines made a difference");
}

#[test]
fn mutated_files_never_panic() {
    let text = reference();
    let mut random = fastrand::Rng::with_seed(0x5eed);
    let mut refused = 0;
    for _ in 0..1_500 {
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..random.usize(1..8) {
            mutate(&mut bytes, &mut random);
        }
        let mutated = String::from_utf8_lossy(&bytes);
        if let Err(errors) = parse(&mutated) {
            assert!(errors.len() > 0);
            assert!(errors.to_string().contains("equipoise.toml"));
            refused += 1;
        }
    }
    assert!(refused > 500, "only {refused} were refused");
}

#[test]
fn random_words_never_panic() {
    let mut random = fastrand::Rng::with_seed(11);
    let alphabet: Vec<char> = "0123456789999:/.%[]smhdKMiB-+eé\u{0}*".chars().collect();
    for _ in 0..20_000 {
        let length = random.usize(0..40);
        let word: String = (0..length).filter_map(|_| random.choice(&alphabet)).collect();
        if let Ok(duration) = units::parse_duration(&word) {
            assert_eq!(units::parse_duration(&units::duration_text(duration)), Ok(duration));
        }
        if let Ok(size) = units::parse_size(&word) {
            assert_eq!(units::parse_size(&units::size_text(size)), Ok(size));
        }
        if let Ok(share) = units::parse_share(&word) {
            assert!((0.0..=1.0).contains(&share), "{word}");
        }
        if let Ok(network) = word.parse::<config::network::Network>() {
            assert!(network.contains(network.address), "{word}");
        }
    }
}

#[test]
fn a_deeply_nested_file_is_refused() {
    for text in [
        "[".repeat(100_000),
        "a = ".to_owned() + &"[".repeat(100_000),
        "a = ".to_owned() + &"{b=".repeat(100_000),
    ] {
        assert!(parse(&text).is_err());
    }
}

#[test]
fn random_bytes_never_panic() {
    let mut random = fastrand::Rng::with_seed(7);
    let alphabet = b"[]{}=.,\"'#\n\t\r \\ae09:-_*/%\xc3\xa9\xff\0listenerroutepoolbind";
    for _ in 0..5_000 {
        let length = random.usize(0..200);
        let bytes: Vec<u8> =
            (0..length).map(|_| alphabet[random.usize(0..alphabet.len())]).collect();
        let text = String::from_utf8_lossy(&bytes);
        if let Err(errors) = parse(&text) {
            assert!(!errors.to_string().is_empty());
        }
        let _ = parse(&format!("[listener.a]\nbind = [\"{text}\"]\n[[route]]\nhost = '{text}'"));
    }
}

fn mutate(bytes: &mut Vec<u8>, random: &mut fastrand::Rng) {
    let at = random.usize(0..bytes.len());
    let end = (at + random.usize(0..30)).min(bytes.len());
    match random.u8(0..5) {
        0 => bytes[at] = random.u8(..),
        1 => bytes.insert(at, *random.choice(b"\"'[]{}=,.#\n%*9").unwrap_or(&b'x')),
        2 => drop(bytes.drain(at..end)),
        3 => bytes.extend_from_within(at..end),
        _ => {
            let piece = bytes[at..end].to_vec();
            let to = random.usize(0..bytes.len());
            bytes.splice(to..to, piece);
        }
    }
}
