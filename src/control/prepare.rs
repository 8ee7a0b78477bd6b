//! From a file to a configuration that can be served: all that may fail of a start or a reload.
//!
//! It reads files, binds addresses and opens logs, so that it runs on the blocking pool. Whatever
//! it opened is closed again when it is refused, and nothing that serves has noticed.

use std::{collections::HashMap, net::SocketAddr, path::Path, sync::Arc, time::SystemTime};

use crate::{
    config::{self, Change, Config, Errors, Listener, Loaded, LogFormat, LogTarget},
    control::{
        admin::{AdminSocket, Watched},
        certificates::Certificates,
        directories::{self, Directories},
        error_pages,
        event::{Line, Prepared, Refused},
        rooms, secrets,
        traces::Traces,
    },
    http::{compressors::Compressors, error_pages::Pages},
    net::{
        listen::Sockets,
        tls::{ClientTls, ServerTls, Tickets},
    },
    observe::{
        access_log::{AccessLog, Format, Target},
        metrics::Metrics,
    },
    pool::sticky::Keys,
    snapshot::{Parts, Room, Spoken},
};

/// What serves now, and is kept where the next configuration wants it too.
pub struct Held {
    /// `None` at the start.
    pub config: Option<Arc<Config>>,
    pub workers: usize,
    /// At the start: those that the service manager opened.
    pub sockets: HashMap<SocketAddr, Arc<Sockets>>,
    pub spoken: Spoken,
    pub rooms: HashMap<Arc<str>, Arc<Room>>,
    pub sticky_keys: HashMap<Arc<str>, Arc<Keys>>,
    pub access_log: Option<Arc<AccessLog>>,
    pub error_pages: Pages,
    pub directories: Directories,
    pub compressors: Arc<Compressors>,
    pub metrics: Arc<Metrics>,
    pub certificates: Certificates,
    pub tickets: Tickets,
    /// `None` at the start.
    pub admin: Option<Watched>,
}

/// All that a configuration needs, opened.
pub struct Ready {
    pub prepared: Prepared,
    pub certificates: Certificates,
    pub page: Opened<Option<std::net::TcpListener>>,
    pub admin: Opened<AdminSocket>,
    /// What works but should not stay so.
    pub warnings: Vec<Line>,
}

/// An address of the control plane's own.
pub enum Opened<T> {
    /// The one that is open already.
    Same,
    New(T),
}

/// Reads the file.
pub fn load(file: &Path) -> Result<Loaded, Refused> {
    config::load(file).map_err(|errors| Refused::because(errors.to_string()))
}

