//! All that the workers know: immutable, built whole by the control plane, published at once.

use std::{collections::HashMap, net::SocketAddr, path::Path, sync::Arc};

use tokio::sync::Semaphore;

use crate::{
    config::{self, Action, Config, network::Network},
    files::directory::Directory,
    http::{
        self,
        compression::Compression,
        compressors::{Compressors, Places},
        error_pages::{ErrorPages, Pages},
        fastcgi::serve::Scripts,
        header_rules::HeaderRules,
        mirror::Mirror,
        rewrite::Rewrite,
        route::{Route, Router, Rules, Target},
        site::hsts_value,
        split::Split,
    },
    net::{
        listen::Sockets,
        sources::Sources,
        tls::{ClientTls, ServerTls},
    },
    observe::{
        access_log::AccessLog,
        metrics::{GenerationAlive, ListenerMetrics, Metrics},
    },
    pool::{members::Pool, sticky::Keys},
    tcp::{
        self,
        site::{Lead, Leads},
    },
};

/// One generation of the configuration, with the verdicts of the moment.
pub struct Snapshot {
    /// Grows by one with each snapshot.
    pub generation: u64,
    /// Every address that we accept connections on: none once the process ends, so that workers
    /// treat each as one that a reload took away.
    pub doors: HashMap<SocketAddr, Door>,
    /// In the order that `Target::Pool` counts in.
    pub pools: Vec<Arc<Pool>>,
    /// In the order that `Target::Files` counts in.
    pub directories: Vec<Arc<Directory>>,
    pub access_log: Option<Arc<AccessLog>>,
    pub metrics: Arc<Metrics>,
    pub phase: Phase,
    /// Counts this generation for as long as anyone holds it, or a request that began under it.
    pub alive: Arc<GenerationAlive>,
}

/// Where the process is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Serving,
    /// TERM came: no new connection is accepted, what is under way may end.
    Draining,
    /// The drain's deadline has passed: what is still under way is closed.
    Closing,
}

/// One address of a listener.
#[derive(Clone)]
pub struct Door {
    pub sockets: Arc<Sockets>,
    pub tls: Option<ServerTls>,
    pub site: Site,
    /// Where connections must come from that say by the PROXY protocol whom they are for.
    pub proxies: Option<Arc<[Network]>>,
    pub room: Arc<Room>,
}

/// What is done with the connections of a listener.
#[derive(Clone)]
pub enum Site {
    Http(Arc<http::site::Site>),
    Tcp(Arc<tcp::site::Site>),
}

impl Site {
    /// The listener's name.
    pub fn listener(&self) -> &Arc<str> {
        match self {
            Site::Http(site) => &site.listener,
            Site::Tcp(site) => &site.listener,
        }
    }

    pub fn metrics(&self) -> &Arc<ListenerMetrics> {
        match self {
            Site::Http(site) => &site.metrics,
            Site::Tcp(site) => &site.metrics,
        }
    }
}

/// The connections that a listener may have open, over all workers and reloads.
pub struct Room {
    /// One permit a connection.
    pub connections: Arc<Semaphore>,
    pub sources: Arc<Sources>,
    pub max_per_source: usize,
}

/// What a snapshot is made of, besides the configuration. All that can fail has been done: sockets
/// are bound, certificates are loaded.
pub struct Parts {
    pub sockets: HashMap<SocketAddr, Arc<Sockets>>,
    pub spoken: Spoken,
    /// By the listener's name.
    pub rooms: HashMap<Arc<str>, Arc<Room>>,
    /// Of the sticky pools, by their names.
    pub sticky_keys: HashMap<Arc<str>, Arc<Keys>>,
    pub access_log: Option<Arc<AccessLog>>,
    pub error_pages: Pages,
    /// By the name of the files.
    pub directories: HashMap<Arc<str>, Arc<Directory>>,
    /// Those of the process.
    pub compressors: Arc<Compressors>,
    pub metrics: Arc<Metrics>,
}

/// How TLS is spoken by the listeners and to the pools that speak it, by their names.
#[derive(Clone, Default)]
pub struct Spoken {
    pub listeners: HashMap<Arc<str>, ServerTls>,
    pub pools: HashMap<Arc<str>, Arc<ClientTls>>,
}

impl Spoken {
    pub fn is_empty(&self) -> bool {
        self.listeners.is_empty() && self.pools.is_empty()
    }

    /// What `more` says anew replaces what is held.
    pub fn extend(&mut self, more: Spoken) {
        self.listeners.extend(more.listeners);
        self.pools.extend(more.pools);
    }
}

/// Builds a snapshot; `pools` are those of `config`, in its order.
pub fn build(
    generation: u64,
    config: &Config,
    parts: &Parts,
    pools: Vec<Arc<Pool>>,
    phase: Phase,
) -> Snapshot {
    let mut doors = HashMap::new();
    let open = if phase == Phase::Serving { &config.listeners[..] } else { &[] };
    for listener in open {
        let tls = parts.spoken.listeners.get(&listener.name);
        let site = match &listener.tcp {
            None => Site::Http(Arc::new(site(config, listener, tls, parts))),
            Some(tcp) => Site::Tcp(Arc::new(tcp_site(config, listener, tcp, &parts.metrics))),
        };
        for address in &listener.bind {
            // Parts are made for this configuration: an address without a socket is our own mistake.
            let sockets = parts.sockets[address].clone();
            let door = Door {
                sockets,
                tls: tls.cloned(),
                site: site.clone(),
                proxies: listener.proxy_protocol_from.as_deref().map(Arc::from),
                room: parts.rooms[&listener.name].clone(),
            };
            doors.insert(*address, door);
        }
    }
    // Parts are made for this configuration: a root that was not opened is our own mistake.
    let directory = |files: &config::Files| parts.directories[&files.name].clone();
    let directories = config.files.iter().map(directory).collect();
    let metrics = parts.metrics.clone();
    let access_log = parts.access_log.clone();
    let alive = Arc::new(metrics.control.generation_alive());
    Snapshot { generation, doors, pools, directories, access_log, metrics, phase, alive }
}

