//! The file people write: from text to meaning, and every error of it told at once.
//!
//! - `model` what a configuration means; `default`, `words` its defaults and its words
//! - `reader` tables and fields with their places; `value`, `name`, `network`, `pattern` what stands in
//!   them
//! - `top`, `listener`, `tls`, `route`, `files`, `pool`, `hash`, `sticky`, `health` a table each; `whole`
//!   how they fit together
//! - `action`, `bounds`, `compress`, `conditions`, `error_pages`, `fastcgi`, `header_rules`, `mirror`,
//!   `redirect`, `rewrite` parts of a route; `template` a text with variables
//! - `pool_tls` a pool's TLS, as `tls` is a listener's; `tcp` a listener that relays bytes
//! - `diagnostic`, `excerpt`, `suggest` how an error is told; `grammar` of no valid TOML; `secret` what no error shows
//! - `file` how what it names is opened
//! - `diff`, `notes` two configurations compared, one looked at

mod action;
mod bounds;
mod breaker;
mod compress;
mod conditions;
mod default;
mod diagnostic;
mod diff;
mod error_pages;
mod excerpt;
mod fastcgi;
pub mod file;
mod files;
mod grammar;
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
pub mod pattern;
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
pub use fastcgi::Fastcgi;
pub use header_rules::HeaderRules;
pub use mirror::Mirror;
pub use model::*;
pub use notes::notes;
pub use template::{Piece, Template, Variable};
pub use words::Words;

use grammar::Grammar;
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
    let grammar = Grammar::of(text, &syntax);
    let folder = file.parent().unwrap_or(Path::new(""));
    let findings = Findings::new(folder, !grammar.errors.is_empty());
    let top = Table::new(tree.get_ref(), Place::default(), &top::TOP, &findings);
    let config = whole::read(&top);
    let (mut found, mut secrets) = findings.into_lists();
    found.retain(|error| !grammar.explains(error));
    if !grammar.errors.is_empty() {
        secrets.extend(secret::guessed(text));
    }
    let source = Source::new(file, text).hiding(secrets);
    if grammar.errors.is_empty() && found.is_empty() {
        return Ok(Loaded { config, source });
    }
    Err(Errors::with_syntax(source, grammar.errors, found))
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
    &fastcgi::FASTCGI,
    &mirror::MIRROR,
    &compress::OF_ROUTE,
    &compress::OF_FILES,
    &bounds::LIMITS,
    &bounds::TIMEOUTS,
    &header_rules::REQUEST_HEADERS,
    &header_rules::RESPONSE_HEADERS,
    &files::FILES,
    &files::TRY,
    &files::READS,
    &files::CACHE_CONTROL,
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
