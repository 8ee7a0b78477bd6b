//! `[[route]]`: from the table as written to the route as meant.

use std::sync::Arc;

use super::{
    conditions::{self, Conditions},
    diagnostic::{Diagnostic, Place},
    header_rules::{self, HeaderRules},
    model::{Action, HostMatch, PathMatch, Respond, Route},
    name,
    reader::{Field, Shape, Table},
    redirect, rewrite,
};

pub(super) static ROUTE: Shape = Shape {
    name: "[[route]]",
    keys: &[
        "name",
        "listener",
        "host",
        "path",
        "exact",
        "methods",
        "headers",
        "query",
        "cookies",
        "strip_prefix",
        "replace_prefix",
        "request_headers",
        "response_headers",
        "pool",
        "redirect",
        "respond",
    ],
};

pub(super) static RESPOND: Shape =
    Shape { name: "`respond` of [[route]]", keys: &["status", "body", "content_type"] };

/// A longer body is a file, not an answer in a configuration.
const LONGEST_BODY: usize = 64 << 10;

/// A route as far as it could be read, and the places that only the whole file can judge.
pub(super) struct WrittenRoute {
    pub place: Place,
    pub name: Option<(Arc<str>, Place)>,
    pub listener: Option<(Arc<str>, Place)>,
    pub pool: Option<(Arc<str>, Place)>,
    pub host: Option<HostMatch>,
    pub path: Option<PathMatch>,
    pub conditions: Option<Conditions>,
    replace_prefix: Option<String>,
    request_headers: HeaderRules,
    response_headers: HeaderRules,
    action: Option<Action>,
}

impl WrittenRoute {
    /// Where a request is looked for first; two routes with the same are a tie unless their
    /// conditions tell them apart.
    pub fn key(&self) -> Option<(Option<&str>, &HostMatch, &PathMatch)> {
        let listener = self.listener.as_ref().map(|(name, _)| name.as_ref());
        Some((listener, self.host.as_ref()?, self.path.as_ref()?))
    }

    /// Whether a request could meet the conditions of both and neither comes first; asked of two
    /// with the same key.
    pub fn ties_with(&self, other: &WrittenRoute) -> bool {
        match (&self.conditions, &other.conditions) {
            (Some(ours), Some(theirs)) => ours.count() == theirs.count() && !ours.exclude(theirs),
            _ => false,
        }
    }

    pub fn has_conditions(&self) -> bool {
        self.conditions.as_ref().is_some_and(|conditions| !conditions.is_empty())
    }

    /// The name as written, or made of what the route matches.
    pub fn label(&self) -> Option<Arc<str>> {
        if let Some((name, _)) = &self.name {
            return Some(name.clone());
        }
        let (listener, host, path) = self.key()?;
        let conditions = self.conditions.as_ref()?.label();
        Some((default_name(listener, host, path) + &conditions).into())
    }

    /// `None` where something could not be read, which has been told.
    pub fn meant(&self) -> Option<Route> {
        Some(Route {
            name: self.label()?,
            listener: self.listener.as_ref().map(|(name, _)| name.clone()),
            host: self.host.clone()?,
            path: self.path.clone()?,
            conditions: self.conditions.clone()?,
            replace_prefix: self.replace_prefix.clone(),
            request_headers: self.request_headers.clone(),
            response_headers: self.response_headers.clone(),
            action: self.action.clone()?,
        })
    }
}

/// Made of the route alone, so that a label doesn't change when another route comes or goes.
fn default_name(listener: Option<&str>, host: &HostMatch, path: &PathMatch) -> String {
    let listener = listener.map(|name| format!("{name} ")).unwrap_or_default();
    match (host, path) {
        (HostMatch::Any, PathMatch::Prefix(path)) if path == "/" => format!("{listener}*"),
        (host, path) => format!("{listener}{host}{path}"),
    }
}

pub(super) fn read(field: &Field<'_>) -> Option<WrittenRoute> {
    let table = field.table(&ROUTE)?;
    let (action, pool) = action(&table);
    let path = path(&table);
    Some(WrittenRoute {
        place: table.place(),
        name: table.field("name").and_then(|field| named(&field)),
        listener: table.field("listener").and_then(|field| reference(&field)),
        pool,
        host: host(&table),
        replace_prefix: rewrite::read(&table, path.as_ref()),
        path,
        conditions: conditions::read(&table),
        request_headers: request_headers(&table),
        response_headers: header_rules::of_responses(&table),
        action,
    })
}

