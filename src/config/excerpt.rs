//! The line of a place as a person sees it: its number, its text, and the carets under it.

use super::diagnostic::Place;

/// Characters of a line shown around the place; a longer line is cut with `…`.
const SHOWN: usize = 120;

/// Stands for a secret, whatever its length.
const HIDDEN: &str = "•••";

/// Where each line begins, so that a file with many errors is not walked again for each.
pub(super) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
    secrets: &'a [Place],
}

impl<'a> Lines<'a> {
    pub fn new(text: &'a str, secrets: &'a [Place]) -> Lines<'a> {
        let after_breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        let starts = std::iter::once(0).chain(after_breaks).collect();
        Lines { text, starts, secrets }
    }

    pub fn spot(&self, place: Place) -> Spot {
        let start = boundary(self.text, place.start);
        let line = self.starts.partition_point(|begin| *begin <= start).max(1);
        let begin = self.starts[line - 1];
        let end = self.starts.get(line).map_or(self.text.len(), |next| next - 1);
        let content = self.text[begin..end].trim_end_matches('\r');
        let end = begin + content.len();
        let (first, last) =
            (start.min(end), boundary(self.text, place.end).clamp(start.min(end), end));
        let column = self.text[begin..first].chars().count() + 1;
        let (before, marked) = (self.shown(begin, first), self.shown(first, last));
        let content = format!("{before}{marked}{}", self.shown(last, end));
        let (before, marked) = (before.chars().count(), marked.chars().count().max(1));
        Spot { line, column, content, before, marked }
    }

    /// The text between two places of one line, without its secrets.
    fn shown(&self, begin: usize, end: usize) -> String {
        let mut shown = String::new();
        let mut at = begin;
        while at < end {
            let covers = |secret: &&Place| secret.start <= at && at < secret.end;
            if let Some(secret) = self.secrets.iter().find(covers) {
                shown.push_str(HIDDEN);
                at = boundary(self.text, secret.end).clamp(at + 1, end);
                continue;
            }
            let ahead = self.secrets.iter().map(|secret| secret.start);
            let next = ahead.filter(|start| *start > at).min().unwrap_or(end);
            let next = boundary(self.text, next.min(end)).max(at + 1);
            shown.push_str(&self.text[at..next]);
            at = next;
        }
        shown
    }
}

/// A place as a person counts: lines and characters from one.
pub(super) struct Spot {
    pub line: usize,
    pub column: usize,
    /// The line as it is shown, and how many of its characters stand before the place and in it.
    content: String,
    before: usize,
    marked: usize,
}

impl Spot {
    /// The line, cut where it is long, and the carets under the place.
    ///
    /// A tab stays a tab in both, so that they line up at any width of tabs.
    pub fn excerpt(&self) -> (String, String) {
        let length = self.content.chars().count();
        let cut = length > SHOWN && self.before >= SHOWN / 2;
        let first = if cut { self.before + 1 - SHOWN / 2 } else { 0 };
        let lead = if first > 0 { "…" } else { "" };
        let trail = if length > first + SHOWN { "…" } else { "" };
        let window: String = self.content.chars().skip(first).take(SHOWN).collect();
        let before = window.chars().take(self.before - first);
        let padding: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let room = (first + SHOWN).saturating_sub(self.before).max(1);
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
        let (line, carets) = Lines::new(&text, &[]).spot(Place::from(start..start + 3)).excerpt();
        let caret = carets.chars().position(|c| c == '^').unwrap();
        let under: String = line.chars().skip(caret).take(3).collect();
        assert_eq!((under.as_str(), carets.trim()), ("bad", "^^^"));
        assert!(line.chars().count() <= SHOWN + 2, "{line}");
        assert!(line.starts_with('…') && line.ends_with('…'), "{line}");
    }

    #[test]
    fn a_place_longer_than_what_is_shown_is_marked_as_far_as_that() {
        let text = "x".repeat(1_000);
        let (line, carets) = Lines::new(&text, &[]).spot(Place::from(10..900)).excerpt();
        assert_eq!(line.chars().count(), SHOWN + 1);
        assert_eq!(carets.chars().count(), SHOWN);
    }

    #[test]
    fn every_place_of_a_text_has_its_spot() {
        let text = "é\r\n\n\tx\n";
        let lines = Lines::new(text, &[]);
        for start in 0..text.len() + 3 {
            for end in 0..text.len() + 3 {
                let spot = lines.spot(Place::from(start..end.max(start)));
                assert!((1..=4).contains(&spot.line) && spot.column <= 3, "{start}..{end}");
                spot.excerpt();
            }
        }
    }
}
