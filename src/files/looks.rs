//! Where a name is looked for below the root, in order, and what follows from what is there. Pure.
//!
//! With clean URLs `/about` is what `about.html` is known by, and every other path that would find
//! it leads there. A file that is called just `about` is found first, and then hides the page.

use std::borrow::Cow;

use crate::{
    files::names::{Kind, Name},
    message::percent,
};

const HTML: &[u8] = b".html";

/// How a site's names are looked up.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// What is looked for, in this order.
    pub kinds: &'a [Kind],
    /// Names that stand for their directory, the first that is there.
    pub index: &'a [String],
    pub clean_urls: CleanUrls,
    pub listing: Listing,
}

/// Whether `/about` is what `about.html` is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CleanUrls {
    Off,
    On,
}

/// Whether a directory without an index shows what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    Off,
    On,
}

/// One look: a name to open, and what follows if it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look<'a> {
    /// Relative to the root; empty for the root itself.
    pub name: Cow<'a, [u8]>,
    pub file: Found,
    pub directory: Found,
}

/// What follows from what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The same as if it were not there.
    LookOn,
    Serve,
    List,
    /// It is known by another path.
    Redirect(Change),
}

/// How a path becomes the one that a file or a directory is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// `/docs` to `/docs/`, which relative links in its page are read from.
    AddSlash,
    /// `/about/` to `/about`.
    DropSlash,
    /// `/about.html` to `/about`.
    DropHtml,
    /// `/docs/index.html` and `/docs/index` to `/docs/`.
    DropName,
}

#[derive(Clone, Copy)]
enum Step {
    /// The name as it was asked for.
    Own,
    WithHtml,
    /// The name once more, for what stands behind the page of its name.
    OwnDirectory,
    Index(usize),
    Listed,
    WithoutSlash,
}

impl Rules<'_> {
    fn has(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind)
    }

    /// Whether `about.html` comes before the directory `about`.
    fn pages_come_first(&self) -> bool {
        self.clean_urls == CleanUrls::On && self.kinds.first() == Some(&Kind::File)
    }
}

/// The looks to take, one after the other, until one finds something.
pub fn looks<'a>(name: &'a Name<'a>, rules: Rules<'a>) -> impl Iterator<Item = Look<'a>> {
    let of_file = [Step::Own, Step::WithHtml, Step::OwnDirectory];
    let of_directory = (0..rules.index.len()).map(Step::Index);
    let of_directory = of_directory.chain([Step::Listed, Step::WithoutSlash]);
    let of_file = of_file.into_iter().filter(|_| name.kind == Kind::File);
    let steps = of_file.chain(of_directory.filter(|_| name.kind == Kind::Directory));
    steps.filter_map(move |step| look(name, step, &rules))
}

fn look<'a>(name: &'a Name<'a>, step: Step, rules: &Rules<'a>) -> Option<Look<'a>> {
    let own = || Cow::Borrowed(&*name.bytes);
    let as_file = |name, file| Some(Look { name, file, directory: Found::LookOn });
    let as_directory = |directory| Some(Look { name: own(), file: Found::LookOn, directory });
    let (files, directories) = (rules.has(Kind::File), rules.has(Kind::Directory));
    let clean = rules.clean_urls == CleanUrls::On;
    match step {
        Step::Own => {
            let file = if files { of_file(&name.bytes, rules) } else { Found::LookOn };
            let directory = match directories && !rules.pages_come_first() {
                true => Found::Redirect(Change::AddSlash),
                false => Found::LookOn,
            };
            let looks = file != Found::LookOn || directory != Found::LookOn;
            looks.then(|| Look { name: own(), file, directory })
        }
        Step::WithHtml if clean && files => {
            let page = [&*name.bytes, HTML].concat();
            let file = match directories && is_index(&page, rules) {
                true => Found::Redirect(Change::DropName),
                false => Found::Serve,
            };
            as_file(Cow::Owned(page), file)
        }
        Step::OwnDirectory if directories && rules.pages_come_first() => {
            as_directory(Found::Redirect(Change::AddSlash))
        }
        Step::Index(nth) if directories => {
            let index = rules.index[nth].as_bytes();
            let name = match &*name.bytes {
                b"" => Cow::Borrowed(index),
                directory => Cow::Owned([directory, b"/", index].concat()),
            };
            as_file(name, Found::Serve)
        }
        Step::Listed if directories && rules.listing == Listing::On => as_directory(Found::List),
        // Where directories come first, `/about` would lead back here.
        Step::WithoutSlash if rules.pages_come_first() && !name.bytes.is_empty() => {
            let page = [&*name.bytes, HTML].concat();
            as_file(Cow::Owned(page), Found::Redirect(Change::DropSlash))
        }
        Step::WithHtml
        | Step::OwnDirectory
        | Step::Index(_)
        | Step::Listed
        | Step::WithoutSlash => None,
    }
}

