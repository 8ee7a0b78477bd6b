//! One question over FastCGI: php-fpm answers it at its `ping.path`, or runs the script of that path.
//! The answer is read as any other: its head is written down as HTTP/1 would have sent it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    config::HttpProbe,
    control::probe::{
        answer::{self, MAX_ANSWER, Reading},
        ask::{Asked, USER_AGENT, authority, method, words},
    },
    http::fastcgi::{
        head,
        params::{self, Told},
        record::{self, Connection, Malformed, Piece, Records},
        script::Script,
    },
    message::{authority::without_port, lent::Lent},
    net::stream::Stream,
    pool::dial::Dial,
};

/// Where who asks over a Unix socket comes from: its server may want an address.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// More of what a script says besides its answer is no answer to a probe.
const MAX_READ: usize = 4 * MAX_ANSWER;

/// Asks on a connection of its own. What comes of the answer is left in `bytes`.
pub async fn ask(
    probe: &HttpProbe,
    how: &Dial<'_>,
    mut stream: Stream,
    bytes: &mut Vec<u8>,
) -> Result<Asked, String> {
    let ours = stream.tcp().local_addr().ok();
    let request = request(probe, how, ours)?;
    stream.write_all(&request).await.map_err(|error| words(&error))?;
    stream.flush().await.map_err(|error| words(&error))?;
    let (mut answer, mut come) = (Answer::default(), Vec::with_capacity(4096));
    let mut read = 0;
    loop {
        come.clear();
        let count = stream.read_buf(&mut come).await.map_err(|error| words(&error))?;
        read += count;
        let mut end = answer.take(&come, bytes)?;
        if count == 0 || bytes.len() >= MAX_ANSWER || read >= MAX_READ {
            end = answer::End::Reached;
        }
        match answer::read(probe, bytes, end) {
            Reading::More => {}
            Reading::Passed { status, release } => return Ok((status.to_string(), release)),
            Reading::Failed(words) => return Err(words),
        }
    }
}

/// What has come of an answer.
#[derive(Default)]
struct Answer {
    records: Records,
    scan: head::Scan,
    /// As long as it is not whole.
    head: Vec<u8>,
    has_head: bool,
}

impl Answer {
    /// Takes in what came, and appends what it says to `bytes`.
    fn take(&mut self, come: &[u8], bytes: &mut Vec<u8>) -> Result<answer::End, String> {
        let mut rest = come;
        loop {
            match self.records.next(&mut rest) {
                Ok(Piece::More) => return Ok(answer::End::Open),
                Ok(Piece::End(record::End::Complete)) => return Ok(answer::End::Reached),
                Ok(Piece::End(record::End::Refused)) => {
                    return Err("the server did not take the request".to_owned());
                }
                Ok(Piece::Framing | Piece::Error(_)) => {}
                Ok(Piece::Output(part)) => self.output(part, bytes)?,
                Err(Malformed) => return Err("the answer is no FastCGI".to_owned()),
            }
        }
    }

    fn output(&mut self, output: &[u8], bytes: &mut Vec<u8>) -> Result<(), String> {
        if self.has_head {
            let room = MAX_ANSWER.saturating_sub(bytes.len());
            bytes.extend_from_slice(&output[..output.len().min(room)]);
            return Ok(());
        }
        self.head.extend_from_slice(output);
        if self.head.len() > MAX_ANSWER {
            return Err("the answer's head is too long".to_owned());
        }
        if let Some(end) = self.scan.end(&self.head) {
            let (head, body) = self.head.split_at(end);
            head::to_http(head, bytes).map_err(|refusal| refusal.detail.to_owned())?;
            bytes.extend_from_slice(body);
            self.has_head = true;
        }
        Ok(())
    }
}

/// php-fpm knows its `ping.path` by the name of the script.
fn request(probe: &HttpProbe, how: &Dial<'_>, ours: Option<SocketAddr>) -> Result<Vec<u8>, String> {
    let (method, uri, authority) = (method(probe), &probe.path, authority(probe, how));
    let path = uri.split('?').next().unwrap_or_default();
    let head = format!(
        "{method} {uri} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: {USER_AGENT}\r\nAccept: */*\r\n\r\n"
    );
    let script = Script { name: path.as_bytes().to_vec(), info: Vec::new() };
    let told = Told {
        script: &script,
        removed: b"",
        root: b"",
        uri: uri.as_bytes(),
        protocol: "HTTP/1.1",
        tls: false,
        remote: ours.unwrap_or(NOWHERE),
        server: ours,
        port: ours.map_or(0, |ours| ours.port()),
        host: without_port(authority.as_bytes()),
        own: &[],
    };
    let mut out = Lent::default();
    record::begin(&mut out, Connection::Closed);
    params::write(&mut out, head.as_bytes(), &told).map_err(|refusal| refusal.detail.to_owned())?;
    record::end_stdin(&mut out);
    Ok(out.kept())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap();
        [&[1, kind, 0, 1, 0, length, 0, 0], content].concat()
    }

    /// What is read of bytes that come `step` at a time.
    fn read(bytes: &[u8], step: usize) -> Result<(String, answer::End), String> {
        let (mut answer, mut told) = (Answer::default(), Vec::new());
        let mut end = answer::End::Open;
        for come in bytes.chunks(step) {
            end = answer.take(come, &mut told)?;
        }
        Ok((String::from_utf8_lossy(&told).replace("\r\n", "|"), end))
    }

    #[test]
    fn an_answer_is_written_down_as_http_however_it_comes() {
        let over = record(3, &[0; 8]);
        let bytes =
            [record(6, b"A: b\n"), record(7, b"a word"), record(6, b"\npong"), over].concat();
        for step in 1..bytes.len() {
            let expected = ("HTTP/1.1 200 OK|A: b||pong".to_owned(), answer::End::Reached);
            assert_eq!(read(&bytes, step), Ok(expected), "{step}");
        }
        let open = ("HTTP/1.1 200 OK|A: b||pong".to_owned(), answer::End::Open);
        assert_eq!(read(&bytes[..bytes.len() - 16], 7), Ok(open));
    }

    #[test]
    fn what_is_no_answer_says_why() {
        for (bytes, words) in [
            (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "no FastCGI"),
            (record(3, &[0, 0, 0, 0, 2, 0, 0, 0]), "did not take"),
            (record(6, b"Status: x\n\n"), "malformed"),
        ] {
            let found = read(&bytes, 5).unwrap_err();
            assert!(found.contains(words), "{found}");
        }
    }
}
