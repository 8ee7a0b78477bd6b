//! What is asked from outside, and answered.

use tokio::sync::oneshot;

use crate::{
    control::{
        ask::View,
        event::{Event, Moment, Refused},
        protocol::{Answer, Request, Status},
        running::Running,
    },
    pool::backend::Key,
};

impl Running {
    pub(super) fn order(&mut self, request: Request, answer: oneshot::Sender<Answer>) {
        let now = match request {
            Request::Reload => return self.reload(Some(answer)),
            Request::Status => {
                let status = Some(self.status());
                Answer { status, ..Answer::done(Vec::new()) }
            }
            Request::Drain { backend } => match self.state.named(&backend) {
                Some(named) => self.answered(Ok(Event::DrainNamed(named))),
                None => self.ordered(&backend, Event::Drain),
            },
            Request::Weight { backend, weight } => match self.state.named(&backend) {
                Some(named) => self.answered(Err(self.state.no_weight(&named))),
                None => self.ordered(&backend, |key| Event::Weigh { key, weight }),
            },
            Request::Enable { backend } => match self.state.named(&backend) {
                Some(named) => self.answered(Ok(Event::EnableNamed(named))),
                None => self.ordered(&backend, Event::Enable),
            },
        };
        // Who asked may have left.
        let _ = answer.send(now);
    }

    fn ordered(&mut self, backend: &str, event: impl FnOnce(Key) -> Event) -> Answer {
        self.answered(self.state.key(backend).map(event))
    }

    fn answered(&mut self, event: Result<Event, Refused>) -> Answer {
        match event.and_then(|event| self.state.apply(event, Moment::now())) {
            Ok(applied) => Answer::done(self.publish(applied)),
            Err(refused) => Answer::refused(refused.reasons),
        }
    }

    pub(super) fn show(&self, answer: oneshot::Sender<View>) {
        let metrics = self.state.parts().metrics.clone();
        let _ = answer.send(View { status: self.status(), unready: self.state.unready(), metrics });
    }

    fn status(&self) -> Status {
        Status {
            last_reload: self.reloads.last.clone(),
            reloading_since: self.reloads.running_since(),
            ..self.state.status()
        }
    }
}
