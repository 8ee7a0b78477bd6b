//! The story of a request for a script: found, its body told by length, then as to any other pool.

use std::borrow::Cow;

use crate::{
    config::Fastcgi,
    http::{
        answers::Answer,
        content::SHORT_BODY,
        downstream::GivenUp,
        exchange::Bounds,
        forward::{bounds, forward},
        h1::{
            body::Framing,
            client::NoRequest,
            collecting::Collecting,
            rules::{self, RequestRules},
        },
        proxy::{self, Exchange, Next},
        record::Record,
        refusal::{self, Refusal},
        reply::{error, give, gone, refuse_last},
        target::Target,
    },
    message::{authority, lent::Lent, path},
    net::clock,
    pool::{budget::Share, local::LocalPool},
};

use super::{
    params::{self, Told},
    record::{self, Connection},
    script::{self, Lead, Script},
    there::is_there,
};

/// Scripts below a folder, and the pool that runs them.
pub struct Scripts {
    /// An index into `Serving::pools`.
    pub pool: usize,
    pub config: Fastcgi,
}

/// The script that a request is for.
pub struct Wanted<'a> {
    script: Script,
    config: &'a Fastcgi,
    /// What the route takes from the front of the path, decoded.
    removed: Vec<u8>,
}

/// What is to be done.
enum Found {
    Script(Script),
    /// It is a folder, and is asked for with a slash at its end.
    Folder,
    Nothing(Refusal),
    ClientGone,
}

/// Serves one request for a script.
pub async fn serve<'a>(
    exchange: &mut Exchange<'a>,
    record: &mut Record<'a>,
    scripts: &'a Scripts,
    rules: &RequestRules,
    target: &Target<'_>,
) -> Next {
    let pool = &exchange.serving.pools[scripts.pool];
    let config = &scripts.config;
    if exchange.request.extended_connect {
        return refuse_last(exchange, record, refusal::NO_TUNNEL).await;
    }
    let script = match find(exchange, record, pool, config, target).await {
        Found::Script(script) => script,
        Found::Folder => match with_slash(exchange) {
            Some(location) => {
                let answer = Answer::redirect(308, &location);
                return give(exchange, record, rules, &answer).await;
            }
            None => return refuse(exchange, record, rules, refusal::NO_SCRIPT).await,
        },
        Found::Nothing(refusal) => return refuse(exchange, record, rules, refusal).await,
        Found::ClientGone => return gone(record),
    };
    let bounds = bounds(exchange, record, pool);
    let rules = match with_length(exchange, &bounds, scripts, rules).await {
        Ok(rules) => rules,
        Err(NoRequest::Gone) => return gone(record),
        Err(NoRequest::Refused(refusal)) => return refuse_last(exchange, record, refusal).await,
    };
    let rewrite = record.route.and_then(|route| route.rules.rewrite.as_ref());
    let removed = rewrite.and_then(|rewrite| script::decoded(rewrite.removed()));
    let removed = removed.unwrap_or_default();
    exchange.wanted = Some(Box::new(Wanted { script, config, removed }));
    forward(exchange, record, pool, &rules, target).await
}

/// The request itself was fine.
async fn refuse<'a>(
    exchange: &mut Exchange<'a>,
    record: &mut Record<'a>,
    rules: &RequestRules,
    refusal: Refusal,
) -> Next {
    let answer = error(exchange, record, refusal);
    record.refused(refusal);
    give(exchange, record, rules, &answer).await
}

async fn find(
    exchange: &mut Exchange<'_>,
    record: &Record<'_>,
    pool: &LocalPool,
    config: &Fastcgi,
    target: &Target<'_>,
) -> Found {
    let mut forwarded = Vec::new();
    target.forwarded.write(&mut forwarded);
    let end = memchr::memchr(b'?', &forwarded).unwrap_or(forwarded.len());
    let lead = std::str::from_utf8(&forwarded[..end]).ok().and_then(|path| path::read(path).ok());
    let lead = lead.map_or(Lead::Nothing, |reading| script::find(&reading.path, config));
    let fallback = || match Script::fallback(config) {
        Some(script) => Found::Script(script),
        None => Found::Nothing(refusal::NO_SCRIPT),
    };
    let looked_for = match &lead {
        Lead::Nothing => return fallback(),
        Lead::Script(_) | Lead::Folder(_) if !config.check_script => None,
        Lead::Script(script) | Lead::Folder(script) => Some(script),
    };
    if let Some(script) = looked_for {
        let deadline = clock::now() + pool.pool.config.timeouts.connect;
        let there = is_there(&config.root, &script.name);
        match exchange.client.unless_gone(deadline, there).await {
            Ok(true) => {}
            Ok(false) => return fallback(),
            Err(GivenUp::ClientGone) => return Found::ClientGone,
            Err(GivenUp::Late) => return Found::Nothing(refusal::SCRIPT_NOT_LOOKED_UP),
        }
    }
    match lead {
        Lead::Script(script) if !is_routed_here(exchange, record, &script, config) => {
            Found::Nothing(refusal::NO_SCRIPT)
        }
        Lead::Script(script) => Found::Script(script),
        Lead::Folder(_) if config.check_script => Found::Folder,
        Lead::Folder(_) | Lead::Nothing => fallback(),
    }
}

