//! The pages that our own errors are answered with, where the operator has written some. Pure: the
//! files are read when the configuration is.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    config::{PageKind, Statuses},
    http::refusal::Refusal,
};

/// One file, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    kind: PageKind,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Bytes(Vec<u8>),
    Variable(Variable),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variable {
    Status,
    Reason,
    RequestId,
}

/// Any other brace is the page's own, as style sheets have many.
const VARIABLES: [(&[u8], Variable); 3] = [
    (b"{status}", Variable::Status),
    (b"{reason}", Variable::Reason),
    (b"{request_id}", Variable::RequestId),
];

impl Page {
    pub fn new(kind: PageKind, content: &[u8]) -> Page {
        let mut pieces = Vec::new();
        let mut plain = 0;
        for at in memchr::memchr_iter(b'{', content) {
            let here = &content[at..];
            let named = VARIABLES.into_iter().find(|(name, _)| here.starts_with(name));
            let Some((name, variable)) = named else {
                continue;
            };
            if at > plain {
                pieces.push(Piece::Bytes(content[plain..at].to_vec()));
            }
            pieces.push(Piece::Variable(variable));
            plain = at + name.len();
        }
        if plain < content.len() {
            pieces.push(Piece::Bytes(content[plain..].to_vec()));
        }
        Page { kind, pieces }
    }

    pub fn content_type(&self) -> &'static str {
        self.kind.content_type()
    }

    /// The page of one error.
    pub fn fill(&self, refusal: Refusal, request_id: &str) -> Vec<u8> {
        let status = refusal.status().to_string();
        let mut out = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Bytes(bytes) => out.extend_from_slice(bytes),
                Piece::Variable(Variable::Status) => self.write(&status, &mut out),
                Piece::Variable(Variable::Reason) => self.write(refusal.reason.word(), &mut out),
                Piece::Variable(Variable::RequestId) => self.write(request_id, &mut out),
            }
        }
        out
    }

    /// A request's id may come from a trusted proxy. It holds nothing that would end a text in JSON.
    fn write(&self, value: &str, out: &mut Vec<u8>) {
        match self.kind {
            PageKind::Html | PageKind::Xml => escape(value, out),
            PageKind::Json | PageKind::Text => out.extend_from_slice(value.as_bytes()),
        }
    }
}

fn escape(value: &str, out: &mut Vec<u8>) {
    for byte in value.bytes() {
        match byte {
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            byte => out.push(byte),
        }
    }
}

/// Every page that a configuration names, by its file.
#[derive(Clone, Debug, Default)]
pub struct Pages {
    by_file: HashMap<PathBuf, Arc<Page>>,
}

impl Pages {
    pub fn put(&mut self, file: &Path, page: Page) {
        self.by_file.insert(file.to_owned(), Arc::new(page));
    }

    pub fn of(&self, file: &Path) -> Option<&Arc<Page>> {
        self.by_file.get(file)
    }

    /// The files whose content is not what it was `before`: their configuration need not have
    /// changed.
    pub fn changed(&self, before: &Pages) -> Vec<&Path> {
        let differs = |(file, page): &(&PathBuf, &Arc<Page>)| {
            before.of(file).is_some_and(|before| before != *page)
        };
        let changed = self.by_file.iter().filter(differs);
        let mut files: Vec<&Path> = changed.map(|(file, _)| file.as_path()).collect();
        files.sort_unstable();
        files
    }
}

/// All pages of one listener or one route.
#[derive(Default)]
pub struct ErrorPages {
    /// Those for one status first.
    list: Vec<(Statuses, Arc<Page>)>,
}

impl ErrorPages {
    pub fn new(pages: impl Iterator<Item = (Statuses, Arc<Page>)>) -> ErrorPages {
        let mut list: Vec<(Statuses, Arc<Page>)> = pages.collect();
        list.sort_by_key(|(statuses, _)| *statuses);
        ErrorPages { list }
    }

    pub fn find(&self, status: u16) -> Option<&Page> {
        let (_, page) = self.list.iter().find(|(statuses, _)| statuses.has(status))?;
        Some(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::refusal;

    fn filled(kind: PageKind, content: &str, id: &str) -> String {
        let page = Page::new(kind, content.as_bytes());
        String::from_utf8(page.fill(refusal::NO_BACKEND, id)).unwrap()
    }

    #[test]
    fn variables_are_filled_in_and_other_braces_kept() {
        for (content, expected) in [
            ("", ""),
            ("{status}", "503"),
            ("a{status}{reason} {request_id}.", "a503no-backend id."),
            ("b { color: red } {{status}} {stat", "b { color: red } {503} {stat"),
            ("{Status} {status", "{Status} {status"),
        ] {
            assert_eq!(filled(PageKind::Html, content, "id"), expected);
        }
    }

    #[test]
    fn markup_in_an_id_is_text() {
        let page = "<p>{request_id}</p>";
        assert_eq!(filled(PageKind::Html, page, "<a&'\">"), "<p>&lt;a&amp;&#39;&quot;&gt;</p>");
        assert_eq!(filled(PageKind::Text, page, "a+b/="), "<p>a+b/=</p>");
    }

    #[test]
    fn pages_that_changed() {
        let pages = |texts: &[(&str, &str)]| {
            let mut pages = Pages::default();
            for (file, text) in texts {
                pages.put(Path::new(file), Page::new(PageKind::Text, text.as_bytes()));
            }
            pages
        };
        let before = pages(&[("a", "1"), ("b", "1"), ("gone", "1")]);
        let after = pages(&[("a", "2"), ("b", "1"), ("come", "1")]);
        assert_eq!(after.changed(&before), [Path::new("a")]);
    }

    #[test]
    fn one_status_comes_before_its_class() {
        let page = |name: &str| Arc::new(Page::new(PageKind::Text, name.as_bytes()));
        let pages = ErrorPages::new(
            [
                (Statuses::Class(5), page("class")),
                (Statuses::One(502), page("one")),
                (Statuses::Class(4), page("other class")),
            ]
            .into_iter(),
        );
        let found = |status| pages.find(status).map(|page| page.fill(refusal::NO_ROUTE, ""));
        assert_eq!(found(502).as_deref(), Some(&b"one"[..]));
        assert_eq!(found(503).as_deref(), Some(&b"class"[..]));
        assert_eq!(found(404).as_deref(), Some(&b"other class"[..]));
        assert!(ErrorPages::default().find(404).is_none());
    }
}