/// Opens all that a configuration needs; every reason against it is told at once.
pub fn open(loaded: Loaded, held: &Held) -> Result<Ready, Refused> {
    let Loaded { config, source } = loaded;
    let config = Arc::new(config);
    let mut reasons = Vec::new();
    let mut troubles = Vec::new();
    let certificates = Certificates::load(&config, &held.certificates);
    let certificates = certificates.map_err(|found| troubles.extend(found)).unwrap_or_default();
    let secrets = secrets::load(&config, &held.sticky_keys);
    let secrets = secrets.map_err(|found| troubles.extend(found)).unwrap_or_default();
    let error_pages = error_pages::load(&config);
    let error_pages = error_pages.map_err(|found| troubles.extend(found)).unwrap_or_default();
    let roots = directories::roots(&config);
    let roots = roots.map_err(|found| troubles.extend(found)).unwrap_or_default();
    if !troubles.is_empty() {
        reasons.push(Errors::from_places(&source, troubles).to_string());
    }
    let spoken = match reasons.is_empty() {
        true => spoken(&config, &certificates, held, &mut reasons),
        false => Spoken::default(),
    };
    let traces = Traces::before(&config);
    let sockets = sockets(&config, held, &mut reasons);
    let access_log = note(access_log(&config, held), &mut reasons).flatten();
    let directories = directories::directories(&config, roots, &held.directories, &held.metrics);
    let directories = directories.map_err(|error| format!("no thread for files: {error}"));
    let directories = note(directories, &mut reasons).unwrap_or_default();
    let page = note(page(&config, held), &mut reasons);
    let admin = note(admin(&config, held), &mut reasons);
    let (true, Some(page), Some(admin)) = (reasons.is_empty(), page, admin) else {
        traces.remove();
        return Err(Refused { reasons });
    };
    let rooms = rooms::prepare(&config, &held.rooms);
    let metrics = held.metrics.clone();
    let mut diff = held.config.as_ref().map_or_else(Vec::new, |old| config::diff(old, &config));
    diff.extend(secrets.changes(&held.sticky_keys));
    diff.extend(error_pages.changed(&held.error_pages).into_iter().map(|file| Change {
        words: format!("error page {} changed", file.display()),
        closes: Vec::new(),
    }));
    let mut warnings: Vec<Line> = config::notes(&config).into_iter().map(Line::Warn).collect();
    warnings.extend(certificates.warnings(SystemTime::now()));
    warnings.extend(secrets.warnings.into_iter().map(Line::Warn));
    let sticky_keys = secrets.sticky_keys;
    let compressors = held.compressors.clone();
    let parts = Parts {
        sockets,
        spoken,
        rooms,
        sticky_keys,
        access_log,
        error_pages,
        directories,
        compressors,
        metrics,
    };
    let prepared = Prepared { config, parts, diff, answers: Vec::new() };
    Ok(Ready { prepared, certificates, page, admin, warnings })
}

/// Keeps the reason, if there is one, and goes on: all are told at once.
fn note<T>(opened: Result<T, String>, reasons: &mut Vec<String>) -> Option<T> {
    opened.map_err(|reason| reasons.push(reason)).ok()
}

/// An owner whose settings and certificates did not change keeps the TLS that it has, and with it
/// the sessions that others may resume.
fn spoken(
    config: &Config,
    certificates: &Certificates,
    held: &Held,
    reasons: &mut Vec<String>,
) -> Spoken {
    let mut spoken = Spoken::default();
    for listener in &config.listeners {
        let Some(wanted) = &listener.tls else {
            continue;
        };
        let made = match same_tls(listener, certificates, held) {
            Some(same) => Ok(same),
            None => certificates.server_tls(wanted, &held.tickets),
        };
        let made = made.map_err(|error| format!("listener {}: {error}", listener.name));
        spoken.listeners.extend(note(made, reasons).map(|tls| (listener.name.clone(), tls)));
    }
    for pool in &config.pools {
        let Some(wanted) = &pool.tls else {
            continue;
        };
        let made = match same_pool_tls(pool, certificates, held) {
            Some(same) => Ok(same),
            None => certificates.client_tls(wanted).map(Arc::new),
        };
        let made = made.map_err(|error| format!("pool {}: {error}", pool.name));
        spoken.pools.extend(note(made, reasons).map(|tls| (pool.name.clone(), tls)));
    }
    spoken
}

fn same_tls(listener: &Listener, certificates: &Certificates, held: &Held) -> Option<ServerTls> {
    let mut before = held.config.as_ref()?.listeners.iter();
    let before = before.find(|before| before.name == listener.name)?;
    let wanted = listener.tls.as_ref()?;
    let same = before.tls.as_ref() == Some(wanted)
        && certificates.same_for_listener(&held.certificates, wanted);
    same.then(|| held.spoken.listeners.get(&listener.name).cloned()).flatten()
}

fn same_pool_tls(
    pool: &config::Pool,
    certificates: &Certificates,
    held: &Held,
) -> Option<Arc<ClientTls>> {
    let mut before = held.config.as_ref()?.pools.iter();
    let before = before.find(|before| before.name == pool.name)?;
    let wanted = pool.tls.as_ref()?;
    let same = before.tls.as_ref() == Some(wanted)
        && certificates.same_for_pool(&held.certificates, wanted);
    same.then(|| held.spoken.pools.get(&pool.name).cloned()).flatten()
}

