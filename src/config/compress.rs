//! `compress` of a route or of files: which of their answers are encoded on their way to the client.

use super::{
    conditions::is_token,
    diagnostic::Diagnostic,
    model::{Compress, Encoding, Level, MediaType},
    reader::{Field, Shape, Table},
};

const KEYS: &[&str] = &["types", "min_length", "encodings", "level"];

pub(super) static OF_ROUTE: Shape = Shape { name: "`compress` of [[route]]", keys: KEYS };

pub(super) static OF_FILES: Shape = Shape { name: "`compress` of [files.NAME]", keys: KEYS };

/// What text is sent as, and what else shrinks alike. Not `text/event-stream`, which `text/*` leaves
/// out: see `Compress::takes`.
const TYPES: [&str; 16] = [
    "text/*",
    "application/json",
    "application/*+json",
    "application/javascript",
    "application/x-javascript",
    "application/xml",
    "application/*+xml",
    "application/x-ndjson",
    "application/yaml",
    "application/graphql",
    "application/wasm",
    "application/vnd.ms-fontobject",
    "font/ttf",
    "font/otf",
    "image/svg+xml",
    "image/bmp",
];

/// Streams of events last for hours, each with the memory of an encoder.
const EVENT_STREAM: &[u8] = b"text/event-stream";

/// gRPC compresses its messages itself, and clients of it know no content coding.
const GRPC: &[u8] = b"application/grpc";

const SHORTEST: u64 = 1 << 10;

const MOST_LENGTH: u64 = 1 << 40;

impl Default for Compress {
    fn default() -> Compress {
        Compress {
            types: TYPES.iter().filter_map(|text| media_type(text).ok()).collect(),
            min_length: SHORTEST,
            encodings: vec![Encoding::Brotli, Encoding::Zstd, Encoding::Gzip],
            level: Level::Default,
        }
    }
}

impl Compress {
    /// Whether what has this Content-Type is encoded. A stream of events only where it is named: its
    /// place among the answers that are compressed at once is taken for as long as its client stays.
    pub fn takes(&self, content_type: &[u8]) -> bool {
        let media_type = content_type.split(|&byte| byte == b';').next().unwrap_or_default();
        let media_type = media_type.trim_ascii();
        let is_grpc =
            media_type.get(..GRPC.len()).is_some_and(|start| start.eq_ignore_ascii_case(GRPC));
        let by_name = media_type.eq_ignore_ascii_case(EVENT_STREAM);
        !is_grpc
            && self.types.iter().any(|it| it.matches(media_type) && (it.is_exact() || !by_name))
    }
}

/// `None`: nothing is compressed.
pub(super) fn of_route(route: &Table<'_>) -> Option<Compress> {
    let field = route.field("compress").filter(|field| field.as_boolean() != Some(false))?;
    if route.field("redirect").is_some() || route.field("respond").is_some() {
        let message = "`compress` on a route that forwards nothing";
        let help = "it encodes what a pool answers: remove it";
        field.tell(Diagnostic::at(field.key_place, message).help(help));
    }
    meant(&field, &OF_ROUTE)
}

/// `None`: nothing is compressed but what lies there so.
pub(super) fn of_files(files: &Table<'_>) -> Option<Compress> {
    meant(&files.field("compress")?, &OF_FILES)
}

fn meant(field: &Field<'_>, shape: &'static Shape) -> Option<Compress> {
    match field.as_boolean() {
        Some(true) => return Some(Compress::default()),
        Some(false) => return None,
        None => {}
    }
    if !field.is_table() {
        let expected = "expected true, or a table such as { types = [\"text/*\"] }".to_owned();
        return field.judge(Err(expected));
    }
    let table = field.table(shape)?;
    let default = Compress::default();
    let types = table.field("types").and_then(|field| several(&field, one_type));
    let encodings = table.field("encodings").and_then(|field| several(&field, Field::word));
    Some(Compress {
        types: types.unwrap_or(default.types),
        min_length: table.size("min_length", 1..=MOST_LENGTH, default.min_length),
        encodings: encodings.unwrap_or(default.encodings),
        level: table.word("level", default.level),
    })
}

