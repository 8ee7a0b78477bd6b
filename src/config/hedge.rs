//! `hedge` of a pool: when a request whose answer is late is tried at a second backend.

use super::{
    listener::A_WAIT,
    model::Hedge,
    reader::{Field, Shape},
};

pub(super) static HEDGE: Shape =
    Shape { name: "`hedge` of [pool.NAME]", keys: &["percentile", "at_least", "min_requests"] };

pub(super) fn read(field: &Field<'_>) -> Option<Hedge> {
    let table = field.table(&HEDGE)?;
    let default = Hedge::default();
    Some(Hedge {
        percentile: table.integer("percentile", 50..=99, default.percentile),
        at_least: table.duration("at_least", A_WAIT, default.at_least),
        // No more are remembered than twice that.
        min_requests: table.integer("min_requests", 10..=1_000, default.min_requests),
    })
}
