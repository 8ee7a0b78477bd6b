//! What a route does with what it takes: a pool, scripts, a split over pools, files, a redirect, a fixed answer.

use std::sync::Arc;

use super::{
    diagnostic::{Diagnostic, Place},
    fastcgi,
    model::{Action, Respond, Share},
    reader::{Field, Shape, Table},
    redirect,
};

pub(super) static RESPOND: Shape =
    Shape { name: "`respond` of [[route]]", keys: &["status", "body", "content_type"] };

/// A longer body is a file, not an answer in a configuration.
const LONGEST_BODY: usize = 64 << 10;

/// Finer shares than a millionth are noise.
const MOST_WEIGHT: u32 = 1_000_000;

/// What a route does, and the pools or files it names.
pub(super) struct WrittenAction {
    pub action: Option<Action>,
    pub pools: Vec<(Arc<str>, Place)>,
    pub files: Option<(Arc<str>, Place)>,
}

/// The one action of a route.
pub(super) fn read(table: &Table<'_>) -> WrittenAction {
    one(table);
    let mut pools = Vec::new();
    let pool = table.field("pool").and_then(|field| {
        let name: Arc<str> = Arc::from(field.text()?);
        pools.push((name.clone(), field.place()));
        Some(Action::Pool(name))
    });
    let scripts = table.field("fastcgi").and_then(|field| fastcgi::read(&field, &mut pools));
    let shares = table.field("split").and_then(|field| split(&field, &mut pools));
    let files: Option<(Arc<str>, Place)> =
        table.field("files").and_then(|field| Some((Arc::from(field.text()?), field.place())));
    let redirect = table.field("redirect").and_then(|field| redirect::read(&field));
    let respond = table.field("respond").and_then(|field| respond(&field));
    let action = pool
        .or(scripts.map(Action::Fastcgi))
        .or(shares.map(Action::Split))
        .or(files.as_ref().map(|(name, _)| Action::Files(name.clone())))
        .or(redirect.map(Action::Redirect))
        .or(respond.map(Action::Respond));
    WrittenAction { action, pools, files }
}

/// Exactly one action has to be there.
fn one(table: &Table<'_>) {
    let fields = ["pool", "fastcgi", "split", "files", "redirect", "respond"];
    let fields = fields.map(|key| table.field(key));
    let present: Vec<&Field<'_>> = fields.iter().flatten().collect();
    match present.as_slice() {
        [] => {
            let help = r#"expected one of pool = "NAME", fastcgi = { pool = "NAME", root = "/DIR" }, split = { NAME = 95, OTHER = 5 }, files = "NAME", redirect = "URL" or respond = { status = 404 }"#;
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
}

/// `{ NAME = 95, OTHER = 5 }`, in the order of the alphabet.
fn split(field: &Field<'_>, pools: &mut Vec<(Arc<str>, Place)>) -> Option<Vec<Share>> {
    let entries = field.entries()?;
    let mut shares = Vec::new();
    for entry in &entries {
        pools.push((Arc::from(entry.key), entry.key_place));
        let weight = entry.integer(0..=MOST_WEIGHT);
        shares.extend(weight.map(|weight| Share { pool: Arc::from(entry.key), weight }));
    }
    if shares.len() < entries.len() {
        return None;
    }
    if shares.iter().all(|share| share.weight == 0) {
        let help = "expected pools and their shares: split = { app = 95, canary = 5 }";
        field.fail("a `split` that gives no pool a share", help);
        return None;
    }
    shares.sort_by(|a, b| a.pool.cmp(&b.pool));
    Some(shares)
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

pub(super) fn media_type(text: &str) -> Result<&str, String> {
    let visible = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    let valid = visible && text.contains('/') && text.trim() == text && text.len() <= 255;
    let expected = || r#"expected a media type such as "application/json""#.to_owned();
    valid.then_some(text).ok_or_else(expected)
}