/// An address that stays keeps its sockets, and the connections that wait in them.
fn sockets(
    config: &Config,
    held: &Held,
    reasons: &mut Vec<String>,
) -> HashMap<SocketAddr, Arc<Sockets>> {
    let mut sockets = HashMap::new();
    for listener in &config.listeners {
        for address in &listener.bind {
            if let Some(same) = held.sockets.get(address) {
                sockets.insert(*address, same.clone());
                continue;
            }
            match Sockets::bind(*address, held.workers) {
                Ok(bound) => {
                    sockets.insert(*address, Arc::new(bound));
                }
                Err(error) => {
                    let words = in_the_way(held, *address).unwrap_or_else(|| error.to_string());
                    reasons.push(format!("listener {}: {words}", listener.name));
                }
            }
        }
    }
    sockets
}

/// What to do where an address of ours, of a listener or of [metrics], is in the way of this: a port on
/// all addresses and the same port on one of them exclude each other, and the one that serves is not
/// given up for one that may fail.
fn in_the_way(held: &Held, wanted: SocketAddr) -> Option<String> {
    let metrics = held.config.as_ref().and_then(|before| before.metrics.as_ref());
    let mut ours = held.sockets.keys().copied().chain(metrics.map(|metrics| metrics.bind));
    let is_in_the_way = |ours: &SocketAddr| {
        let one_is_all = ours.ip().is_unspecified() || wanted.ip().is_unspecified();
        let meets = one_is_all || ours.ip() == wanted.ip();
        ours.port() == wanted.port() && ours.is_ipv4() == wanted.is_ipv4() && meets
    };
    let ours = ours.find(is_in_the_way)?;
    Some(format!(
        "can't listen on {wanted} while {ours} is ours: remove {ours} by one reload, then add \
         {wanted} by the next"
    ))
}

fn access_log(config: &Config, held: &Held) -> Result<Option<Arc<AccessLog>>, String> {
    let before = held.config.as_ref().map(|before| &before.access_log);
    if before == Some(&config.access_log) {
        return Ok(held.access_log.clone());
    }
    let Some(wanted) = &config.access_log else {
        return Ok(None);
    };
    let to = match &wanted.to {
        LogTarget::Stdout => Target::Stdout,
        LogTarget::File(path) => Target::File(path.clone()),
    };
    let format = match wanted.format {
        LogFormat::Json => Format::Json,
        LogFormat::Combined => Format::Combined,
    };
    let lost = held.metrics.access_log_lost();
    match AccessLog::start(to, format, wanted.queue, lost) {
        Ok(log) => Ok(Some(Arc::new(log))),
        Err(error) => Err(format!(
            "the access log can't be written: {error}; its folder must exist and be writable by \
             the service's user"
        )),
    }
}

fn page(config: &Config, held: &Held) -> Result<Opened<Option<std::net::TcpListener>>, String> {
    let before = held.config.as_ref().map(|before| &before.metrics);
    if before == Some(&config.metrics) {
        return Ok(Opened::Same);
    }
    let Some(wanted) = &config.metrics else {
        return Ok(Opened::New(None));
    };
    let listener = std::net::TcpListener::bind(wanted.bind)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    match listener {
        Ok(listener) => Ok(Opened::New(Some(listener))),
        Err(error) => Err(match in_the_way(held, wanted.bind) {
            Some(words) => format!("metrics: {words}"),
            None => format!(
                "metrics: can't listen on {}: {error}; bind another address in [metrics]",
                wanted.bind
            ),
        }),
    }
}

fn admin(config: &Config, held: &Held) -> Result<Opened<AdminSocket>, String> {
    let before = held.config.as_ref().map(|before| &before.admin);
    if before == Some(&config.admin) {
        // That somebody else took the path is no reason against the rest of the file.
        let renewed = held.admin.as_ref().and_then(Watched::renewed).and_then(Result::ok);
        return Ok(renewed.map_or(Opened::Same, Opened::New));
    }
    AdminSocket::bind(&config.admin.socket).map(Opened::New)
}
