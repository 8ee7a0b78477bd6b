//! A client of the daemon's HTTP/2.

use std::{
    io,
    net::SocketAddr,
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use rustls::ClientConfig;

use super::{
    super::{
        DEADLINE,
        client::Wire,
        http::{Answer, Broken, End},
    },
    frame::{Frame, PREFACE, flag},
    link::{Fields, Link, Message, StreamEnd, code_name},
};

/// How clients reach a listener.
#[derive(Clone)]
pub struct Door {
    address: SocketAddr,
    /// The trust of TLS clients; `None`: prior knowledge without.
    tls: Option<Arc<ClientConfig>>,
}

impl Door {
    pub fn plain(address: SocketAddr) -> Door {
        Door { address, tls: None }
    }

    pub fn tls(address: SocketAddr, trust: &Arc<ClientConfig>) -> Door {
        Door { address, tls: Some(super::super::offering(trust, &["h2"])) }
    }

    /// A connection on which nothing is said yet.
    pub fn open(&self) -> io::Result<H2Client> {
        let (wire, scheme) = match &self.tls {
            None => (Wire::plain(self.address)?, "http"),
            Some(trust) => (Wire::tls(self.address, trust, "www.example.com")?, "https"),
        };
        Ok(H2Client { link: Link::new(wire), next_stream: 1, scheme })
    }

    /// A connection that has exchanged settings.
    #[track_caller]
    pub fn connect(&self) -> H2Client {
        self.connect_with(&[])
    }

    #[track_caller]
    pub fn connect_with(&self, settings: &[(u16, u32)]) -> H2Client {
        let mut client = self.open().expect("the listener takes connections");
        client.greet(settings).expect("settings are exchanged");
        client
    }

    /// One GET on a connection of its own.
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.connect().get(path)
    }
}

/// What became of a request.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It came whole.
    Answer(Answer),
    /// The stream was reset; what had come of an answer by then.
    Reset(u32, Option<Answer>),
    /// The connection was ended with an error, and this code.
    GoneAway(u32),
    /// It ended without a word.
    Ended(Broken),
}

impl Outcome {
    /// In words, with the code's name.
    pub fn words(&self) -> String {
        match self {
            Outcome::Answer(answer) => format!("answer {}", answer.status),
            Outcome::Reset(code, None) => format!("reset {}", code_name(*code)),
            Outcome::Reset(code, Some(answer)) => {
                format!("answer {}, then reset {}", answer.status, code_name(*code))
            }
            Outcome::GoneAway(code) => format!("goaway {}", code_name(*code)),
            Outcome::Ended(broken) => format!("ended: {broken:?}"),
        }
    }
}

pub struct H2Client {
    link: Link<Wire>,
    next_stream: u32,
    scheme: &'static str,
}

impl Deref for H2Client {
    type Target = Link<Wire>;

    fn deref(&self) -> &Link<Wire> {
        &self.link
    }
}

impl DerefMut for H2Client {
    fn deref_mut(&mut self) -> &mut Link<Wire> {
        &mut self.link
    }
}

impl H2Client {
    /// The preface, our settings, theirs as their first frame, and their acknowledgement.
    pub fn greet(&mut self, settings: &[(u16, u32)]) -> Result<(), Broken> {
        self.send_bytes(PREFACE);
        self.send(&Frame::settings(settings));
        let first = self.receive()?;
        if first.kind != super::frame::kind::SETTINGS || first.has(flag::ACK) {
            return Err(Broken::Malformed(format!("SETTINGS come first, not {first:?}")));
        }
        self.until(|link| link.unacknowledged() == 0)
    }

