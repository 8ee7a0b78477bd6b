//! The rules of the house that a compiler doesn't hold: who may name whom, how large a file may
//! be, and what no file may say. Each rule is a function from a file to findings, and has a
//! sample that it must catch.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The layers of the design, lowest first. Imports point down; within one layer nobody meets.
const LAYERS: &[&[&str]] = &[
    &["observe", "units"],
    &["config"],
    &["net", "message"],
    &["pool", "policy", "files"],
    &["http", "database", "tcp"],
    &["snapshot", "roll"],
    &["control", "worker"],
    &["cli", "server", "demo", "main", "lib"],
];

/// The commands and the wiring may name all below them and each other.
const TOP_LAYER: usize = 7;

const MAX_LINES: usize = 500;

/// `src/x/y/z.rs` is the deepest file.
const MAX_COMPONENTS: usize = 4;

/// The one file that takes over sockets it did not open.
const UNSAFE_ROOM: &str = "src/net/inherited.rs";

/// Modules that talk to a terminal.
const PRINTING_MODULES: &[&str] = &["cli", "demo", "main"];

/// What stands before code that only tests have.
const TESTS_MARK: &str = "#[cfg(test)]";

/// The only file that may sleep: it holds the tests' one poll loop.
const POLL_LOOP: &str = "tests/e2e/harness/mod.rs";

struct Source {
    /// From the root of the repository, with `/`.
    path: String,
    text: String,
}

#[test]
fn imports_point_down() {
    hold_production(imports);
}

#[test]
fn files_fit_a_few_screens() {
    hold_production(size);
}

#[test]
fn folders_are_two_deep() {
    hold("src", depth);
}

#[test]
fn unsafe_has_one_room() {
    hold("src", unsafe_code);
}

#[test]
fn nothing_is_left_to_do() {
    hold("src", leftovers);
    hold("tests/e2e", leftovers);
}

#[test]
fn only_commands_print() {
    hold_production(printing);
}

#[test]
fn each_ignored_test_says_why() {
    hold("src", bare_ignores);
    hold("tests/e2e", bare_ignores);
}

#[test]
fn end_to_end_tests_wait_for_conditions() {
    hold("tests/e2e", sleeps);
}

fn hold(folder: &str, rule: fn(&Source) -> Vec<String>) {
    hold_in(&sources(folder), rule);
}

/// Holds a rule that files of tests are free of.
fn hold_production(rule: fn(&Source) -> Vec<String>) {
    let mut sources = sources("src");
    let tests: Vec<String> = sources.iter().flat_map(test_files).collect();
    sources.retain(|source| !tests.contains(&source.path));
    hold_in(&sources, rule);
}

