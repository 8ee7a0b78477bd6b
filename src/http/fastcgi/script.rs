//! Which script a path leads to. Pure.
//!
//! The script is what ends with the FIRST part of the path that a script's name ends with: what is
//! behind it is its PATH_INFO. `/upload/cat.jpg/x.php` is the script of that whole name, and never
//! cat.jpg with x.php behind it, as which PHP would read it (`cgi.fix_pathinfo`).

use crate::{config::Fastcgi, message::percent};

/// A script to be run, and what of the path is behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Below the root, from its slash on, decoded.
    pub name: Vec<u8>,
    /// Empty, or from its slash on, decoded.
    pub info: Vec<u8>,
}

impl Script {
    fn alone(name: impl Into<Vec<u8>>) -> Script {
        Script { name: name.into(), info: Vec::new() }
    }

    /// The path at which it alone is asked for, of the path that led here: without its info, and with
    /// its name where that path ended with a slash.
    pub fn own_path(&self, path: &str, config: &Fastcgi) -> String {
        let parts = self.info.iter().filter(|&&byte| byte == b'/').count();
        let mut own = path;
        for _ in 0..parts {
            own = own.rsplit_once('/').map_or("", |(before, _)| before);
        }
        let is_folder = parts == 0 && own.ends_with('/');
        if is_folder { format!("{own}{}", config.index) } else { own.to_owned() }
    }

    /// What is run where a path leads to no script.
    pub fn fallback(config: &Fastcgi) -> Option<Script> {
        config.fallback.as_deref().map(Script::alone)
    }
}

/// What a path may lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lead {
    /// This script, if it is there.
    Script(Script),
    /// Nothing, unless it is a folder, of which this is the script: it is asked for with a slash.
    Folder(Script),
    Nothing,
}

/// Reads a path whose dot segments are resolved and whose unreserved bytes are decoded.
pub fn find(path: &str, config: &Fastcgi) -> Lead {
    let Some(path) = decoded(path) else {
        return Lead::Nothing;
    };
    let mut end = 0;
    while end < path.len() {
        let next = memchr::memchr(b'/', &path[end + 1..]).map_or(path.len(), |at| end + 1 + at);
        let part = &path[end + 1..next];
        end = next;
        if part.is_empty() && end == path.len() {
            let name = [&path[..], config.index.as_bytes()].concat();
            return Lead::Script(Script::alone(name));
        }
        // Hidden, or another name of a folder above.
        if part.is_empty() || part.starts_with(b".") {
            return Lead::Nothing;
        }
        if part.ends_with(config.split_path.as_bytes()) {
            let (name, info) = path.split_at(end);
            return Lead::Script(Script { name: name.to_vec(), info: info.to_vec() });
        }
    }
    Lead::Folder(Script::alone([&path[..], b"/", config.index.as_bytes()].concat()))
}

/// `None`: it holds what no name of a file may, or what two readers would read differently.
pub fn decoded(path: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(path.len() + 16);
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        let (byte, left) = match (first, after) {
            (b'%', [high, low, left @ ..]) => (percent::byte(*high, *low)?, left),
            (b'%', _) => return None,
            (plain, left) => (*plain, left),
        };
        let is_encoded = *first == b'%';
        if byte == b'\\' || byte.is_ascii_control() || (is_encoded && byte == b'/') {
            return None;
        }
        decoded.push(byte);
        rest = left;
    }
    decoded.starts_with(b"/").then_some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::path;

    fn config() -> Fastcgi {
        Fastcgi {
            pool: "php".into(),
            root: "/srv".into(),
            index: "index.php".to_owned(),
            fallback: None,
            split_path: ".php".to_owned(),
            check_script: true,
            params: Vec::new(),
            buffer: 0,
        }
    }

    #[track_caller]
    fn check(path: &str, expected: &str) {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let found = match path::read(path).map(|reading| find(&reading.path, &config())) {
            Ok(Lead::Script(script)) => format!("{} + {}", text(script.name), text(script.info)),
            Ok(Lead::Folder(script)) => format!("folder of {}", text(script.name)),
            Ok(Lead::Nothing) => "nothing".to_owned(),
            Err(_) => "refused".to_owned(),
        };
        assert_eq!(found, expected, "{path}");
    }

    #[test]
    fn the_first_part_that_is_called_as_scripts_are() {
        check("/x.php", "/x.php + ");
        check("/a/x.php/in/fo", "/a/x.php + /in/fo");
        check("/a/x.php/", "/a/x.php + /");
        check("/a.php/b.php/c.php", "/a.php + /b.php/c.php");
        check("/upload/cat.jpg/x.php", "/upload/cat.jpg/x.php + ");
        check("/upload/cat.jpg/x.php/y.php", "/upload/cat.jpg/x.php + /y.php");
        check("/x.phpp", "folder of /x.phpp/index.php");
        check("/x.PHP", "folder of /x.PHP/index.php");
        check("/x.php%20", "folder of /x.php /index.php");
        check("/a%20b/%C3%A9.ph%70/%c3%a9", "/a b/é.php + /é");
        check("/a%3Fb.php", "/a?b.php + ");
    }

    #[test]
    fn a_script_has_a_path_of_its_own() {
        for (path, own) in [
            ("/x.php", "/x.php"),
            ("/a%20b/x.php/in/fo", "/a%20b/x.php"),
            ("/x.php/", "/x.php"),
            ("/", "/index.php"),
            ("/a/", "/a/index.php"),
        ] {
            let Lead::Script(script) = find(path, &config()) else { panic!("{path}") };
            assert_eq!(script.own_path(path, &config()), own);
        }
    }

    #[test]
    fn folders() {
        check("/", "/index.php + ");
        check("/a/b/", "/a/b/index.php + ");
        check("/a/b", "folder of /a/b/index.php");
    }

    #[test]
    fn what_is_never_run() {
        for path in [
            "/.php",
            "/.git/x.php",
            "/a/.hidden.php",
            "/a//x.php",
            "//x.php",
            "//",
            "/a//",
            "/a%2Fx.php",
            "/a%5Cx.php",
            "/a\\x.php",
            "/x.php/a%2fb",
            "/x%0a.php",
            "/x.php%0A",
            "/%7F.php",
            "/.../x.php",
        ] {
            check(path, "nothing");
        }
        for path in ["/../x.php", "/%2e%2e/x.php", "/x.php%00", "/%00.php", "/a/../../x.php", "/%"]
        {
            check(path, "refused");
        }
        check("/a/../x.php", "/x.php + ");
        check("/a/%2e%2e/x.php", "/x.php + ");
    }

    #[test]
    fn no_path_leads_above_or_panics() {
        let mut random = fastrand::Rng::with_seed(5);
        let alphabet = b"/.%2eEfF5cC\\0ap hx\xc3";
        for _ in 0..50_000 {
            let tail: String = (0..random.usize(0..24))
                .map(|_| char::from(alphabet[random.usize(..alphabet.len())]))
                .filter(char::is_ascii)
                .collect();
            let path = format!("/{tail}");
            let Ok(reading) = path::read(&path) else { continue };
            if let Lead::Script(Script { name, .. }) = find(&reading.path, &config()) {
                let name = String::from_utf8_lossy(&name).into_owned();
                assert!(!format!("{name}/").contains("/../") && !name.contains("//"), "{path}");
                assert!(name.starts_with('/') && name.ends_with(".php"), "{path}: {name}");
            }
        }
    }
}
