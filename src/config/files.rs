//! `[files.NAME]`: from the table as written to the directory as meant.

use std::{path::PathBuf, sync::Arc, time::Duration};

use super::{
    action::media_type,
    compress,
    diagnostic::{Diagnostic, Place},
    listener::A_WAIT,
    model::{CacheControl, Encoding, Files, Listing, Otherwise, Reads, Symlinks, Try},
    name,
    pattern::Pattern,
    reader::{Field, Shape, Table},
};

pub(super) static FILES: Shape = Shape {
    name: "[files.NAME]",
    keys: &[
        "root",
        "index",
        "try",
        "fallback",
        "clean_urls",
        "symlinks",
        "hidden",
        "charset",
        "types",
        "cache_control",
        "immutable",
        "precompressed",
        "compress",
        "listing",
        "memory",
        "open_files",
        "reads",
        "max_ranges",
    ],
};

pub(super) static READS: Shape =
    Shape { name: "`reads` of [files.NAME]", keys: &["max", "queue", "timeout"] };

pub(super) static CACHE_CONTROL: Shape =
    Shape { name: "`cache_control` of [files.NAME]", keys: &["match", "value"] };

pub(super) static TRY: Shape = Shape { name: "`try` of [files.NAME]", keys: &["pool"] };

/// NAME_MAX of Linux: no file has a longer one.
const LONGEST_FILE_NAME: usize = 255;

const MOST_MEMORY: u64 = 1 << 40;

/// A directory as far as it could be read, and what only the whole file can judge.
pub(super) struct WrittenFiles {
    /// The one behind it.
    pub pool: Option<(Arc<str>, Place)>,
    /// `None` where something could not be read, which has been told.
    pub meant: Option<Files>,
}

pub(super) fn read(field: &Field<'_>) -> Option<WrittenFiles> {
    let table = field.table(&FILES)?;
    if let Err(expected) = name::name(field.key) {
        let message = format!("`{}` is no name for files", field.key);
        table.findings().add(Diagnostic::at(field.key_place, message).help(expected));
    }
    let (tries, pool) = tries(&table);
    let root = root(&table);
    let fallback = fallback(&table, pool.as_ref());
    let meant = root.map(|(root, place)| Files {
        name: Arc::from(field.key),
        root,
        place,
        index: index(&table),
        tries,
        otherwise: match (&pool, fallback) {
            (Some((pool, _)), _) => Otherwise::Pool(pool.clone()),
            (None, Some(file)) => Otherwise::Fallback(file),
            (None, None) => Otherwise::NotFound,
        },
        clean_urls: flag(&table, "clean_urls"),
        symlinks: table.word("symlinks", Symlinks::Inside),
        hidden: flag(&table, "hidden"),
        charset: charset(&table),
        types: types(&table),
        cache_control: cache_control(&table),
        immutable: table.field("immutable").and_then(|it| it.boolean()).unwrap_or(true),
        precompressed: precompressed(&table),
        compress: compress::of_files(&table),
        listing: table.word("listing", Listing::Off),
        memory: table.size("memory", 0..=MOST_MEMORY, 64 << 20),
        open_files: table.integer("open_files", 0..=65_536, 256),
        reads: reads(&table),
        max_ranges: table.integer("max_ranges", 0..=1_000, 16),
    });
    Some(WrittenFiles { pool, meant })
}

fn flag(table: &Table<'_>, key: &'static str) -> bool {
    table.field(key).and_then(|field| field.boolean()).unwrap_or(false)
}

fn root(table: &Table<'_>) -> Option<(PathBuf, Place)> {
    let expected = r#"expected the directory to serve: root = "/srv/www/example""#;
    let field = table.required("root", expected)?;
    let text = field.text()?;
    let valid = !text.is_empty() && !text.contains('\0');
    let text = field.judge(valid.then_some(text).ok_or_else(|| expected.to_owned()))?;
    Some((field.resolved(text), field.place()))
}

/// Without a slash: it stands in the directory itself.
fn index(table: &Table<'_>) -> Vec<String> {
    let Some(field) = table.field("index") else {
        return vec!["index.html".to_owned()];
    };
    let items = field.as_items().unwrap_or_else(|| vec![field.again()]);
    let name = |item: &Field<'_>| item.judge(file_name(item.text()?)).map(str::to_owned);
    items.iter().filter_map(name).collect()
}

fn file_name(text: &str) -> Result<&str, String> {
    let length = (1..=LONGEST_FILE_NAME).contains(&text.len());
    let plain = !text.contains(['/', '\\', '\0']) && !matches!(text, "." | "..");
    let expected = || r#"expected the name of a file such as "index.html""#.to_owned();
    (length && plain).then_some(text).ok_or_else(expected)
}

