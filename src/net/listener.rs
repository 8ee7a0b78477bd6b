//! The accept queue of one address, as one worker takes from it.

use std::{io, net::SocketAddr, os::fd::OwnedFd};

use rustix::net::{SocketFlags, acceptfrom_with};
use tokio::{io::Interest, net::TcpStream, task::yield_now};

use super::socket::Socket;

/// So many connections are accepted before those that were have their turn.
const BATCH: usize = 64;

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    /// A listening socket to the kernel, whatever its type says: the runtime's own listener makes all
    /// that it accepts known to epoll(7), which a short connection never needs (see `socket`), and
    /// its general way to wait for a descriptor is unsafe.
    socket: TcpStream,
    /// Accepted since something else had its turn.
    batch: usize,
}

impl Listener {
    /// # Errors
    /// The kernel watches no more sockets for us.
    pub fn new(socket: std::net::TcpListener) -> io::Result<Listener> {
        let socket = TcpStream::from_std(OwnedFd::from(socket).into())?;
        Ok(Listener { socket, batch: 0 })
    }

    /// Waits for a connection.
    ///
    /// # Errors
    /// Those of accept(2): some are of one connection that broke while it waited.
    pub async fn accept(&mut self) -> io::Result<(Socket, SocketAddr)> {
        if self.batch == BATCH {
            self.batch = 0;
            yield_now().await;
        }
        loop {
            match self.socket.try_io(Interest::READABLE, || self.accept_now()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.batch = 0;
                    self.socket.readable().await?;
                }
                accepted => {
                    self.batch += 1;
                    return accepted;
                }
            }
        }
    }

    /// What is in the queue now. The kernel is asked: to a task that has had its turn the runtime says
    /// that there is nothing.
    ///
    /// # Errors
    /// `WouldBlock` where there is nothing; else those of accept(2).
    pub fn accept_now(&self) -> io::Result<(Socket, SocketAddr)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (connection, peer) = acceptfrom_with(&self.socket, flags)?;
        // What is accepted here has an address: only TCP is listened on.
        let peer = peer.ok_or(io::ErrorKind::InvalidData)?;
        let peer = SocketAddr::try_from(peer).map_err(io::Error::from)?;
        Ok((Socket::accepted(connection), peer))
    }
}