/// Only what is forwarded has a request for a backend.
fn request_headers(table: &Table<'_>) -> HeaderRules {
    let rules = header_rules::of_requests(table);
    let action = ["redirect", "respond"].into_iter().find(|key| table.field(key).is_some());
    if let (Some(field), Some(action)) = (table.field("request_headers"), action) {
        let message = "`request_headers` on a route that forwards nothing";
        let help =
            format!("remove it, or write `response_headers` to change what `{action}` sends");
        field.tell(Diagnostic::at(field.key_place, message).help(help));
    }
    rules
}

fn named(field: &Field<'_>) -> Option<(Arc<str>, Place)> {
    let name = field.judge(name::route_name(field.text()?))?;
    Some((Arc::from(name), field.place()))
}

fn reference(field: &Field<'_>) -> Option<(Arc<str>, Place)> {
    Some((Arc::from(field.text()?), field.place()))
}

fn host(table: &Table<'_>) -> Option<HostMatch> {
    match table.field("host") {
        None => Some(HostMatch::Any),
        Some(field) => field.judge(name::host_match(field.text()?)),
    }
}

fn path(table: &Table<'_>) -> Option<PathMatch> {
    let path = |field: &Field<'_>| Some(field.judge(name::route_path(field.text()?))?.to_owned());
    match (table.field("path"), table.field("exact")) {
        (None, None) => Some(PathMatch::Prefix("/".to_owned())),
        (Some(prefix), None) => path(&prefix).map(PathMatch::Prefix),
        (None, Some(exact)) => path(&exact).map(PathMatch::Exact),
        (Some(prefix), Some(exact)) => {
            let message = "a route with both `path` and `exact`";
            let help = "keep `path` for all below it, or `exact` for the one";
            exact.tell(
                Diagnostic::at(exact.key_place, message)
                    .beside(prefix.key_place, "`path`")
                    .help(help),
            );
            None
        }
    }
}

/// The one action, and the pool it names.
fn action(table: &Table<'_>) -> (Option<Action>, Option<(Arc<str>, Place)>) {
    let fields = ["pool", "redirect", "respond"].map(|key| table.field(key));
    let present: Vec<&Field<'_>> = fields.iter().flatten().collect();
    match present.as_slice() {
        [] => {
            let help =
                r#"expected one of pool = "NAME", redirect = "URL" or respond = { status = 404 }"#;
            let message = "a route without an action";
            let diagnostic = Diagnostic::at(table.place(), message).help(help);
            table.findings().missing(diagnostic);
        }
        [_] => {}
        [first, second, ..] => {
            let message = format!("a route with two actions, `{}` and `{}`", first.key, second.key);
            let help = "keep one: a route does one thing";
            table.findings().add(Diagnostic::at(second.key_place, message).help(help));
        }
    }
    let [pool, redirect_to, answer] = fields;
    let pool = pool.and_then(|field| reference(&field));
    let action = None
        .or_else(|| Some(Action::Pool(pool.as_ref()?.0.clone())))
        .or_else(|| redirect::read(redirect_to.as_ref()?).map(Action::Redirect))
        .or_else(|| respond(answer.as_ref()?).map(Action::Respond));
    (action, pool)
}

fn respond(field: &Field<'_>) -> Option<Respond> {
    let table = field.table(&RESPOND)?;
    let body = match table.field("body") {
        None => Some(""),
        Some(field) => field.text().and_then(|text| field.judge(short_enough(text))),
    };
    let content_type = match table.field("content_type") {
        None => Some("text/plain; charset=utf-8"),
        Some(field) => field.text().and_then(|text| field.judge(media_type(text))),
    };
    let status = table.required("status", "expected the status to answer with: status = 503")?;
    let code = status.integer(200..=599)?;
    if matches!(code, 204 | 205 | 304) && body.is_some_and(|body| !body.is_empty()) {
        status.fail(format!("an answer with status {code} has no body"), "remove `body`");
    }
    Some(Respond { status: code, body: body?.to_owned(), content_type: content_type?.to_owned() })
}

fn short_enough(text: &str) -> Result<&str, String> {
    let expected = || "expected at most 64KiB".to_owned();
    (text.len() <= LONGEST_BODY).then_some(text).ok_or_else(expected)
}

fn media_type(text: &str) -> Result<&str, String> {
    let visible = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    let valid = visible && text.contains('/') && text.trim() == text && text.len() <= 255;
    let expected = || r#"expected a media type such as "application/json""#.to_owned();
    valid.then_some(text).ok_or_else(expected)
}
