//! `[[route]]`: from the table as written to the route as meant.

use std::sync::Arc;

use super::{
    action::{self, WrittenAction},
    bounds, compress,
    conditions::{self, Conditions},
    diagnostic::{Diagnostic, Place},
    error_pages,
    header_rules::{self, HeaderRules},
    mirror::{self, Mirror},
    model::{Action, Compress, HostMatch, PathMatch, Route},
    name,
    reader::{Field, Shape, Table},
    rewrite,
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
        "limits",
        "timeouts",
        "error_pages",
        "mirror",
        "compress",
        "pool",
        "fastcgi",
        "split",
        "files",
        "redirect",
        "respond",
    ],
};

/// A route as far as it could be read, and the places that only the whole file can judge.
pub(super) struct WrittenRoute {
    pub place: Place,
    pub name: Option<(Arc<str>, Place)>,
    pub listener: Option<(Arc<str>, Place)>,
    /// Those that it leads to.
    pub pools: Vec<(Arc<str>, Place)>,
    pub files: Option<(Arc<str>, Place)>,
    pub host: Option<HostMatch>,
    pub path: Option<PathMatch>,
    pub conditions: Option<Conditions>,
    /// `None` where something could not be read, which has been told.
    pub meant: Option<Route>,
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
    let WrittenAction { action, mut pools, files } = action::read(&table);
    let mirror = mirror::read(&table, &mut pools);
    let mut written = WrittenRoute {
        place: table.place(),
        name: table.field("name").and_then(|field| named(&field)),
        listener: table.field("listener").and_then(|field| reference(&field)),
        pools,
        files,
        host: host(&table),
        path: path(&table),
        conditions: conditions::read(&table),
        meant: None,
    };
    written.meant = meant(&table, &written, action, mirror);
    Some(written)
}

fn meant(
    table: &Table<'_>,
    written: &WrittenRoute,
    action: Option<Action>,
    mirror: Option<Mirror>,
) -> Option<Route> {
    let replace_prefix = rewrite::read(table, written.path.as_ref());
    let request_headers = request_headers(table);
    let response_headers = header_rules::of_responses(table);
    let bounds = bounds::read(table);
    let error_pages = error_pages::read(table);
    let compress = compressed(table, &response_headers);
    Some(Route {
        name: written.label()?,
        listener: written.listener.as_ref().map(|(name, _)| name.clone()),
        host: written.host.clone()?,
        path: written.path.clone()?,
        conditions: written.conditions.clone()?,
        replace_prefix,
        request_headers,
        response_headers,
        bounds,
        error_pages,
        mirror,
        compress,
        action: action?,
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

/// Whoever says by a rule how answers are encoded must encode them.
fn compressed(table: &Table<'_>, rules: &HeaderRules) -> Option<Compress> {
    let compress = compress::of_route(table)?;
    let field = table.field("response_headers").filter(|_| rules.writes("content-encoding"));
    if let Some(field) = field {
        let message = "`response_headers` that write Content-Encoding beside `compress`";
        let help = "remove either: `compress` writes it where it encodes an answer";
        field.tell(Diagnostic::at(field.key_place, message).help(help));
    }
    Some(compress)
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