fn of_file(name: &[u8], rules: &Rules<'_>) -> Found {
    if rules.clean_urls == CleanUrls::Off {
        return Found::Serve;
    }
    if rules.has(Kind::Directory) && is_index(name, rules) {
        return Found::Redirect(Change::DropName);
    }
    match last(name).strip_suffix(HTML) {
        // A path that ends in dots alone is another one.
        Some(stem) if stem.iter().any(|&byte| byte != b'.') => Found::Redirect(Change::DropHtml),
        _ => Found::Serve,
    }
}

/// Whether it is what its directory is served by, if it is there: the others of the list are only
/// where this one is missing.
fn is_index(name: &[u8], rules: &Rules<'_>) -> bool {
    rules.index.first().is_some_and(|index| index.as_bytes() == last(name))
}

fn last(name: &[u8]) -> &[u8] {
    let start = memchr::memrchr(b'/', name).map_or(0, |slash| slash + 1);
    &name[start..]
}

impl Change {
    /// What Location says: a path and a query (RFC 9110, section 10.2.2). `path` is what the client
    /// asked for, as routing read it; `query` has its `?`. No browser takes the beginning for an
    /// authority, and what may not stand in a path or a query is encoded.
    pub fn location(self, path: &str, query: &[u8]) -> Vec<u8> {
        let changed = match self {
            Change::AddSlash => path,
            Change::DropSlash => path.trim_end_matches('/'),
            Change::DropHtml => path.strip_suffix(".html").unwrap_or(path),
            Change::DropName => &path[..path.rfind('/').map_or(0, |slash| slash + 1)],
        };
        let mut location = Vec::with_capacity(changed.len() + query.len() + 2);
        location.push(b'/');
        let keeps = |byte: u8| percent::is_segment_byte(byte) || b"/%".contains(&byte);
        write(&mut location, changed.trim_start_matches(['/', '\\']).as_bytes(), keeps);
        if self == Change::AddSlash {
            location.push(b'/');
        }
        write(&mut location, query, |byte| {
            percent::is_segment_byte(byte) || b"/%?".contains(&byte)
        });
        location
    }
}

