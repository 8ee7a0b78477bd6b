//! Socket activation: the listening sockets that the service manager opened for us (sd_listen_fds(3)).
//!
//! The only room with `unsafe`: a number in an environment variable has to become an owned socket.
#![allow(unsafe_code)]

use std::{
    env, io,
    net::{SocketAddr, TcpListener},
    os::fd::{FromRawFd, OwnedFd, RawFd},
    process,
    sync::atomic::{AtomicBool, Ordering},
};

use socket2::{Domain, Protocol, Socket, Type};

/// SD_LISTEN_FDS_START: stdin, stdout and stderr stand before.
const FIRST: RawFd = 3;

/// More than any unit would name; a larger LISTEN_FDS is not from a service manager.
const MOST: usize = 1024;

/// The sockets LISTEN_PID and LISTEN_FDS promise us, with the addresses they listen on:
/// close-on-exec and nonblocking. Only the first call gets them; later ones get none, as their
/// owner must be one. To be called before this process opens files of its own.
///
/// # Errors
/// The variables are ours but can't be read, or a promised file is not a listening TCP socket.
pub fn listeners() -> io::Result<Vec<(SocketAddr, TcpListener)>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(Vec::new());
    }
    let pid = env::var("LISTEN_PID").ok();
    let count = env::var("LISTEN_FDS").ok();
    let count = promised(pid.as_deref(), count.as_deref(), process::id())?;
    (FIRST..).take(count).map(adopt).collect()
}

/// How many sockets are meant for this process: the variables are inherited by children, so
/// LISTEN_PID says whom they concern.
fn promised(pid: Option<&str>, count: Option<&str>, own_pid: u32) -> io::Result<usize> {
    let (Some(pid), Some(count)) = (pid, count) else {
        return Ok(0);
    };
    if pid.parse() != Ok(own_pid) {
        return Ok(0);
    }
    match count.parse() {
        Ok(count) if count <= MOST => Ok(count),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "LISTEN_FDS is {count:?}, expected a number from 0 to {MOST}; start equipoise from a systemd .socket unit or unset LISTEN_PID and LISTEN_FDS"
            ),
        )),
    }
}

fn adopt(fd: RawFd) -> io::Result<(SocketAddr, TcpListener)> {
    let listener = owned_socket(fd).and_then(|socket| {
        let address = listening_address(&socket)?;
        socket.set_cloexec(true)?;
        socket.set_nonblocking(true)?;
        Ok((address, socket.into()))
    });
    listener.map_err(|error: io::Error| {
        io::Error::new(
            error.kind(),
            format!("inherited file descriptor {fd}: {error}; each ListenStream= of the .socket unit must be an IP address and port"),
        )
    })
}

fn owned_socket(fd: RawFd) -> io::Result<Socket> {
    let link = std::fs::read_link(format!("/proc/self/fd/{fd}"))
        .map_err(|_| io::Error::new(io::ErrorKind::NotFound, "is not open"))?;
    if !link.to_string_lossy().starts_with("socket:") {
        return Err(refused("is not a socket"));
    }
    // SAFETY: the descriptor is open (just seen in /proc), and LISTEN_PID says that the service
    // manager passed it to this very process at exec, so nothing else here owns it: `listeners`
    // hands out each number once, before the process opens files of its own.
    let owned = unsafe { OwnedFd::from_raw_fd(fd) };
    Ok(Socket::from(owned))
}

fn listening_address(socket: &Socket) -> io::Result<SocketAddr> {
    let domain = socket.domain()?;
    if domain != Domain::IPV4 && domain != Domain::IPV6 {
        return Err(refused("is not an IPv4 or IPv6 socket"));
    }
    if socket.r#type()? != Type::STREAM || socket.protocol()? != Some(Protocol::TCP) {
        return Err(refused("is not a TCP socket"));
    }
    if !socket.is_listener()? {
        return Err(refused("is a TCP socket that does not listen"));
    }
    socket.local_addr()?.as_socket().ok_or_else(|| refused("has no IP address"))
}

fn refused(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

#[cfg(test)]
mod tests {
    use std::{
        net::UdpSocket,
        os::{fd::IntoRawFd, unix::net::UnixListener},
    };

    use super::*;

    #[test]
    fn the_variables_concern_only_the_process_they_name() {
        let count = |pid, count| promised(pid, count, 42).map_err(|error| error.kind());
        assert_eq!(count(Some("42"), Some("2")), Ok(2));
        assert_eq!(count(Some("42"), Some("0")), Ok(0));
        assert_eq!(count(Some("41"), Some("2")), Ok(0));
        assert_eq!(count(Some("41"), Some("junk")), Ok(0));
        assert_eq!(count(Some(""), Some("2")), Ok(0));
        assert_eq!(count(None, Some("2")), Ok(0));
        assert_eq!(count(Some("42"), None), Ok(0));
        assert_eq!(count(Some("42"), Some("-1")), Err(io::ErrorKind::InvalidInput));
        assert_eq!(count(Some("42"), Some("junk")), Err(io::ErrorKind::InvalidInput));
        assert_eq!(count(Some("42"), Some("99999999")), Err(io::ErrorKind::InvalidInput));
    }

    #[test]
    fn a_listening_socket_is_taken_with_its_address() {
        let theirs = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let expected = theirs.local_addr().expect("an address");
        let (address, listener) = adopt(theirs.into_raw_fd()).expect("a listening socket");
        assert_eq!(address, expected);
        let nonblocking = listener.accept().expect_err("nobody connected");
        assert_eq!(nonblocking.kind(), io::ErrorKind::WouldBlock);
        let flags = rustix::io::fcntl_getfd(&listener).expect("its flags");
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    }

    #[test]
    fn what_is_no_listening_tcp_socket_is_refused_in_words() {
        let directory = tempfile::tempdir().expect("a directory");
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let unix = UnixListener::bind(directory.path().join("socket")).expect("a socket");
        let deaf = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("a socket");
        let file = tempfile::tempfile().expect("a file");
        for (fd, expected) in [
            (udp.into_raw_fd(), "is not a TCP socket"),
            (unix.into_raw_fd(), "is not an IPv4 or IPv6 socket"),
            (deaf.into_raw_fd(), "is a TCP socket that does not listen"),
            (file.into_raw_fd(), "is not a socket"),
            (RawFd::MAX, "is not open"),
        ] {
            let text = adopt(fd).expect_err(expected).to_string();
            assert!(text.contains(expected), "{text}");
            assert!(text.contains(&format!("inherited file descriptor {fd}")), "{text}");
        }
    }

    fn any_text(random: &mut fastrand::Rng) -> String {
        let alphabet = ['0', '1', '7', '9', '-', '+', ' ', '.', 'x', '\0', '\n', 'é'];
        (0..random.usize(..24)).map(|_| alphabet[random.usize(..alphabet.len())]).collect()
    }

    #[test]
    fn variables_of_any_text_are_a_number_or_refused() {
        let mut random = fastrand::Rng::with_seed(17);
        for _ in 0..20_000 {
            let text = any_text(&mut random);
            if let Ok(count) = promised(Some("42"), Some(&text), 42) {
                assert!(count <= MOST, "{text:?}");
            }
            assert_eq!(promised(Some(&text), None, 42).ok(), Some(0), "{text:?}");
        }
    }
}
