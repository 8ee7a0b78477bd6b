//! The listening sockets of one address, one for each worker.
//!
//! The kernel spreads connections over the sockets of a `SO_REUSEPORT` group by hash. The control
//! thread owns them for as long as the listener stands: closing one socket of a group resets the
//! connections that wait in its accept queue.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait for `accept` on one socket; the kernel lowers it to
/// `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// The sockets of one address.
#[derive(Clone, Debug)]
pub struct Sockets {
    /// What is listened on: the port is never 0.
    pub address: SocketAddr,
    /// One entry a worker; all the same socket where it was inherited.
    per_worker: Vec<Arc<TcpListener>>,
    open: Arc<OpenConnections>,
}

/// How many of the connections that came by one address are open, over all workers. They hold this
/// and not the sockets, which must close when the address is given up.
#[derive(Debug, Default)]
pub struct OpenConnections(AtomicUsize);

/// One of them, until it is dropped.
#[derive(Debug)]
pub struct OpenConnection(Arc<OpenConnections>);

impl OpenConnections {
    pub fn enter(self: &Arc<Self>) -> OpenConnection {
        self.0.fetch_add(1, Ordering::Relaxed);
        OpenConnection(self.clone())
    }

    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Sockets {
    /// Listens on `address` with one socket for each of `workers` (at least 1); port 0 takes a
    /// free port, the same for all.
    ///
    /// Accepted connections inherit TCP_NODELAY from these sockets, so that nobody sets it once a
    /// connection. A port on which anybody listens already is an error, also where that is another
    /// process of our own user, whom the kernel would let join the group.
    ///
    /// # Errors
    /// In words, with the remedy: address in use, not permitted, not an address of this machine.
    pub fn bind(address: SocketAddr, workers: usize) -> io::Result<Sockets> {
        assert!(workers > 0, "an address is listened on by at least one worker");
        let first = found_group(address).map_err(|error| explained(address, error))?;
        let address = first.local_addr()?;
        let mut per_worker = vec![Arc::new(first)];
        for _ in 1..workers {
            let next = join_group(address).map_err(|error| explained(address, error))?;
            per_worker.push(Arc::new(next));
        }
        Ok(Sockets { address, per_worker, open: Arc::default() })
    }

    /// One socket that the service manager opened, shared by all `workers`.
    pub fn inherited(listener: TcpListener, workers: usize) -> io::Result<Sockets> {
        assert!(workers > 0, "an address is listened on by at least one worker");
        let address = listener.local_addr()?;
        socket2::SockRef::from(&listener).set_tcp_nodelay(true)?;
        let shared = Arc::new(listener);
        Ok(Sockets { address, per_worker: vec![shared; workers], open: Arc::default() })
    }

    /// The socket that worker `index` accepts from; nonblocking, as tokio's `from_std` wants it.
    /// It shares its accept queue with the one held here, which therefore must outlive it.
    ///
    /// # Panics
    /// If there is no such worker.
    pub fn for_worker(&self, index: usize) -> io::Result<TcpListener> {
        self.per_worker[index].try_clone()
    }

    /// The connections that came by these sockets.
    pub fn open(&self) -> &Arc<OpenConnections> {
        &self.open
    }

    /// How many workers these sockets serve.
    pub fn workers(&self) -> usize {
        self.per_worker.len()
    }
}

/// The first socket of the group. It binds and listens *before* it sets SO_REUSEPORT: the kernel
/// then checks at `listen`, under its own lock, that nobody else listens on the address. So of two
/// daemons that start at once exactly one goes on, which a probe closed before the real bind could
/// not promise. SO_REUSEADDR only forgives connections of an earlier process in TIME_WAIT.
fn found_group(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = unbound(address)?;
    socket.bind(&address.into())?;
    opened(socket)
}

fn opened(bound: Socket) -> io::Result<TcpListener> {
    bound.listen(BACKLOG)?;
    bound.set_reuse_port(true)?;
    Ok(bound.into())
}

fn join_group(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = unbound(address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Close-on-exec from birth, as socket2 makes them.
fn unbound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // Else [::]:443 would take 0.0.0.0:443 along, which the file binds in its own right.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket)
}

fn explained(address: SocketAddr, error: io::Error) -> io::Error {
    let port = address.port();
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "another process listens there; find it with `ss -ltnp 'sport = :{port}'` and stop it, or bind another port"
        ),
        io::ErrorKind::PermissionDenied => format!(
            "port {port} needs the capability CAP_NET_BIND_SERVICE (in a systemd unit: AmbientCapabilities=CAP_NET_BIND_SERVICE), or bind a port from 1024 on"
        ),
        io::ErrorKind::AddrNotAvailable => format!(
            "this machine has no address {}; see `ip address`, or bind 0.0.0.0 or [::]",
            address.ip()
        ),
        _ => return io::Error::new(error.kind(), format!("can't listen on {address}: {error}")),
    };
    io::Error::new(error.kind(), format!("can't listen on {address}: {error}: {remedy}"))
}

#[cfg(test)]
mod tests {
    use std::{
        net::{Ipv4Addr, Ipv6Addr, TcpStream},
        sync::Barrier,
        thread,
        time::{Duration, Instant},
    };

