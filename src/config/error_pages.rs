//! `error_pages` of a listener or a route: files to answer our own errors with.

use std::path::{Path, PathBuf};

use super::{
    diagnostic::{Diagnostic, Place},
    reader::{Field, Table},
};

/// One file, and the errors that it is for.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorPage {
    pub statuses: Statuses,
    pub file: PathBuf,
    pub kind: PageKind,
    /// Where `file` stands, to tell of one that can't be read.
    pub place: Place,
}

/// In the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Statuses {
    /// 400 to 599.
    One(u16),
    /// 4 or 5, for all that begin with it.
    Class(u16),
}

/// What a page is, by the end of its file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageKind {
    Html,
    Xml,
    Json,
    Text,
}

impl Statuses {
    pub fn has(self, status: u16) -> bool {
        match self {
            Statuses::One(one) => one == status,
            Statuses::Class(class) => status / 100 == class,
        }
    }
}

impl PageKind {
    pub fn content_type(self) -> &'static str {
        match self {
            PageKind::Html => "text/html; charset=utf-8",
            PageKind::Xml => "application/xml",
            PageKind::Json => "application/json",
            PageKind::Text => "text/plain; charset=utf-8",
        }
    }

    fn of(file: &Path) -> Option<PageKind> {
        let end = file.extension()?.to_str()?.to_ascii_lowercase();
        match end.as_str() {
            "html" | "htm" => Some(PageKind::Html),
            "xml" => Some(PageKind::Xml),
            "json" => Some(PageKind::Json),
            "txt" => Some(PageKind::Text),
            _ => None,
        }
    }
}

/// Pages for one status before those for many.
pub(super) fn read(table: &Table<'_>) -> Vec<ErrorPage> {
    let entries = table.field("error_pages").and_then(|field| field.entries());
    let mut pages: Vec<ErrorPage> = entries.iter().flatten().filter_map(page).collect();
    pages.sort_by_key(|page| page.statuses);
    pages
}

fn page(entry: &Field<'_>) -> Option<ErrorPage> {
    let Some(statuses) = statuses(entry.key) else {
        let message = format!("`{}` is no status of an error", entry.key);
        let help = "expected one from \"400\" to \"599\", or \"4xx\" or \"5xx\" for all of them";
        entry.tell(Diagnostic::at(entry.key_place, message).help(help));
        return None;
    };
    let file = entry.resolved(entry.text()?);
    let kind = PageKind::of(&file);
    let expected = || "expected a file whose name ends in .html, .json, .txt or .xml".to_owned();
    let kind = entry.judge(kind.ok_or_else(expected))?;
    Some(ErrorPage { statuses, file, kind, place: entry.place() })
}

fn statuses(key: &str) -> Option<Statuses> {
    match key {
        "4xx" => Some(Statuses::Class(4)),
        "5xx" => Some(Statuses::Class(5)),
        key => {
            let digits = key.len() == 3 && key.bytes().all(|byte| byte.is_ascii_digit());
            let status = key.parse().ok().filter(|status| digits && (400..600).contains(status));
            status.map(Statuses::One)
        }
    }
}
