//! `redirect` of a route: where to, and with which status.

use super::{
    model::Redirect,
    name,
    reader::{Field, Shape},
    template::{Piece, Template, Variable},
    words::Words,
};

pub(super) static REDIRECT: Shape =
    Shape { name: "`redirect` of [[route]]", keys: &["to", "status"] };

const FOUND: u16 = 302;

pub(super) fn read(field: &Field<'_>) -> Option<Redirect> {
    if !field.is_table() {
        let to = field.judge(location(field.text()?))?;
        return Some(Redirect { to, status: FOUND });
    }
    let table = field.table(&REDIRECT)?;
    let status = match table.field("status") {
        None => Some(FOUND),
        Some(field) => status(&field),
    };
    let to = table.required("to", r#"expected where to: to = "https://www.example.com/""#)?;
    Some(Redirect { to: to.judge(location(to.text()?))?, status: status? })
}

fn status(field: &Field<'_>) -> Option<u16> {
    let status = field.as_integer().and_then(|status| u16::try_from(status).ok());
    let valid = status.filter(|status| matches!(status, 301 | 302 | 303 | 307 | 308));
    field.judge(valid.ok_or("expected 301, 302, 303, 307 or 308".to_owned()))
}

/// The value of Location: an absolute URL or a path (RFC 9110, section 10.2.2).
fn location(text: &str) -> Result<Template, String> {
    name::visible(text)?;
    let to = Template::parse(text)?;
    match to.pieces() {
        [Piece::Variable(Variable::Path), ..] => {}
        [Piece::Variable(Variable::Scheme), Piece::Text(text), rest @ ..] => {
            host(text.strip_prefix("://").ok_or_else(expected)?, rest)?;
        }
        [Piece::Text(text), rest @ ..] => match without_scheme(text) {
            Some(text) => host(text, rest)?,
            None if text.starts_with('/') => {}
            None => return Err(expected()),
        },
        _ => return Err(expected()),
    }
    Ok(to)
}

fn expected() -> String {
    r#"expected a URL such as "https://www.example.com/", or a path that begins with "/""#
        .to_owned()
}

/// What follows `https://`, or `//`, which is a URL without its scheme.
fn without_scheme(text: &str) -> Option<&str> {
    ["http://", "https://", "//"].into_iter().find_map(|scheme| {
        let (begin, rest) = text.split_at_checked(scheme.len())?;
        begin.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

/// The host has to be the operator's or the request's own. What else a request brings along would
/// let its sender choose where others are led.
fn host(begin: &str, rest: &[Piece]) -> Result<(), String> {
    let mut named = false;
    let begin = Piece::Text(begin.to_owned());
    for piece in std::iter::once(&begin).chain(rest) {
        match piece {
            Piece::Text(text) => {
                let end = text.find(['/', '?', '#', '\\']);
                named |= end.unwrap_or(text.len()) > 0;
                if end.is_some() {
                    break;
                }
            }
            Piece::Variable(Variable::Host) => named = true,
            Piece::Variable(Variable::Port) => {}
            Piece::Variable(Variable::Path | Variable::Query) => break,
            Piece::Variable(other) => {
                let name = other.word();
                return Err(format!(
                    "`{name}` can't stand in the host: expected a name or {{host}}"
                ));
            }
        }
    }
    named
        .then_some(())
        .ok_or_else(|| "expected a host behind the `//`: a name, or {host}".to_owned())
}
