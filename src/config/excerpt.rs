//! The line of a place as a person sees it: its number, its text, and the carets under it.

use super::diagnostic::Place;

/// Characters of a line shown around the place; a longer line is cut with `…`.
const SHOWN: usize = 120;

/// Where each line begins, so that a file with many errors is not walked again for each.
pub(super) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub fn new(text: &'a str) -> Lines<'a> {
        let after_breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Lines { text, starts: std::iter::once(0).chain(after_breaks).collect() }
    }

    pub fn spot(&self, place: Place) -> Spot<'a> {
        let start = boundary(self.text, place.start);
        let line = self.starts.partition_point(|begin| *begin <= start).max(1);
        let begin = self.starts[line - 1];
        let end = self.starts.get(line).map_or(self.text.len(), |next| next - 1);
        let content = self.text[begin..end].trim_end_matches('\r');
        let within = |at: usize| boundary(content, at.saturating_sub(begin));
        let before = content[..within(start)].chars().count();
        let marked = content[within(start)..within(place.end)].chars().count();
        Spot { line, column: before + 1, content, marked: marked.max(1) }
    }
}

/// A place as a person counts: lines and characters from one.
pub(super) struct Spot<'a> {
    pub line: usize,
    pub column: usize,
    content: &'a str,
    marked: usize,
}

impl Spot<'_> {
    /// The line, cut where it is long, and the carets under the place.
    ///
    /// A tab stays a tab in both, so that they line up at any width of tabs.
    pub fn excerpt(&self) -> (String, String) {
        let length = self.content.chars().count();
        let cut = length > SHOWN && self.column > SHOWN / 2;
        let first = if cut { self.column - SHOWN / 2 } else { 0 };
        let lead = if first > 0 { "…" } else { "" };
        let trail = if length > first + SHOWN { "…" } else { "" };
        let window: String = self.content.chars().skip(first).take(SHOWN).collect();
        let before = window.chars().take(self.column - 1 - first);
        let padding: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let room = (first + SHOWN).saturating_sub(self.column - 1).max(1);
        let carets = "^".repeat(self.marked.min(room));
        let line = format!("{lead}{}{trail}", printable(&window));
        let indent = " ".repeat(lead.chars().count());
        (line.trim_end().to_owned(), format!("{indent}{padding}{carets}"))
    }
}

/// The nearest start of a character at or before `at`.
fn boundary(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// Control bytes of a file must not reach a terminal.
pub(super) fn printable(text: &str) -> String {
    let replace = |c: char| {
        if c.is_control() && c != '\t' { '\u{fffd}' } else { c }
    };
    text.chars().map(replace).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let text = format!("a = \"{}\" bad {}", "x".repeat(300), "y".repeat(300));
        let start = text.find("bad").unwrap();
        let (line, carets) = Lines::new(&text).spot(Place::from(start..start + 3)).excerpt();
        let caret = carets.chars().position(|c| c == '^').unwrap();
        let under: String = line.chars().skip(caret).take(3).collect();
        assert_eq!((under.as_str(), carets.trim()), ("bad", "^^^"));
        assert!(line.chars().count() <= SHOWN + 2, "{line}");
        assert!(line.starts_with('…') && line.ends_with('…'), "{line}");
    }

    #[test]
    fn a_place_longer_than_what_is_shown_is_marked_as_far_as_that() {
        let text = "x".repeat(1_000);
        let (line, carets) = Lines::new(&text).spot(Place::from(10..900)).excerpt();
        assert_eq!(line.chars().count(), SHOWN + 1);
        assert_eq!(carets.chars().count(), SHOWN);
    }

    #[test]
    fn every_place_of_a_text_has_its_spot() {
        let text = "é\r\n\n\tx\n";
        let lines = Lines::new(text);
        for start in 0..text.len() + 3 {
            for end in 0..text.len() + 3 {
                let spot = lines.spot(Place::from(start..end.max(start)));
                assert!((1..=4).contains(&spot.line) && spot.column <= 3, "{start}..{end}");
                spot.excerpt();
            }
        }
    }
}
