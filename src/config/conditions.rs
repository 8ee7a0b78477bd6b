//! What a route asks of a request besides its host and path: methods, headers, query and cookies.

use std::collections::HashSet;

use super::{
    diagnostic::Diagnostic,
    reader::{Field, Table},
    suggest,
};

/// All of them have to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Any of these; empty: every method.
    pub methods: Vec<String>,
    /// By the field's name in lower case.
    pub headers: Vec<Condition>,
    /// By the decoded key.
    pub query: Vec<Condition>,
    /// By the cookie's name, which is case-sensitive.
    pub cookies: Vec<Condition>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub key: String,
    pub wanted: Wanted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    Present,
    Absent,
    /// This value and no other.
    Is(String),
}

impl Conditions {
    /// Of two routes for the same host and path, the one with more conditions is asked first.
    pub fn count(&self) -> usize {
        let methods = usize::from(!self.methods.is_empty());
        methods + self.headers.len() + self.query.len() + self.cookies.len()
    }

    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Whether no request can meet both: their methods, or what they want of one key, differ.
    pub fn exclude(&self, other: &Conditions) -> bool {
        let both = !self.methods.is_empty() && !other.methods.is_empty();
        let methods_differ = both && !self.methods.iter().any(|it| other.methods.contains(it));
        methods_differ
            || any_excludes(&self.headers, &other.headers)
            || any_excludes(&self.query, &other.query)
            || any_excludes(&self.cookies, &other.cookies)
    }

    /// The conditions in short, for the name of a route.
    pub fn label(&self) -> String {
        self.words().iter().map(|word| format!(" {word}")).collect()
    }

    /// Each in short: `GET|HEAD`, `header:x-canary`; without values, which may be secrets.
    pub fn words(&self) -> Vec<String> {
        let methods = (!self.methods.is_empty()).then(|| self.methods.join("|"));
        let of_kind = |kind, conditions: &[Condition]| {
            conditions.iter().map(move |it| format!("{kind}:{}", it.key)).collect::<Vec<_>>()
        };
        let keys = [
            of_kind("header", &self.headers),
            of_kind("query", &self.query),
            of_kind("cookie", &self.cookies),
        ];
        methods.into_iter().chain(keys.into_iter().flatten()).collect()
    }
}

fn any_excludes(ours: &[Condition], theirs: &[Condition]) -> bool {
    ours.iter().any(|our| {
        let same_key = |their: &&Condition| their.key == our.key;
        theirs.iter().find(same_key).is_some_and(|their| our.wanted.excludes(&their.wanted))
    })
}

impl Wanted {
    /// A key that comes with several values meets no `Is`, or its request is refused.
    fn excludes(&self, other: &Wanted) -> bool {
        match (self, other) {
            (Wanted::Absent, Wanted::Present | Wanted::Is(_))
            | (Wanted::Present | Wanted::Is(_), Wanted::Absent) => true,
            (Wanted::Is(ours), Wanted::Is(theirs)) => ours != theirs,
            (Wanted::Absent, Wanted::Absent)
            | (Wanted::Present, Wanted::Present | Wanted::Is(_))
            | (Wanted::Is(_), Wanted::Present) => false,
        }
    }
}

/// `None` where something could not be read, which has been told.
pub(super) fn read(route: &Table<'_>) -> Option<Conditions> {
    let table = |key: &'static str, judge: Judge| match route.field(key) {
        Some(field) => conditions(&field.secret(), judge),
        None => Some(Vec::new()),
    };
    let methods = route.field("methods").map_or(Some(Vec::new()), |field| methods(&field));
    let headers = table("headers", Judge { key: header, value: header_value });
    let query = table("query", Judge { key: query_key, value: any_value });
    let cookies = table("cookies", Judge { key: cookie, value: cookie_value });
    Some(Conditions { methods: methods?, headers: headers?, query: query?, cookies: cookies? })
}

/// In the order of the alphabet, each once.
fn methods(field: &Field<'_>) -> Option<Vec<String>> {
    let items = field.as_items().unwrap_or_else(|| vec![field.again()]);
    if items.is_empty() {
        field.fail("`methods` is empty", "leave it out to take every method");
        return None;
    }
    let method = |item: &Field<'_>| Some(item.judge(method(item.text()?))?.to_owned());
    let mut methods = all(items.iter().map(method))?;
    methods.sort_unstable();
    methods.dedup();
    Some(methods)
}

/// All of them, or `None`; each is read, so that each error is told.
fn all<T>(read: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    let read: Vec<Option<T>> = read.collect();
    read.into_iter().collect()
}

/// RFC 9110, section 9.1.
fn method(text: &str) -> Result<&str, String> {
    const USUAL: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];
    let upper = text.to_ascii_uppercase();
    if text == "CONNECT" {
        return Err("CONNECT is not served".to_owned());
    }
    if upper != text && USUAL.contains(&upper.as_str()) {
        return Err(format!("methods are case-sensitive: write \"{upper}\""));
    }
    is_token(text).then_some(text).ok_or_else(|| suggest::did_you_mean(text, USUAL))
}

/// What may stand as a key of one kind, and what as its value: in the form that is compared.
#[derive(Clone, Copy)]
struct Judge {
    key: fn(&str) -> Result<String, String>,
    value: fn(&str) -> Result<(), String>,
}

