//! The daemon, as the script of an HTTP/2 backend sees it.

use std::{
    io::Read,
    ops::{Deref, DerefMut},
    sync::Arc,
};

use rustls::ServerConfig;

use super::{
    super::{
        http::{Broken, Request},
        origin::{Origin, Peer},
    },
    frame::{Frame, PREFACE, flag},
    link::{Link, Message, StreamEnd},
};

/// A request, and the stream to answer on.
#[derive(Clone, Debug)]
pub struct Asked {
    pub stream: u32,
    pub request: Request,
}

/// One connection of the daemon to a backend that speaks HTTP/2 with prior knowledge.
pub struct H2Peer<'a> {
    link: Link<&'a mut Peer>,
    /// The last stream that was given out.
    last: u32,
}

impl<'a> Deref for H2Peer<'a> {
    type Target = Link<&'a mut Peer>;

    fn deref(&self) -> &Link<&'a mut Peer> {
        &self.link
    }
}

impl DerefMut for H2Peer<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.link
    }
}

/// A backend with a script a connection, after the settings.
pub fn h2_origin(script: impl Fn(&mut H2Peer<'_>) + Send + Sync + 'static) -> Origin {
    h2_origin_with(&[], script)
}

pub fn h2_origin_with(
    settings: &'static [(u16, u32)],
    script: impl Fn(&mut H2Peer<'_>) + Send + Sync + 'static,
) -> Origin {
    Origin::start(greeting(settings, script))
}

/// The same behind TLS, whatever ALPN has chosen.
pub fn h2_tls_origin(
    config: Arc<ServerConfig>,
    script: impl Fn(&mut H2Peer<'_>) + Send + Sync + 'static,
) -> Origin {
    Origin::tls(config, greeting(&[], script))
}

fn greeting(
    settings: &'static [(u16, u32)],
    script: impl Fn(&mut H2Peer<'_>) + Send + Sync + 'static,
) -> impl Fn(&mut Peer) + Send + Sync + 'static {
    move |peer| {
        if let Some(mut peer) = H2Peer::greet(peer, settings) {
            script(&mut peer);
        }
    }
}

impl<'a> H2Peer<'a> {
    /// Takes the preface and sends settings; `None` when something else was said.
    fn greet(peer: &'a mut Peer, settings: &[(u16, u32)]) -> Option<H2Peer<'a>> {
        let mut preface = [0; PREFACE.len()];
        peer.read_exact(&mut preface).ok()?;
        if preface != PREFACE {
            peer.violation(format!("no preface: {}", preface.escape_ascii()));
            return None;
        }
        let mut link = Link::new(peer);
        link.send(&Frame::settings(settings));
        Some(H2Peer { link, last: 0 })
    }

    /// The head of the next request.
    pub fn head(&mut self) -> Option<Asked> {
        loop {
            let last = self.last;
            let new = self
                .messages()
                .find(|(stream, message)| *stream > last && !message.heads.is_empty());
            if let Some((stream, message)) = new {
                let request = request(message);
                self.last = stream;
                return Some(Asked { stream, request });
            }
            self.next_frame()?;
        }
    }

    /// The next request, with its body and its trailers.
    pub fn request(&mut self) -> Option<Asked> {
        let asked = self.head()?;
        self.whole(asked.stream)
    }

    /// Waits for the rest of a request; `None` when the stream or the connection is broken off.
    pub fn whole(&mut self, stream: u32) -> Option<Asked> {
        while self.end(stream).is_none() {
            self.next_frame()?;
        }
        let message = self.message(stream)?;
        if message.end != Some(StreamEnd::Clean) {
            return None;
        }
        let request = request(message);
        self.stream.keep(&request);
        Some(Asked { stream, request })
    }

    /// Whether the daemon resets this stream before the connection ends.
    pub fn sees_reset(&mut self, stream: u32) -> bool {
        while !matches!(self.end(stream), Some(StreamEnd::Reset(_))) {
            if self.next_frame().is_none() {
                return false;
            }
        }
        true
    }

    pub fn answer(&mut self, stream: u32, status: u16, body: &str) {
        self.send_head(stream, flag::NONE, &[(":status", status.to_string().as_str())]);
        let _ = self.send_body(stream, flag::END_STREAM, body.as_bytes());
    }

    /// Says nothing more until the daemon goes.
    pub fn hang(&mut self) {
        while self.next_frame().is_some() {}
    }

    fn next_frame(&mut self) -> Option<Frame> {
        match self.receive() {
            Ok(frame) => Some(frame),
            Err(Broken::Malformed(what)) => {
                self.stream.violation(what);
                None
            }
            Err(_) => None,
        }
    }
}

/// In HTTP/1's terms; `:authority` stays among the fields under its own name.
fn request(message: &Message) -> Request {
    let head = &message.heads[0];
    let pseudo = |wanted: &str| {
        let found = head.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let other = |name: &str| !matches!(name, ":method" | ":path");
    Request {
        method: pseudo(":method"),
        target: pseudo(":path"),
        version: "HTTP/2.0".to_owned(),
        fields: head.iter().filter(|(name, _)| other(name)).cloned().collect(),
        body: message.body.clone(),
        trailers: message.heads.get(1).cloned().unwrap_or_default(),
    }
}
