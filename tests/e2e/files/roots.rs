//! What of a root is served, and what never is.

use std::{fs, os::unix::fs::symlink};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::{ask, put, seen, site};
use crate::harness::{DEADLINE, Setup, wait_until};

#[test]
fn nothing_outside_of_the_root_is_served() {
    let setup = site("");
    let dir = setup.dir().to_owned();
    put(&dir, "a.txt", "a");
    put(&dir, "sub/b.txt", "b");
    fs::write(dir.join("secret"), "secret").expect("a file");
    let root = dir.join("site");
    symlink("../secret", root.join("out")).expect("a link");
    symlink(dir.join("secret"), root.join("absolute")).expect("a link");
    symlink("sub/b.txt", root.join("inner")).expect("a link");
    symlink("/", root.join("sub/up")).expect("a link");
    mknodat(CWD, root.join("pipe"), FileType::Fifo, Mode::RWXU, 0).expect("a pipe");
    let daemon = setup.start();
    assert_eq!(seen(&daemon, "/a.txt"), (200, "a".to_owned()));
    assert_eq!(seen(&daemon, "/sub/../a.txt"), (200, "a".to_owned()));
    assert_eq!(seen(&daemon, "/inner"), (200, "b".to_owned()));
    for path in [
        "/out",
        "/absolute",
        "/sub/up/etc/passwd",
        "/pipe",
        "/a.txt/",
        "/a.txt/x",
        "/%2e%2e%2fsecret",
        "/..%5csecret",
        "/sub%2fb.txt",
        "/a.txt%20",
        "//a.txt",
        "/sub//b.txt",
        "/\\a.txt",
    ] {
        let answer = ask(&daemon, path, "");
        assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.status);
        assert!(!answer.text().contains("secret"), "{path}");
    }
    for path in ["/../secret", "/sub/../../secret", "/%2e%2e/secret", "/a.txt%00"] {
        assert_eq!(ask(&daemon, path, "").status, 400, "{path}");
    }
}

#[test]
fn links_are_followed_as_the_policy_says() {
    for (policy, inner, out) in [("inside", 200, 404), ("never", 404, 404), ("follow", 200, 200)] {
        let setup = site(&format!("symlinks = \"{policy}\""));
        let dir = setup.dir().to_owned();
        put(&dir, "a.txt", "a");
        fs::write(dir.join("outside"), "outside").expect("a file");
        symlink("a.txt", dir.join("site/inner")).expect("a link");
        symlink(dir.join("outside"), dir.join("site/out")).expect("a link");
        let daemon = setup.start();
        let found = [ask(&daemon, "/inner", "").status, ask(&daemon, "/out", "").status];
        assert_eq!(found, [inner, out], "{policy}");
    }
}

#[test]
fn hidden_names_are_served_where_they_are_to_be() {
    for (keys, expected) in [("", 404), ("hidden = true", 200)] {
        let setup = site(keys);
        put(setup.dir(), ".git/config", "hidden");
        put(setup.dir(), ".well-known/security.txt", "known");
        let daemon = setup.start();
        assert_eq!(ask(&daemon, "/.git/config", "").status, expected);
        assert_eq!(seen(&daemon, "/.well-known/security.txt"), (200, "known".to_owned()));
    }
}

#[test]
fn a_root_that_is_not_there_is_told_with_its_place() {
    let setup = site("");
    put(setup.dir(), "a.txt", "a");
    let mut daemon = setup.start();
    daemon.rewrite(
        "[listener.web]\nbind = \"$web\"\n[[route]]\nfiles = \"site\"\n[files.site]\nroot = \"none\"\n",
    );
    for command in ["check", "reload"] {
        let output = daemon.command(&[command]);
        assert_ne!(output.code, 0, "{command}");
        let words = output.words();
        assert!(words.contains("/none does not exist") && words.contains(":6:8"), "{words}");
        assert!(words.contains("expected a directory"), "{words}");
    }
    assert_eq!(ask(&daemon, "/a.txt", "").status, 200, "the old generation serves");
    daemon.rewrite(
        "[listener.web]\nbind = \"$web\"\n[[route]]\nfiles = \"sight\"\n[files.site]\nroot = \"site\"\n",
    );
    let words = daemon.command(&["check"]).words();
    assert!(words.contains("there are no files `sight`"), "{words}");
    assert!(words.contains("expected `site`"), "{words}");
}

#[test]
fn a_root_that_is_replaced_is_served_from_the_next_reload_on() {
    let setup = site("");
    let dir = setup.dir().to_owned();
    put(&dir, "a.txt", "old");
    let daemon = setup.start();
    assert_eq!(seen(&daemon, "/a.txt"), (200, "old".to_owned()));
    fs::rename(dir.join("site"), dir.join("before")).expect("a folder");
    put(&dir, "a.txt", "new");
    assert_eq!(seen(&daemon, "/a.txt"), (200, "old".to_owned()));
    daemon.reload();
    wait_until(DEADLINE, "the new root", || seen(&daemon, "/a.txt").1 == "new");
}

#[test]
fn the_root_is_relative_to_the_configuration() {
    let setup = Setup::of(
        "[listener.web]\nbind = \"$web\"\n[[route]]\nfiles = \"site\"\n[files.site]\nroot = \"site\"\n",
    );
    fs::create_dir(setup.dir().join("site")).expect("a folder");
    put(setup.dir(), "a.txt", "a");
    assert_eq!(seen(&setup.start(), "/a.txt"), (200, "a".to_owned()));
}
