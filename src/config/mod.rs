//! The file people write: from text to meaning, and every error of it told at once.
//!
//! - `model` what a configuration means; `default`, `words` its defaults and its words
//! - `reader` tables and fields with their places; `value`, `name`, `network` what stands in them
//! - `top`, `listener`, `tls`, `route`, `pool`, `hash`, `sticky`, `health` a table each; `whole`
//!   how they fit together
//! - `action`, `bounds`, `conditions`, `error_pages`, `header_rules`, `mirror`, `redirect`, `rewrite` parts of
//!   a route;
//!   `template` a text with variables
//! - `pool_tls` a pool's TLS, as `tls` is a listener's; `tcp` a listener that relays bytes
//! - `diagnostic`, `excerpt`, `suggest` how an error is told; `secret` what no error shows
//! - `file` how what it names is opened
//! - `diff`, `notes` two configurations compared, one looked at

mod action;
mod bounds;
mod breaker;
mod conditions;
mod default;
mod diagnostic;
mod diff;
mod error_pages;
mod excerpt;
pub mod file;
mod hash;
mod header_rules;
mod health;
mod hedge;
mod listener;
mod mirror;
mod model;
mod name;
pub mod network;
mod notes;
mod pool;
mod pool_tls;
mod reader;
mod redirect;
mod resolver;
mod rewrite;
mod route;
mod secret;
mod sticky;
mod suggest;
mod tcp;
mod template;
#[cfg(test)]
mod tests;
mod tls;
mod top;
mod value;
mod whole;
mod words;

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use toml::de::DeTable;

pub use bounds::RouteBounds;
pub use conditions::{Condition, Conditions, Wanted};
pub use diagnostic::{Diagnostic, Errors, Place, Source};
pub use diff::{Change, diff};
pub use error_pages::{ErrorPage, PageKind, Statuses};
pub use header_rules::HeaderRules;
pub use mirror::Mirror;
pub use model::*;
pub use notes::notes;
pub use template::{Piece, Template, Variable};
pub use words::Words;

use reader::{Findings, Shape, Table};

/// A larger file is no configuration.
const LARGEST_FILE: u64 = 4 << 20;

/// The next step where the default, or what was typed, leads nowhere.
const NAME_ANOTHER: &str = "write one there, or name yours with --config FILE";

const OPEN_IT: &str = "it must be readable by this user, and its directories open to it";

/// A configuration, and the text it came from: what a later error needs to show its place.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    pub source: Source,
}

/// Reads a file. That it is missing or unreadable is an error as any other.
pub fn load(path: &Path) -> Result<Loaded, Errors> {
    let whole_file = |message: String, help: &str| {
        let source = Source::new(path, "");
        Errors::new(source, vec![Diagnostic::of_file(message).help(help)])
    };
    let bytes = read_bounded(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => whole_file("there is no such file".to_owned(), NAME_ANOTHER),
        io::ErrorKind::PermissionDenied => {
            whole_file("can't be read: permission denied".to_owned(), OPEN_IT)
        }
        io::ErrorKind::IsADirectory => {
            whole_file("this is a directory".to_owned(), "expected the file itself")
        }
        _ => whole_file(format!("can't be read: {error}"), ""),
    })?;
    if bytes.len() as u64 > LARGEST_FILE {
        let expected = "expected a configuration of at most 4MiB";
        return Err(whole_file("the file is too large".to_owned(), expected));
    }
    let text = String::from_utf8(bytes).map_err(|error| not_utf8(path, &error))?;
    understand(&text, path)
}

/// Reads a text as the content of `file`, from whose folder relative paths start. Touches no file.
///
/// The number of cores, the default of `workers`, is all it takes from outside.
pub fn parse(text: &str, file: &Path) -> Result<Config, Errors> {
    understand(text, file).map(|loaded| loaded.config)
}

