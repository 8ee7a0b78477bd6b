//! Clients that ask in a closed loop until told to stop, and count what they met.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use rustls::ClientConfig;

use super::{
    Client,
    http::{Answer, Broken, End},
};

/// What the clients of a load met. All but `ok` are requests that failed.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Answered with 200, whole.
    pub ok: u64,
    /// Answered with something else, or not at all.
    pub failed: u64,
    /// A kept-alive connection, used before, was closed without a reply.
    pub stale: u64,
    /// The answer broke off.
    pub cut: u64,
    /// Answers of 200 by their body, which says which backend it was.
    pub bodies: BTreeMap<String, u64>,
    /// The first failures in words.
    pub words: Vec<String>,
}

pub struct Load {
    stop: Arc<AtomicBool>,
    tally: Arc<Mutex<Tally>>,
    threads: Vec<JoinHandle<()>>,
}

/// How a load's clients connect.
#[derive(Clone)]
struct Style {
    address: SocketAddr,
    /// The trust of TLS clients; `None`: plain.
    tls: Option<Arc<ClientConfig>>,
    keeps_alive: bool,
}

impl Load {
    pub fn new() -> Load {
        Load { stop: Arc::default(), tally: Arc::default(), threads: Vec::new() }
    }

    /// Clients that use a connection for as long as they may.
    pub fn keep_alive(self, address: SocketAddr, clients: usize) -> Load {
        let style = Style { address, tls: None, keeps_alive: true };
        self.add(&style, clients)
    }

    /// Clients that open a connection for each request.
    pub fn connection_a_request(self, address: SocketAddr, clients: usize) -> Load {
        let style = Style { address, tls: None, keeps_alive: false };
        self.add(&style, clients)
    }

    /// TLS clients that keep their connection, and as many that shake hands for each request.
    pub fn tls(self, address: SocketAddr, config: &Arc<ClientConfig>, clients: usize) -> Load {
        let style = |keeps_alive| Style { address, tls: Some(Arc::clone(config)), keeps_alive };
        self.add(&style(true), clients).add(&style(false), clients)
    }

    fn add(mut self, style: &Style, clients: usize) -> Load {
        for _ in 0..clients {
            let (style, stop, tally) = (style.clone(), self.stop.clone(), self.tally.clone());
            self.threads.push(thread::spawn(move || {
                let mut connection = None;
                while !stop.load(Ordering::Relaxed) {
                    let outcome = ask(&style, &mut connection);
                    lock(&tally).count(outcome);
                }
            }));
        }
        self
    }

    pub fn tally(&self) -> Tally {
        lock(&self.tally).clone()
    }

    /// Lets the clients finish their request and gives what all of them met.
    pub fn stop(mut self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.threads.drain(..) {
            client.join().expect("a client does not panic");
        }
        self.tally()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Tally {
    /// Nothing failed, and something was asked.
    #[track_caller]
    pub fn assert_flawless(&self) {
        let flaws = (self.failed, self.stale, self.cut);
        assert_eq!(flaws, (0, 0, 0), "failed, stale, cut: {self:?}");
        assert!(self.ok > 0, "nothing was asked");
    }

    pub fn of(&self, body: &str) -> u64 {
        self.bodies.get(body).copied().unwrap_or(0)
    }

    fn count(&mut self, outcome: Result<Answer, (Flaw, String)>) {
        let (flaw, words) = match outcome {
            Ok(answer) => {
                self.ok += 1;
                *self.bodies.entry(answer.text()).or_default() += 1;
                return;
            }
            Err(flaw) => flaw,
        };
        match flaw {
            Flaw::Failed => self.failed += 1,
            Flaw::Stale => self.stale += 1,
            Flaw::Cut => self.cut += 1,
        }
        if self.words.len() < 5 {
            self.words.push(words);
        }
    }
}

#[derive(Clone, Copy)]
enum Flaw {
    Failed,
    Stale,
    Cut,
}

/// One request, on the connection that is kept or a new one. Nothing is tried again.
fn ask(style: &Style, kept: &mut Option<Client>) -> Result<Answer, (Flaw, String)> {
    let reused = kept.is_some();
    let mut client = match kept.take() {
        Some(client) => client,
        None => connect(style).map_err(|error| (Flaw::Failed, format!("connect: {error}")))?,
    };
    let connection = if style.keeps_alive { "keep-alive" } else { "close" };
    let sent = client.try_send(format!(
        "GET /load HTTP/1.1\r\nHost: www.example.com\r\nConnection: {connection}\r\n\r\n"
    ));
    let answer = client.try_answer();
    let unanswered = matches!(answer, Err(Broken::Closed | Broken::Reset));
    if reused && (sent.is_err() || unanswered) {
        return Err((Flaw::Stale, format!("{sent:?}, {answer:?}")));
    }
    let answer = answer.map_err(|broken| (Flaw::Failed, format!("{broken:?}")))?;
    if let End::Cut(broken) = &answer.end {
        return Err((Flaw::Cut, format!("{broken:?}")));
    }
    if answer.status != 200 {
        let words = format!("{} {}", answer.status, answer.text());
        return Err((Flaw::Failed, words));
    }
    if style.keeps_alive && !answer.closes() {
        *kept = Some(client);
    }
    Ok(answer)
}

fn connect(style: &Style) -> std::io::Result<Client> {
    match &style.tls {
        Some(config) => Client::tls(style.address, config, "www.example.com"),
        None => Client::try_connect(style.address),
    }
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
