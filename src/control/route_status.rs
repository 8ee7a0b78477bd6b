//! What a route looks like from outside: for `equipoise status`. Pure.

use crate::{
    config::{Action, Mirror, Redirect, Respond, Route},
    control::{
        protocol::{ActionStatus, RouteStatus},
        state::State,
    },
    observe::metrics::Metrics,
};

impl State {
    /// In the order of the file.
    pub(super) fn routes_status(&self) -> Vec<RouteStatus> {
        self.config.routes.iter().map(|route| status(route, &self.parts.metrics)).collect()
    }
}

fn status(route: &Route, metrics: &Metrics) -> RouteStatus {
    let counts = metrics.route(&route.name);
    RouteStatus {
        name: route.name.to_string(),
        listener: route.listener.as_ref().map(ToString::to_string),
        host: route.host.to_string(),
        path: route.path.to_string(),
        conditions: route.conditions.words(),
        action: action(&route.action),
        mirror: route.mirror.as_ref().map(|Mirror { pool, .. }| pool.to_string()),
        requests: counts.requests(),
        answered_5xx: counts.answered_5xx(),
    }
}

fn action(action: &Action) -> ActionStatus {
    match action {
        Action::Pool(pool) => ActionStatus::Pool(pool.to_string()),
        Action::Fastcgi(fastcgi) => ActionStatus::Fastcgi(fastcgi.pool.to_string()),
        Action::Split(shares) => {
            let weights = shares.iter().map(|share| (share.pool.to_string(), share.weight));
            ActionStatus::Split(weights.collect())
        }
        Action::Files(files) => ActionStatus::Files(files.to_string()),
        Action::Redirect(Redirect { to, status }) => {
            ActionStatus::Redirect { status: *status, to: to.to_string() }
        }
        Action::Respond(Respond { status, .. }) => ActionStatus::Respond { status: *status },
    }
}