#[track_caller]
fn hold_in(sources: &[Source], rule: fn(&Source) -> Vec<String>) {
    let findings: Vec<String> = sources.iter().flat_map(rule).collect();
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

fn imports(source: &Source) -> Vec<String> {
    let own = top_module(&source.path);
    let Some(own_layer) = layer(own) else {
        return vec![format!(
            "{}: module {own} has no layer: give it one in the design and in tests/tidy.rs",
            source.path
        )];
    };
    let code = production_code(&source.text);
    let mut findings = Vec::new();
    for (offset, named) in named_modules(&code, &source.path) {
        let Some(named_layer) = layer(&named) else {
            continue;
        };
        let sibling = named_layer == own_layer && own_layer != TOP_LAYER && named != own;
        let rule = if named_layer > own_layer {
            "imports point down"
        } else if sibling {
            "siblings never meet"
        } else {
            continue;
        };
        findings.push(format!(
            "{}:{}: {own} (layer {own_layer}) names {named} (layer {named_layer}): {rule}",
            source.path,
            line(&code, offset)
        ));
    }
    findings
}

fn size(source: &Source) -> Vec<String> {
    let lines = production_code(&source.text).trim_end().lines().count();
    if lines <= MAX_LINES {
        return Vec::new();
    }
    vec![format!(
        "{}: {lines} lines without its tests; {MAX_LINES} is the limit: split it by job",
        source.path
    )]
}

fn depth(source: &Source) -> Vec<String> {
    if source.path.split('/').count() <= MAX_COMPONENTS {
        return Vec::new();
    }
    vec![format!("{}: deeper than src/x/y/z.rs: move it up", source.path)]
}

fn unsafe_code(source: &Source) -> Vec<String> {
    if source.path == UNSAFE_ROOM {
        return Vec::new();
    }
    let code = bare(&source.text);
    let hits = words(&code).filter(|(_, word)| *word == "unsafe");
    report(source, &code, hits, "unsafe belongs in net/inherited.rs")
}

fn leftovers(source: &Source) -> Vec<String> {
    let text = &source.text;
    let hits = words(text).filter(|(offset, word)| match *word {
        "TODO" | "FIXME" | "XXX" => true,
        "todo" | "unimplemented" | "dbg" => text[offset + word.len()..].starts_with('!'),
        _ => false,
    });
    report(source, text, hits, "finish it, or leave it out")
}

fn printing(source: &Source) -> Vec<String> {
    if PRINTING_MODULES.contains(&top_module(&source.path)) {
        return Vec::new();
    }
    let code = production_code(&source.text);
    let hits = words(&code).filter(|(offset, word)| {
        matches!(*word, "println" | "print" | "eprintln" | "eprint")
            && code[offset + word.len()..].starts_with('!')
    });
    report(source, &code, hits, "say it by tracing or return it")
}

fn bare_ignores(source: &Source) -> Vec<String> {
    let code = bare(&source.text);
    let hits = words(&code).filter(|(offset, word)| {
        *word == "ignore" && code[..*offset].ends_with("#[") && {
            !code[offset + word.len()..].trim_start().starts_with('=')
        }
    });
    report(source, &code, hits, "write #[ignore = \"why\"]")
}

fn sleeps(source: &Source) -> Vec<String> {
    let code = bare(&source.text);
    let allowed = usize::from(source.path == POLL_LOOP);
    let hits = words(&code)
        .filter(|(offset, word)| *word == "sleep" && code[offset + word.len()..].starts_with('('))
        .skip(allowed);
    report(source, &code, hits, "wait for a condition by wait_until")
}

fn report<'a>(
    source: &Source,
    text: &str,
    hits: impl Iterator<Item = (usize, &'a str)>,
    rule: &str,
) -> Vec<String> {
    hits.map(|(offset, word)| format!("{}:{}: {word}: {rule}", source.path, line(text, offset)))
        .collect()
}

/// The files that this one declares as `#[cfg(test)] mod name;`.
fn test_files(source: &Source) -> Vec<String> {
    let code = bare(&source.text);
    let folder = match source.path.rsplit_once('/') {
        Some((folder, "mod.rs" | "lib.rs" | "main.rs")) => folder,
        _ => source.path.trim_end_matches(".rs"),
    };
    let declared = code.match_indices(TESTS_MARK).filter_map(|(at, mark)| {
        let item = code[at + mark.len()..].trim_start();
        let item = item.trim_start_matches("pub(crate) ").strip_prefix("mod ")?;
        let name = item.split([';', '{']).next()?;
        item[name.len()..].starts_with(';').then(|| format!("{folder}/{name}.rs"))
    });
    declared.collect()
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|names| names.contains(&module))
}

/// `src/pool/balance/mod.rs` and `src/pool.rs` are both `pool`.
fn top_module(path: &str) -> &str {
    let below = path.strip_prefix("src/").unwrap_or(path);
    let first = below.split('/').next().unwrap_or(below);
    first.strip_suffix(".rs").unwrap_or(first)
}

/// Modules between the crate's root and the code of this file.
fn module_depth(path: &str) -> usize {
    let below = path.strip_prefix("src/").unwrap_or(path);
    if matches!(below, "main.rs" | "lib.rs") {
        return 0;
    }
    let components = below.split('/').count();
    components - usize::from(below.ends_with("/mod.rs"))
}

