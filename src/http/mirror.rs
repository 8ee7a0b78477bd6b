//! A copy of a request to another pool, whose answer is thrown away. The client's exchange neither
//! waits for it nor learns of it.

use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::Arc};

use bytes::Bytes;
use tokio::task::spawn_local;

use crate::{
    config::{HostHeader, Protocol},
    http::{
        content::Content,
        copy::Copy,
        h1::rules::RequestRules,
        headers::{self, Outbound},
        local::Local,
        proxy::Exchange,
        record::Record,
        target::Target,
        upgrade,
    },
    observe::metrics::Mirrored,
    pool::local::LocalPool,
};

/// Which requests of a route are copied, and where to.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// An index into `Serving::pools`.
    pub pool: usize,
    pub share: f64,
    pub max_in_flight: usize,
}

/// Sends a copy of the request on its way, where the route has it so. A body that is not at hand is
/// not copied: it passes through.
pub fn mirror(
    exchange: &Exchange<'_>,
    record: &Record<'_>,
    rules: &RequestRules,
    target: &Target<'_>,
    content: Content,
) {
    let Some(route) = record.route else {
        return;
    };
    let Some(mirror) = route.rules.mirror.as_ref().filter(|it| fastrand::f64() < it.share) else {
        return;
    };
    let local = exchange.local;
    let Content::InHand(length) = content else {
        return route.metrics.mirrored(local.slot, Mirrored::Skipped);
    };
    if upgrade::asked(exchange.request, rules.framing).is_some() {
        return route.metrics.mirrored(local.slot, Mirrored::Skipped);
    }
    let Some(place) = Place::take(local, &route.name, mirror.max_in_flight) else {
        return route.metrics.mirrored(local.slot, Mirrored::Dropped);
    };
    let pool = exchange.serving.pools[mirror.pool].clone();
    let head = head(exchange, record, rules, target, &pool);
    let body = Bytes::copy_from_slice(&exchange.client.at_hand()[..length]);
    let announced = exchange.announcement(&pool);
    let copy = Copy { head, body, method: exchange.request.method, announced };
    let (local, metrics) = (local.without_log(), route.metrics.clone());
    spawn_local(async move {
        copy.send(pool, local, metrics).await;
        drop(place);
    });
}

fn head(
    exchange: &Exchange<'_>,
    record: &Record<'_>,
    rules: &RequestRules,
    target: &Target<'_>,
    pool: &LocalPool,
) -> Vec<u8> {
    let config = &pool.pool.config;
    let host = match &config.host_header {
        HostHeader::Set(host) => host.as_bytes(),
        HostHeader::Pass if !target.authority.is_empty() => target.authority,
        HostHeader::Pass => config.name.as_bytes(),
    };
    let outbound = Outbound {
        target,
        host,
        framing: rules.framing,
        upgrade: None,
        takes_trailers: config.protocol == Protocol::H2,
        expects_continue: false,
        sender: exchange.sender,
        certificate: exchange.shown(),
        request_id: &record.request_id,
        changes: exchange.changes(record, |rules| rules.request_headers.as_ref()),
    };
    let mut head = Vec::new();
    headers::write_request(&mut head, exchange.request, &outbound);
    head
}

/// One of the copies of a route that may be under way on a worker.
struct Place {
    taken: Rc<RefCell<HashMap<Arc<str>, usize>>>,
    route: Arc<str>,
}

impl Place {
    fn take(local: &Local, route: &Arc<str>, max: usize) -> Option<Place> {
        let mut taken = local.mirrored.borrow_mut();
        let count = taken.get(route).copied().unwrap_or(0);
        if count >= max {
            return None;
        }
        taken.insert(route.clone(), count + 1);
        Some(Place { taken: local.mirrored.clone(), route: route.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.borrow_mut();
        match taken.get_mut(&self.route) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.remove(&self.route)),
        }
    }
}
