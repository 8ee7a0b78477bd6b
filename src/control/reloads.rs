//! Who waits for the verdict on a reload, and what the last one was. Pure.
//!
//! One reload is prepared at a time. Whoever asks meanwhile waits for the next, which all of them
//! share: the file may have changed since the running one read it.

use tokio::sync::oneshot;

use crate::control::protocol::{Answer, LastReload};

#[derive(Default)]
pub struct Reloads {
    /// Since when one is, in seconds since 1970.
    running: Option<u64>,
    /// Somebody asked, perhaps by a signal, while one was running.
    again: bool,
    /// Who waits for the one that is running.
    waiting: Vec<oneshot::Sender<Answer>>,
    /// Who waits for the next.
    next: Vec<oneshot::Sender<Answer>>,
    pub last: Option<LastReload>,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Prepare a reload.
    Begin,
    Nothing,
}

impl Reloads {
    /// Somebody asks; a signal waits for no answer. Bounded by the admin socket's connections.
    pub fn ask(&mut self, at: u64, asker: Option<oneshot::Sender<Answer>>) -> Next {
        if self.running.is_some() {
            self.again = true;
            self.next.extend(asker);
            return Next::Nothing;
        }
        self.running = Some(at);
        self.waiting.extend(asker);
        Next::Begin
    }

    /// The running one has its verdict.
    pub fn done(&mut self, at: u64, answer: &Answer) -> Next {
        for asker in self.waiting.drain(..) {
            // Who asked may have left.
            let _ = asker.send(answer.clone());
        }
        self.last = Some(LastReload { at, ok: answer.ok, words: answer.words.clone() });
        self.waiting = std::mem::take(&mut self.next);
        self.running = std::mem::take(&mut self.again).then_some(at);
        if self.running.is_some() { Next::Begin } else { Next::Nothing }
    }

    pub fn running_since(&self) -> Option<u64> {
        self.running
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asker() -> (Option<oneshot::Sender<Answer>>, oneshot::Receiver<Answer>) {
        let (sender, receiver) = oneshot::channel();
        (Some(sender), receiver)
    }

    #[test]
    fn who_asks_while_one_runs_shares_the_next() {
        let mut reloads = Reloads::default();
        let (first, mut first_answer) = asker();
        let (second, mut second_answer) = asker();
        let (third, mut third_answer) = asker();
        assert_eq!(reloads.ask(1, first), Next::Begin);
        assert_eq!(reloads.ask(2, second), Next::Nothing);
        assert_eq!(reloads.ask(3, None), Next::Nothing);
        assert_eq!(reloads.ask(4, third), Next::Nothing);
        assert_eq!(reloads.running_since(), Some(1));
        let answer = Answer::done(vec!["one".to_owned()]);
        assert_eq!(reloads.done(5, &answer), Next::Begin);
        assert_eq!(first_answer.try_recv().unwrap(), answer);
        assert_eq!(reloads.running_since(), Some(5));
        assert!(second_answer.try_recv().is_err(), "the running one may have read an older file");
        assert_eq!(reloads.done(6, &Answer::refused(Vec::new())), Next::Nothing);
        assert!(!second_answer.try_recv().unwrap().ok);
        assert!(!third_answer.try_recv().unwrap().ok);
        assert_eq!(reloads.last.map(|last| (last.at, last.ok)), Some((6, false)));
    }

    #[test]
    fn a_signal_alone_is_enough() {
        let mut reloads = Reloads::default();
        assert_eq!(reloads.ask(0, None), Next::Begin);
        assert_eq!(reloads.ask(0, None), Next::Nothing);
        assert_eq!(reloads.done(1, &Answer::done(Vec::new())), Next::Begin);
        assert_eq!(reloads.done(2, &Answer::done(Vec::new())), Next::Nothing);
    }
}
