//! What changes at one directory of files.

use super::{Changes, compress::compare as compress, or_none};
use crate::{
    config::{
        model::{CacheControl, Encoding, Files, Otherwise, Reads, Try},
        words::Words,
    },
    units::size_text,
};

pub(super) fn compare(changes: &mut Changes, old: &Files, new: &Files) {
    let Files {
        name: _,
        root,
        place: _,
        index,
        tries: old_tries,
        otherwise: old_otherwise,
        clean_urls,
        symlinks,
        hidden,
        charset,
        types: old_types,
        cache_control,
        immutable,
        precompressed,
        compress: old_compress,
        listing,
        memory,
        open_files,
        reads: Reads { max, queue, timeout },
        max_ranges,
    } = old;
    changes.value("root", root.display(), new.root.display());
    changes.value("index", listed(index), listed(&new.index));
    changes.value("try", tries(old_tries), tries(&new.tries));
    changes.value("otherwise", otherwise(old_otherwise), otherwise(&new.otherwise));
    changes.value("clean_urls", clean_urls, new.clean_urls);
    changes.value("symlinks", symlinks.word(), new.symlinks.word());
    changes.value("hidden", hidden, new.hidden);
    changes.value("charset", or_none(charset.clone()), or_none(new.charset.clone()));
    changes.value("types", types(old_types), types(&new.types));
    changes.value("cache_control", rules(cache_control), rules(&new.cache_control));
    changes.value("immutable", immutable, new.immutable);
    let (old_codings, new_codings) = (codings(precompressed), codings(&new.precompressed));
    changes.value("precompressed", old_codings, new_codings);
    compress(changes, old_compress.as_ref(), new.compress.as_ref());
    changes.value("listing", listing.word(), new.listing.word());
    changes.value("memory", size_text(*memory), size_text(new.memory));
    changes.value("open_files", open_files, new.open_files);
    changes.value("reads max", max, new.reads.max);
    changes.value("reads queue", queue, new.reads.queue);
    changes.duration("reads timeout", *timeout, new.reads.timeout);
    changes.value("max_ranges", max_ranges, new.max_ranges);
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn tries(tries: &[Try]) -> String {
    tries.iter().map(|tried| tried.word()).collect::<Vec<_>>().join(", ")
}

fn rules(rules: &[CacheControl]) -> String {
    let rule = |CacheControl { pattern, value }: &CacheControl| format!("{pattern} {value}");
    listed(&rules.iter().map(rule).collect::<Vec<_>>())
}

fn codings(codings: &[Encoding]) -> String {
    listed(&codings.iter().map(|coding| coding.word().to_owned()).collect::<Vec<_>>())
}

fn otherwise(otherwise: &Otherwise) -> String {
    match otherwise {
        Otherwise::NotFound => "404".to_owned(),
        Otherwise::Fallback(file) => format!("fallback {file}"),
        Otherwise::Pool(pool) => format!("pool {pool}"),
    }
}

fn types(types: &[(String, String)]) -> String {
    let one = |(extension, media_type): &(String, String)| format!("{extension} {media_type}");
    listed(&types.iter().map(one).collect::<Vec<_>>())
}
