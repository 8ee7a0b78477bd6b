//! What a directory without an index page shows, where a site asks for it: a page, or JSON of the form
//! that nginx's autoindex has. Pure.
//!
//! A name is a stranger's text: it is escaped where it is read and encoded where it is a link, and the
//! page has no script. Names that are no UTF-8 are shown with `�` and lead to the file nonetheless.

use std::{
    cmp::Ordering,
    fmt::Write,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{
    message::percent,
    observe::dates::{http_date, rfc3339},
};

/// One of a directory's files or directories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: Vec<u8>,
    pub modified: SystemTime,
    pub content: Content,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    Directory,
    File { bytes: u64 },
}

/// Directories first, then by name, byte by byte.
pub fn sort(entries: &mut [Entry]) {
    entries.sort_unstable_by(|one, other| match (one.content, other.content) {
        (Content::Directory, Content::File { .. }) => Ordering::Less,
        (Content::File { .. }, Content::Directory) => Ordering::Greater,
        _ => one.name.cmp(&other.name),
    });
}

/// Small, readable on a phone and in the dark.
const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:0 auto;padding:1rem}\
h1{font-size:1.2rem;overflow-wrap:anywhere}\
table{width:100%;border-collapse:collapse}\
td{padding:.3rem .5rem;border-top:1px solid #8884}\
td:first-child{overflow-wrap:anywhere}\
td+td{text-align:right;white-space:nowrap;opacity:.7;font-variant-numeric:tabular-nums}\
@media(max-width:36rem){td:nth-child(3){display:none}}";

/// The page. `directory`: its name relative to the root, empty for the root itself.
pub fn html(directory: &[u8], entries: &[Entry]) -> String {
    let title = escaped(&String::from_utf8_lossy(directory));
    let mut page = format!(
        "<!doctype html>\n<html>\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>/{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>/{title}</h1>\n<table>\n"
    );
    if !directory.is_empty() {
        page.push_str("<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n");
    }
    for entry in entries {
        write_row(&mut page, entry);
    }
    page.push_str("</table>\n</body>\n</html>\n");
    page
}

fn write_row(page: &mut String, entry: &Entry) {
    let name = escaped(&String::from_utf8_lossy(&entry.name));
    let link = link(&entry.name);
    let (slash, size) = match entry.content {
        Content::Directory => ("/", String::new()),
        Content::File { bytes } => ("", size_text(bytes)),
    };
    let moment = rfc3339(entry.modified);
    let (day, minute) = (&moment.as_str()[..10], &moment.as_str()[11..16]);
    writeln!(
        page,
        "<tr><td><a href=\"{link}{slash}\">{name}{slash}</a></td>\
         <td>{size}</td><td><time datetime=\"{moment}\">{day} {minute}</time></td></tr>"
    )
    .expect("a String takes every text");
}

/// A link to a name of the same directory. The dot in front keeps a colon from ending a scheme (RFC
/// 3986, section 4.2); what it encodes holds no sign that HTML reads but `&` and `'`.
fn link(name: &[u8]) -> String {
    let mut link = b"./".to_vec();
    percent::write_segment(&mut link, name);
    escaped(&String::from_utf8_lossy(&link))
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Neither a line's end nor a sign that turns the reading direction moves what follows.
            sign if sign.is_control() || is_direction(sign) => escaped.push('\u{fffd}'),
            sign => escaped.push(sign),
        }
    }
    escaped
}