    pub fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// A request's pseudo-header fields.
    pub fn head(&self, method: &str, path: &str) -> Fields {
        let fields = [
            (":method", method),
            (":scheme", self.scheme),
            (":path", path),
            (":authority", "www.example.com"),
        ];
        fields.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    /// A number for a stream of our own.
    pub fn number(&mut self) -> u32 {
        let stream = self.next_stream;
        self.next_stream += 2;
        stream
    }

    /// Sends a request without a body, and leaves it open for no more.
    pub fn ask(&mut self, path: &str) -> u32 {
        self.open_stream("GET", path, &[], flag::END_STREAM)
    }

    /// Sends a head with more fields, and these flags.
    pub fn open_stream(
        &mut self,
        method: &str,
        path: &str,
        more: &[(&str, &str)],
        flags: u8,
    ) -> u32 {
        let stream = self.number();
        let mut fields = self.head(method, path);
        fields.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.send_head(stream, flags, &fields);
        stream
    }

    /// Waits for the end of a stream or of the connection.
    pub fn outcome(&mut self, stream: u32) -> Outcome {
        loop {
            match self.end(stream) {
                Some(StreamEnd::Clean) => match self.answer_so_far(stream) {
                    Some(answer) => return Outcome::Answer(answer),
                    None => return Outcome::Ended(Broken::Malformed("no status".to_owned())),
                },
                Some(StreamEnd::Reset(code)) => {
                    return Outcome::Reset(code, self.answer_so_far(stream));
                }
                None => {}
            }
            if let Err(broken) = self.receive() {
                return self.ended(broken);
            }
            if let Some((_, code)) = self.goaway().filter(|(_, code)| *code != 0) {
                return Outcome::GoneAway(code);
            }
        }
    }

    /// What the connection's end was, where reading met one.
    fn ended(&self, broken: Broken) -> Outcome {
        match self.goaway() {
            Some((_, code)) if code != 0 => Outcome::GoneAway(code),
            _ => Outcome::Ended(broken),
        }
    }

    /// Reads until the connection is over.
    pub fn connection_end(&mut self) -> Outcome {
        loop {
            if let Err(broken) = self.receive() {
                return self.ended(broken);
            }
        }
    }

    /// The whole answer on this stream.
    #[track_caller]
    pub fn answer(&mut self, stream: u32) -> Answer {
        match self.outcome(stream) {
            Outcome::Answer(answer) => answer,
            other => panic!("stream {stream}: {}: {other:?}", other.words()),
        }
    }

    #[track_caller]
    pub fn get(&mut self, path: &str) -> Answer {
        let stream = self.ask(path);
        self.answer(stream)
    }

    /// Waits for the final head.
    #[track_caller]
    pub fn wait_for_head(&mut self, stream: u32) -> Answer {
        loop {
            if let Some(answer) = self.answer_so_far(stream) {
                return answer;
            }
            self.receive().expect("an answer comes");
        }
    }

    /// The final head and what came behind it.
    pub fn answer_so_far(&self, stream: u32) -> Option<Answer> {
        let message = self.message(stream)?;
        let at = message.heads.iter().position(|head| status(head) >= 200)?;
        let end = match message.end {
            Some(StreamEnd::Clean) => End::Clean,
            Some(StreamEnd::Reset(_)) => End::Cut(Broken::Reset),
            None => End::Cut(Broken::Truncated),
        };
        Some(Answer {
            status: status(&message.heads[at]),
            fields: without_pseudo(&message.heads[at]),
            body: message.body.clone(),
            trailers: message.heads.get(at + 1).cloned().unwrap_or_default(),
            end,
        })
    }

    /// The interim answers, statuses and fields.
    pub fn interims(&self, stream: u32) -> Vec<(u16, Fields)> {
        let heads = self.message(stream).map(|message: &Message| message.heads.as_slice());
        let interims =
            heads.unwrap_or_default().iter().filter(|head| (100..200).contains(&status(head)));
        interims.map(|head| (status(head), without_pseudo(head))).collect()
    }

    /// Takes what has come, without waiting for more.
    pub fn drain(&mut self) -> Result<(), Broken> {
        self.set_patience(Duration::from_millis(1));
        let met = loop {
            match self.receive() {
                Ok(_) => {}
                Err(Broken::TimedOut) => break Ok(()),
                Err(broken) => break Err(broken),
            }
        };
        self.set_patience(DEADLINE);
        met
    }

    pub fn set_patience(&mut self, time: Duration) {
        self.stream.tcp().set_read_timeout(Some(time)).expect("a time above zero");
    }
}

fn status(head: &Fields) -> u16 {
    let value = head.iter().find(|(name, _)| name == ":status").map(|(_, value)| value);
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}

fn without_pseudo(head: &Fields) -> Fields {
    head.iter().filter(|(name, _)| !name.starts_with(':')).cloned().collect()
}
