//! `strip_prefix` and `replace_prefix` of a route.

use super::{
    diagnostic::Diagnostic,
    model::PathMatch,
    name,
    reader::{Field, Table},
};

/// What stands in place of the route's path in what is forwarded; `/` is nothing.
pub(super) fn read(route: &Table<'_>, path: Option<&PathMatch>) -> Option<String> {
    let strip = route.field("strip_prefix");
    let strip = strip.filter(|field| field.boolean().unwrap_or_default());
    let replace = route.field("replace_prefix");
    let written = strip.as_ref().or(replace.as_ref())?;
    if let (Some(strip), Some(replace)) = (&strip, &replace) {
        let message = "a route with both `strip_prefix` and `replace_prefix`";
        let help = "keep one: `replace_prefix = \"/\"` is the same as `strip_prefix = true`";
        replace.tell(
            Diagnostic::at(replace.key_place, message)
                .beside(strip.key_place, "`strip_prefix`")
                .help(help),
        );
        return None;
    }
    if route.field("redirect").is_some() || route.field("respond").is_some() {
        let message = format!("`{}` on a route that forwards nothing", written.key);
        let help = "it changes the path that a pool's backends get: remove it";
        written.tell(Diagnostic::at(written.key_place, message).help(help));
        return None;
    }
    match (strip, replace) {
        (Some(strip), _) => stripped(&strip, path),
        (None, replace) => {
            let field = replace?;
            Some(field.judge(name::route_path(field.text()?))?.to_owned())
        }
    }
}

fn stripped(strip: &Field<'_>, path: Option<&PathMatch>) -> Option<String> {
    let (message, help) = match path? {
        PathMatch::Prefix(path) if path != "/" => return Some("/".to_owned()),
        PathMatch::Prefix(_) => (
            "`strip_prefix` on a route for every path",
            "give it the `path` whose prefix is to be taken away",
        ),
        PathMatch::Exact(_) => (
            "`strip_prefix` on a route for one path",
            "write the path to forward instead: replace_prefix = \"/\"",
        ),
    };
    strip.tell(Diagnostic::at(strip.key_place, message).help(help));
    None
}
