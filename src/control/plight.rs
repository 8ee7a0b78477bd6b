//! Who of a pool answers now, told when it changes: the line an operator is woken for. Pure.

use std::sync::Arc;

use crate::{config::WhenAllDown, control::event::Line, pool::members::Pool};

/// How far a pool has come down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plight {
    /// Normal backends are up.
    Well,
    /// Only backups are up.
    OnBackups,
    /// None is up.
    AllDown,
}

impl Plight {
    pub fn of(pool: &Pool) -> Plight {
        let up = |backup: bool| {
            let mut members = pool.members.iter();
            members.any(|it| it.takes_clients() && it.backup == backup)
        };
        match (up(false), up(true)) {
            (true, _) => Plight::Well,
            (false, true) => Plight::OnBackups,
            (false, false) => Plight::AllDown,
        }
    }

    /// A line for each pool whose plight changed between two snapshots.
    pub fn lines(before: &[Arc<Pool>], now: &[Arc<Pool>]) -> Vec<Line> {
        let mut lines = Vec::new();
        for pool in now {
            let name = &pool.config.name;
            let held = before.iter().find(|held| held.config.name == *name);
            let plight = Plight::of(pool);
            if held.is_some_and(|held| Plight::of(held) != plight) {
                lines.push(plight.line(pool));
            }
        }
        lines
    }

    fn line(self, pool: &Pool) -> Line {
        let name = &pool.config.name;
        match (self, pool.config.when_all_down) {
            (Plight::Well, _) => Line::Info(format!("pool {name}: normal backends are up")),
            (Plight::OnBackups, _) => Line::Warn(format!("pool {name}: only backups are up")),
            (Plight::AllDown, WhenAllDown::Fail) => {
                Line::Warn(format!("pool {name}: no backend is up: requests get 503"))
            }
            (Plight::AllDown, WhenAllDown::ServeAnyway) => {
                Line::Warn(format!("pool {name}: no backend is up: all are tried anyway"))
            }
        }
    }
}
