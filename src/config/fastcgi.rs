//! `fastcgi` of a route: which scripts a FastCGI pool, such as php-fpm, is asked to run.

use std::{path::PathBuf, sync::Arc};

use super::{
    diagnostic::{Diagnostic, Place},
    reader::{Field, Shape, Table},
};

/// Scripts below a folder, run by a pool.
#[derive(Clone, Debug, PartialEq)]
pub struct Fastcgi {
    /// The name of a pool that exists, with `protocol = "fastcgi"`.
    pub pool: Arc<str>,
    /// An absolute path, as the pool's servers know it; without a slash at its end.
    pub root: PathBuf,
    /// The script of a path that ends with a slash: a name.
    pub index: String,
    /// What is run where the path leads to no script: a path below `root`.
    pub fallback: Option<String>,
    /// What the name of a script ends with; the first such part of a path is the script.
    pub split_path: String,
    /// Whether a script must be a file that we see below `root`.
    pub check_script: bool,
    /// In place of what is set under these names, or beside it.
    pub params: Vec<(String, String)>,
    /// Bytes of a body whose length is not told, which is read whole to tell it.
    pub buffer: u64,
}

pub(super) static FASTCGI: Shape = Shape {
    name: "`fastcgi` of [[route]]",
    keys: &["pool", "root", "index", "fallback", "split_path", "check_script", "params", "buffer"],
};

/// What is set by the request alone: to set it here would undo what was checked, or break a body.
const OWN: [&str; 4] = ["SCRIPT_FILENAME", "CONTENT_LENGTH", "REQUEST_METHOD", "REDIRECT_STATUS"];
/// Together they have to fit in the head of a request.
const LONGEST_VALUE: usize = 4096;
const MOST_PARAMS: usize = 64;
const A_BUFFER: std::ops::RangeInclusive<u64> = 0..=64 << 20;

pub(super) fn read(field: &Field<'_>, pools: &mut Vec<(Arc<str>, Place)>) -> Option<Fastcgi> {
    let table = field.table(&FASTCGI)?;
    let index = table.field("index").map(|field| file_name(&field));
    let fallback = table.field("fallback").and_then(|field| fallback(&field));
    let split_path = table.field("split_path").map(|field| suffix(&field));
    let params = params(&table);
    let buffer = table.size("buffer", A_BUFFER, 1 << 20);
    let check_script = table.boolean("check_script", true);
    let root = table
        .required("root", r#"expected the folder of the scripts: root = "/srv/app/public""#)
        .and_then(|field| root(&field));
    let pool =
        table.required("pool", r#"expected the pool that runs the scripts: pool = "php""#)?;
    let name: Arc<str> = Arc::from(pool.text()?);
    pools.push((name.clone(), pool.place()));
    Some(Fastcgi {
        pool: name,
        root: root?,
        index: index.unwrap_or_else(|| Some("index.php".to_owned()))?,
        fallback,
        split_path: split_path.unwrap_or_else(|| Some(".php".to_owned()))?,
        check_script,
        params,
        buffer,
    })
}

fn root(field: &Field<'_>) -> Option<PathBuf> {
    let text = field.text()?;
    let named = text.starts_with('/') && !text.trim_matches('/').is_empty();
    let valid = named && !text.contains(char::is_control);
    let expected = || {
        r#"expected an absolute path such as "/srv/app/public", as the pool's servers know it"#
            .to_owned()
    };
    let text = field.judge(valid.then_some(text).ok_or_else(expected))?;
    Some(PathBuf::from(text.trim_end_matches('/')))
}

fn is_plain(name: &str) -> bool {
    let odd = |c: char| c.is_control() || matches!(c, '/' | '\\');
    !name.is_empty() && !name.starts_with('.') && !name.contains(odd)
}

fn file_name(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    let expected = || r#"expected the name of a script such as "index.php""#.to_owned();
    field.judge(is_plain(text).then(|| text.to_owned()).ok_or_else(expected))
}

fn fallback(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    let valid = text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_plain));
    let expected = || r#"expected a script below `root` such as "/index.php""#.to_owned();
    field.judge(valid.then(|| text.to_owned()).ok_or_else(expected))
}

fn suffix(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    let valid = text.len() <= 16
        && text.strip_prefix('.').is_some_and(|rest| {
            !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
    let expected = || r#"expected what the names of scripts end with, such as ".php""#.to_owned();
    field.judge(valid.then(|| text.to_owned()).ok_or_else(expected))
}

/// Values may be secrets.
fn params(table: &Table<'_>) -> Vec<(String, String)> {
    let Some(field) = table.field("params") else {
        return Vec::new();
    };
    let entries = field.secret().entries().unwrap_or_default();
    if let Some(beyond) = entries.get(MOST_PARAMS) {
        let message = format!("more than {MOST_PARAMS} parameters");
        beyond.tell(Diagnostic::at(beyond.key_place, message).help("remove some"));
    }
    entries.iter().filter_map(param).collect()
}

fn param(field: &Field<'_>) -> Option<(String, String)> {
    let name = field.key;
    let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let valid = name.len() <= 128
        && name.bytes().all(allowed)
        && name.bytes().next().is_some_and(|first| !first.is_ascii_digit());
    let help = match name {
        _ if !valid => Some("expected capitals, digits and `_`, such as APP_ENV"),
        _ if name.starts_with("HTTP_") => {
            Some("what comes from headers is changed by `request_headers` of the route")
        }
        _ if OWN.contains(&name) => Some("remove it: it is made of the request"),
        _ => None,
    };
    if let Some(help) = help {
        let message = format!("`{name}` is no parameter that may be set here");
        field.tell(Diagnostic::at(field.key_place, message).help(help));
        return None;
    }
    let value = field.text()?;
    let fits = value.len() <= LONGEST_VALUE && !value.contains('\0');
    let expected = || format!("expected at most {LONGEST_VALUE} bytes, none of them NUL");
    let value = field.judge(fits.then_some(value).ok_or_else(expected))?;
    Some((name.to_owned(), value.to_owned()))
}

/// A FastCGI server runs nothing at `/`, where probes ask that are not told what to ask for.
pub(super) fn probe_path(pool: &Table<'_>) {
    let Some(health) = pool.field("health") else {
        return;
    };
    let asks_http = health.entry("port").is_some()
        || health.entry("type").is_some_and(|kind| kind.as_text() == Some("tcp"));
    if health.is_table() && !asks_http && health.entry("path").is_none() {
        let message = "probes of a FastCGI pool without a `path`";
        let help = r#"add path = "/ping" with ping.path = /ping in php-fpm's own configuration, or type = "tcp""#;
        health.tell(Diagnostic::at(health.key_place, message).help(help));
    }
}
