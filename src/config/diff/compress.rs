//! What changes at how the answers of a route, or its files, are compressed.

use super::{Changes, or_none};
use crate::{
    config::{
        model::{Compress, Encoding, MediaType},
        words::Words,
    },
    units::size_text,
};

pub(super) fn compare(changes: &mut Changes, old: Option<&Compress>, new: Option<&Compress>) {
    let (old, new) = match (old, new) {
        (Some(old), Some(new)) => (old, new),
        (old, new) => {
            let encodings = |it: Option<&Compress>| or_none(it.map(|it| encodings(&it.encodings)));
            return changes.value("compress", encodings(old), encodings(new));
        }
    };
    let Compress { types: old_types, min_length, encodings: old_encodings, level } = old;
    changes.value("compress types", types(old_types), types(&new.types));
    let (length, new_length) = (size_text(*min_length), size_text(new.min_length));
    changes.value("compress min_length", length, new_length);
    changes.value("compress encodings", encodings(old_encodings), encodings(&new.encodings));
    changes.value("compress level", level.word(), new.level.word());
}

fn encodings(encodings: &[Encoding]) -> String {
    encodings.iter().map(|encoding| encoding.word()).collect::<Vec<_>>().join(", ")
}

fn types(types: &[MediaType]) -> String {
    types.iter().map(MediaType::to_string).collect::<Vec<_>>().join(", ")
}
