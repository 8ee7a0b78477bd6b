//! The story of the control plane: what comes in, what is published, how it ends.
//!
//! - this file: the loop.
//! - `orders`: what is asked from outside.
//! - `reload`: a reload, from the file to the verdict.
//! - `timers`: what happens because time passes.

mod orders;
mod reload;
#[cfg(test)]
mod tests;
mod timers;

use std::{
    io,
    ops::ControlFlow,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    select,
    sync::{mpsc, watch},
    task::{AbortHandle, JoinError, JoinSet},
    time::sleep_until,
};

use crate::{
    config::Config,
    control::{
        admin::{self, AdminSocket},
        ask::{Ask, MAX_ASKS},
        certificates::{Certificates, Doubts, LOOK_EVERY, Look},
        event::{Applied, Event, Line, Moment, Refused},
        names::{LookedUp, Lookups, MAX_LOOKED_UP},
        notify::Notify,
        page,
        plane::{End, Plane},
        prepare::Ready,
        probe::{MAX_REPORTS, Probes, Report},
        reloads::Reloads,
        rooms::Limits,
        signals::{Order, Signals},
        state::State,
        watchdog::Pulse,
    },
    net::tls::Tickets,
    pool::backend::Bell,
    roll::Roll,
    snapshot::{Phase, Snapshot},
};

/// For the workers to close what the drain's deadline cut.
const CLOSING_GRACE: Duration = Duration::from_secs(2);

/// For the last lines of the access log.
const LOG_GRACE: Duration = Duration::from_secs(1);

/// All that the control thread holds while it runs.
pub struct Running {
    file: PathBuf,
    state: State,
    snapshots: watch::Sender<Arc<Snapshot>>,
    roll: Arc<Roll>,
    bell: Arc<Bell>,
    tickets: Tickets,
    certificates: Certificates,
    doubts: Doubts,
    limits: Limits,
    probes: Probes,
    lookups: Lookups,
    looked_up: mpsc::Receiver<LookedUp>,
    reports: mpsc::Receiver<Report>,
    asks: mpsc::Receiver<Ask>,
    /// Given to the tasks of the two addresses.
    asking: mpsc::Sender<Ask>,
    page: Option<Served>,
    admin: (AdminSocket, Served),
    /// Why its file can't be had again, as it was told last.
    admin_trouble: Option<String>,
    /// What runs on the blocking pool: at most one of each kind.
    jobs: JoinSet<Done>,
    reload_job: Option<tokio::task::Id>,
    looking: bool,
    reloads: Reloads,
    /// The first line of why the last reload was refused.
    refusal: Option<String>,
    signals: Signals,
    notify: Notify,
    pulse: Option<Pulse>,
    next_beat: Option<Instant>,
    next_look: Instant,
    deadline: Option<Instant>,
}

/// A task that serves an address; dropping it ends the accepting.
struct Served(AbortHandle);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What the blocking pool has done.
enum Done {
    Prepared(Box<Result<Ready, Refused>>),
    /// For the configuration that served when it began.
    /// And the admin socket again, or why not, where its file was gone.
    Looked(Arc<Config>, Box<Look>, Option<Result<AdminSocket, String>>),
}

/// What wakes the control thread.
enum Wake {
    Signal(Order),
    Ask(Ask),
    Report(Report),
    LookedUp(LookedUp),
    Bell,
    Done(Result<Done, JoinError>),
    Timer,
    /// In service: a worker is gone. While it ends: all are.
    WorkersGone,
}

impl Running {
    /// Opens the doors of the control plane itself and tells the service manager.
    pub fn begin(plane: Plane) -> io::Result<Running> {
        let Plane {
            file,
            signals,
            state,
            snapshots,
            roll,
            bell,
            tickets,
            certificates,
            page,
            admin,
        } = plane;
        let (asking, asks) = mpsc::channel(MAX_ASKS);
        let (reporting, reports) = mpsc::channel(MAX_REPORTS);
        let (telling, looked_up) = mpsc::channel(MAX_LOOKED_UP);
        let slot = state.parts().metrics.control_slot();
        let notify = Notify::from_environment();
        let now = Instant::now();
        let admin_listener = admin.listener()?;
        let page_listener = page.map(tokio::net::TcpListener::from_std).transpose()?;
        let mut running = Running {
            page: page_listener.map(|listener| serve_page(listener, &asking)),
            admin: (admin, serve_admin(admin_listener, &asking)),
            probes: Probes::new(reporting, slot),
            lookups: Lookups::new(telling, slot),
            looked_up,
            admin_trouble: None,
            limits: Limits::default(),
            doubts: Doubts::default(),
            jobs: JoinSet::new(),
            reload_job: None,
            looking: false,
            reloads: Reloads::default(),
            refusal: None,
            signals: Signals::hear(signals)?,
            pulse: notify.watchdog.map(|watchdog| Pulse::new(roll.ticks(), watchdog, now)),
            next_beat: notify.watchdog.map(|_| now),
            next_look: now + LOOK_EVERY,
            deadline: None,
            file,
            state,
            snapshots,
            roll,
            bell,
            tickets,
            certificates,
            reports,
            asks,
            asking,
            notify,
        };
        running.settle();
        running.notify.ready(&running.status_words());
        Ok(running)
    }

    pub async fn run(mut self) -> End {
        loop {
            let wake = self.wake().await;
            if let ControlFlow::Break(end) = self.handle(wake) {
                self.finish(end);
                return end;
            }
        }
    }