/// Each top module that a path of the code names, with where: `crate::x`, `crate::{x::…, y}`,
/// `equipoise::x` (from the binary) and as many `super::` as lead to the crate's root.
fn named_modules(code: &str, path: &str) -> Vec<(usize, String)> {
    let mut roots = vec!["crate::".to_owned(), "equipoise::".to_owned()];
    let depth = module_depth(path);
    if depth > 0 {
        roots.push("super::".repeat(depth));
    }
    let mut named = Vec::new();
    for root in roots {
        for (offset, _) in code.match_indices(&root) {
            let before = code[..offset].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
                continue;
            }
            let start = offset + root.len();
            named.extend(heads(&code[start..]).map(|(at, name)| (start + at, name)));
        }
    }
    named.sort();
    named
}

/// The first words of a path's rest: one, or one for each branch of a group.
fn heads(rest: &str) -> impl Iterator<Item = (usize, String)> {
    let mut found = Vec::new();
    if !rest.starts_with('{') {
        found.extend(words(rest).next().filter(|(at, _)| *at == 0));
        return owned(found);
    }
    let mut nesting = 0;
    let mut expects_head = false;
    for (at, c) in rest.char_indices() {
        match c {
            '{' => nesting += 1,
            '}' => nesting -= 1,
            _ => {}
        }
        if nesting == 0 {
            break;
        }
        if nesting == 1 && (c == '{' || c == ',') {
            expects_head = true;
        } else if expects_head && !c.is_whitespace() {
            expects_head = false;
            found.extend(words(&rest[at..]).next().map(|(_, word)| (at, word)));
        }
    }
    owned(found)
}

fn owned(found: Vec<(usize, &str)>) -> impl Iterator<Item = (usize, String)> + use<> {
    let found: Vec<_> = found.into_iter().map(|(at, name)| (at, name.to_owned())).collect();
    found.into_iter()
}

fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    text.split(move |c| !inside(c))
        .filter(|word| !word.is_empty())
        .map(|word| (word.as_ptr() as usize - text.as_ptr() as usize, word))
}

fn line(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

/// The code without its comments, literals and test modules; lines keep their numbers, but for
/// what follows a test module at the end of a file.
fn production_code(text: &str) -> String {
    let mut code = bare(text);
    while let Some(start) = code.find(TESTS_MARK) {
        let after = start + TESTS_MARK.len();
        let end = item_end(&code[after..]).map_or(code.len(), |length| after + length);
        let blank: String = code[start..end].chars().map(blanked).collect();
        code.replace_range(start..end, &blank);
    }
    code
}

/// Where the item at the start of this code ends: at its closing brace or its semicolon.
fn item_end(code: &str) -> Option<usize> {
    let mut nesting = 0;
    for (at, c) in code.char_indices() {
        match c {
            ';' if nesting == 0 => return Some(at + 1),
            '{' => nesting += 1,
            '}' if nesting == 1 => return Some(at + 1),
            '}' => nesting -= 1,
            _ => {}
        }
    }
    None
}

/// Comments and the insides of literals become spaces.
fn bare(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = at + skipped(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
            continue;
        }
        out.extend(chars[at..end].iter().copied().map(blanked));
        at = end;
    }
    out
}

fn blanked(c: char) -> char {
    if c == '\n' { '\n' } else { ' ' }
}

/// The length of the comment or literal that begins here; 0 where neither does.
fn skipped(chars: &[char], at: usize) -> usize {
    let rest = &chars[at..];
    let inside_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    match rest {
        ['/', '/', ..] => rest.iter().take_while(|c| **c != '\n').count(),
        ['/', '*', ..] => block_comment(rest),
        ['"', ..] => quoted(rest, 1),
        ['r', '"' | '#', ..] if !inside_word => raw_string(rest, 1),
        ['b', 'r', '"' | '#', ..] if !inside_word => raw_string(rest, 2),
        ['\'', '\\', ..] => 2 + rest[2..].iter().skip(1).take_while(|c| **c != '\'').count() + 2,
        ['\'', _, '\'', ..] => 3,
        _ => 0,
    }
}

