//! An error with a place in the file, and how all of a file's errors are shown to a person.

use std::{
    collections::HashSet,
    fmt::{self, Write as _},
    ops::Range,
    path::{Path, PathBuf},
};

use super::excerpt::{Lines, printable};

/// Where in the text something stands, in bytes.
///
/// All places are equal: moving a line is no change of what the file means.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl PartialEq for Place {
    fn eq(&self, _: &Place) -> bool {
        true
    }
}

impl Eq for Place {}

impl From<Range<usize>> for Place {
    fn from(range: Range<usize>) -> Place {
        Place { start: range.start, end: range.end.max(range.start) }
    }
}

/// The text that was read and the name of its file: what it takes to show an error at its place.
#[derive(Clone, Debug, Default)]
pub struct Source {
    pub file: PathBuf,
    pub text: String,
    /// What stands in `text` and is not shown.
    secrets: Vec<Place>,
}

impl Source {
    pub fn new(file: &Path, text: &str) -> Source {
        Source { file: file.to_owned(), text: text.to_owned(), secrets: Vec::new() }
    }

    /// The same, but what stands at these places is never shown.
    pub(super) fn hiding(self, secrets: Vec<Place>) -> Source {
        Source { secrets, ..self }
    }

    fn lines(&self) -> Lines<'_> {
        Lines::new(&self.text, &self.secrets)
    }
}

/// One error: what is wrong, where, and what to do.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// `None`: the file as a whole.
    place: Option<Place>,
    message: String,
    help: Option<String>,
    /// Another place that the reader has to look at, and why.
    beside: Option<(Place, String)>,
}

impl Diagnostic {
    pub fn at(place: Place, message: impl Into<String>) -> Diagnostic {
        Diagnostic { place: Some(place), ..Diagnostic::of_file(message) }
    }

    /// An error of the whole file, shown without a line.
    pub fn of_file(message: impl Into<String>) -> Diagnostic {
        Diagnostic { place: None, message: message.into(), help: None, beside: None }
    }

    /// What was expected, or the next step. An empty text is none.
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into()).filter(|help| !help.is_empty());
        self
    }

    pub fn beside(mut self, place: Place, why: impl Into<String>) -> Diagnostic {
        self.beside = Some((place, why.into()));
        self
    }

    /// Whether it begins in a part of the text.
    pub(super) fn begins_in(&self, part: &Range<usize>) -> bool {
        self.place.is_some_and(|place| part.contains(&place.start))
    }

    fn repeats(&self, other: &Diagnostic) -> bool {
        let start = |diagnostic: &Diagnostic| diagnostic.place.map(|place| place.start);
        self.message == other.message && start(self) == start(other)
    }
}

/// All errors of one file, in the order of the file. Never empty.
#[derive(Clone, Debug)]
pub struct Errors {
    source: Source,
    diagnostics: Vec<Diagnostic>,
}

impl Errors {
    /// `diagnostics` holds at least one.
    pub fn new(source: Source, mut diagnostics: Vec<Diagnostic>) -> Errors {
        diagnostics.sort_by_key(|d| d.place.map_or((0, 0), |place| (place.start, place.end)));
        diagnostics.dedup_by(|later, earlier| later.repeats(earlier));
        Errors { source, diagnostics }
    }

    /// Errors of the grammar, and of what was understood in spite of them.
    ///
    /// A line with an error of the grammar shows its first alone: the rest follows from it.
    pub(super) fn with_syntax(
        source: Source,
        syntax: Vec<Diagnostic>,
        found: Vec<Diagnostic>,
    ) -> Errors {
        let lines = source.lines();
        let line = |diagnostic: &Diagnostic| Some(lines.spot(diagnostic.place?).line);
        let mut told = HashSet::new();
        let mut kept: Vec<Diagnostic> = Vec::new();
        for diagnostic in syntax {
            if told.insert(line(&diagnostic)) {
                kept.push(diagnostic);
            }
        }
        let follows = |diagnostic: &Diagnostic| told.contains(&line(diagnostic));
        kept.extend(found.into_iter().filter(|diagnostic| !follows(diagnostic)));
        Errors::new(source, kept)
    }

