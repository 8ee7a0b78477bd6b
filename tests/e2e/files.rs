//! A directory served as a web site.

mod against_nginx;
mod answers;
mod compressed;
mod looks;
mod roots;
mod seen;
mod sending;
mod slow_disk;

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::harness::{Answer, Client, Daemon, Setup};

/// A site of one root, `$dir/site`, with these keys.
fn site(keys: &str) -> Setup {
    site_with("", keys)
}

/// The same, with these keys at the top of the file.
fn site_with(top: &str, keys: &str) -> Setup {
    let setup = Setup::of(&format!(
        r#"
        workers = 1
        {top}
        [listener.web]
        bind = ["$web"]
        [[route]]
        files = "site"
        [files.site]
        root = "$dir/site"
        {keys}
        "#
    ));
    fs::create_dir(setup.dir().join("site")).expect("the test's folder is writable");
    setup
}

/// Puts a file below the root of a site.
fn put(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join("site").join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("the test's folder is writable");
    fs::write(&path, content).expect("the test's folder is writable");
    path
}

/// What a GET with these header lines (each with its CRLF) is answered.
#[track_caller]
fn ask(daemon: &Daemon, path: &str, lines: &str) -> Answer {
    let mut client = Client::connect(daemon.address("web"));
    client.send(format!("GET {path} HTTP/1.1\r\nHost: www.example.com\r\n{lines}\r\n"));
    client.answer()
}

/// The status of a GET, and what it leads to or holds.
#[track_caller]
fn seen(daemon: &Daemon, path: &str) -> (u16, String) {
    let answer = ask(daemon, path, "");
    let location = answer.field("location").map(str::to_owned);
    (answer.status, location.unwrap_or_else(|| answer.text()))
}
