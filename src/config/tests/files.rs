//! `[files.NAME]`.

use std::path::Path;

use super::check;
use crate::config::{Otherwise, Symlinks, Try, parse};

/// Files with these keys, behind the configuration that is right.
fn files(keys: &str) -> String {
    format!("[files.site]\nroot = \"/srv/www\"\n{keys}")
}

#[test]
#[rustfmt::skip]
fn files_that_can_not_be() {
    check(&[
        ("[files.site]", "14:1", "`root` is missing", "expected the directory to serve"),
        ("[files.site]\nroot = \"\"", "15:8", "`` is no value for `root`", "/srv/www/example"),
        ("[files.\"a b\"]\nroot = \"/\"", "14:8", "`a b` is no name for files", "letters"),
        (&files("index = \"a/b.html\""), "16:9", "`a/b.html` is no value for `index`", "index.html"),
        (&files("index = [\"..\"]"), "16:10", "`..` is no value for `index`", "index.html"),
        (&files("try = \"file\""), "16:7", "`file` is no value for `try`", "{ pool = \"app\" }"),
        (&files("try = []"), "16:7", "no file and no directory to try", "expected \"file\""),
        (&files("try = [\"fil\"]"), "16:8", "`fil` is no value for `try`", "`file`"),
        (&files("try = [\"file\", \"file\"]"), "16:16", "the same try twice", "remove one"),
        (&files("try = [{ pool = \"app\" }, \"file\"]"), "16:26", "a try behind the pool", "it is last"),
        (&files("try = [\"file\", { pool = \"ap\" }]"), "16:25", "there is no pool `ap`", "`app`"),
        (&files("try = [\"file\", { pool = \"app\" }]\nfallback = \"/a\""), "17:1", "`fallback` beside a pool", "the pool: e.toml:16:25"),
        (&files("fallback = \"index.html\""), "16:12", "`index.html` is no value", "/index.html"),
        (&files("fallback = \"/../a\""), "16:12", "`/../a` is no value", "/index.html"),
        (&files("clean_urls = \"yes\""), "16:14", "`yes` is no value", "true or false"),
        (&files("symlinks = \"insid\""), "16:12", "`insid` is no value", "did you mean `inside`?"),
        (&files("listing = true"), "16:11", "true is no value", "in quotes"),
        (&files("charset = \"utf-8; a\""), "16:11", "`utf-8; a` is no value for `charset`", "\"utf-8\""),
        (&files("types = { \".a\" = \"a/b\" }"), "16:11", "`.a` is no extension", "without the dot"),
        (&files("types = { a = \"b\" }"), "16:15", "`b` is no value for `a`", "a media type"),
        (&files("cache_control = [{ match = \"*\" }]"), "16:18", "`value` is missing", "no-cache"),
        (&files("cache_control = [{ match = \"*\", value = \"a\\nb\" }]"), "16:41", "`a\u{fffd}b`", "max-age"),
        (&files("precompressed = [\"deflate\"]"), "16:18", "`deflate` is no value", "`br`, `zstd` or `gzip`"),
        (&files("precompressed = [\"br\", \"br\"]"), "16:24", "the same coding twice", "keep one"),
        (&files("compress = \"br\""), "16:12", "`br` is no value for `compress`", "expected true, or a table"),
        (&files("compress = { type = [] }"), "16:14", "unknown key `type` in `compress` of [files.NAME]", "`types`?"),
        (&files("memory = 5"), "16:10", "5 is no value", "\"10MiB\""),
        (&files("reads = { max = 0 }"), "16:17", "0 is no value", "from 1 to 512"),
        (&files("max_ranges = -1"), "16:14", "-1 is no value", "from 0 to 1000"),
    ]);
}

#[test]
fn what_files_mean() {
    let text = "[listener.web]\nbind = \"0.0.0.0:80\"\n[[route]]\nfiles = \"site\"\n\
        [files.site]\nroot = \"www\"\ntry = [\"directory\", \"file\"]\nsymlinks = \"never\"\n\
        charset = \"\"\ntypes = { WASM = \"application/wasm\" }\nfallback = \"/a/b\"\n";
    let config = parse(text, Path::new("/etc/e.toml")).unwrap_or_else(|errors| panic!("{errors}"));
    let site = &config.files[0];
    assert_eq!(site.root, Path::new("/etc/www"));
    assert_eq!(site.tries, [Try::Directory, Try::File]);
    assert_eq!((site.symlinks, &site.charset), (Symlinks::Never, &None));
    assert_eq!(site.types, [("wasm".to_owned(), "application/wasm".to_owned())]);
    assert_eq!(site.otherwise, Otherwise::Fallback("/a/b".to_owned()));
    assert_eq!(site.index, ["index.html"]);
}
