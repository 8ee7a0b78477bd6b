//! `limits` and `timeouts` of a route: where it differs from its listener and its pool.

use std::time::Duration;

use super::{
    diagnostic::Diagnostic,
    listener::{A_WAIT, MOST_BODY},
    model::PoolTimeouts,
    reader::{Shape, Table},
};

/// `None`: what the listener or the pool says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteBounds {
    /// Bytes of a request body (413).
    pub max_body: Option<u64>,
    pub first_byte: Option<Duration>,
    pub idle: Option<Duration>,
    pub whole: Option<Duration>,
}

impl RouteBounds {
    /// The pool's timeouts as they are for this route.
    pub fn timeouts(&self, pool: PoolTimeouts) -> PoolTimeouts {
        PoolTimeouts {
            first_byte: self.first_byte.unwrap_or(pool.first_byte),
            idle: self.idle.unwrap_or(pool.idle),
            whole: self.whole.or(pool.whole),
            ..pool
        }
    }
}

pub(super) static LIMITS: Shape = Shape { name: "`limits` of [[route]]", keys: &["max_body"] };

pub(super) static TIMEOUTS: Shape =
    Shape { name: "`timeouts` of [[route]]", keys: &["first_byte", "idle", "whole"] };

pub(super) fn read(route: &Table<'_>) -> RouteBounds {
    let action = ["redirect", "respond"].into_iter().find(|key| route.field(key).is_some());
    for field in ["limits", "timeouts"].into_iter().filter_map(|key| route.field(key)) {
        if action.is_some() {
            let message = format!("`{}` on a route that forwards nothing", field.key);
            let help = "it bounds what a backend is sent and how long it may take: remove it";
            field.tell(Diagnostic::at(field.key_place, message).help(help));
        }
    }
    let limits = route.field("limits").and_then(|field| field.table(&LIMITS));
    let timeouts = route.field("timeouts").and_then(|field| field.table(&TIMEOUTS));
    let wait = |key| timeouts.as_ref()?.field(key)?.duration(A_WAIT);
    RouteBounds {
        max_body: limits.and_then(|table| table.field("max_body")?.size(MOST_BODY)),
        first_byte: wait("first_byte"),
        idle: wait("idle"),
        whole: wait("whole"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_route_does_not_say_stays_the_pools() {
        let pool = PoolTimeouts { whole: Some(Duration::from_secs(9)), ..PoolTimeouts::default() };
        assert_eq!(RouteBounds::default().timeouts(pool), pool);
        let idle = Some(Duration::from_secs(1));
        let expected = PoolTimeouts { idle: Duration::from_secs(1), ..pool };
        assert_eq!(RouteBounds { idle, ..RouteBounds::default() }.timeouts(pool), expected);
    }
}