    use super::*;

    fn free_port() -> SocketAddr {
        (Ipv4Addr::LOCALHOST, 0).into()
    }

    /// Opens so many connections and takes each from the accept queue where the kernel put it.
    fn accepted_by_worker(sockets: &Sockets, connections: usize) -> Vec<Vec<TcpStream>> {
        let listeners: Vec<_> = (0..sockets.workers())
            .map(|index| sockets.for_worker(index).expect("a worker's socket"))
            .collect();
        let _clients: Vec<_> = (0..connections)
            .map(|_| TcpStream::connect(sockets.address).expect("a connection"))
            .collect();
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut accepted: Vec<Vec<TcpStream>> = listeners.iter().map(|_| Vec::new()).collect();
        while accepted.iter().map(Vec::len).sum::<usize>() < connections {
            assert!(Instant::now() < deadline, "a connection was lost");
            for (listener, streams) in listeners.iter().zip(&mut accepted) {
                let waiting = || listener.accept().ok().map(|(stream, _)| stream);
                streams.extend(std::iter::from_fn(waiting));
            }
        }
        accepted
    }

    #[test]
    fn port_0_is_one_port_for_all_workers_and_each_gets_connections() {
        let sockets = Sockets::bind(free_port(), 4).expect("a free port");
        assert_ne!(sockets.address.port(), 0);
        let accepted = accepted_by_worker(&sockets, 256);
        let counts: Vec<usize> = accepted.iter().map(Vec::len).collect();
        assert!(counts.iter().all(|&count| count > 16), "{counts:?}");
    }

    #[test]
    fn accepted_connections_inherit_nodelay() {
        let sockets = Sockets::bind(free_port(), 2).expect("a free port");
        for stream in accepted_by_worker(&sockets, 16).iter().flatten() {
            assert!(stream.nodelay().expect("an option"));
        }
    }

    #[test]
    fn a_second_daemon_is_told_that_the_address_is_in_use() {
        let first = Sockets::bind(free_port(), 2).expect("a free port");
        let error = Sockets::bind(first.address, 2).expect_err("taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let text = error.to_string();
        assert!(text.contains("another process listens there"), "{text}");
        assert!(text.contains(&first.address.to_string()), "{text}");
    }

    #[test]
    fn of_daemons_that_start_at_once_exactly_one_goes_on() {
        for _ in 0..50 {
            let address = Sockets::bind(free_port(), 1).expect("a free port").address;
            let barrier = Barrier::new(3);
            let bound: Vec<_> = thread::scope(|scope| {
                let starts: Vec<_> = (0..3)
                    .map(|_| {
                        scope.spawn(|| {
                            barrier.wait();
                            Sockets::bind(address, 4)
                        })
                    })
                    .collect();
                starts.into_iter().map(|start| start.join().expect("no panic")).collect()
            });
            assert_eq!(bound.iter().flatten().count(), 1, "{bound:?}");
        }
    }

    #[test]
    fn a_daemon_that_bound_before_the_other_listened_is_still_refused() {
        let bind = |address: SocketAddr| {
            let socket = unbound(address).expect("a socket");
            socket.bind(&address.into()).expect("nobody listens yet");
            socket
        };
        let first = bind(free_port());
        let address = first.local_addr().expect("an address");
        let second = bind(address.as_socket().expect("an IP address"));
        let _first = opened(first).expect("the first to listen");
        let error = opened(second).expect_err("the second");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_restart_is_not_held_up_by_old_connections() {
        let sockets = Sockets::bind(free_port(), 1).expect("a free port");
        let listener = sockets.for_worker(0).expect("a worker's socket");
        listener.set_nonblocking(false).expect("an option");
        let address = sockets.address;
        let client = TcpStream::connect(address).expect("a connection");
        // The server's side closes first, so the server's side is the one left in TIME_WAIT.
        drop(listener.accept().expect("a connection"));
        drop(client);
        drop((listener, sockets));
        Sockets::bind(address, 2).expect("a restart");
    }

    #[test]
    fn ipv6_leaves_ipv4_alone() {
        let Ok(v6) = Sockets::bind((Ipv6Addr::UNSPECIFIED, 0).into(), 2) else {
            // A machine without IPv6.
            return;
        };
        let port = v6.address.port();
        Sockets::bind((Ipv4Addr::LOCALHOST, port).into(), 2).expect("the same port on IPv4");
    }

    #[test]
    fn an_address_of_another_machine_is_explained() {
        let elsewhere = SocketAddr::from(([192, 0, 2, 1], 8080));
        let error = Sockets::bind(elsewhere, 1).expect_err("not ours");
        assert!(error.to_string().contains("this machine has no address 192.0.2.1"), "{error}");
    }

    #[test]
    fn an_inherited_socket_serves_all_workers() {
        let listener = TcpListener::bind(free_port()).expect("a free port");
        listener.set_nonblocking(true).expect("an option");
        let sockets = Sockets::inherited(listener, 3).expect("a listening socket");
        for stream in accepted_by_worker(&sockets, 5).iter().flatten() {
            assert!(stream.nodelay().expect("an option"));
        }
        assert_eq!(sockets.workers(), 3);
    }
}