    async fn wake(&mut self) -> Wake {
        let bearable = match self.state.phase() {
            Phase::Serving => self.roll.workers() - 1,
            Phase::Draining | Phase::Closing => 0,
        };
        let timer = self.next_timer();
        select! {
            order = self.signals.next() => Wake::Signal(order),
            Some(ask) = self.asks.recv() => Wake::Ask(ask),
            Some(report) = self.reports.recv() => Wake::Report(report),
            Some(report) = self.looked_up.recv() => Wake::LookedUp(report),
            () = self.bell.rung() => Wake::Bell,
            Some(done) = self.jobs.join_next() => Wake::Done(done),
            () = self.roll.at_most(bearable) => Wake::WorkersGone,
            () = sleep_until(timer.into()) => Wake::Timer,
        }
    }

    fn handle(&mut self, wake: Wake) -> ControlFlow<End> {
        match wake {
            Wake::Signal(order) => return self.signal(order),
            Wake::WorkersGone => return ControlFlow::Break(self.workers_gone()),
            Wake::Timer => return self.timer(Instant::now()),
            Wake::Ask(Ask::Admin { request, answer }) => self.order(request, answer),
            Wake::Ask(Ask::View(answer)) => self.show(answer),
            Wake::Report(report) => {
                if let Some((key, result)) = self.probes.take(report) {
                    self.apply(Event::Probed { key, result });
                }
            }
            Wake::LookedUp(report) => self.take_answer(report),
            Wake::Bell => self.apply(Event::Failures),
            Wake::Done(Ok(Done::Prepared(outcome))) => self.reloaded(*outcome),
            Wake::Done(Ok(Done::Looked(config, look, admin))) => {
                self.looked(&config, *look, admin);
            }
            Wake::Done(Err(error)) => self.job_failed(&error),
        }
        ControlFlow::Continue(())
    }

    /// Probes follow where names lead, and what was counted of backends that left is given back.
    fn take_answer(&mut self, report: LookedUp) {
        if !self.lookups.stands(&report) {
            return;
        }
        let LookedUp { name, answer, .. } = report;
        let before = self.state.snapshot().generation;
        self.apply(Event::LookedUp { name, answer });
        if self.state.snapshot().generation != before {
            self.probes.follow(&self.state.snapshot().pools);
            self.state.parts().metrics.forget();
        }
    }

    fn signal(&mut self, order: Order) -> ControlFlow<End> {
        match order {
            Order::Reload => self.reload(None),
            Order::ReopenLogs => self.reopen_logs(),
            Order::Terminate if self.state.phase() == Phase::Serving => self.terminate(),
            Order::Terminate => return ControlFlow::Break(End::AtOnce),
        }
        ControlFlow::Continue(())
    }

    /// The access log's own thread does it.
    fn reopen_logs(&self) {
        if let Some(log) = &self.state.parts().access_log {
            log.reopen();
            tracing::info!("access log: opened again");
        }
    }

    fn terminate(&mut self) {
        let drain_timeout = self.state.config().drain_timeout;
        self.deadline = Some(Instant::now() + drain_timeout);
        self.notify.stopping(drain_timeout + CLOSING_GRACE + LOG_GRACE);
        self.apply(Event::Terminate);
    }

    fn workers_gone(&self) -> End {
        match self.state.phase() {
            Phase::Serving => {
                tracing::error!("a worker has ended by itself: this is a bug, please report it");
                End::WorkerLost
            }
            Phase::Draining => End::Drained,
            Phase::Closing => End::Cut,
        }
    }

    /// For events that nobody waits for, and that are never refused.
    fn apply(&mut self, event: Event) {
        match self.state.apply(event, Moment::now()) {
            Ok(applied) => {
                self.publish(applied);
            }
            Err(refused) => tracing::warn!("{refused}"),
        }
    }

    /// The one place where the workers are told.
    fn publish(&mut self, applied: Applied) -> Vec<String> {
        let Applied { snapshot, lines } = applied;
        lines.iter().for_each(Line::log);
        if let Some(snapshot) = snapshot {
            snapshot.metrics.control.set_generation(snapshot.generation);
            self.snapshots.send_replace(snapshot);
            if self.state.phase() == Phase::Serving {
                self.notify.status(&self.status_words());
            }
        }
        lines.iter().map(|line| line.text().to_owned()).collect()
    }

    /// A panic on the blocking pool: our own mistake, which must not leave anybody waiting.
    fn job_failed(&mut self, error: &JoinError) {
        if self.reload_job == Some(error.id()) {
            let words =
                format!("preparing it broke off: this is a bug, please report it ({error})");
            self.reloaded(Err(Refused::because(words)));
        } else {
            self.looking = false;
            tracing::error!("looking at certificates broke off: this is a bug ({error})");
        }
    }

    fn finish(&self, end: End) {
        match end {
            End::Drained => tracing::info!("drained: every connection ended by itself"),
            End::Cut => tracing::warn!("ended: what was still under way was closed"),
            End::AtOnce => tracing::warn!("ended at once, as a second signal asked"),
            End::WorkerLost => {}
        }
        if let Some(log) = &self.state.parts().access_log {
            log.close(LOG_GRACE);
        }
    }
}

fn serve_page(listener: tokio::net::TcpListener, asking: &mpsc::Sender<Ask>) -> Served {
    Served(tokio::spawn(page::serve(listener, asking.clone())).abort_handle())
}

fn serve_admin(listener: tokio::net::UnixListener, asking: &mpsc::Sender<Ask>) -> Served {
    Served(tokio::spawn(admin::serve(listener, asking.clone())).abort_handle())
}
