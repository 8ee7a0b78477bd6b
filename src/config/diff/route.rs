//! What changes at one route.

use std::{sync::Arc, time::Duration};

use super::{Changes, compress::compare as compress, error_pages, or_none};
use crate::{
    config::{
        bounds::RouteBounds,
        conditions::Conditions,
        fastcgi::Fastcgi,
        mirror::Mirror,
        model::{Action, Redirect, Respond, Route, Share},
    },
    units::{duration_text, share_text, size_text},
};

pub(super) fn compare(changes: &mut Changes, old: &Route, new: &Route) {
    let Route {
        name: _,
        listener,
        host,
        path,
        conditions,
        replace_prefix,
        request_headers,
        response_headers,
        bounds: old_bounds,
        error_pages: old_pages,
        mirror: old_mirror,
        compress: old_compress,
        action: old_action,
    } = old;
    let any = |listener: &Option<Arc<str>>| match listener {
        Some(name) => name.to_string(),
        None => "any".to_owned(),
    };
    changes.value("listener", any(listener), any(&new.listener));
    changes.value("host", host, &new.host);
    changes.value("path", path, &new.path);
    self::conditions(changes, conditions, &new.conditions);
    let (old_prefix, new_prefix) = (replace_prefix.clone(), new.replace_prefix.clone());
    changes.value("replace_prefix", or_none(old_prefix), or_none(new_prefix));
    for (what, old, new) in [
        ("request_headers", request_headers, &new.request_headers),
        ("response_headers", response_headers, &new.response_headers),
    ] {
        // Values may be secrets.
        if old != new {
            changes.note(format!("{what} changed"));
        }
    }
    bounds(changes, old_bounds, &new.bounds);
    changes.value("mirror", mirror(old_mirror.as_ref()), mirror(new.mirror.as_ref()));
    compress(changes, old_compress.as_ref(), new.compress.as_ref());
    changes.value("error_pages", error_pages(old_pages), error_pages(&new.error_pages));
    match (old_action, &new.action) {
        (Action::Pool(old), Action::Pool(new)) => changes.value("pool", old, new),
        (Action::Fastcgi(old), Action::Fastcgi(new)) => fastcgi(changes, old, new),
        (Action::Files(old), Action::Files(new)) => changes.value("files", old, new),
        (Action::Respond(old), Action::Respond(new)) => respond(changes, old, new),
        (old, new) => changes.value("action", action(old), action(new)),
    }
}

/// Without values, which may be secrets.
fn conditions(changes: &mut Changes, old: &Conditions, new: &Conditions) {
    let Conditions { methods, headers, query, cookies } = old;
    let listed = |methods: &[String]| match methods {
        [] => "any".to_owned(),
        methods => methods.join(", "),
    };
    changes.value("methods", listed(methods), listed(&new.methods));
    for (what, old, new) in [
        ("headers", headers, &new.headers),
        ("query", query, &new.query),
        ("cookies", cookies, &new.cookies),
    ] {
        if old != new {
            changes.note(format!("{what} to match changed"));
        }
    }
}

fn bounds(changes: &mut Changes, old: &RouteBounds, new: &RouteBounds) {
    let RouteBounds { max_body, first_byte, idle, whole } = *old;
    let of_listener = |size: Option<u64>| size.map_or("the listener's".to_owned(), size_text);
    changes.value("max_body", of_listener(max_body), of_listener(new.max_body));
    let of_pool = |wait: Option<Duration>| wait.map_or("the pool's".to_owned(), duration_text);
    changes.value("timeout first_byte", of_pool(first_byte), of_pool(new.first_byte));
    changes.value("timeout idle", of_pool(idle), of_pool(new.idle));
    changes.value("timeout whole", of_pool(whole), of_pool(new.whole));
}

fn mirror(mirror: Option<&Mirror>) -> String {
    or_none(mirror.map(|Mirror { pool, share, max_in_flight }| {
        format!("{} to {pool}, at most {max_in_flight} in flight", share_text(*share))
    }))
}

/// Values of parameters may be secrets.
fn fastcgi(changes: &mut Changes, old: &Fastcgi, new: &Fastcgi) {
    let Fastcgi { pool, root, index, fallback, split_path, check_script, params, buffer } = old;
    changes.value("fastcgi pool", pool, &new.pool);
    changes.value("fastcgi root", root.display(), new.root.display());
    changes.value("fastcgi index", index, &new.index);
    let (before, after) = (fallback.clone(), new.fallback.clone());
    changes.value("fastcgi fallback", or_none(before), or_none(after));
    changes.value("fastcgi split_path", split_path, &new.split_path);
    changes.value("fastcgi check_script", check_script, new.check_script);
    changes.value("fastcgi buffer", size_text(*buffer), size_text(new.buffer));
    if *params != new.params {
        changes.note("fastcgi params changed");
    }
}

fn respond(changes: &mut Changes, old: &Respond, new: &Respond) {
    let Respond { status, body, content_type } = old;
    changes.value("respond status", status, new.status);
    changes.value("respond content_type", content_type, &new.content_type);
    if *body != new.body {
        changes.note("respond body changed");
    }
}

fn action(action: &Action) -> String {
    match action {
        Action::Pool(pool) => format!("pool {pool}"),
        Action::Fastcgi(fastcgi) => format!("fastcgi {}", fastcgi.pool),
        Action::Split(shares) => {
            let share = |share: &Share| format!("{} {}", share.pool, share.weight);
            format!("split {}", shares.iter().map(share).collect::<Vec<_>>().join(", "))
        }
        Action::Files(files) => format!("files {files}"),
        Action::Redirect(Redirect { to, status }) => format!("redirect {status} {to}"),
        Action::Respond(Respond { status, .. }) => format!("respond {status}"),
    }
}
