//! Frames that carry nothing, counted (RFC 9113, section 10.5). Pure.
//!
//! Resets, pings, settings, window updates and empty frames cost a client nothing and us some work
//! each. A client earns them by frames that carry something and by bytes that it takes from us, and
//! a few by waiting; who runs out is told ENHANCE_YOUR_CALM. A reset that it provokes is as good as
//! one of its own. Known floods: CVE-2019-9511 to -9518, CVE-2023-44487 (rapid reset), CVE-2025-8671
//! (made you reset).

use ::h2::Reason;

/// How many bytes that we send allow one more frame that carries nothing: a small message is
/// answered with two window updates and a ping by some clients.
const BYTES_A_FRAME: u64 = 32;
/// Frames that a second of waiting earns.
const FRAMES_A_SECOND: u64 = 100;
/// Resets that a second of waiting earns.
const RESETS_A_SECOND: u64 = 10;

/// What a client may still send that carries nothing.
#[derive(Debug)]
pub struct Ledger {
    frames: Allowance,
    resets: Allowance,
}

#[derive(Debug)]
struct Allowance {
    left: u64,
    most: u64,
    exceeded: bool,
}

impl Allowance {
    fn new(most: u64) -> Allowance {
        Allowance { left: most, most, exceeded: false }
    }

    fn earn(&mut self, count: u64) {
        self.left = self.left.saturating_add(count).min(self.most);
    }

    fn spend(&mut self) {
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => self.exceeded = true,
        }
    }
}

impl Ledger {
    /// How many may come before any has been earned, which is also the most that can be saved up.
    pub fn new(frames: u64, resets: u64) -> Ledger {
        Ledger { frames: Allowance::new(frames), resets: Allowance::new(resets) }
    }

    /// The client has sent more than it may.
    pub fn is_exceeded(&self) -> bool {
        self.frames.exceeded || self.resets.exceeded
    }

    /// The client has taken so many bytes.
    pub fn sent(&mut self, bytes: u64) {
        // A small rest is lost, which only makes us a little stricter.
        self.frames.earn(bytes.div_ceil(BYTES_A_FRAME));
    }

    /// A request was answered to its end.
    pub fn answered(&mut self) {
        self.resets.earn(1);
    }

    pub fn waited(&mut self, seconds: u64) {
        self.frames.earn(seconds.saturating_mul(FRAMES_A_SECOND));
        self.resets.earn(seconds.saturating_mul(RESETS_A_SECOND));
    }

    /// A frame that the client sends.
    pub fn came(&mut self, frame: FrameHead) {
        const DATA: u8 = 0x0;
        const HEADERS: u8 = 0x1;
        const END_STREAM: u8 = 0x1;
        match frame.kind {
            DATA if frame.length > 0 => self.frames.earn(1),
            DATA if frame.flags & END_STREAM != 0 => {}
            HEADERS => self.frames.earn(2),
            RST_STREAM => self.resets.spend(),
            _ => self.frames.spend(),
        }
    }

    /// A frame that we send.
    pub fn went(&mut self, frame: FrameHead) {
        let code = Reason::from(frame.code);
        let blames_the_client = matches!(
            code,
            Reason::PROTOCOL_ERROR
                | Reason::FLOW_CONTROL_ERROR
                | Reason::STREAM_CLOSED
                | Reason::FRAME_SIZE_ERROR
                // It opens more streams than it may.
                | Reason::REFUSED_STREAM
        );
        if frame.kind == RST_STREAM && blames_the_client {
            self.resets.spend();
        }
    }
}

/// What stands before each frame (RFC 9113, section 4.1); the stream is of no interest here.
#[derive(Clone, Copy, Debug)]
pub struct FrameHead {
    length: usize,
    kind: u8,
    flags: u8,
    /// Of RST_STREAM, and 0 of others.
    code: u32,
}

const RST_STREAM: u8 = 0x3;
const HEAD_LENGTH: usize = 9;
/// What is behind the head of RST_STREAM.
const CODE_LENGTH: usize = 4;
/// What a client says first (RFC 9113, section 3.4).
const PREFACE_LENGTH: usize = 24;

/// Finds the frames in what one side sends, however it is cut into reads or writes.
#[derive(Debug)]
pub struct FrameScan {
    /// Bytes to pass over before the next head.
    skip: usize,
    head: [u8; HEAD_LENGTH + CODE_LENGTH],
    filled: usize,
    wanted: usize,
}

impl FrameScan {
    pub fn of_client() -> FrameScan {
        FrameScan { skip: PREFACE_LENGTH, ..FrameScan::of_server() }
    }

    pub fn of_server() -> FrameScan {
        FrameScan { skip: 0, head: [0; _], filled: 0, wanted: HEAD_LENGTH }
    }

