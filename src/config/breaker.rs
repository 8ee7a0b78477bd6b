//! `breaker` of a pool: when a backend is out of use because too many of its requests fail.

use std::{ops::RangeInclusive, time::Duration};

use super::{
    listener::A_WAIT,
    model::Breaker,
    reader::{Field, Shape, Table},
};
use crate::units::duration_text;

pub(super) static BREAKER: Shape = Shape {
    name: "`breaker` of [pool.NAME]",
    keys: &[
        "failures",
        "count_5xx",
        "window",
        "min_requests",
        "open",
        "longest",
        "trials",
        "max_open",
    ],
};

/// A shorter one holds next to nothing, a longer one tells of what has long been mended.
const A_WINDOW: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(600);

pub(super) fn read(field: &Field<'_>) -> Option<Breaker> {
    let table = field.table(&BREAKER)?;
    let default = Breaker::default();
    let open = table.duration("open", A_WAIT, default.open);
    Some(Breaker {
        failures: failures(&table, default.failures),
        count_5xx: table.boolean("count_5xx", default.count_5xx),
        window: table.duration("window", A_WINDOW, default.window),
        min_requests: table.integer("min_requests", 1..=1_000_000, default.min_requests),
        open,
        longest: longest(&table, open, default.longest),
        trials: table.integer("trials", 1..=1_000, default.trials),
        max_open: table.share("max_open", 1.0, default.max_open),
    })
}

/// A share of nothing would open at the first request that passes.
fn failures(table: &Table<'_>, default: f64) -> f64 {
    let Some(field) = table.field("failures") else {
        return default;
    };
    let share = field.share(1.0).unwrap_or(default);
    if share == 0.0 {
        field.fail("`failures` of nothing", "expected a share above \"0%\", such as \"50%\"");
    }
    share
}

fn longest(table: &Table<'_>, open: Duration, default: Duration) -> Duration {
    let Some(field) = table.field("longest") else {
        return default.max(open);
    };
    let longest = field.duration(A_WAIT).unwrap_or(default);
    if longest < open {
        let open = duration_text(open);
        field.fail(
            format!("a `longest` shorter than the first time of {open}"),
            format!("expected at least \"{open}\", which `open` says"),
        );
    }
    longest
}