fn write(out: &mut Vec<u8>, bytes: &[u8], keeps: impl Fn(u8) -> bool) {
    for &byte in bytes {
        if keeps(byte) { out.push(byte) } else { percent::write(out, byte) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::names::{self, Hidden};
    use Change::{AddSlash, DropHtml, DropName, DropSlash};
    use CleanUrls::{Off, On};

    /// Each look as text: `name` for what is served, `name*` for what is listed, `name>` for a file
    /// and `name/>` for a directory that is known by another path.
    fn looked(path: &str, rules: Rules<'_>) -> Vec<String> {
        let name = names::read(path, Hidden::Served).unwrap();
        let text = |look: Look<'_>| {
            let mut text = String::from_utf8(look.name.into_owned()).unwrap();
            match look.file {
                Found::Serve => {}
                Found::Redirect(change) => text.push_str(&format!(" {change:?}")),
                Found::LookOn => text.push_str(" -"),
                Found::List => unreachable!("a file is not listed"),
            }
            match look.directory {
                Found::LookOn => {}
                Found::Redirect(change) => text.push_str(&format!(" /{change:?}")),
                Found::List => text.push_str(" /List"),
                Found::Serve => unreachable!("a directory is not served"),
            }
            text
        };
        looks(&name, rules).map(text).collect()
    }

    const BOTH: &[Kind] = &[Kind::File, Kind::Directory];

    #[track_caller]
    fn check(kinds: &[Kind], clean_urls: CleanUrls, rows: &[(&str, &[&str])]) {
        let index = ["index.html".to_owned(), "home.html".to_owned()];
        for (path, expected) in rows {
            let listing = Listing::Off;
            let found = looked(path, Rules { kinds, index: &index, clean_urls, listing });
            assert_eq!(found, *expected, "{path}");
        }
    }

    #[test]
    fn a_file_or_a_directory() {
        check(
            BOTH,
            Off,
            &[
                ("/a", &["a /AddSlash"]),
                ("/a.html", &["a.html /AddSlash"]),
                ("/index.html", &["index.html /AddSlash"]),
                ("/", &["index.html", "home.html"]),
                ("/a/b/", &["a/b/index.html", "a/b/home.html"]),
            ],
        );
        check(&[Kind::File], Off, &[("/a", &["a"]), ("/", &[]), ("/a/", &[])]);
        let rows: &[(&str, &[&str])] =
            &[("/a", &["a - /AddSlash"]), ("/", &["index.html", "home.html"])];
        check(&[Kind::Directory], Off, rows);
        check(&[], Off, &[("/a", &[]), ("/", &[])]);
    }

    #[test]
    fn clean_urls() {
        check(
            BOTH,
            On,
            &[
                ("/about", &["about", "about.html", "about - /AddSlash"]),
                (
                    "/about.html",
                    &["about.html DropHtml", "about.html.html", "about.html - /AddSlash"],
                ),
                ("/docs/", &["docs/index.html", "docs/home.html", "docs.html DropSlash"]),
                ("/", &["index.html", "home.html"]),
                ("/index", &["index", "index.html DropName", "index - /AddSlash"]),
                ("/home", &["home", "home.html", "home - /AddSlash"]),
            ],
        );
        let first = |kinds, path| {
            looked(
                path,
                Rules {
                    kinds,
                    index: &["index.html".to_owned()],
                    clean_urls: On,
                    listing: Listing::Off,
                },
            )[0]
            .clone()
        };
        assert_eq!(first(BOTH, "/d/index.html"), "d/index.html DropName");
        assert_eq!(first(&[Kind::File], "/d/index.html"), "d/index.html DropHtml");
        for path in ["/.html", "/..html", "/d/...html", "/a.htm"] {
            assert_eq!(first(BOTH, path), path[1..], "{path}");
        }
        check(
            &[Kind::Directory, Kind::File],
            On,
            &[
                ("/about", &["about /AddSlash", "about.html"]),
                ("/about/", &["about/index.html", "about/home.html"]),
            ],
        );
    }

    #[test]
    fn a_listing_stands_where_no_index_does() {
        let index = ["index.html".to_owned()];
        let rules = Rules { kinds: BOTH, index: &index, clean_urls: Off, listing: Listing::On };
        assert_eq!(looked("/", rules), ["index.html", " - /List"]);
        assert_eq!(looked("/a/", rules), ["a/index.html", "a - /List"]);
        assert_eq!(looked("/a", rules), ["a /AddSlash"]);
        let clean = Rules { clean_urls: On, ..rules };
        assert_eq!(looked("/a/", clean), ["a/index.html", "a - /List", "a.html DropSlash"]);
        assert!(looked("/a/", Rules { kinds: &[Kind::File], ..rules }).is_empty());
    }

    #[test]
    fn locations() {
        for (change, path, query, expected) in [
            (AddSlash, "/docs", "", "/docs/"),
            (AddSlash, "/docs", "?a=/b?c", "/docs/?a=/b?c"),
            (AddSlash, "/a%20b/%C3%A9", "", "/a%20b/%C3%A9/"),
            (AddSlash, "/a\"<b>|", "?\"x\r\n", "/a%22%3Cb%3E%7C/?%22x%0D%0A"),
            (AddSlash, "//evil.example", "", "/evil.example/"),
            (AddSlash, "/\\evil.example", "", "/evil.example/"),
            (AddSlash, "/a\\b", "", "/a%5Cb/"),
            (DropSlash, "/about/", "?x", "/about?x"),
            (DropHtml, "/a/about.html", "?x", "/a/about?x"),
            (DropName, "/a/index.html", "", "/a/"),
            (DropName, "/index", "?x", "/?x"),
            (DropName, "//evil.example/index.html", "", "/evil.example/"),
        ] {
            let location = change.location(path, query.as_bytes());
            assert_eq!(String::from_utf8(location).unwrap(), expected, "{change:?} {path}");
        }
    }

    /// Whatever is there and whatever is asked for, what leads elsewhere leads to an end.
    #[test]
    fn no_path_leads_in_a_circle() {
        let names = ["index", "index.html", "about", "about.html", "home.html"];
        let index = ["index.html".to_owned(), "home.html".to_owned()];
        let orders: [&[Kind]; 4] =
            [BOTH, &[Kind::Directory, Kind::File], &[Kind::File], &[Kind::Directory]];
        for there in 0..3_u32.pow(names.len() as u32) {
            // Of each name: missing, a file, a directory with an index page or without.
            let kind = |name: &str| {
                let (folder, name) = name.split_once('/').unwrap_or((name, ""));
                let position = names.iter().position(|known| *known == folder)?;
                match (there / 3_u32.pow(position as u32) % 3, name) {
                    (1, "") => Some(Kind::File),
                    (2, "") => Some(Kind::Directory),
                    _ => None,
                }
            };
            for kinds in orders {
                for clean_urls in [On, Off] {
                    let rules = Rules { kinds, index: &index, clean_urls, listing: Listing::Off };
                    for start in
                        names.iter().flat_map(|name| [format!("/{name}"), format!("/{name}/")])
                    {
                        let mut path = start.clone();
                        for redirects in 0.. {
                            assert!(redirects < 4, "{start} in {there}: {rules:?}");
                            let name = names::read(&path, Hidden::Refused).unwrap();
                            let found = looks(&name, rules).find_map(|look| {
                                let name = std::str::from_utf8(&look.name).unwrap();
                                match kind(name)? {
                                    Kind::File => Some(look.file),
                                    Kind::Directory => Some(look.directory),
                                }
                                .filter(|found| *found != Found::LookOn)
                            });
                            let Some(Found::Redirect(change)) = found else {
                                break;
                            };
                            path = String::from_utf8(change.location(&path, b"")).unwrap();
                        }
                    }
                }
            }
        }
    }
}
