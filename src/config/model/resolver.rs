//! Where backends are, and how the names of those that have one are looked up.

use std::{fmt, net::SocketAddr, str::FromStr, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::config::name;

/// Where a backend is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    Socket(SocketAddr),
    /// A Unix socket, by its absolute path.
    Unix(Arc<str>),
    /// Every address of a host, each at this port.
    Host {
        name: Arc<str>,
        port: u16,
    },
    /// Every address of every server that the SRV records of this name tell (RFC 2782).
    Srv(Arc<str>),
}

impl Address {
    /// `None`: each SRV record tells its own, and a Unix socket has none.
    pub fn port(&self) -> Option<u16> {
        match self {
            Address::Socket(address) => Some(address.port()),
            Address::Host { port, .. } => Some(*port),
            Address::Unix(_) | Address::Srv(_) => None,
        }
    }

    /// What is looked up.
    pub fn name(&self) -> Option<Name> {
        match self {
            Address::Socket(_) | Address::Unix(_) => None,
            Address::Host { name, .. } => Some(Name::Host(name.clone())),
            Address::Srv(name) => Some(Name::Srv(name.clone())),
        }
    }
}

/// As it is written in the file.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Socket(address) => write!(f, "{address}"),
            Address::Unix(path) => write!(f, "{UNIX}{path}"),
            Address::Host { name, port } => write!(f, "{name}:{port}"),
            Address::Srv(name) => write!(f, "{SRV}{name}"),
        }
    }
}

/// Reads what [`fmt::Display`] writes, and all else that may stand in a file. The error says what was
/// expected.
impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        name::backend(text)
    }
}

/// Where one backend is, once its name has been looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Endpoint {
    Tcp(SocketAddr),
    /// The absolute path of a Unix socket.
    Unix(Arc<str>),
}

impl Endpoint {
    /// The Host of a request that names none.
    pub fn authority(&self) -> String {
        match self {
            Endpoint::Tcp(address) => address.to_string(),
            Endpoint::Unix(_) => "localhost".to_owned(),
        }
    }

    /// The same host at another port; a Unix socket has none.
    pub fn at_port(&self, port: u16) -> Endpoint {
        match self {
            Endpoint::Tcp(address) => Endpoint::Tcp(SocketAddr::new(address.ip(), port)),
            Endpoint::Unix(_) => self.clone(),
        }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Endpoint {
        Endpoint::Tcp(address)
    }
}

#[cfg(test)]
impl From<([u8; 4], u16)> for Endpoint {
    fn from(address: ([u8; 4], u16)) -> Endpoint {
        Endpoint::Tcp(address.into())
    }
}

/// As an operator writes it, and as metrics name it.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp(address) => write!(f, "{address}"),
            Endpoint::Unix(path) => write!(f, "{UNIX}{path}"),
        }
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Endpoint, String> {
        match name::backend(text)? {
            Address::Socket(address) => Ok(Endpoint::Tcp(address)),
            Address::Unix(path) => Ok(Endpoint::Unix(path)),
            Address::Host { .. } | Address::Srv(_) => Err(name::NO_ADDRESS.to_owned()),
        }
    }
}

impl TryFrom<String> for Endpoint {
    type Error = String;

    fn try_from(text: String) -> Result<Endpoint, String> {
        text.parse()
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> String {
        endpoint.to_string()
    }
}

/// What stands before the path of a Unix socket.
pub const UNIX: &str = "unix:";

/// What stands before a name whose SRV records are meant.
pub const SRV: &str = "srv:";

/// A name that is looked up, once for all the pools that have it. In lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Name {
    /// Its A and AAAA records.
    Host(Arc<str>),
    /// Its SRV records, and the addresses of the servers that they tell.
    Srv(Arc<str>),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Host(name) => f.write_str(name),
            Name::Srv(name) => write!(f, "{SRV}{name}"),
        }
    }
}

/// How names are looked up.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolver {
    /// Empty: those of /etc/resolv.conf.
    pub servers: Vec<SocketAddr>,
    pub family: Family,
    /// One look-up, over all its tries and servers.
    pub timeout: Duration,
    /// How long a start or a reload waits for the first answers before it serves without them.
    pub start_wait: Duration,
    /// The least and the most time after which a name that was answered is looked up again.
    pub min_ttl: Duration,
    pub max_ttl: Duration,
    /// The longest wait between two look-ups of a name that fails.
    pub max_retry: Duration,
    /// How long a name's backends outlive its being answered as without any.
    pub hold: Duration,
    /// Addresses of one name that are used.
    pub max_addresses: usize,
}

/// Which addresses of a name become backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Both,
    Ipv4,
    Ipv6,
}
