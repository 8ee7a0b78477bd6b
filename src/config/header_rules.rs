//! `request_headers` and `response_headers` of a route.

use std::collections::HashSet;

use super::{
    conditions::is_token,
    diagnostic::{Diagnostic, Place},
    reader::{Field, Shape, Table},
    suggest,
    template::{Piece, Template, Variable},
    words::Words,
};

/// What is changed about the fields of a head on its way. Names as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderRules {
    /// Takes the place of what came under the name.
    pub set: Vec<(String, Template)>,
    /// Stands beside what came; a name may stand several times.
    pub add: Vec<(String, Template)>,
    pub remove: Vec<String>,
}

impl HeaderRules {
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }

    /// Whether a field of this name, in lower case, is set or added.
    pub fn writes(&self, name: &str) -> bool {
        self.set.iter().chain(&self.add).any(|(written, _)| written.eq_ignore_ascii_case(name))
    }
}

pub(super) static REQUEST_HEADERS: Shape =
    Shape { name: "`request_headers` of [[route]]", keys: &["set", "add", "remove"] };

pub(super) static RESPONSE_HEADERS: Shape =
    Shape { name: "`response_headers` of [[route]]", keys: &["set", "add", "remove"] };

/// Names that are ours, with what to write instead.
type Owned = [(&'static [&'static str], &'static str)];

const OF_ONE_HOP: (&[&str], &str) = (
    &[
        "connection",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "content-length",
        "te",
        "trailer",
        "upgrade",
        "http2-settings",
        "proxy-authenticate",
        "proxy-authorization",
    ],
    "it says how one connection carries the message, and is written anew for each",
);

static OWNED_IN_REQUESTS: &Owned = &[
    OF_ONE_HOP,
    (&["host"], "`host_header` of the pool says what backends get as Host"),
    (&["expect"], "it is between the client and the backend"),
    (&["proxy"], "it never reaches a backend: CGI programs take it for a setting"),
    (
        &[
            "x-client-cert-subject",
            "x-client-cert-fingerprint",
            "x-client-cert-verify",
            "client-cert",
            "client-cert-chain",
        ],
        "`client_certificates` of the listener sets what is said of a client's certificate",
    ),
    (
        &[
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-port",
            "x-forwarded-proto",
            "x-request-id",
        ],
        "it is always set; `trusted_proxies` of the listener says whose word in it is kept",
    ),
];

static OWNED_IN_RESPONSES: &Owned = &[
    OF_ONE_HOP,
    (&["date"], "it is the backend's, and set where it lacks"),
    (&["strict-transport-security"], "`hsts` of the listener sets it"),
];

pub(super) fn of_requests(route: &Table<'_>) -> HeaderRules {
    of(route, "request_headers", &REQUEST_HEADERS, OWNED_IN_REQUESTS)
}

pub(super) fn of_responses(route: &Table<'_>) -> HeaderRules {
    of(route, "response_headers", &RESPONSE_HEADERS, OWNED_IN_RESPONSES)
}

fn of(
    route: &Table<'_>,
    key: &'static str,
    shape: &'static Shape,
    owned: &'static Owned,
) -> HeaderRules {
    let Some(field) = route.field(key) else {
        return HeaderRules::default();
    };
    let field = if field.is_table() { field } else { field.secret() };
    field.table(shape).map(|table| rules(&table, owned)).unwrap_or_default()
}

fn rules(table: &Table<'_>, owned: &'static Owned) -> HeaderRules {
    let named = |key| {
        let field = table.field(key).map(Field::secret);
        field.and_then(|field| field.entries()).unwrap_or_default()
    };
    let mut seen = HashSet::new();
    let mut set = Vec::new();
    for entry in named("set") {
        let name = Name { text: entry.key, place: entry.key_place };
        check_name(&entry, name, owned);
        check_once(&entry, name, &mut seen);
        set.extend(value(&entry).map(|value| (entry.key.to_owned(), value)));
    }
    let mut add = Vec::new();
    for entry in named("add") {
        check_name(&entry, Name { text: entry.key, place: entry.key_place }, owned);
        let items = entry.as_items().unwrap_or_else(|| vec![entry.again()]);
        add.extend(items.iter().filter_map(value).map(|value| (entry.key.to_owned(), value)));
    }
    let mut remove = Vec::new();
    if let Some(field) = table.field("remove") {
        for item in field.as_items().unwrap_or_else(|| vec![field.again()]) {
            let Some(text) = item.text() else {
                continue;
            };
            let name = Name { text, place: item.place() };
            check_name(&item, name, owned);
            check_once(&item, name, &mut seen);
            remove.push(text.to_owned());
        }
    }
    // The order of a table has no meaning.
    set.sort_by(|a, b| a.0.cmp(&b.0));
    add.sort_by(|a, b| a.0.cmp(&b.0));
    remove.sort_unstable();
    HeaderRules { set, add, remove }
}

/// Backends that can't tell `X_A` from `X-A` are not to be told both.
fn plain(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

/// A header's name, and where it stands.
#[derive(Clone, Copy)]
struct Name<'a> {
    text: &'a str,
    place: Place,
}

fn check_name(entry: &Field<'_>, name: Name<'_>, owned: &'static Owned) {
    let Name { text, place } = name;
    let plain = plain(text);
    let is_ours = |(names, _): &&(&[&str], &str)| names.contains(&plain.as_str());
    let trouble = match owned.iter().find(is_ours) {
        Some((_, remedy)) => Some((format!("`{text}` is not a route's to change"), *remedy)),
        None if is_token(text) => None,
        None => Some((
            format!("`{text}` is no name of a header"),
            "expected letters, digits and hyphens, such as \"X-Frame-Options\"",
        )),
    };
    if let Some((message, help)) = trouble {
        entry.tell(Diagnostic::at(place, message).help(help));
    }
}

fn check_once(entry: &Field<'_>, name: Name<'_>, seen: &mut HashSet<String>) {
    if !seen.insert(plain(name.text)) {
        let message = format!("`{}` is set or removed twice", name.text);
        let help = "keep one; upper and lower case, and `_` and `-`, are the same here";
        entry.tell(Diagnostic::at(name.place, message).help(help));
    }
}

/// What a text with a wrong variable is told, without that piece of it: it may be secret.
fn no_template(text: &str) -> String {
    let known = || Variable::WORDS.iter().map(|(word, _)| *word);
    let braced = text.split_inclusive('}').filter_map(|piece| piece.get(piece.rfind('{')?..));
    let meant = braced.filter(|name| !known().any(|word| word == *name));
    match meant.filter_map(|name| suggest::one_slip(name, known())).next() {
        Some(word) => format!("did you mean `{word}`?"),
        None => "expected no variables but {scheme}, {host}, {port}, {path}, {query}, \
                 {request_id} and {client}; a brace of its own is written twice, `{{` or `}}`"
            .to_owned(),
    }
}

/// A field's value (RFC 9110, section 5.5), as strict as the one that is let in.
fn value(entry: &Field<'_>) -> Option<Template> {
    let text = entry.text()?;
    if text.is_empty() {
        let message = format!("an empty value for `{}`", entry.key);
        entry.fail(message, format!("to take it away write remove = [\"{}\"]", entry.key));
        return None;
    }
    let template = entry.judge(Template::parse(text).map_err(|_| no_template(text)))?;
    let fits = |piece: &Piece| match piece {
        Piece::Text(text) => text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()),
        Piece::Variable(_) => true,
    };
    let valid = text.trim() == text && template.pieces().iter().all(fits);
    let expected = "expected visible ASCII characters, and no space at either end".to_owned();
    entry.judge(valid.then_some(template).ok_or(expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_backends_may_read_them() {
        assert_eq!(plain("X_Forwarded-For"), "x-forwarded-for");
        for (names, remedy) in OWNED_IN_REQUESTS.iter().chain(OWNED_IN_RESPONSES) {
            assert!(names.iter().all(|name| plain(name) == *name), "{names:?}");
            assert!(remedy.len() > 20, "{remedy}");
        }
    }
}
