//! A request and its pool: backends are tried until one answers or none may be tried any more.

use crate::{
    http::{
        attempt::{Attempt, Outcome},
        content::{Content, Rest, failed_try, take_in_short_body},
        exchange::{Bounds, NoAnswer},
        h1::{client::NoRequest, rules::RequestRules},
        key, mirror,
        place::{self, Course, Unplaced},
        proxy::{Exchange, Last, Next},
        record::Record,
        refusal::{self, Refusal},
        reply::{gone, refuse, refuse_last},
        sticky,
        target::Target,
        upgrade,
    },
    pool::local::LocalPool,
};

/// Tries backends until one answers or none may be tried any more.
pub async fn forward<'a>(
    exchange: &mut Exchange<'a>,
    record: &mut Record<'a>,
    pool: &'a LocalPool,
    rules: &RequestRules,
    target: &Target<'_>,
) -> Next {
    let bounds = bounds(exchange, record, pool);
    if exchange.request.extended_connect && !upgrade::is_possible(pool.pool.config.protocol) {
        return refuse_last(exchange, record, refusal::NO_UPGRADE).await;
    }
    let content = match take_in_short_body(exchange, rules, bounds.whole()).await {
        Ok(content) => content,
        Err(NoRequest::Gone) => return gone(record),
        Err(NoRequest::Refused(refusal)) => return refuse_last(exchange, record, refusal).await,
    };
    mirror::mirror(exchange, record, rules, target, content);
    pool.count_request();
    let key = pool.pool.config.hash.as_ref().and_then(|by| key::key(by, &keyed(exchange, target)));
    let seen = sticky::seen(pool, &exchange.request.fields);
    let mut course = Course { pool, tried: Vec::new(), key, seen };
    loop {
        let placed = place::find(exchange, record, &mut course, &bounds).await;
        let (index, in_flight) = match placed {
            Ok(placed) => placed,
            Err(Unplaced::ClientGone) => return gone(record),
            Err(Unplaced::Refused(refusal)) => {
                return fail(exchange, record, content, refusal).await;
            }
        };
        let pool = course.pool;
        pool.count_pick(sticky::picked_by(pool, course.seen.as_ref(), index), &course.ask());
        course.tried.push(index);
        record.attempts += 1;
        let tls = exchange.sender.tls;
        let cookie = sticky::cookie_to_set(pool, course.seen.as_ref(), index, tls);
        let mut attempt = Attempt {
            exchange,
            record,
            pool,
            index,
            in_flight,
            asked: pool.now(),
            ask: course.ask(),
            hedged: None,
            rules,
            target,
            content,
            rest: Rest::All,
            bounds: &bounds,
            begun: false,
            cookie,
        };
        let none = match attempt.run().await {
            Ok(Outcome::Answered(next)) => return next,
            Ok(Outcome::Upgraded(upstream)) => {
                return Next::Tunnel(Box::new(attempt.tunnel(*upstream)));
            }
            Err(none) => none,
        };
        let (index, asked, hedged) = (attempt.index, attempt.asked, attempt.hedged);
        let (rest, begun) = (attempt.rest, attempt.begun);
        drop(attempt);
        course.tried.extend(hedged);
        match none {
            NoAnswer::ClientGone => {
                // Whoever sends slowly and leaves says nothing of the backend.
                if content != Content::Streamed {
                    pool.given_up(index, asked);
                }
                return gone(record);
            }
            NoAnswer::Refused(refusal) => return refuse_last(exchange, record, refusal).await,
            NoAnswer::Upstream { refusal, reached } => {
                match begun {
                    _ if reached.is_of_connection() => {}
                    true => pool.cut_off(index),
                    false => pool.failed(index),
                }
                let failed = failed_try(exchange.request, content, rest, reached);
                if !pool.may_try_again(failed, &course.tried, exchange.local.slot) {
                    return fail(exchange, record, content, refusal).await;
                }
            }
        }
    }
}

/// The route's bounds, where it has any, then the listener's and the pool's.
pub(super) fn bounds(exchange: &Exchange<'_>, record: &Record<'_>, pool: &LocalPool) -> Bounds {
    let site = &exchange.serving.site;
    let own = record.route.map(|route| route.rules.bounds).unwrap_or_default();
    Bounds {
        upstream: own.timeouts(pool.pool.config.timeouts),
        client_idle: site.timeouts.body_idle,
        begun: record.begun,
        max_body: own.max_body.unwrap_or(site.limits.max_body),
    }
}

fn keyed<'a>(exchange: &Exchange<'a>, target: &Target<'a>) -> key::Asked<'a> {
    key::Asked {
        sender: exchange.sender,
        trusted_proxies: &exchange.serving.site.trusted_proxies,
        path: target.path,
        fields: &exchange.request.fields,
    }
}

/// No backend answered; the request itself was fine.
async fn fail(
    exchange: &mut Exchange<'_>,
    record: &mut Record<'_>,
    content: Content,
    refusal: Refusal,
) -> Next {
    match content {
        Content::InHand(length) => exchange.client.consume(length),
        Content::Streamed => exchange.last = Last::Imposed,
    }
    refuse(exchange, record, refusal).await
}
