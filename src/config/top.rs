//! The top of the file, and the small tables that stand alone: access log, metrics, admin.

use std::{net::SocketAddr, num::NonZero, path::PathBuf, thread};

use super::{
    diagnostic::Place,
    model::{AccessLog, Admin, LogFormat, LogTarget},
    name,
    reader::{Field, Shape, Table},
};

pub(super) static TOP: Shape = Shape {
    name: "",
    keys: &[
        "workers",
        "drain_timeout",
        "max_compressions",
        "listener",
        "route",
        "pool",
        "files",
        "resolver",
        "access_log",
        "metrics",
        "admin",
    ],
};

pub(super) static ACCESS_LOG: Shape =
    Shape { name: "[access_log]", keys: &["to", "format", "queue"] };

pub(super) static METRICS: Shape = Shape { name: "[metrics]", keys: &["bind"] };

pub(super) static ADMIN: Shape = Shape { name: "[admin]", keys: &["socket"] };

/// `sun_path` of unix(7), less the NUL at its end.
const LONGEST_SOCKET_PATH: usize = 107;

/// A socket has another name in its folder until it is closed to others: a dot and a process id.
const FIRST_NAME: usize = ".4194304".len();

pub(super) fn workers(top: &Table<'_>) -> usize {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    top.integer("workers", 1..=1024, cores)
}

/// Each has the memory of an encoder.
pub(super) fn max_compressions(top: &Table<'_>) -> usize {
    top.integer("max_compressions", 1..=10_000, 64)
}

pub(super) fn access_log(top: &Table<'_>) -> Option<AccessLog> {
    let table = top.field("access_log")?.table(&ACCESS_LOG)?;
    let to = match table.field("to") {
        None => Some(LogTarget::Stdout),
        Some(field) => match field.text() {
            Some("stdout") => Some(LogTarget::Stdout),
            Some(_) => path(&field).map(LogTarget::File),
            None => None,
        },
    };
    let format = table.word("format", LogFormat::Json);
    let queue = table.integer("queue", 1..=1_000_000, 8_192);
    Some(AccessLog { to: to?, format, queue })
}

/// The address of [metrics], and its place: other listeners must not have it too.
pub(super) fn metrics(top: &Table<'_>) -> Option<(SocketAddr, Place)> {
    let table = top.field("metrics")?.table(&METRICS)?;
    let field = table.required("bind", r#"expected an address: bind = "127.0.0.1:9180""#)?;
    let address = field.judge(name::address(field.text()?))?;
    Some((address, field.place()))
}

pub(super) fn admin(top: &Table<'_>) -> Admin {
    let table = top.field("admin").and_then(|field| field.table(&ADMIN));
    let field = table.and_then(|table| table.field("socket"));
    let socket = field.and_then(|field| socket(&field));
    socket.map_or_else(Admin::default, |socket| Admin { socket })
}

fn socket(field: &Field<'_>) -> Option<PathBuf> {
    let path = path(field)?;
    let length = path.as_os_str().len();
    let name = path.file_name().map_or(0, |name| name.len());
    let longest = LONGEST_SOCKET_PATH - FIRST_NAME.saturating_sub(name);
    if length > longest {
        let message = format!("a path of {length} bytes is too long for a unix socket");
        let help = format!("expected at most {longest} bytes, such as /run/equipoise/admin.sock");
        field.fail(message, help);
    }
    Some(path)
}

fn path(field: &Field<'_>) -> Option<PathBuf> {
    let text = field.text()?;
    let valid = !text.is_empty() && !text.contains('\0') && !text.ends_with('/');
    let expected = || "expected the path of a file".to_owned();
    let path = field.judge(valid.then_some(text).ok_or_else(expected))?;
    Some(field.resolved(path))
}