    /// Errors found after reading, such as a certificate that can't be opened: place, message and
    /// help (which may be empty).
    pub fn from_places(source: &Source, found: Vec<(Place, String, String)>) -> Errors {
        let diagnostic = |(place, message, help): (Place, String, String)| {
            Diagnostic::at(place, message).help(help)
        };
        Errors::new(source.clone(), found.into_iter().map(diagnostic).collect())
    }

    #[allow(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.diagnostics.len()
    }
}

impl std::error::Error for Errors {}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.source.lines();
        for (number, diagnostic) in self.diagnostics.iter().enumerate() {
            if number > 0 {
                writeln!(f, "\n")?;
            }
            f.write_str(shown(self.source.file.as_path(), &lines, diagnostic).trim_end())?;
        }
        Ok(())
    }
}

fn shown(file: &Path, lines: &Lines<'_>, diagnostic: &Diagnostic) -> String {
    let file = printable(&file.display().to_string());
    let message = printable(&diagnostic.message);
    let mut text = String::new();
    let mut margin = String::from(" ");
    match diagnostic.place {
        None => text.push_str(&format!("{file}: {message}\n")),
        Some(place) => {
            let spot = lines.spot(place);
            margin = " ".repeat(spot.line.to_string().len());
            let (shown_line, caret) = spot.excerpt();
            let _ = write!(
                text,
                "{file}:{}:{}: {message}\n{margin} |\n{} | {shown_line}\n{margin} | {caret}\n",
                spot.line, spot.column, spot.line,
            );
        }
    }
    if let Some((place, why)) = &diagnostic.beside {
        let spot = lines.spot(*place);
        let _ =
            writeln!(text, "{margin} = {}: {file}:{}:{}", printable(why), spot.line, spot.column);
    }
    if let Some(help) = &diagnostic.help {
        let _ = writeln!(text, "{margin} = {}", printable(help));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, marked: &str, expected: &str) {
        let start = text.find(marked).unwrap();
        let place = Place::from(start..start + marked.len());
        let source = Source::new(Path::new("e.toml"), text);
        let found = vec![(place, "is wrong".to_owned(), "expected better".to_owned())];
        assert_eq!(Errors::from_places(&source, found).to_string(), expected);
    }

    #[test]
    fn line_column_caret_and_help() {
        check(
            "a = 1\nbad = 2\n",
            "bad",
            "e.toml:2:1: is wrong\n  |\n2 | bad = 2\n  | ^^^\n  = expected better",
        );
    }

    #[test]
    fn a_caret_after_tabs_and_wide_characters() {
        check(
            "\té = x",
            "x",
            "e.toml:1:6: is wrong\n  |\n1 | \té = x\n  | \t    ^\n  = expected better",
        );
    }

    #[test]
    fn a_place_over_several_lines_is_marked_on_its_first() {
        check(
            "a = [\r\n 1 ]\n",
            "[\r\n 1 ]",
            "e.toml:1:5: is wrong\n  |\n1 | a = [\n  |     ^\n  = expected better",
        );
    }

    #[test]
    fn errors_come_in_the_order_of_the_file_and_once() {
        let source = Source::new(Path::new("e.toml"), "a\nb\n");
        let late = Diagnostic::at(Place::from(2..3), "second");
        let early = Diagnostic::at(Place::from(0..1), "first");
        let errors = Errors::new(source, vec![late.clone(), early, late]);
        assert_eq!(errors.len(), 2);
        let text = errors.to_string();
        assert!(text.find("first").unwrap() < text.find("second").unwrap());
    }

    #[test]
    fn a_place_beyond_the_text_and_a_whole_file() {
        let source = Source::new(Path::new("e.toml"), "é");
        let beyond = Diagnostic::at(Place::from(1..99), "beyond");
        let whole = Diagnostic::of_file("no listener").help("add one");
        let text = Errors::new(source, vec![beyond, whole]).to_string();
        assert!(text.contains("e.toml:1:1: beyond"), "{text}");
        assert!(text.contains("e.toml: no listener\n  = add one"), "{text}");
    }

    #[test]
    fn control_bytes_do_not_reach_the_terminal() {
        let source = Source::new(Path::new("e.toml"), "a\u{1b}[31m");
        let errors = Errors::new(source, vec![Diagnostic::at(Place::from(0..1), "x\u{7}")]);
        assert!(!errors.to_string().contains(['\u{1b}', '\u{7}']));
    }
}
