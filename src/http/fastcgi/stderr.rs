//! What scripts say on standard error: lines for our log, bounded in length and in number.

use std::{sync::Arc, time::Instant};

use crate::pool::backend::Backend;

/// Bytes of one line; what is beyond is left out.
const LONGEST_LINE: usize = 2048;

/// The words of one request's script.
pub struct Stderr {
    backend: Arc<Backend>,
    metrics_slot: usize,
    /// Empty where the request has none, such as a probe.
    pub request_id: Box<str>,
    line: Vec<u8>,
    is_cut: bool,
}

impl Stderr {
    pub fn new(backend: Arc<Backend>, metrics_slot: usize) -> Stderr {
        let (request_id, line) = (Box::default(), Vec::new());
        Stderr { backend, metrics_slot, request_id, line, is_cut: false }
    }

    /// Takes in what came; each line is told when it is whole.
    pub fn take(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            let text = part.strip_suffix(b"\n").unwrap_or(part);
            let room = LONGEST_LINE - self.line.len();
            self.is_cut |= text.len() > room;
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if text.len() < part.len() {
                self.tell();
            }
        }
    }

    /// No more comes.
    pub fn end(&mut self) {
        self.tell();
    }

    fn tell(&mut self) {
        let line = std::mem::take(&mut self.line);
        let is_cut = std::mem::take(&mut self.is_cut);
        if line.trim_ascii().is_empty() {
            return;
        }
        self.backend.metrics().said(self.metrics_slot);
        let Some(left_out) = self.backend.may_quote(Instant::now()) else {
            return;
        };
        let key = self.backend.key();
        if left_out > 0 {
            tracing::warn!(
                "pool {}: {}: {left_out} lines of stderr were left out",
                key.pool,
                key.address
            );
        }
        let (words, more) = (visible(&line), if is_cut { "…" } else { "" });
        let request_id = &self.request_id;
        tracing::warn!(request_id = %request_id, "pool {}: {}: stderr: {words}{more}", key.pool, key.address);
    }
}

impl Drop for Stderr {
    fn drop(&mut self) {
        self.tell();
    }
}

/// No byte of it can be taken for a line of our own, or for a command to a terminal.
fn visible(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line.trim_ascii());
    let mut visible = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // Separators of lines and marks of direction, to some who show them.
            _ if c.is_control()
                || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                visible.extend(c.escape_default());
            }
            _ => visible.push(c),
        }
    }
    visible
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{observe::metrics::Metrics, pool::backend::Key};

    #[test]
    fn nothing_in_a_line_is_obeyed() {
        assert_eq!(visible(b"PHP message: \"x\"\r"), "PHP message: \"x\"");
        assert_eq!(visible(b"a\x1b[2Jb\tc\rd"), r"a\u{1b}[2Jb\tc\rd");
        assert_eq!(visible("é\u{202e}\u{2028}".as_bytes()), r"é\u{202e}\u{2028}");
        assert_eq!(visible(b"\xff\0"), "\u{fffd}\\u{0}");
    }

    #[test]
    fn lines_are_whole_however_they_come_and_bounded() {
        let metrics = Metrics::new(1);
        let key = Key { pool: "php".into(), address: "127.0.0.1:9000".parse().unwrap() };
        let backend = Backend::new(key, Arc::default(), metrics.backend("php", "127.0.0.1:9000"));
        let mut stderr = Stderr::new(backend.clone(), 0);
        stderr.take(b"one\n\n  \nt");
        stderr.take(b"wo");
        assert_eq!(stderr.line, b"two");
        stderr.take(&[b'x'; 3 * LONGEST_LINE]);
        assert_eq!((stderr.line.len(), stderr.is_cut), (LONGEST_LINE, true));
        stderr.take(b"\nthree");
        assert_eq!((&stderr.line[..], stderr.is_cut), (&b"three"[..], false));
        drop(stderr);
        assert_eq!(backend.metrics().lines_said(), 3);
    }
}
