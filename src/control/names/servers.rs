//! Whom we ask: the name servers, the search list and the hosts file, as resolver(3) would use them.
//!
//! Those of the system are looked at before each look-up and read again when they have changed: a
//! machine that moves, or a container whose network comes late, needs no restart of ours.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hickory_resolver::{
    Hosts, TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    net::runtime::TokioRuntimeProvider,
    proto::rr::Name,
    system_conf::parse_resolv_conf,
};
use tokio::task::spawn_blocking;

use crate::{config::Resolver, net::certificates::Stamp};

/// How often each server is asked, one after the other, before a question has failed.
pub const ROUNDS: u32 = 2;

/// Whom resolver(3) asks where /etc/resolv.conf names nobody.
const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53);

/// Whom we ask, as long as one configuration's rules hold.
#[derive(Debug)]
pub struct Servers {
    resolv_conf: PathBuf,
    hosts: PathBuf,
    made: Mutex<Option<Made>>,
}

impl Default for Servers {
    fn default() -> Servers {
        Servers::of(Path::new("/etc/resolv.conf"), Path::new("/etc/hosts"))
    }
}

#[derive(Debug)]
struct Made {
    stamps: [Option<Stamp>; 2],
    directory: Arc<Directory>,
}

/// Whom we ask now.
#[derive(Debug)]
pub struct Directory {
    /// In the order in which they are asked: the second is there for when the first is silent, and
    /// may know less.
    pub servers: Vec<TokioResolver>,
    pub hosts: Hosts,
    /// Put behind a name that has fewer dots than `ndots`, or that is not found without.
    pub search: Vec<Name>,
    pub ndots: usize,
}

impl Servers {
    fn of(resolv_conf: &Path, hosts: &Path) -> Servers {
        let (resolv_conf, hosts) = (resolv_conf.to_owned(), hosts.to_owned());
        Servers { resolv_conf, hosts, made: Mutex::default() }
    }

    /// Whom to ask now; the files are read on the blocking pool.
    ///
    /// # Errors
    /// /etc/resolv.conf is none: in words.
    pub async fn directory(self: &Arc<Self>, rules: &Resolver) -> Result<Arc<Directory>, String> {
        let (servers, rules) = (self.clone(), rules.clone());
        let read = spawn_blocking(move || servers.read(&rules)).await;
        read.map_err(|error| error.to_string())?
    }

    fn read(&self, rules: &Resolver) -> Result<Arc<Directory>, String> {
        let stamps = [&self.resolv_conf, &self.hosts].map(|file| Stamp::of(&[file]).ok());
        // What is behind this lock is whole after every line.
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = made.as_ref().filter(|made| made.stamps == stamps) {
            return Ok(made.directory.clone());
        }
        let directory = Arc::new(self.make(rules)?);
        *made = Some(Made { stamps, directory: directory.clone() });
        Ok(directory)
    }

    fn make(&self, rules: &Resolver) -> Result<Directory, String> {
        let (servers, search, options) = match &rules.servers[..] {
            [] => self.of_system()?,
            servers => (servers.to_vec(), Vec::new(), ResolverOpts::default()),
        };
        let each = rules.timeout / (ROUNDS * u32::try_from(servers.len()).unwrap_or(u32::MAX));
        let resolver = |server: &SocketAddr| resolver(*server, options.clone(), each);
        let servers = servers.iter().map(resolver).collect::<Result<_, _>>();
        let servers = servers.map_err(|error| error.to_string())?;
        let mut hosts = Hosts::default();
        if let Ok(file) = fs::File::open(&self.hosts) {
            hosts.read_hosts_conf(file).map_err(|error| self.unread(&self.hosts, &error))?;
        }
        Ok(Directory { servers, hosts, search, ndots: options.ndots })
    }

    fn of_system(&self) -> Result<(Vec<SocketAddr>, Vec<Name>, ResolverOpts), String> {
        let text = match fs::read(&self.resolv_conf) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(self.unread(&self.resolv_conf, &error)),
        };
        let named = text.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"nameserver"));
        if !named {
            return Ok((vec![LOCAL], Vec::new(), ResolverOpts::default()));
        }
        let (config, options) =
            parse_resolv_conf(&text).map_err(|error| self.unread(&self.resolv_conf, &error))?;
        let servers = config.name_servers().iter().map(|server| SocketAddr::new(server.ip, 53));
        // `domain` is a search list of one, and the last of the two lines counts: it is in `search`.
        Ok((servers.collect(), config.search().to_vec(), options))
    }

    fn unread(&self, file: &Path, error: &dyn std::fmt::Display) -> String {
        format!("{} can't be used: {error}", file.display())
    }
}

/// One server, asked by UDP, and by TCP where its answer is truncated. It keeps no answer: when to
/// ask again is ours to say.
fn resolver(
    server: SocketAddr,
    mut options: ResolverOpts,
    timeout: Duration,
) -> Result<TokioResolver, hickory_resolver::net::NetError> {
    let at_port = |mut connection: ConnectionConfig| {
        connection.port = server.port();
        connection
    };
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(at_port).into();
    let config = NameServerConfig::new(server.ip(), true, connections);
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![config]);
    options.timeout = timeout;
    options.attempts = 0;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    builder.with_options(options).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(resolv_conf: &str) -> Result<Directory, String> {
        let folder = tempfile::tempdir().unwrap();
        let (file, hosts) = (folder.path().join("resolv.conf"), folder.path().join("hosts"));
        fs::write(&file, resolv_conf).unwrap();
        Servers::of(&file, &hosts).make(&Resolver::default())
    }

    #[test]
    fn the_system_s_servers_and_its_search_list() {
        let text = "nameserver 10.0.0.53\nnameserver 2001:db8::53\nsearch a.example b.example\n\
                    options ndots:5 timeout:99\n";
        let directory = directory(text).unwrap();
        assert_eq!((directory.servers.len(), directory.ndots), (2, 5));
        let search: Vec<String> = directory.search.iter().map(Name::to_string).collect();
        assert_eq!(search, ["a.example", "b.example"]);
        let timeout = directory.servers[0].options().timeout;
        assert_eq!(timeout, Resolver::default().timeout / 4, "two rounds over two servers");
    }

    #[test]
    fn who_names_no_server_asks_this_machine() {
        assert_eq!(directory("# none\n").unwrap().servers.len(), 1);
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("none");
        let servers = Servers::of(&missing, &missing);
        assert_eq!(servers.make(&Resolver::default()).unwrap().servers.len(), 1);
    }

    #[test]
    fn files_that_change_are_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let (file, hosts) = (folder.path().join("resolv.conf"), folder.path().join("hosts"));
        let servers = Servers::of(&file, &hosts);
        let rules = Resolver::default();
        let first = servers.read(&rules).unwrap();
        assert!(Arc::ptr_eq(&first, &servers.read(&rules).unwrap()));
        fs::write(&file, "nameserver 10.0.0.53\nnameserver 10.0.0.54\n").unwrap();
        assert_eq!(servers.read(&rules).unwrap().servers.len(), 2);
        fs::write(&file, "nameserver 10.0.0.53\nsearch ..\n").unwrap();
        let told = servers.read(&rules).unwrap_err();
        assert!(told.contains("resolv.conf can't be used"), "{told}");
    }
}