/// At least one, each once.
fn several<'a, T: PartialEq>(
    field: &Field<'a>,
    read: impl Fn(&Field<'a>) -> Option<T>,
) -> Option<Vec<T>> {
    let expected = || "expected an array: [\"…\", \"…\"]".to_owned();
    let items = field.judge(field.as_items().ok_or_else(expected))?;
    if items.is_empty() {
        field.fail(format!("`{}` is empty", field.key), "leave it out for the default");
        return None;
    }
    let mut all = Vec::new();
    for item in &items {
        let one = read(item)?;
        if all.contains(&one) {
            item.fail(format!("{} is in `{}` twice", item.found(), field.key), "keep one");
            return None;
        }
        all.push(one);
    }
    Some(all)
}

fn one_type(item: &Field<'_>) -> Option<MediaType> {
    item.judge(media_type(item.text()?))
}

/// Without parameters; one star, in the subtype.
fn media_type(text: &str) -> Result<MediaType, String> {
    let expected =
        || "expected a media type such as \"text/html\", \"text/*\" or \"application/*+json\"";
    let lower = text.to_ascii_lowercase();
    let read = lower.split_once('/').and_then(|(main, sub)| {
        let (start, end) = match sub.split_once('*') {
            Some((start, end)) => (start, Some(end)),
            None => (sub, None),
        };
        let named = is_token(main) && !main.contains('*');
        let fits = |part: &str| part.is_empty() || is_token(part) && !part.contains('*');
        let valid = named && fits(start) && end.is_none_or(fits) && !sub.is_empty();
        valid.then(|| MediaType { start: format!("{main}/{start}"), end: end.map(str::to_owned) })
    });
    read.ok_or_else(|| expected().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_and_what_they_stand_for() {
        for (pattern, media_type, expected) in [
            ("text/html", "text/html", true),
            ("text/html", "Text/HTML", true),
            ("Text/Html", "text/html", true),
            ("text/html", "text/htmlx", false),
            ("text/html", "text/htm", false),
            ("text/*", "text/x", true),
            ("text/*", "text/", true),
            ("text/*", "texts/x", false),
            ("application/*+json", "application/ld+json", true),
            ("application/*+json", "application/+json", true),
            ("application/*+json", "application/json", false),
            ("application/vnd.*", "application/vnd.a", true),
            ("a/bc*cd", "a/bcd", false),
        ] {
            let read = super::media_type(pattern).unwrap();
            assert_eq!(read.matches(media_type.as_bytes()), expected, "{pattern} {media_type}");
        }
        for bad in ["", "text", "text/", "*/*", "*", "a/b/c", "a/b*c*", "a /b", "a/b; c=d"] {
            assert!(super::media_type(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_text_by_default() {
        let compress = Compress::default();
        assert_eq!(compress.types.len(), TYPES.len());
        for (content_type, expected) in [
            ("text/html; charset=utf-8", true),
            ("text/css", true),
            (" application/json ;a=b", true),
            ("application/problem+json", true),
            ("application/rss+xml", true),
            ("image/svg+xml", true),
            ("image/png", false),
            ("application/octet-stream", false),
            ("application/grpc+json", false),
            ("application/grpc-web", false),
            ("text/event-stream", false),
            ("text/event-stream; charset=utf-8", false),
            ("", false),
            (";", false),
        ] {
            assert_eq!(compress.takes(content_type.as_bytes()), expected, "{content_type}");
        }
        let named = media_type("text/event-stream").unwrap();
        let named = Compress { types: vec![named], ..Compress::default() };
        assert!(named.takes(b"text/Event-Stream;charset=utf-8") && !named.takes(b"text/html"));
        let all = Compress { types: vec![media_type("application/*").unwrap()], ..named };
        assert!(all.takes(b"application/octet-stream") && !all.takes(b"application/grpc"));
    }
}
