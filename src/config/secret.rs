//! Values that no error may show: what is sent or matched as a header, a cookie or a key of the
//! query may be a password, and errors go to logs, to the journal and to whoever is asked for help.

use toml::{Spanned, de::DeValue};

use super::diagnostic::Place;

/// Keys of which one says that what follows may be secret, in a file that can't be read as a tree.
const NAMED: [&str; 4] = ["headers", "cookies", "query", "secret"];

/// Each value that stands in this one and has none within: the names beside it stay readable.
pub(super) fn leaves(value: &Spanned<DeValue<'_>>, found: &mut Vec<Place>) {
    match value.get_ref() {
        DeValue::Table(table) => table.iter().for_each(|(_, value)| leaves(value, found)),
        DeValue::Array(items) => items.iter().for_each(|item| leaves(item, found)),
        _ => found.push(value.span().into()),
    }
}

/// What may be secret in a text whose grammar is broken: where a value begins and ends is not known
/// there, so of each line of such a table all that follows the key is.
pub(super) fn guessed(text: &str) -> Vec<Place> {
    let mut found = Vec::new();
    let mut begin = 0;
    let mut named = false;
    for line in text.split_inclusive('\n') {
        let content = line.trim_end();
        let mentions = NAMED.iter().any(|key| content.contains(key));
        if is_header(content) {
            named = mentions;
        } else {
            named |= mentions;
            let value = content.find('=').map_or(0, |at| at + 1);
            if named && value < content.len() {
                found.push(Place::from(begin + value..begin + content.len()));
            }
        }
        begin += line.len();
    }
    found
}

/// A line such as `[[route]]`. An item of an array that begins so has no name behind its bracket.
fn is_header(line: &str) -> bool {
    let inner = line.trim_start().trim_start_matches('[');
    line.trim_start().starts_with('[') && inner.starts_with(|c: char| c.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_broken_text_that_may_be_secret() {
        let text = "workers = 1\n[[route]]\npath = \"/\"\nheaders = { X-Key = \"1\n  \"2\" ]\n\
                    [pool.app]\nbackends = 1\n[sticky.secrets]\r\na = \"3\"\r\n";
        let found: Vec<&str> =
            guessed(text).iter().map(|place| text[place.start..place.end].trim()).collect();
        assert_eq!(found, ["{ X-Key = \"1", "\"2\" ]", "\"3\""]);
    }
}