fn site(
    config: &Config,
    listener: &config::Listener,
    tls: Option<&ServerTls>,
    parts: &Parts,
) -> http::site::Site {
    http::site::Site {
        listener: listener.name.clone(),
        certificates: tls.map(|tls| tls.resolver.clone()),
        callers: tls.and_then(|tls| tls.callers.clone()),
        redirect_https: listener.redirect_https,
        hsts: listener.hsts.as_ref().map(hsts_value),
        trusted_proxies: listener.trusted_proxies.clone(),
        versions: listener.versions,
        limits: listener.limits,
        most_body: most_body(config, listener),
        timeouts: listener.timeouts,
        router: router(config, listener, parts),
        error_pages: error_pages(&listener.error_pages, parts),
        places: places(config, parts),
        metrics: parts.metrics.listener(&listener.name),
    }
}

fn places(config: &Config, parts: &Parts) -> Places {
    Places { compressors: parts.compressors.clone(), max: config.max_compressions }
}

/// What no route of a listener lets through is refused before a route is looked for.
fn most_body(config: &Config, listener: &config::Listener) -> u64 {
    let routes = routes_of(config, listener).filter_map(|route| route.bounds.max_body);
    routes.fold(listener.limits.max_body, u64::max)
}

fn routes_of<'c>(
    config: &'c Config,
    listener: &'c config::Listener,
) -> impl Iterator<Item = &'c config::Route> {
    let takes =
        |route: &&config::Route| route.listener.as_ref().is_none_or(|name| *name == listener.name);
    config.routes.iter().filter(takes)
}

fn tcp_site(
    config: &Config,
    listener: &config::Listener,
    tcp: &config::Tcp,
    metrics: &Metrics,
) -> tcp::site::Site {
    let lead = |pool: &Arc<str>| Lead {
        pool: pool_index(config, pool),
        metrics: metrics.tcp(&listener.name, pool),
    };
    let names = tcp.sni.iter().map(|(name, pool)| (name.clone(), lead(pool)));
    tcp::site::Site {
        listener: listener.name.clone(),
        leads: Leads::new(tcp.pool.as_ref().map(lead), names),
        patience: listener.timeouts.header,
        metrics: metrics.listener(&listener.name),
    }
}

/// The routes of one listener: those that name none first, so that one that names it wins.
fn router(config: &Config, listener: &config::Listener, parts: &Parts) -> Router {
    let mut router = Router::default();
    let open = routes_of(config, listener).filter(|route| route.listener.is_none());
    let named = routes_of(config, listener).filter(|route| route.listener.is_some());
    for route in open.chain(named) {
        let target = match &route.action {
            Action::Pool(name) => Target::Pool(pool_index(config, name)),
            Action::Fastcgi(fastcgi) => Target::Scripts(Scripts {
                pool: pool_index(config, &fastcgi.pool),
                config: fastcgi.clone(),
            }),
            Action::Split(shares) => {
                let share = |share: &config::Share| (share.weight, pool_index(config, &share.pool));
                Target::Split(Split::new(shares.iter().map(share)))
            }
            Action::Files(name) => files_target(config, name),
            Action::Redirect(redirect) => Target::Redirect(redirect.clone()),
            Action::Respond(respond) => Target::Respond(respond.clone()),
        };
        let name = route.name.clone();
        let route_metrics = parts.metrics.route(&name);
        let rules = rules(config, route, parts);
        let held = Arc::new(Route { name, target, rules, metrics: route_metrics });
        router.add(&route.host, &route.path, &route.conditions, held);
    }
    router
}

fn rules(config: &Config, route: &config::Route, parts: &Parts) -> Rules {
    let mirror = |it: &config::Mirror| Mirror {
        pool: pool_index(config, &it.pool),
        share: it.share,
        max_in_flight: it.max_in_flight,
    };
    let compression =
        |compress: config::Compress| Compression { compress, places: places(config, parts) };
    Rules {
        mirror: route.mirror.as_ref().map(mirror),
        compression: route.compress.clone().map(compression),
        rewrite: route.replace_prefix.as_ref().map(|to| Rewrite::new(&route.path, to)),
        request_headers: HeaderRules::new(&route.request_headers),
        response_headers: HeaderRules::new(&route.response_headers),
        bounds: route.bounds,
        error_pages: error_pages(&route.error_pages, parts),
    }
}

fn error_pages(wanted: &[config::ErrorPage], parts: &Parts) -> ErrorPages {
    // Parts are made for this configuration: a page that was not read is our own mistake.
    let page = |file: &Path| parts.error_pages.of(file).expect("every page was read").clone();
    let read = wanted.iter().map(|it| (it.statuses, page(&it.file)));
    ErrorPages::new(read)
}

/// The configuration has checked that the files a route names exist.
fn files_target(config: &Config, name: &str) -> Target {
    let place = config.files.iter().position(|files| &*files.name == name);
    let index = place.expect("a route's files were checked when the file was read");
    let pool = config.files[index].otherwise.pool();
    Target::Files { index, otherwise: pool.map(|pool| pool_index(config, pool)) }
}

/// The configuration has checked that every pool a route names exists.
fn pool_index(config: &Config, name: &str) -> usize {
    let place = config.pools.iter().position(|pool| &*pool.name == name);
    place.expect("a route's pool was checked when the file was read")
}
