//! The one place where a connection to a backend is made.

use std::{io, net::SocketAddr};

use tokio::net::TcpStream;

use crate::net::stream::Stream;

/// What a connection to a backend shall be.
#[derive(Clone, Copy, Debug)]
pub struct Dial {
    /// A probe may ask at another port than the one that serves.
    pub address: SocketAddr,
}

/// Why there is no connection.
#[derive(Debug)]
pub enum DialError {
    /// TCP did not come about.
    Connect(io::Error),
}

/// Connects. It has no deadline of its own: whoever waits for it knows how long to wait, and what
/// else may end the wait.
pub async fn dial(how: &Dial) -> Result<Stream, DialError> {
    let tcp = TcpStream::connect(how.address).await.map_err(DialError::Connect)?;
    // Heads and short bodies leave in one write: there is nothing to wait for.
    tcp.set_nodelay(true).map_err(DialError::Connect)?;
    Ok(Stream::Plain(tcp))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_connection_has_no_delay_and_nobody_there_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let how = Dial { address: listener.local_addr().expect("an address") };
        let stream = dial(&how).await.expect("a connection");
        assert!(stream.tcp().nodelay().expect("an option"));
        drop(listener);
        let DialError::Connect(error) = dial(&how).await.expect_err("nobody listens");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
