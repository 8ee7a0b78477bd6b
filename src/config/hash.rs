//! `hash` of `[pool.NAME]`: what of a request leads it to a backend of its own.

use super::{
    conditions::is_token,
    diagnostic::Diagnostic,
    model::{Balance, Hash, HashKey},
    reader::{Field, Shape, Table},
};

pub(super) static HASH: Shape =
    Shape { name: "`hash` of [pool.NAME]", keys: &["by", "header", "cookie", "bound"] };

/// A bound of 1 would let no backend have one request more than another; without one, a backend may
/// have them all.
const BOUNDS: std::ops::RangeInclusive<f64> = 1.01..=100.0;

pub(super) fn read(pool: &Table<'_>, balance: Balance) -> Option<Hash> {
    let field = pool.field("hash");
    if let (Some(field), true) = (&field, balance != Balance::ConsistentHash) {
        let message = "`hash` without balance = \"consistent-hash\"";
        let help = "write it beside that `balance`, or remove `hash`";
        field.tell(Diagnostic::at(field.key_place, message).help(help));
    }
    let table = field.and_then(|field| field.table(&HASH));
    let read = match table {
        Some(table) => Hash {
            key: key(&table).unwrap_or(HashKey::Source),
            bound: table.field("bound").and_then(|field| field.number(BOUNDS)),
        },
        None => Hash { key: HashKey::Source, bound: None },
    };
    (balance == Balance::ConsistentHash).then_some(read)
}

/// `None` where there is none, or none that can be read.
fn key(table: &Table<'_>) -> Option<HashKey> {
    let written = ["by", "header", "cookie"].map(|key| table.field(key));
    let mut several = written.iter().flatten();
    if let (Some(first), Some(second)) = (several.next(), several.next()) {
        let message = format!("`{}` beside `{}`: a request has one key", second.key, first.key);
        let place = Diagnostic::at(second.key_place, message).beside(first.key_place, "the other");
        second.tell(place.help("keep one of `by`, `header` and `cookie`"));
    }
    match written {
        [Some(by), ..] => by.judge(word(by.text()?)),
        [_, Some(header), _] => header.judge(header_name(&header)?).map(HashKey::Header),
        [.., Some(cookie)] => cookie.judge(cookie_name(&cookie)?).map(HashKey::Cookie),
        [None, None, None] => None,
    }
}

fn word(text: &str) -> Result<HashKey, String> {
    match text {
        "source" => Ok(HashKey::Source),
        "path" => Ok(HashKey::Path),
        _ => Err("expected \"source\" or \"path\", or instead of `by` a header = \"X-User\" or a \
                  cookie = \"user\""
            .to_owned()),
    }
}

fn header_name(field: &Field<'_>) -> Option<Result<String, String>> {
    let name = field.text()?.to_ascii_lowercase();
    Some(match name.as_str() {
        "cookie" => Err("write cookie = \"NAME\" instead".to_owned()),
        name if is_token(name) => Ok(name.to_owned()),
        _ => Err("expected a header name such as \"X-User\"".to_owned()),
    })
}

fn cookie_name(field: &Field<'_>) -> Option<Result<String, String>> {
    let name = field.text()?;
    let expected = || "expected the name of a cookie such as \"user\"".to_owned();
    Some(is_token(name).then(|| name.to_owned()).ok_or_else(expected))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(pool: &str) -> Result<Option<Hash>, String> {
        let text = format!(
            "[listener.web]\nbind = \"0.0.0.0:80\"\n[[route]]\npool = \"app\"\n\
             [pool.app]\nbackends = [\"10.0.1.11:80\"]\n{pool}"
        );
        let config = crate::config::parse(&text, Path::new("e.toml"));
        config.map(|config| config.pools[0].hash.clone()).map_err(|errors| errors.to_string())
    }

    #[test]
    fn what_a_key_is_made_of() {
        use HashKey::*;
        for (hash, key, bound) in [
            ("", Source, None),
            ("hash = {}", Source, None),
            ("hash = { by = \"source\", bound = 2 }", Source, Some(2.0)),
            ("hash = { by = \"path\", bound = 1.25 }", Path, Some(1.25)),
            ("hash = { header = \"X-User\" }", Header("x-user".to_owned()), None),
            ("hash = { cookie = \"User\" }", Cookie("User".to_owned()), None),
        ] {
            let written = read(&format!("balance = \"consistent-hash\"\n{hash}"));
            assert_eq!(written, Ok(Some(Hash { key, bound })), "{hash}");
        }
        assert_eq!(read(""), Ok(None));
    }

    #[test]
    fn mistakes_are_told_with_their_remedy() {
        for (hash, expected) in [
            ("{ by = \"host\" }", "expected \"source\" or \"path\""),
            ("{ by = \"path\", cookie = \"a\" }", "`cookie` beside `by`"),
            ("{ header = \"Cookie\" }", "write cookie = \"NAME\" instead"),
            ("{ header = \"a b\" }", "expected a header name"),
            ("{ cookie = \"a=b\" }", "expected the name of a cookie"),
            ("{ bound = 1 }", "expected a number from 1.01 to 100"),
            ("{ bound = \"2\" }", "expected a number from 1.01 to 100"),
        ] {
            let text = read(&format!("balance = \"consistent-hash\"\nhash = {hash}")).unwrap_err();
            assert!(text.contains(expected), "{hash}: {text}");
        }
        let text = read("balance = \"least-time\"\nhash = {}").unwrap_err();
        assert!(text.contains("without balance = \"consistent-hash\""), "{text}");
    }
}
