//! `mirror` of a route: copies of its requests to another pool, whose answers are thrown away.

use std::sync::Arc;

use super::{
    diagnostic::{Diagnostic, Place},
    reader::{Shape, Table},
};

#[derive(Clone, Debug, PartialEq)]
pub struct Mirror {
    /// The name of a pool that exists.
    pub pool: Arc<str>,
    /// Of the requests, 0 to 1.
    pub share: f64,
    /// Copies of this route under way on one worker beyond which no more are made.
    pub max_in_flight: usize,
}

pub(super) static MIRROR: Shape =
    Shape { name: "`mirror` of [[route]]", keys: &["pool", "share", "max_in_flight"] };

pub(super) fn read(route: &Table<'_>, pools: &mut Vec<(Arc<str>, Place)>) -> Option<Mirror> {
    let field = route.field("mirror")?;
    if route.field("redirect").is_some() || route.field("respond").is_some() {
        let message = "`mirror` on a route that forwards nothing";
        let help = "it copies what a pool is sent: remove it";
        field.tell(Diagnostic::at(field.key_place, message).help(help));
    }
    if route.field("fastcgi").is_some() {
        let message = "`mirror` on a route with `fastcgi`";
        let help = "copies are of requests to backends that speak HTTP: remove it";
        field.tell(Diagnostic::at(field.key_place, message).help(help));
    }
    let table = field.table(&MIRROR)?;
    let share = table.share("share", 1.0, 1.0);
    let max_in_flight = table.integer("max_in_flight", 1..=10_000, 64);
    let pool =
        table.required("pool", r#"expected the pool that gets the copies: pool = "shadow""#)?;
    let name: Arc<str> = Arc::from(pool.text()?);
    pools.push((name.clone(), pool.place()));
    Some(Mirror { pool: name, share, max_in_flight })
}