/// In the order of the alphabet, each key once.
fn conditions(field: &Field<'_>, judge: Judge) -> Option<Vec<Condition>> {
    let entries = field.entries()?;
    let mut conditions = all(entries.iter().map(|entry| condition(entry, judge)))?;
    let mut seen = HashSet::new();
    for (entry, condition) in entries.iter().zip(&conditions) {
        if !seen.insert(&condition.key) {
            let message = format!("`{}` is in `{}` twice", condition.key, field.key);
            let help = "upper and lower case are the same here: keep one";
            entry.tell(Diagnostic::at(entry.key_place, message).help(help));
        }
    }
    conditions.sort_by(|a, b| a.key.cmp(&b.key));
    Some(conditions)
}

fn condition(entry: &Field<'_>, judge: Judge) -> Option<Condition> {
    let key = match (judge.key)(entry.key) {
        Ok(key) => key,
        Err(help) => {
            let message = format!("`{}` can't be matched", entry.key);
            entry.tell(Diagnostic::at(entry.key_place, message).help(help));
            return None;
        }
    };
    let wanted = match (entry.as_boolean(), entry.as_text()) {
        (Some(true), _) => Ok(Wanted::Present),
        (Some(false), _) => Ok(Wanted::Absent),
        (None, Some(text)) => (judge.value)(text).map(|()| Wanted::Is(text.to_owned())),
        (None, None) => Err("expected its value in quotes, true for present, or false for \
                             absent"
            .to_owned()),
    };
    Some(Condition { key, wanted: entry.judge(wanted)? })
}

fn header(name: &str) -> Result<String, String> {
    let name = name.to_ascii_lowercase();
    match name.as_str() {
        "host" => Err("write `host` of the route instead".to_owned()),
        "cookie" => Err("write `cookies = { NAME = true }` instead".to_owned()),
        name if is_token(name) => Ok(name.to_owned()),
        _ => Err("expected a header name such as \"X-Canary\"".to_owned()),
    }
}

fn header_value(value: &str) -> Result<(), String> {
    let expected = "expected a value without control characters, and without white space around it";
    let plain = !value.chars().any(char::is_control) && value.trim() == value;
    plain.then_some(()).ok_or_else(|| expected.to_owned())
}

fn query_key(key: &str) -> Result<String, String> {
    if key.is_empty() {
        return Err("expected a key of the query, decoded, such as \"debug\"".to_owned());
    }
    Ok(key.to_owned())
}

fn any_value(_: &str) -> Result<(), String> {
    Ok(())
}

fn cookie(name: &str) -> Result<String, String> {
    let expected = || "expected the name of a cookie such as \"canary\"".to_owned();
    is_token(name).then(|| name.to_owned()).ok_or_else(expected)
}

/// RFC 6265, section 4.1.1, but with the spaces and commas that applications send all the same.
fn cookie_value(value: &str) -> Result<(), String> {
    header_value(value)?;
    let expected = || "expected the value of a cookie, which holds no `;`".to_owned();
    (!value.contains(';')).then_some(()).ok_or_else(expected)
}

/// RFC 9110, section 5.6.2.
pub(super) fn is_token(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn of(route: &str) -> Conditions {
        let text = format!(
            "[listener.web]\nbind = \"0.0.0.0:80\"\n[[route]]\nrespond = {{ status = 200 }}\n{route}"
        );
        let config = crate::config::parse(&text, Path::new("e.toml"));
        config.unwrap_or_else(|errors| panic!("{errors}")).routes[0].conditions.clone()
    }

    #[test]
    fn conditions_are_kept_in_one_order() {
        let one = of("methods = [\"POST\", \"GET\"]\nheaders = { X-B = \"1\", x-a = true }");
        let other =
            of("methods = [\"GET\", \"POST\", \"GET\"]\nheaders = { X-A = true, x-b = \"1\" }");
        assert_eq!(one, other);
        assert_eq!(one.count(), 3);
        assert_eq!(one.label(), " GET|POST header:x-a header:x-b");
        assert_eq!(of("methods = \"GET\"").methods, ["GET"]);
        assert!(of("").is_empty());
    }

    #[test]
    fn what_no_request_can_meet_twice() {
        // What one route has, what the other, whether they exclude each other.
        for (one, other, expected) in [
            ("", "", false),
            ("methods = \"GET\"", "methods = \"POST\"", true),
            ("methods = \"GET\"", "methods = [\"GET\", \"POST\"]", false),
            ("methods = \"GET\"", "headers = { a = true }", false),
            ("headers = { a = \"1\" }", "headers = { A = \"2\" }", true),
            ("headers = { a = \"1\" }", "headers = { a = \"1\" }", false),
            ("headers = { a = \"1\" }", "headers = { a = true }", false),
            ("headers = { a = \"1\" }", "headers = { a = false }", true),
            ("headers = { a = true }", "headers = { a = false }", true),
            ("headers = { a = \"1\" }", "headers = { b = \"2\" }", false),
            ("headers = { a = \"1\" }", "query = { a = \"2\" }", false),
            ("query = { a = \"1\" }", "query = { A = \"2\" }", false),
            ("query = { a = \"1\", b = true }", "query = { a = true, b = false }", true),
            ("cookies = { a = \"1\" }", "cookies = { a = \"2\" }", true),
        ] {
            assert_eq!(of(one).exclude(&of(other)), expected, "{one} | {other}");
            assert_eq!(of(other).exclude(&of(one)), expected, "{other} | {one}");
        }
    }
}
