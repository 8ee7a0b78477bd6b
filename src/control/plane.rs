//! The control plane before it runs: generation 1 is built, its addresses are bound, no thread has
//! begun. Whoever spawns the workers takes from here what they need.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::watch;

use crate::{
    control::{
        admin::AdminSocket,
        certificates::Certificates,
        directories::Directories,
        event::{Line, Moment, Refused},
        names,
        prepare::{self, Held, Opened, Ready},
        running::Running,
        signals::Early,
        state::State,
    },
    http::{compressors::Compressors, error_pages::Pages},
    net::{listen::Sockets, tls::Tickets},
    observe::metrics::Metrics,
    pool::backend::Bell,
    roll::Roll,
    snapshot::{Snapshot, Spoken},
};

/// Ready to run.
pub struct Plane {
    pub(super) file: PathBuf,
    pub(super) signals: Early,
    pub(super) state: State,
    pub(super) snapshots: watch::Sender<Arc<Snapshot>>,
    pub(super) roll: Arc<Roll>,
    pub(super) bell: Arc<Bell>,
    pub(super) tickets: Tickets,
    pub(super) certificates: Certificates,
    pub(super) page: Option<std::net::TcpListener>,
    pub(super) admin: AdminSocket,
}

/// How the process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All connections ended by themselves.
    Drained,
    /// The drain's deadline passed; what was still under way was closed.
    Cut,
    /// A second TERM or INT.
    AtOnce,
    /// A worker ended without having been told to: our own mistake.
    WorkerLost,
}

/// Reads the file, opens all that it needs and builds generation 1. `inherited` are the sockets that
/// the service manager opened. Needs the runtime that the plane will run on: signals are heard from
/// here on.
///
/// # Errors
/// Every reason at once; nothing stays open. A name that does not resolve is none.
pub async fn first(
    file: &Path,
    inherited: Vec<(SocketAddr, std::net::TcpListener)>,
) -> Result<Plane, Refused> {
    let signals = Early::hear().map_err(|error| Refused::because(error.to_string()))?;
    let loaded = prepare::load(file)?;
    let workers = loaded.config.workers;
    let tickets = Tickets::new().map_err(|error| Refused::because(error.to_string()))?;
    let held = Held {
        config: None,
        workers,
        sockets: shared(inherited, workers).map_err(|error| Refused::because(error.to_string()))?,
        spoken: Spoken::default(),
        rooms: HashMap::new(),
        sticky_keys: HashMap::new(),
        access_log: None,
        error_pages: Pages::default(),
        directories: Directories::new(),
        compressors: Compressors::new(workers),
        metrics: Metrics::new(workers),
        certificates: Certificates::default(),
        tickets: tickets.clone(),
        admin: None,
    };
    let ready = prepare::open(loaded, &held)?;
    ready.warnings.iter().for_each(Line::log);
    tell_unused(&held, &ready);
    let Ready { mut prepared, certificates, page, admin, warnings: _ } = ready;
    // Nothing is open yet that either could be the same as.
    let (Opened::New(page), Opened::New(admin)) = (page, admin) else {
        unreachable!("at the start every address is new");
    };
    certificates.tell(&prepared.config, &prepared.parts.metrics.control);
    let bell = Arc::new(Bell::default());
    prepared.answers =
        names::first(names::held::wanted(&prepared.config), &prepared.config.resolver).await;
    let (state, lines) = State::new(prepared, bell.clone(), Moment::now());
    lines.iter().for_each(Line::log);
    held.metrics.control.set_generation(state.snapshot().generation);
    let snapshots = watch::Sender::new(state.snapshot().clone());
    let roll = Roll::new(workers);
    let file = file.to_owned();
    Ok(Plane { file, signals, state, snapshots, roll, bell, tickets, certificates, page, admin })
}

fn shared(
    inherited: Vec<(SocketAddr, std::net::TcpListener)>,
    workers: usize,
) -> io::Result<HashMap<SocketAddr, Arc<Sockets>>> {
    let share =
        |(address, listener)| Ok((address, Arc::new(Sockets::inherited(listener, workers)?)));
    inherited.into_iter().map(share).collect()
}

fn tell_unused(held: &Held, ready: &Ready) {
    for address in held.sockets.keys() {
        if !ready.prepared.parts.sockets.contains_key(address) {
            tracing::warn!(
                "the service manager opened {address}, but no listener binds it: closed; the \
                 ListenStream= of the .socket unit and `bind` must say the same"
            );
        }
    }
}

impl Plane {
    /// What the workers follow.
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.subscribe()
    }

    /// How many workers the sockets are bound for.
    pub fn workers(&self) -> usize {
        self.roll.workers()
    }

    /// Every worker must have signed in before the plane runs.
    pub fn roll(&self) -> &Arc<Roll> {
        &self.roll
    }

    /// Runs until the process is to end. The workers' threads may be joined after `End::Drained`;
    /// after the others some may hang.
    ///
    /// # Errors
    /// Signals can't be heard, or the control plane's own addresses can't be served.
    pub async fn run(self) -> io::Result<End> {
        Ok(Running::begin(self)?.run().await)
    }
}