/// Whether the script's own path takes this route as well: another one may guard it, which a path
/// with more behind it, or that of its folder, would pass by.
fn is_routed_here(
    exchange: &Exchange<'_>,
    record: &Record<'_>,
    script: &Script,
    config: &Fastcgi,
) -> bool {
    let (Some(route), Some(target)) = (record.route, exchange.target) else {
        return false;
    };
    let Ok(reading) = path::read(target.path) else {
        return false;
    };
    let own = script.own_path(&reading.path, config);
    if own == reading.path {
        return true;
    }
    let router = &exchange.serving.site.router;
    let host = authority::routing_host(target.authority);
    let found = router.find(&host, &own, &proxy::asked(exchange, &target));
    matches!(found, Ok(Some(found)) if found.name == route.name)
}

/// Where a folder is asked for with a slash at its end; `None` where that would be another host.
fn with_slash(exchange: &Exchange<'_>) -> Option<Vec<u8>> {
    let target = exchange.target?;
    let reading = path::read(target.path).ok()?;
    let location = [reading.path.as_bytes(), b"/", target.query()].concat();
    (!location.starts_with(b"//")).then_some(location)
}

/// A script reads as many bytes as it is told that there are: a body of unknown length is read whole
/// first, as far as that may be. So is a short one of a told length, since PHP takes one that breaks off
/// for a whole one. No server behind us says that it waits for a body, so that we do.
async fn with_length(
    exchange: &mut Exchange<'_>,
    bounds: &Bounds,
    scripts: &Scripts,
    rules: &RequestRules,
) -> Result<RequestRules, NoRequest> {
    let (idle, request) = (bounds.client_idle, exchange.request);
    let framing = match rules.framing {
        // Its trailers have no place to go to, and its length may have been told beside them.
        Framing::Chunked => rules::told_length(request).map_or(Framing::Chunked, Framing::Length),
        framing => framing,
    };
    if rules.expects_continue && framing != Framing::Empty {
        let told = exchange.client.inform(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(), idle).await;
        told.map_err(|_| NoRequest::Gone)?;
    }
    let rules = RequestRules { framing, expects_continue: false, ..*rules };
    let limit = scripts.config.buffer.min(bounds.max_body);
    let is_read_whole = match framing {
        Framing::Chunked => true,
        Framing::Length(length) => length > SHORT_BODY && length <= limit,
        Framing::Empty | Framing::UntilClose => false,
    };
    if !is_read_whole {
        return Ok(rules);
    }
    let pool = &exchange.serving.pools[scripts.pool].pool;
    let share = Some(Share::of(&pool.bodies, pool.config.buffers));
    let how = Collecting { framing, limit, idle, whole: bounds.whole(), share };
    match exchange.client.collect_body(how).await {
        Ok(length) => Ok(RequestRules { framing: Framing::Length(length as u64), ..rules }),
        Err(NoRequest::Refused(refusal::BODY_TOO_LARGE)) if limit < bounds.max_body => {
            Err(NoRequest::Refused(refusal::LENGTH_NEEDED))
        }
        Err(none) => Err(none),
    }
}

/// What a server is sent ahead of the body; `head` is what HTTP/1 would write.
pub fn request(
    exchange: &Exchange<'_>,
    head: &[u8],
    connection: Connection,
) -> Result<Lent<u8>, Refusal> {
    // A route leads here by a script alone.
    let (Some(wanted), Some(target)) = (&exchange.wanted, &exchange.target) else {
        return Err(refusal::NO_SCRIPT);
    };
    let mut uri = Vec::new();
    target.forwarded.write(&mut uri);
    let host: Cow<'_, str> = authority::routing_host(target.authority);
    let told = Told {
        script: &wanted.script,
        removed: &wanted.removed,
        root: wanted.config.root.as_os_str().as_encoded_bytes(),
        uri: &uri,
        protocol: exchange.request.version.text(),
        tls: exchange.sender.tls,
        remote: exchange.ends.peer,
        server: exchange.ends.destination.or_else(|| exchange.client.destination()),
        port: exchange.ends.port,
        host: host.as_bytes(),
        own: &wanted.config.params,
    };
    let mut out = Lent::default();
    out.reserve(head.len() + 1024);
    record::begin(&mut out, connection);
    params::write(&mut out, head, &told)?;
    Ok(out)
}
