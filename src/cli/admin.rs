//! A question to the running daemon over its admin socket, and its answer.

use std::{
    fmt, fs,
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use toml::de::DeTable;

use crate::{
    config::{self, Admin},
    control::protocol::{Answer, Request},
};

/// A daemon that lives takes a question at once.
const TAKE: Duration = Duration::from_secs(5);

/// Above the longest that a reload may take: the opening of every certificate and socket.
const THINK: Duration = Duration::from_secs(60);

/// An answer that is longer is not from our daemon.
const LONGEST_ANSWER: u64 = 64 << 20;

/// Why there is no answer.
#[derive(Debug)]
pub enum Trouble {
    /// Nobody listens there, or the daemon hangs.
    Unreachable(String),
    /// What came back is no answer.
    Misunderstood(String),
}

impl std::error::Error for Trouble {}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Unreachable(words) | Trouble::Misunderstood(words) => f.write_str(words),
        }
    }
}

/// Asks once and waits for the answer: the line as it came, and what it means.
pub fn ask(socket: &Path, request: &Request) -> Result<(String, Answer), Trouble> {
    let line = exchange(socket, request).map_err(|error| unreachable(socket, &error))?;
    match serde_json::from_str(&line) {
        Ok(answer) => Ok((line, answer)),
        Err(error) => Err(Trouble::Misunderstood(format!(
            "what answers on {} is not this equipoise ({error}): expected one line of JSON; \
             compare `equipoise version` with the version that runs",
            socket.display()
        ))),
    }
}

/// The admin socket that the configuration names. A file with errors, which is when a person asks
/// for help, still names it as far as it can be read; else it is the default.
pub fn socket_of(config: &Path) -> PathBuf {
    if let Ok(loaded) = config::load(config) {
        return loaded.config.admin.socket;
    }
    let text = fs::read_to_string(config).unwrap_or_default();
    match written_socket(&text) {
        Some(path) => config.parent().unwrap_or(Path::new("")).join(path),
        None => Admin::default().socket,
    }
}

fn written_socket(text: &str) -> Option<String> {
    let (tree, _) = DeTable::parse_recoverable(text);
    let admin = tree.get_ref().get("admin")?.get_ref().get("socket")?;
    admin.get_ref().as_str().map(str::to_owned)
}

fn exchange(socket: &Path, request: &Request) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_write_timeout(Some(TAKE))?;
    stream.set_read_timeout(Some(THINK))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    stream.take(LONGEST_ANSWER).read_to_string(&mut answer)?;
    if answer.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(answer)
}

fn unreachable(socket: &Path, error: &io::Error) -> Trouble {
    let socket = socket.display();
    let words = match error.kind() {
        io::ErrorKind::NotFound => format!(
            "no daemon listens on {socket}: there is no such socket; see `systemctl status \
             equipoise`, or name its configuration with --config or its socket with --socket; if \
             [admin] was changed in the file, the daemon still listens where it said before: name \
             that with --socket, or send HUP"
        ),
        io::ErrorKind::ConnectionRefused => format!(
            "no daemon listens on {socket}: it was left behind by one that ended, or is no \
             socket; see `systemctl status equipoise`"
        ),
        io::ErrorKind::PermissionDenied => {
            format!("{socket} is not open to this user: use sudo, or the service's own user")
        }
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => format!(
            "the daemon on {socket} did not answer in {} s; see `journalctl -u equipoise`",
            THINK.as_secs()
        ),
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe => {
            format!(
                "the daemon on {socket} ended before it answered; see `journalctl -u equipoise`"
            )
        }
        _ => format!("the daemon on {socket} can't be asked: {error}"),
    };
    Trouble::Unreachable(words)
}

#[cfg(test)]
mod tests {
    use std::{io::BufRead, os::unix::net::UnixListener, thread};

    use super::*;

    /// One connection: reads a line, says `answer`.
    fn daemon(folder: &Path, answer: &'static str) -> PathBuf {
        let path = folder.join("admin.sock");
        let listener = UnixListener::bind(&path).unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            io::BufReader::new(&stream).read_line(&mut line).unwrap();
            assert_eq!(line, "{\"command\":\"status\"}\n");
            stream.write_all(answer.as_bytes()).unwrap();
        });
        path
    }

    fn check(answer: &'static str) -> Result<Answer, Trouble> {
        let folder = tempfile::tempdir().unwrap();
        let path = daemon(folder.path(), answer);
        ask(&path, &Request::Status).map(|(_, answer)| answer)
    }

    #[test]
    fn an_answer_is_read() {
        let answer = check("{\"ok\":false,\"words\":[\"no\"],\"status\":null}\n").unwrap();
        assert_eq!(answer, Answer::refused(vec!["no".to_owned()]));
    }

    #[test]
    fn no_answer_and_a_strange_one_are_two_things() {
        assert!(matches!(check(""), Err(Trouble::Unreachable(_))));
        assert!(matches!(check("HTTP/1.1 400 Bad Request\r\n"), Err(Trouble::Misunderstood(_))));
    }

    #[test]
    fn a_missing_socket_and_one_left_behind_are_unreachable() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let missing = ask(&path, &Request::Status).unwrap_err();
        assert!(missing.to_string().contains("there is no such socket"), "{missing}");
        drop(UnixListener::bind(&path).unwrap());
        let left = ask(&path, &Request::Status).unwrap_err();
        assert!(left.to_string().contains("left behind"), "{left}");
        assert!(matches!(left, Trouble::Unreachable(_)));
    }

    #[test]
    fn a_broken_file_still_names_its_socket() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("e.toml");
        fs::write(&file, "listner = 1\n[admin]\nsocket = \"a.sock\"\n[pool.x\n").unwrap();
        assert_eq!(socket_of(&file), folder.path().join("a.sock"));
        fs::write(&file, "[admin\nsocket = 1\n").unwrap();
        assert_eq!(socket_of(&file), Admin::default().socket);
        assert_eq!(socket_of(&folder.path().join("none.toml")), Admin::default().socket);
    }
}