fn understand(text: &str, file: &Path) -> Result<Loaded, Errors> {
    let (tree, syntax) = DeTable::parse_recoverable(text);
    let last = unclosed_array(&syntax).unwrap_or(text.len());
    let syntax = syntax.iter().map(|error| syntax_error(text, error));
    let syntax: Vec<Diagnostic> = syntax.filter(|error| !error.is_behind(last)).collect();
    let folder = file.parent().unwrap_or(Path::new(""));
    let findings = Findings::new(folder, !syntax.is_empty());
    let top = Table::new(tree.get_ref(), Place::default(), &top::TOP, &findings);
    let config = whole::read(&top);
    let (mut found, mut secrets) = findings.into_lists();
    found.retain(|error| !error.is_behind(last));
    if !syntax.is_empty() {
        secrets.extend(secret::guessed(text));
    }
    let source = Source::new(file, text).hiding(secrets);
    if syntax.is_empty() && found.is_empty() {
        return Ok(Loaded { config, source });
    }
    Err(Errors::with_syntax(source, syntax, found))
}

/// Every table the reader knows, as people write it, with its keys. The top's name is empty.
pub fn known_keys() -> Vec<(&'static str, &'static [&'static str])> {
    SHAPES.iter().map(|shape| (shape.name, shape.keys)).collect()
}

static SHAPES: &[&Shape] = &[
    &top::TOP,
    &listener::LISTENER,
    &listener::LIMITS,
    &listener::TIMEOUTS,
    &tls::CERTIFICATE,
    &tls::CLIENT_CERTIFICATES,
    &tls::HSTS,
    &route::ROUTE,
    &redirect::REDIRECT,
    &action::RESPOND,
    &mirror::MIRROR,
    &bounds::LIMITS,
    &bounds::TIMEOUTS,
    &header_rules::REQUEST_HEADERS,
    &header_rules::RESPONSE_HEADERS,
    &pool::POOL,
    &pool::BACKEND,
    &hash::HASH,
    &sticky::STICKY,
    &pool::PASSIVE,
    &pool::RETRY,
    &pool::TIMEOUTS,
    &pool::QUEUE,
    &pool_tls::TLS,
    &breaker::BREAKER,
    &hedge::HEDGE,
    &health::HEALTH,
    &health::RELEASE,
    &resolver::RESOLVER,
    &top::ACCESS_LOG,
    &top::METRICS,
    &top::ADMIN,
];

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn not_utf8(path: &Path, error: &std::string::FromUtf8Error) -> Errors {
    let place = Place::from(error.utf8_error().valid_up_to()..error.utf8_error().valid_up_to());
    let text = String::from_utf8_lossy(error.as_bytes());
    let source = Source::new(path, &text).hiding(secret::guessed(&text));
    let diagnostic = Diagnostic::at(place, "this is no UTF-8");
    Errors::new(source, vec![diagnostic.help("expected a text file in UTF-8")])
}

const UNCLOSED_ARRAY: &str = "unexpected `=` in array";

/// Where an array shows that it was never closed: it takes the rest of the file for its items, and
/// no error behind that place would be one of the file as it was meant.
fn unclosed_array(errors: &[toml::de::Error]) -> Option<usize> {
    let unclosed = errors.iter().find(|error| error.message().starts_with(UNCLOSED_ARRAY))?;
    Some(unclosed.span()?.start)
}

fn syntax_error(text: &str, error: &toml::de::Error) -> Diagnostic {
    let (message, expected) = match error.message().split_once(", expected ") {
        Some((message, "nothing")) => (message, String::new()),
        Some((message, expected)) => (message, format!("expected {expected}")),
        None => (error.message(), String::new()),
    };
    let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or_default();
    let help = match message {
        "duplicate key" if before.ends_with("[[") => {
            "it stands above as one [table]: write [[ and ]] there, too".to_owned()
        }
        "duplicate key" => "a key or a [table] stands once: put both into one".to_owned(),
        "string values must be quoted" | "invalid float" | "invalid datetime" => {
            "a text stands in quotes, such as \"0.0.0.0:80\" or \"5s\"".to_owned()
        }
        UNCLOSED_ARRAY => "the array before it lacks its `]`".to_owned(),
        "invalid basic string" if expected == "expected `\"`" => {
            "the text lacks its closing quote".to_owned()
        }
        _ => expected,
    };
    match error.span() {
        Some(span) => Diagnostic::at(span.into(), message).help(help),
        None => Diagnostic::of_file(message).help(help),
    }
}
