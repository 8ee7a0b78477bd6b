//! Scripts over FastCGI: php-fpm, and a server of the tests' own for what php-fpm never does.

mod bodies;
mod broken;
mod excess;
mod found;
mod health;
mod php;
mod pools;
mod sockets;

use crate::harness::{
    Daemon, Origin, Setup,
    fastcgi::{Asked, answer},
};

/// One listener, one folder of scripts, one server that is never held to be down.
const ONE_SERVER: &str = r#"
    [listener.web]
    bind = ["$web"]
    [[route]]
    fastcgi = { pool = "php", root = "$root" $route }
    [pool.php]
    protocol = "fastcgi"
    backends = ["$origin"]
    passive = { fall = 0 }
    $pool
"#;

/// A daemon before one server; `route` and `pool` are more keys of theirs.
fn before(origin: impl std::fmt::Display, root: &str, route: &str, pool: &str) -> Daemon {
    let config = ONE_SERVER.replace("$route", route).replace("$pool", pool);
    Setup::of(&config).with("origin", origin).with("root", root).start()
}

/// The same before a server that gets by without files.
fn before_any(origin: &Origin, route: &str, pool: &str) -> Daemon {
    before(origin.address(), "/srv/app", &format!(", check_script = false{route}"), pool)
}

/// A server that answers each request with the same bytes, for as long as the daemon keeps the
/// connection.
fn answering(content: &str) -> Origin {
    let content = content.to_owned();
    Origin::start(move |peer| {
        while let Some(asked) = Asked::read(peer) {
            peer.write(answer(&content));
            if !asked.keeps_connection {
                return;
            }
        }
    })
}
