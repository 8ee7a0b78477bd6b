//! A reload: prepared on the blocking pool, adopted here, answered to whoever asked.

use std::{collections::BTreeSet, io, panic::resume_unwind};

use tokio::{sync::oneshot, task::spawn_blocking};

use crate::{
    config::Name,
    control::{
        certificates::Doubts,
        event::{Event, Line, Moment, Prepared, Refused},
        names,
        prepare::{self, Held, Opened, Ready},
        protocol::Answer,
        reloads::Next,
        running::{Done, Running, serve_admin, serve_page},
        status::unix_seconds,
    },
    snapshot::Phase,
};

impl Running {
    pub(super) fn reload(&mut self, asker: Option<oneshot::Sender<Answer>>) {
        let now = unix_seconds(Moment::now().wall);
        if self.reloads.ask(now, asker) == Next::Begin {
            self.prepare();
        }
    }

    fn prepare(&mut self) {
        // Else it would bind again the addresses that a drain has just given up, and tell a service
        // manager that waits for our end that we reload.
        if let Err(refused) = self.state.may_reload() {
            return self.reloaded(Err(refused));
        }
        self.notify.reloading();
        let (file, held) = (self.file.clone(), self.held());
        let resolved = self.state.resolved_names();
        let job = async move {
            let prepare =
                move || prepare::load(&file).and_then(|loaded| prepare::open(loaded, &held));
            let mut ready = match spawn_blocking(prepare).await {
                Ok(ready) => ready,
                Err(broken) => resume_unwind(broken.into_panic()),
            };
            if let Ok(ready) = &mut ready {
                look_up_new(&mut ready.prepared, &resolved).await;
            }
            Done::Prepared(Box::new(ready))
        };
        self.reload_job = Some(self.jobs.spawn(job).id());
    }

    fn held(&self) -> Held {
        let parts = self.state.parts();
        Held {
            config: Some(self.state.config().clone()),
            workers: self.roll.workers(),
            sockets: parts.sockets.clone(),
            spoken: parts.spoken.clone(),
            rooms: parts.rooms.clone(),
            sticky_keys: parts.sticky_keys.clone(),
            access_log: parts.access_log.clone(),
            error_pages: parts.error_pages.clone(),
            directories: parts.directories.clone(),
            compressors: parts.compressors.clone(),
            metrics: parts.metrics.clone(),
            certificates: self.certificates.clone(),
            tickets: self.tickets.clone(),
            admin: Some(self.admin.0.watched()),
        }
    }

    pub(super) fn reloaded(&mut self, outcome: Result<Ready, Refused>) {
        self.reload_job = None;
        let now = Moment::now();
        let answer = match outcome.and_then(|ready| self.adopt(ready, now)) {
            Ok(words) => self.reload_applied(words, now),
            Err(refused) => self.reload_refused(refused),
        };
        if self.state.phase() == Phase::Serving {
            self.notify.ready(&self.status_words());
        }
        if self.reloads.done(unix_seconds(now.wall), &answer) == Next::Begin {
            self.prepare();
        }
    }

    /// The last that can fail comes first; then the workers are told, and then all the rest.
    fn adopt(&mut self, ready: Ready, now: Moment) -> Result<Vec<String>, Refused> {
        let Ready { prepared, certificates, page, admin, warnings } = ready;
        let cannot = |error: io::Error| Refused::because(error.to_string());
        let page = match page {
            Opened::Same => None,
            Opened::New(None) => Some(None),
            Opened::New(Some(listener)) => {
                Some(Some(tokio::net::TcpListener::from_std(listener).map_err(cannot)?))
            }
        };
        let admin = match admin {
            Opened::Same => None,
            Opened::New(socket) => {
                let listener = socket.listener().map_err(cannot)?;
                Some((socket, listener))
            }
        };
        let applied = self.state.apply(Event::Reload(Box::new(prepared)), now)?;
        let mut words = self.publish(applied);
        warnings.iter().for_each(Line::log);
        words.extend(warnings.iter().map(|line| line.text().to_owned()));
        if let Some(listener) = page {
            self.page = listener.map(|listener| serve_page(listener, &self.asking));
        }
        if let Some((socket, listener)) = admin {
            self.admin = (socket, serve_admin(listener, &self.asking));
        }
        (self.certificates, self.doubts) = (certificates, Doubts::default());
        self.settle();
        Ok(words)
    }

    /// Brings in line what follows the configuration that serves.
    pub(super) fn settle(&mut self) {
        let (config, parts) = (self.state.config(), self.state.parts());
        self.certificates.tell(config, &parts.metrics.control);
        self.limits.settle(config, &parts.rooms);
        self.probes.follow(&self.state.snapshot().pools);
        self.lookups.follow(config, self.state.names(), &parts.metrics);
    }

    fn reload_applied(&mut self, words: Vec<String>, now: Moment) -> Answer {
        let generation = self.state.snapshot().generation;
        tracing::info!("reload applied: generation {generation} serves");
        let metrics = &self.state.parts().metrics;
        metrics.control.reload_applied(now.wall);
        metrics.forget();
        self.refusal = None;
        Answer::done(words)
    }

    fn reload_refused(&mut self, refused: Refused) -> Answer {
        let generation = self.state.snapshot().generation;
        tracing::error!("reload refused: generation {generation} stays and serves");
        let text = refused.to_string();
        for line in text.lines() {
            tracing::error!("reload refused: {line}");
        }
        self.state.parts().metrics.control.reload_refused();
        self.refusal = text.lines().next().map(str::to_owned);
        Answer::refused(refused.reasons)
    }

    pub(super) fn status_words(&self) -> String {
        let generation = self.state.snapshot().generation;
        match &self.refusal {
            None => format!("generation {generation} serves"),
            Some(refusal) => format!("generation {generation} serves; reload refused: {refusal}"),
        }
    }
}

/// A pool whose backends are to be found by other names than before must not be without any while
/// they are looked up.
async fn look_up_new(prepared: &mut Prepared, resolved: &BTreeSet<Name>) {
    let mut unknown = names::held::wanted(&prepared.config);
    unknown.retain(|name| !resolved.contains(name));
    prepared.answers = names::first(unknown, &prepared.config.resolver).await;
}
