//! What happens because time passes: certificates, trials, the watchdog, the drain's deadline.

use std::{ops::ControlFlow, sync::Arc, time::Instant};

use crate::{
    config::Config,
    control::{
        admin::AdminSocket,
        certificates::{self, LOOK_EVERY, Look},
        event::{Event, Line},
        plane::End,
        running::{CLOSING_GRACE, Done, Running, serve_admin},
    },
    snapshot::Phase,
};

impl Running {
    pub(super) fn next_timer(&self) -> Instant {
        let timers = [self.state.next_retry(), self.next_beat, self.deadline];
        timers.into_iter().flatten().fold(self.next_look, Instant::min)
    }

    pub(super) fn timer(&mut self, now: Instant) -> ControlFlow<End> {
        if self.next_look <= now {
            self.next_look = now + LOOK_EVERY;
            if !self.looking {
                self.look();
            }
        }
        if self.state.next_retry().is_some_and(|at| at <= now) {
            self.apply(Event::RetryDue);
        }
        if self.next_beat.is_some_and(|at| at <= now) {
            self.beat(now);
        }
        if self.deadline.is_some_and(|at| at <= now) {
            return self.deadline_passed(now);
        }
        ControlFlow::Continue(())
    }

    /// Tells the watchdog that we live; a worker that stands still keeps it from being told.
    fn beat(&mut self, now: Instant) {
        let (Some(pulse), Some(watchdog)) = (&mut self.pulse, self.notify.watchdog) else {
            return;
        };
        self.next_beat = Some(now + watchdog / 2);
        match pulse.stuck(&self.roll.ticks(), now) {
            None => self.notify.alive(),
            Some(worker) => {
                tracing::error!(
                    "worker {worker} stands still: the watchdog is not told that we live"
                );
            }
        }
    }

    fn deadline_passed(&mut self, now: Instant) -> ControlFlow<End> {
        if self.state.phase() == Phase::Closing {
            return ControlFlow::Break(End::Cut);
        }
        self.deadline = Some(now + CLOSING_GRACE);
        self.apply(Event::DeadlinePassed);
        ControlFlow::Continue(())
    }

    fn look(&mut self) {
        self.looking = true;
        let config = self.state.config().clone();
        let (held, doubts, tickets) =
            (self.certificates.clone(), self.doubts.clone(), self.tickets.clone());
        // A reload looks for it, too: not both at once.
        let admin = self.reload_job.is_none().then(|| self.admin.0.watched());
        self.jobs.spawn_blocking(move || {
            tickets.roll();
            let look = certificates::look(&config, &held, &doubts, &tickets);
            let admin = admin.and_then(|admin| admin.renewed());
            Done::Looked(config, Box::new(look), admin)
        });
    }

    fn take_socket(&mut self, renewed: Result<AdminSocket, String>) {
        let opened = renewed.and_then(|socket| match socket.listener() {
            Ok(listener) => Ok((socket, listener)),
            Err(error) => Err(error.to_string()),
        });
        match opened {
            Ok((socket, listener)) => {
                tracing::warn!("the admin socket's file was gone: it is there again");
                self.admin = (socket, serve_admin(listener, &self.asking));
                self.admin_trouble = None;
            }
            Err(words) if self.admin_trouble.as_ref() == Some(&words) => {}
            Err(words) => {
                tracing::error!("the admin socket's file is gone: {words}");
                self.admin_trouble = Some(words);
            }
        }
    }

    pub(super) fn looked(
        &mut self,
        config: &Arc<Config>,
        look: Look,
        admin: Option<Result<AdminSocket, String>>,
    ) {
        self.looking = false;
        // A reload came in between: it has read the files itself.
        if !Arc::ptr_eq(config, self.state.config()) {
            return;
        }
        if let Some(renewed) = admin {
            self.take_socket(renewed);
        }
        look.lines.iter().for_each(Line::log);
        (self.certificates, self.doubts) = (look.certificates, look.doubts);
        let control = &self.state.parts().metrics.control;
        for failure in &look.failures {
            control.certificate_reload_failed(failure.owner.clone(), &failure.certificate);
        }
        if !look.renewed.is_empty() {
            self.certificates.tell(config, control);
            self.apply(Event::Certificates(look.renewed));
            self.probes.follow(&self.state.snapshot().pools);
        }
    }
}
