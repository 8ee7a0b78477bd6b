//! What is wrong with the grammar of a file, and which of its other errors only follow from that.

use std::ops::Range;

use super::diagnostic::{Diagnostic, Place};

const UNCLOSED_ARRAY: &str = "unexpected `=` in array";

const DUPLICATE: &str = "duplicate key";

/// What the first line of a file in another language is told.
const THIS_IS_TOML: &str =
    "expected `=`; this file is TOML: `key = value` in each line, under a [table]";

/// The errors of a text's grammar.
#[derive(Default)]
pub(super) struct Grammar {
    pub errors: Vec<Diagnostic>,
    /// Parts of the text that were not read as they were meant.
    unread: Vec<Range<usize>>,
}

impl Grammar {
    pub fn of(text: &str, errors: &[toml::de::Error]) -> Grammar {
        let mut grammar = Grammar::default();
        // An array that is never closed takes the rest of the file for its items, and no error
        // behind that place would be one of the file as it was meant.
        let unclosed = errors.iter().find(|error| error.message().starts_with(UNCLOSED_ARRAY));
        if let Some(span) = unclosed.and_then(toml::de::Error::span) {
            grammar.unread.push(span.start + 1..usize::MAX);
        }
        // Nor in a table that stands above already.
        let twice = errors.iter().filter(|error| error.message() == DUPLICATE);
        let tables = twice.filter_map(|error| body(text, error.span()?.start));
        grammar.unread.extend(tables);
        let mut is_toml = false;
        for error in errors {
            let diagnostic = told(text, error);
            let diagnostic = match error.message().ends_with("expected `=`") && !is_toml {
                true => diagnostic.help(THIS_IS_TOML),
                false => diagnostic,
            };
            is_toml |= error.message().ends_with("expected `=`");
            if !grammar.explains(&diagnostic) {
                grammar.errors.push(diagnostic);
            }
        }
        grammar
    }

    /// Whether an error follows from one of these.
    pub fn explains(&self, error: &Diagnostic) -> bool {
        self.unread.iter().any(|part| error.begins_in(part))
    }
}

fn told(text: &str, error: &toml::de::Error) -> Diagnostic {
    let (message, expected) = match error.message().split_once(", expected ") {
        Some((message, "nothing")) => (message, String::new()),
        Some((message, expected)) => (message, format!("expected {expected}")),
        None => (error.message(), String::new()),
    };
    let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or_default();
    let help = match message {
        DUPLICATE if before.ends_with("[[") => {
            "it stands above as one [table]: write [[ and ]] there, too".to_owned()
        }
        DUPLICATE => "a key or a [table] stands once: put both into one".to_owned(),
        "string values must be quoted" | "invalid float" | "invalid datetime" => {
            "a text stands in quotes, such as \"0.0.0.0:80\" or \"5s\"".to_owned()
        }
        UNCLOSED_ARRAY => "the array before it lacks its `]`".to_owned(),
        "invalid basic string" if expected == "expected `\"`" => {
            "the text lacks its closing quote".to_owned()
        }
        _ => expected,
    };
    let Some(span) = error.span() else {
        return Diagnostic::of_file(message).help(help);
    };
    let first = first(text, span.clone()).filter(|_| message == DUPLICATE);
    let diagnostic = Diagnostic::at(span.into(), message).help(help);
    match first {
        Some(first) => diagnostic.beside(first, "the first"),
        None => diagnostic,
    }
}

/// Each line without its comment and the blanks around it, and where that begins.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut end = 0;
    text.split_inclusive('\n').map(move |line| {
        let begin = end;
        end += line.len();
        let content = line.split('#').next().unwrap_or_default().trim();
        (begin + line.find(content).unwrap_or_default(), content)
    })
}

/// Where a key, or a table, stands first that stands again at `span`. `None`: in no line of its own.
fn first(text: &str, span: Range<usize>) -> Option<Place> {
    let above: Vec<(usize, &str)> = lines(text).take_while(|(at, _)| *at <= span.start).collect();
    let ((_, again), above) = above.split_last()?;
    let found = match again.starts_with('[') {
        true => above.iter().find(|(_, line)| line == again),
        false => {
            let key = text.get(span)?;
            let table = above.iter().rposition(|(_, line)| line.starts_with('[')).unwrap_or(0);
            let is_key = |line: &str| {
                line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='))
            };
            above[table..].iter().find(|(_, line)| is_key(line))
        }
    };
    found.map(|(at, line)| Place::from(*at..*at + line.len()))
}

/// What stands under the table whose header is at `header`. `None`: that is no header.
fn body(text: &str, header: usize) -> Option<Range<usize>> {
    let lines: Vec<(usize, &str)> = lines(text).collect();
    let at = lines.iter().rposition(|(begin, _)| *begin <= header)?;
    if !lines[at].1.starts_with('[') {
        return None;
    }
    let next = lines[at + 1..].iter().find(|(_, line)| line.starts_with('['));
    let (begin, line) = lines[at];
    Some(begin + line.len()..next.map_or(usize::MAX, |(begin, _)| *begin))
}