/// `gpj.exe` may be read as `exe.jpg` (UAX #9).
fn is_direction(sign: char) -> bool {
    matches!(sign, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `1.4 MiB`: three digits at most say enough.
fn size_text(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut unit = 0;
    let mut tenths = u128::from(bytes) * 10;
    // 1023.95 is 1024.0 to a reader.
    while unit + 1 < UNITS.len() && tenths >= 10_236 {
        tenths = (tenths + 512) / 1024;
        unit += 1;
    }
    let (whole, tenth) = (tenths / 10, tenths % 10);
    if unit == 0 || whole >= 100 {
        return format!("{} {}", (tenths + 5) / 10, UNITS[unit]);
    }
    format!("{whole}.{tenth} {}", UNITS[unit])
}

/// An array with an object for each entry: `name`, `type` (`directory` or `file`), `mtime` as HTTP writes
/// it, and the `size` of files.
pub fn json(entries: &[Entry]) -> String {
    let mut text = String::from("[");
    for (position, entry) in entries.iter().enumerate() {
        let comma = if position == 0 { "" } else { "," };
        let name = serde_json::Value::from(String::from_utf8_lossy(&entry.name));
        let mtime = http_date(entry.modified.max(UNIX_EPOCH));
        let (kind, size) = match entry.content {
            Content::Directory => ("directory", String::new()),
            Content::File { bytes } => ("file", format!(", \"size\":{bytes}")),
        };
        write!(
            text,
            "{comma}\n{{ \"name\":{name}, \"type\":\"{kind}\", \"mtime\":\"{mtime}\"{size} }}"
        )
        .expect("a String takes every text");
    }
    text.push_str("\n]\n");
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn entry(name: &[u8], content: Content) -> Entry {
        let modified = UNIX_EPOCH + Duration::from_secs(1_795_408_370);
        Entry { name: name.to_vec(), modified, content }
    }

    fn file(name: &str, bytes: u64) -> Entry {
        entry(name.as_bytes(), Content::File { bytes })
    }

    fn directory(name: &str) -> Entry {
        entry(name.as_bytes(), Content::Directory)
    }

    #[test]
    fn directories_come_first() {
        let mut entries = [
            file("b", 1),
            file("B", 1),
            directory("z"),
            file("a", 1),
            directory("é"),
            directory("c"),
        ];
        sort(&mut entries);
        let names: Vec<_> =
            entries.iter().map(|entry| std::str::from_utf8(&entry.name).unwrap()).collect();
        assert_eq!(names, ["c", "z", "é", "B", "a", "b"]);
    }

    #[test]
    fn a_page() {
        let page = html(b"", &[directory("docs"), file("a.txt", 1234)]);
        assert!(page.starts_with("<!doctype html>\n<html>\n<head>\n<meta charset=\"utf-8\">\n"));
        assert!(page.contains("<title>/</title>") && page.contains("<h1>/</h1>"));
        assert!(
            page.contains(
                "<table>\n\
             <tr><td><a href=\"./docs/\">docs/</a></td><td></td>\
             <td><time datetime=\"2026-11-23T04:32:50.000Z\">2026-11-23 04:32</time></td></tr>\n\
             <tr><td><a href=\"./a.txt\">a.txt</a></td><td>1.2 KiB</td>\
             <td><time datetime=\"2026-11-23T04:32:50.000Z\">2026-11-23 04:32</time></td></tr>\n\
             </table>\n</body>\n</html>\n"
            ),
            "{page}"
        );
        let below = html("a/b & c".as_bytes(), &[]);
        assert!(below.contains("<title>/a/b &amp; c</title>"));
        assert!(below.contains("<a href=\"../\">../</a>"));
    }

    #[test]
    fn no_name_is_markup_or_another_address() {
        for (name, link, text) in [
            ("a b", "./a%20b", "a b"),
            ("é", "./%C3%A9", "é"),
            ("100%", "./100%25", "100%"),
            ("a?b#c", "./a%3Fb%23c", "a?b#c"),
            ("javascript:alert(1)", "./javascript:alert(1)", "javascript:alert(1)"),
            ("<script>", "./%3Cscript%3E", "&lt;script&gt;"),
            ("\"><b x='", "./%22%3E%3Cb%20x=&#39;", "&quot;&gt;&lt;b x=&#39;"),
            ("a&lt;b", "./a&amp;lt;b", "a&amp;lt;b"),
            ("a\nb", "./a%0Ab", "a\u{fffd}b"),
            ("gpj\u{202e}.exe", "./gpj%E2%80%AE.exe", "gpj\u{fffd}.exe"),
            ("a\\b", "./a%5Cb", "a\\b"),
        ] {
            let page = html(b"", &[file(name, 0)]);
            let expected = format!("<a href=\"{link}\">{text}</a>");
            assert!(page.contains(&expected), "{name}: {page}");
        }
        let page = html(b"<x>\xff", &[entry(b"a\xff", Content::File { bytes: 0 })]);
        assert!(page.contains("<a href=\"./a%FF\">a\u{fffd}</a>"), "{page}");
        assert!(page.contains("<h1>/&lt;x&gt;\u{fffd}</h1>"), "{page}");
    }

    #[test]
    fn json_as_nginx_has_it() {
        assert_eq!(json(&[]), "[\n]\n");
        let entries =
            [directory("a\"b"), file("c\n", 5), entry(b"\xff", Content::File { bytes: 0 })];
        let text = json(&entries);
        assert_eq!(
            text,
            "[\n\
             { \"name\":\"a\\\"b\", \"type\":\"directory\", \"mtime\":\"Mon, 23 Nov 2026 04:32:50 GMT\" },\n\
             { \"name\":\"c\\n\", \"type\":\"file\", \"mtime\":\"Mon, 23 Nov 2026 04:32:50 GMT\", \"size\":5 },\n\
             { \"name\":\"\u{fffd}\", \"type\":\"file\", \"mtime\":\"Mon, 23 Nov 2026 04:32:50 GMT\", \"size\":0 }\n\
             ]\n"
        );
        let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed[1]["size"], 5);
    }

    #[test]
    fn sizes_for_readers() {
        for (bytes, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (102_348, "99.9 KiB"),
            (102_400, "100 KiB"),
            (1_048_575, "1.0 MiB"),
            (1_468_006, "1.4 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(size_text(bytes), expected, "{bytes}");
        }
    }
}