    /// Tells of every frame of which `bytes` completes the head.
    pub fn read(&mut self, mut bytes: &[u8], mut tell: impl FnMut(FrameHead)) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let count = (self.wanted - self.filled).min(bytes.len());
            let (now, rest) = bytes.split_at(count);
            self.head[self.filled..self.filled + count].copy_from_slice(now);
            self.filled += count;
            bytes = rest;
            if self.filled == self.wanted {
                self.end_of_head(&mut tell);
            }
        }
    }

    fn end_of_head(&mut self, tell: &mut impl FnMut(FrameHead)) {
        let [a, b, c, kind, flags, _, _, _, _, code @ ..] = self.head;
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        let behind = self.wanted - HEAD_LENGTH;
        if kind == RST_STREAM && length >= CODE_LENGTH && behind == 0 {
            self.wanted += CODE_LENGTH;
            return;
        }
        let code = if behind == 0 { 0 } else { u32::from_be_bytes(code) };
        tell(FrameHead { length, kind, flags, code });
        (self.skip, self.filled, self.wanted) = (length - behind, 0, HEAD_LENGTH);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        let mut bytes = vec![0, 0, length, kind, flags, 0, 0, 0, 1];
        bytes.extend_from_slice(payload);
        bytes
    }

    /// Whether a client that sends this, cut into pieces of `size`, exceeds 10 frames and 5 resets.
    fn exceeds(frames: &[Vec<u8>], size: usize) -> bool {
        let mut ledger = Ledger::new(10, 5);
        let mut scan = FrameScan::of_client();
        let bytes = [PREFACE, &frames.concat()].concat();
        bytes.chunks(size).for_each(|piece| scan.read(piece, |frame| ledger.came(frame)));
        ledger.is_exceeded()
    }

    #[test]
    fn frames_are_found_however_they_are_cut() {
        let pings = |count| vec![frame(6, 0, &[0; 8]); count];
        for size in [1, 2, 8, 9, 10, 1000] {
            assert!(!exceeds(&pings(10), size), "{size}");
            assert!(exceeds(&pings(11), size), "{size}");
        }
    }

    #[test]
    fn what_carries_nothing_is_counted() {
        let many =
            |kind, flags, payload: &[u8]| exceeds(&vec![frame(kind, flags, payload); 20], 100);
        assert!(many(0, 0, b""), "empty DATA");
        assert!(many(2, 0, &[0; 5]), "PRIORITY");
        assert!(many(3, 0, &[0; 4]), "RST_STREAM");
        assert!(many(4, 0, b""), "SETTINGS");
        assert!(many(6, 1, &[0; 8]), "PING");
        assert!(many(8, 0, &[0; 4]), "WINDOW_UPDATE");
        assert!(many(9, 0, b""), "CONTINUATION");
        assert!(many(77, 0, b""), "unknown");
        assert!(!many(0, 0, b"a"), "DATA");
        assert!(!many(0, 1, b""), "DATA that ends a stream");
        assert!(!many(1, 4, b""), "HEADERS");
    }

    #[test]
    fn a_request_does_not_pay_for_its_own_reset() {
        let pair = [frame(1, 5, b"x"), frame(3, 0, &[0; 4])].concat();
        assert!(exceeds(&vec![pair; 6], 100));
    }

    #[test]
    fn resets_that_a_client_provokes_are_its_own() {
        let exceeds = |code: Reason, size: usize| {
            let mut ledger = Ledger::new(10, 5);
            let mut scan = FrameScan::of_server();
            let reset = frame(RST_STREAM, 0, &u32::from(code).to_be_bytes());
            let all = [frame(0, 0, b"data"), reset].concat().repeat(6);
            all.chunks(size).for_each(|piece| scan.read(piece, |frame| ledger.went(frame)));
            ledger.is_exceeded()
        };
        for size in [1, 10, 12, 13, 1000] {
            assert!(exceeds(Reason::PROTOCOL_ERROR, size), "{size}");
            assert!(exceeds(Reason::STREAM_CLOSED, size), "{size}");
            // Its backend broke, or it answered before it had read all.
            assert!(!exceeds(Reason::INTERNAL_ERROR, size), "{size}");
            assert!(!exceeds(Reason::NO_ERROR, size), "{size}");
        }
    }

    #[test]
    fn what_is_earned_is_bounded() {
        let mut ledger = Ledger::new(10, 5);
        ledger.sent(1 << 40);
        ledger.waited(1 << 40);
        ledger.answered();
        let mut scan = FrameScan::of_server();
        let mut ping = |ledger: &mut Ledger| {
            scan.read(&frame(6, 0, &[0; 8]), |frame| ledger.came(frame));
        };
        (0..10).for_each(|_| ping(&mut ledger));
        assert!(!ledger.is_exceeded());
        ping(&mut ledger);
        assert!(ledger.is_exceeded());
    }
}