fn block_comment(rest: &[char]) -> usize {
    let mut nesting = 0;
    let mut at = 0;
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (nesting, at) = (nesting + 1, at + 2),
            ['*', '/', ..] if nesting == 1 => return at + 2,
            ['*', '/', ..] => (nesting, at) = (nesting - 1, at + 2),
            _ => at += 1,
        }
    }
    rest.len()
}

fn quoted(rest: &[char], mut at: usize) -> usize {
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// `r#"…"#`; 0 for a raw identifier.
fn raw_string(rest: &[char], prefix: usize) -> usize {
    let hashes = rest[prefix..].iter().take_while(|c| **c == '#').count();
    let open = prefix + hashes;
    if rest.get(open) != Some(&'"') {
        return 0;
    }
    let closes = |at: &usize| {
        let end = at + 1 + hashes;
        rest[*at] == '"' && end <= rest.len() && rest[at + 1..end].iter().all(|c| *c == '#')
    };
    (open + 1..rest.len()).find(closes).map_or(rest.len(), |at| at + 1 + hashes)
}

fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    collect(&root.join(folder), &mut paths);
    paths.sort();
    assert!(!paths.is_empty(), "{folder} holds no source");
    paths
        .iter()
        .map(|path| Source {
            path: relative(path, root),
            text: fs::read_to_string(path).expect("a source is UTF-8"),
        })
        .collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is readable") {
        let path = entry.expect("the entry is readable").path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

fn relative(path: &Path, root: &Path) -> String {
    let below = path.strip_prefix(root).expect("found below the root");
    below.to_string_lossy().replace('\\', "/")
}

mod samples {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    #[track_caller]
    fn caught(rule: fn(&Source) -> Vec<String>, path: &str, text: &str, expected: &str) {
        let findings = rule(&source(path, text));
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].contains(expected), "{findings:?}");
    }

    #[track_caller]
    fn passed(rule: fn(&Source) -> Vec<String>, path: &str, text: &str) {
        assert_eq!(rule(&source(path, text)), Vec::<String>::new());
    }

    #[test]
    fn an_import_upwards_is_caught() {
        let text = "use std::io;\nuse crate::http::route::Route;\n";
        caught(imports, "src/pool/retry.rs", text, "src/pool/retry.rs:2: ");
        caught(imports, "src/units.rs", "use crate::config::Config;", "down");
        caught(imports, "src/net/tls.rs", "fn f(w: crate::worker::W) {}", "down");
    }

    #[test]
    fn a_meeting_of_siblings_is_caught() {
        let rule = "siblings never meet";
        caught(imports, "src/control/mod.rs", "use crate::worker;", rule);
        caught(imports, "src/worker/mod.rs", "use crate::control::State;", rule);
        caught(imports, "src/net/relay.rs", "use crate::message::Head;", rule);
        caught(imports, "src/http/h1/mod.rs", "use crate::tcp::relay;", rule);
    }

    #[test]
    fn a_group_of_imports_is_read_branch_by_branch() {
        let text = "use crate::{\n    config::{Pool, worker},\n    control::State,\n    net,\n};";
        caught(imports, "src/worker/mod.rs", text, "src/worker/mod.rs:3: ");
    }

    #[test]
    fn a_way_over_super_is_caught() {
        caught(imports, "src/pool/mod.rs", "use super::http::Route;", "down");
        caught(imports, "src/pool/balance/mod.rs", "use super::super::http;", "down");
        caught(imports, "src/pool/retry.rs", "use super::super::{worker, pool};", "down");
        passed(imports, "src/pool/retry.rs", "use super::http::NotTheTopModule;");
    }

    #[test]
    fn imports_downwards_within_and_at_the_top_pass() {
        passed(imports, "src/http/proxy.rs", "use crate::{http::h1, pool, message, observe};");
        passed(imports, "src/server.rs", "use crate::{cli, demo, control, worker};");
        passed(imports, "src/main.rs", "use equipoise::cli;");
    }

    #[test]
    fn tests_comments_and_strings_may_name_anyone() {
        passed(
            imports,
            "src/units.rs",
            "// crate::http\nconst A: &str = \"crate::http\"; /* crate::http */\n\
             #[cfg(test)]\nmod tests {\n    use crate::http;\n}\n",
        );
    }

    #[test]
    fn files_of_tests_are_known_by_their_declaration() {
        let text = "#[cfg(test)]\nmod simulation;\nmod state;\n#[cfg(test)]\nmod tests { mod x; }\n\
                    #[cfg(test)]\npub(crate) mod fixture;";
        let expected = ["src/control/simulation.rs", "src/control/fixture.rs"];
        assert_eq!(test_files(&source("src/control/mod.rs", text)), expected);
        assert_eq!(test_files(&source("src/control.rs", text)), expected);
    }

    #[test]
    fn code_after_a_test_module_is_still_read() {
        let text = "#[cfg(test)]\nmod tests { fn f() { '{'; \"}\"; } }\nuse crate::http;";
        caught(imports, "src/units.rs", text, "src/units.rs:3: ");
    }

    #[test]
    fn a_module_without_a_layer_is_caught() {
        caught(imports, "src/utils.rs", "", "has no layer");
    }

    #[test]
    fn a_long_file_is_caught_and_its_tests_do_not_count() {
        let long = "fn f() {}\n".repeat(MAX_LINES + 1);
        caught(size, "src/cli.rs", &long, "501 lines");
        let tested = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
        passed(size, "src/cli.rs", &tested);
    }

    #[test]
    fn a_deep_file_is_caught() {
        caught(depth, "src/a/b/c/d.rs", "", "deeper");
        passed(depth, "src/a/b/c.rs", "");
    }

    #[test]
    fn unsafe_outside_its_room_is_caught() {
        let text = "fn f() {\n    unsafe { g() }\n}";
        caught(unsafe_code, "src/net/tls.rs", text, "src/net/tls.rs:2: ");
        passed(unsafe_code, UNSAFE_ROOM, text);
        passed(unsafe_code, "src/net/tls.rs", "// unsafe\nconst A: &str = \"unsafe\";");
    }

    #[test]
    fn leftovers_are_caught() {
        caught(leftovers, "src/cli.rs", "// TODO: all of it", "finish");
        caught(leftovers, "src/cli.rs", "// FIXME", "finish");
        caught(leftovers, "src/cli.rs", "dbg!(1);", "finish");
        caught(leftovers, "src/cli.rs", "todo!()", "finish");
        passed(leftovers, "src/cli.rs", "let todo = 1;");
    }

    #[test]
    fn printing_outside_the_commands_is_caught() {
        caught(printing, "src/pool/mod.rs", "println!(\"x\");", "tracing");
        caught(printing, "src/pool/mod.rs", "eprintln!(\"x\");", "tracing");
        passed(printing, "src/cli.rs", "println!(\"x\");");
        passed(printing, "src/demo/mod.rs", "println!(\"x\");");
    }

    #[test]
    fn an_ignore_without_a_reason_is_caught() {
        caught(bare_ignores, "src/cli.rs", "#[test]\n#[ignore]\nfn f() {}", ":2: ");
        passed(bare_ignores, "src/cli.rs", "#[ignore = \"needs root\"]");
    }

    #[test]
    fn a_sleep_in_a_test_is_caught() {
        let text = "std::thread::sleep(d);";
        caught(sleeps, "tests/e2e/reload.rs", text, "wait_until");
        passed(sleeps, POLL_LOOP, text);
        let twice = text.repeat(2);
        caught(sleeps, POLL_LOOP, &twice, "wait_until");
    }
}