/// `["file", "directory", { pool = "app" }]`: the pool comes last, if there is one.
fn tries(table: &Table<'_>) -> (Vec<Try>, Option<(Arc<str>, Place)>) {
    const EXPECTED: &str =
        r#"expected "file" and "directory" in some order, and perhaps { pool = "app" } behind"#;
    let Some(field) = table.field("try") else {
        return (vec![Try::File, Try::Directory], None);
    };
    let (mut tries, mut pool) = (Vec::new(), None);
    let items = field.judge(field.as_items().ok_or_else(|| EXPECTED.to_owned()));
    for item in items.iter().flatten() {
        if pool.is_some() {
            item.fail("a try behind the pool", "the pool answers all that comes to it: it is last");
        }
        if item.is_table() {
            let named = item.table(&TRY).and_then(|table| table.required("pool", EXPECTED));
            pool = named.and_then(|field| Some((Arc::from(field.text()?), field.place())));
            continue;
        }
        let Some(tried) = item.word::<Try>() else {
            continue;
        };
        if tries.contains(&tried) {
            item.fail("the same try twice", "remove one");
        }
        tries.push(tried);
    }
    if items.is_some_and(|items| items.iter().all(Field::is_table)) {
        field.fail("no file and no directory to try", EXPECTED);
    }
    (tries, pool)
}

fn fallback(table: &Table<'_>, pool: Option<&(Arc<str>, Place)>) -> Option<String> {
    let field = table.field("fallback")?;
    if let Some((_, place)) = pool {
        let message = "`fallback` beside a pool in `try`";
        let help = "keep one: what is not there goes to the pool, or is answered by the file";
        let diagnostic = Diagnostic::at(field.key_place, message).beside(*place, "the pool");
        field.tell(diagnostic.help(help));
    }
    let text = field.text()?;
    let below = text.strip_prefix('/').unwrap_or_default();
    let valid = below.split('/').all(|name| file_name(name).is_ok());
    let expected = || r#"expected a file of the root such as "/index.html""#.to_owned();
    field.judge(valid.then(|| text.to_owned()).ok_or_else(expected))
}

/// Empty: none is told.
fn charset(table: &Table<'_>) -> Option<String> {
    let Some(field) = table.field("charset") else {
        return Some("utf-8".to_owned());
    };
    let text = field.text()?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:+".contains(&byte);
    let valid = text.len() <= 40 && text.bytes().all(allowed);
    let expected = || r#"expected a charset such as "utf-8", or "" for none"#.to_owned();
    let text = field.judge(valid.then_some(text).ok_or_else(expected))?;
    (!text.is_empty()).then(|| text.to_owned())
}

fn types(table: &Table<'_>) -> Vec<(String, String)> {
    let entries = table.field("types").and_then(|field| field.entries()).unwrap_or_default();
    let mut types = Vec::new();
    for entry in &entries {
        let extension = entry.key.to_ascii_lowercase();
        let dotted = extension.starts_with('.') || file_name(&extension).is_err();
        if dotted {
            let message = format!("`{}` is no extension", entry.key);
            let help = "expected it without the dot: types = { wasm = \"application/wasm\" }";
            entry.tell(Diagnostic::at(entry.key_place, message).help(help));
        }
        let media_type = entry.text().and_then(|text| entry.judge(media_type(text)));
        types.extend(media_type.map(|media_type| (extension, media_type.to_owned())));
    }
    types.sort_unstable();
    types
}

/// In the order of the file, which counts.
fn cache_control(table: &Table<'_>) -> Vec<CacheControl> {
    const EXPECTED: &str = r#"expected rules such as [{ match = "*.html", value = "no-cache" }], the first that fits counts"#;
    let Some(field) = table.field("cache_control") else {
        return Vec::new();
    };
    let items = field.judge(field.as_items().ok_or_else(|| EXPECTED.to_owned()));
    let rule = |item: &Field<'_>| {
        let table = item.table(&CACHE_CONTROL)?;
        let pattern = table.required("match", EXPECTED);
        let value = table.required("value", EXPECTED);
        let (pattern, value) = (pattern?, value?);
        let parsed = pattern.judge(pattern.text()?.parse::<Pattern>());
        let value = value.judge(field_value(value.text()?)).map(str::to_owned);
        Some(CacheControl { pattern: parsed?, value: value? })
    };
    items.iter().flatten().filter_map(rule).collect()
}

fn field_value(text: &str) -> Result<&str, String> {
    let visible = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    let valid = visible && !text.is_empty() && text.trim() == text && text.len() <= 1024;
    let expected = || r#"expected the field's value such as "public, max-age=3600""#.to_owned();
    valid.then_some(text).ok_or_else(expected)
}

/// Empty: none is looked for.
fn precompressed(table: &Table<'_>) -> Vec<Encoding> {
    let Some(field) = table.field("precompressed") else {
        return vec![Encoding::Brotli, Encoding::Zstd, Encoding::Gzip];
    };
    let expected = || r#"expected an array such as ["br", "gzip"], or [] for none"#.to_owned();
    let mut encodings = Vec::new();
    for item in field.judge(field.as_items().ok_or_else(expected)).iter().flatten() {
        let Some(encoding) = item.word::<Encoding>() else {
            continue;
        };
        if encodings.contains(&encoding) {
            item.fail("the same coding twice", "keep one");
        }
        encodings.push(encoding);
    }
    encodings
}

fn reads(table: &Table<'_>) -> Reads {
    let usual = Reads::default();
    let Some(table) = table.field("reads").and_then(|field| field.table(&READS)) else {
        return usual;
    };
    Reads {
        max: table.integer("max", 1..=512, usual.max),
        queue: table.integer("queue", 0..=1_000_000, usual.queue),
        timeout: table.duration("timeout", A_WAIT, usual.timeout),
    }
}

impl Default for Reads {
    fn default() -> Reads {
        Reads { max: 16, queue: 256, timeout: Duration::from_secs(30) }
    }
}
