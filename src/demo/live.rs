//! The demo's live line: requests and verdict of each backend, asked from the admin socket as
//! `equipoise status` does.

use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use crate::{
    cli::admin,
    control::protocol::{BackendStatus, Request, Status, VerdictWord},
    demo::load::Tally,
};

/// On a terminal one line is written over; elsewhere each is a new one, and comes less often.
#[derive(Clone, Copy)]
enum Screen {
    Terminal,
    Pipe,
}

impl Screen {
    fn period(self) -> Duration {
        match self {
            Screen::Terminal => Duration::from_millis(250),
            Screen::Pipe => Duration::from_secs(1),
        }
    }
}

/// Shows the line until `stop` is closed.
pub fn show(socket: &Path, tally: &Arc<Tally>, stop: &Receiver<()>) {
    let mut live = Live {
        screen: if io::stdout().is_terminal() { Screen::Terminal } else { Screen::Pipe },
        socket: socket.to_owned(),
        before: None,
        shown: String::new(),
    };
    while stop.recv_timeout(live.screen.period()) == Err(RecvTimeoutError::Timeout) {
        live.update(tally);
    }
    live.leave();
}

struct Live {
    screen: Screen,
    socket: PathBuf,
    before: Option<Status>,
    shown: String,
}

impl Live {
    fn update(&mut self, tally: &Tally) {
        let answered = admin::ask(&self.socket, &Request::Status);
        let Some(status) = answered.ok().and_then(|(_, answer)| answer.status) else {
            // The plane is busy with its end: what is shown stays.
            return;
        };
        if let Some(before) = &self.before {
            for turn in turns(before, &status) {
                self.tell(&turn);
            }
        }
        self.draw(line(&status, tally));
        self.before = Some(status);
    }

    /// A line that stays.
    fn tell(&self, text: &str) {
        match self.screen {
            Screen::Terminal => write(&format!("\r\x1b[K{text}\n")),
            Screen::Pipe => write(&format!("{text}\n")),
        }
    }

    /// The line that moves.
    fn draw(&mut self, text: String) {
        if text == self.shown {
            return;
        }
        match self.screen {
            Screen::Terminal => write(&format!("\r{text}\x1b[K")),
            Screen::Pipe => write(&format!("{text}\n")),
        }
        self.shown = text;
    }

    fn leave(&self) {
        match self.screen {
            Screen::Terminal => write("\n"),
            Screen::Pipe => {}
        }
    }
}

/// A reader that has gone away is no reason to end the demo.
fn write(text: &str) {
    let mut out = io::stdout();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// `9101 up 1234 | 9102 down 1180 | 9103 up 1236 | load: 3650 fine, 0 failed`.
fn line(status: &Status, tally: &Tally) -> String {
    let cell = |backend: &BackendStatus| {
        format!("{} {} {} | ", backend.address.port(), backend.verdict.word(), backend.requests)
    };
    let cells: String = backends(status).map(cell).collect();
    format!("{cells}load: {} fine, {} failed", tally.answered(), tally.failed())
}

/// What has happened between two looks, in words.
fn turns(before: &Status, now: &Status) -> Vec<String> {
    let pairs = backends(before).zip(backends(now));
    let turned = pairs.filter(|(before, now)| before.verdict != now.verdict);
    turned.map(|(_, now)| turn(now)).collect()
}

fn turn(backend: &BackendStatus) -> String {
    let address = backend.address;
    let probe = backend.last_probe.as_deref().unwrap_or("no probe yet");
    match backend.verdict {
        VerdictWord::Up => {
            format!("{address} is up (its probe: {probe}): it takes its share again")
        }
        VerdictWord::Down => {
            format!("{address} is down (its probe: {probe}): the others take its share")
        }
        VerdictWord::Draining => {
            format!("{address} is draining: what it has goes on, nothing new comes")
        }
    }
}

fn backends(status: &Status) -> impl Iterator<Item = &BackendStatus> {
    status.pools.iter().flat_map(|pool| &pool.backends)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::{PhaseWord, PoolStatus, TlsWord};

    fn status(verdicts: [VerdictWord; 2]) -> Status {
        let backend = |(index, verdict): (u16, VerdictWord)| BackendStatus {
            address: ([127, 0, 0, 1], 9101 + index).into(),
            name: None,
            verdict,
            since: 0,
            weight: 1,
            file_weight: 1,
            whole_weight_at: None,
            backup: false,
            max_requests: None,
            breaker: None,
            in_flight: 0,
            requests: 100,
            last_probe: Some("503".to_owned()),
            why_down: None,
            release: None,
        };
        Status {
            version: String::new(),
            generation: 1,
            phase: PhaseWord::Serving,
            since: 0,
            workers: 1,
            listeners: Vec::new(),
            routes: Vec::new(),
            files: Vec::new(),
            pools: vec![PoolStatus {
                name: "app".to_owned(),
                waiting: 0,
                balance: "round-robin".to_owned(),
                releases: None,
                tls: TlsWord::None,
                names: Vec::new(),
                backends: (0..).zip(verdicts).map(backend).collect(),
            }],
            last_reload: None,
            reloading_since: None,
        }
    }

    #[test]
    fn the_line_holds_each_backend_and_the_load() {
        let line = line(&status([VerdictWord::Up, VerdictWord::Down]), &Tally::default());
        assert_eq!(line, "9101 up 100 | 9102 down 100 | load: 0 fine, 0 failed");
    }

    #[test]
    fn only_what_turned_is_told() {
        let well = status([VerdictWord::Up, VerdictWord::Up]);
        let sick = status([VerdictWord::Up, VerdictWord::Down]);
        assert_eq!(turns(&well, &well), Vec::<String>::new());
        let told = turns(&well, &sick);
        assert_eq!(told, ["127.0.0.1:9102 is down (its probe: 503): the others take its share"]);
        assert!(turns(&sick, &well)[0].contains("is up"));
    }
}
