//! A client's cookie of a sticky pool: found in its request, and set when it is to say another thing.

use crate::{
    config,
    message::{cookies, head::Fields},
    observe::metrics::PickedBy,
    pool::{
        local::LocalPool,
        sticky::{Seen, Sticky},
    },
};

/// Cookies of one name that are looked at: browsers send several where they were set for several
/// paths or hosts. Each costs a hash with every key, and a head has room for hundreds.
const MOST_READ: usize = 4;

/// What the client's cookie says: of several, the first that we have signed.
pub fn seen(pool: &LocalPool, fields: &Fields) -> Option<Seen> {
    let (settings, sticky) = sticky_of(pool)?;
    let name = settings.cookie.as_bytes();
    let named = cookies::all(fields).filter(|(key, _)| *key == name);
    let mut read = named.take(MOST_READ);
    read.find_map(|(_, value)| sticky.read(value))
}

/// The value of Set-Cookie for a client that the member at `index` is to answer; `None` where its
/// cookie says so already.
pub fn cookie_to_set(
    pool: &LocalPool,
    seen: Option<&Seen>,
    index: usize,
    tls: bool,
) -> Option<String> {
    let (settings, sticky) = sticky_of(pool)?;
    let member = pool.member(index);
    let known = seen.and_then(|seen| seen.release.as_ref());
    let release = match pool.pool.config.pin {
        true => pool.pool.pins.newer(known, member.deployed.as_ref().map(|it| &it.release)),
        false => None,
    };
    let stays = seen.is_some_and(|seen| seen.index == Some(index));
    let says_so = seen.is_some_and(|seen| seen.current) && release == known;
    if stays && says_so {
        return None;
    }
    Some(set_cookie(settings, &sticky.write(member, release), tls))
}

/// What led a request to the member at `index`; `None`: it is kept nowhere.
pub fn picked_by(pool: &LocalPool, seen: Option<&Seen>, index: usize) -> Option<PickedBy> {
    sticky_of(pool)?;
    Some(match seen {
        Some(seen) if seen.index == Some(index) => PickedBy::Cookie,
        Some(_) => PickedBy::Moved,
        None => PickedBy::NoCookie,
    })
}

fn sticky_of(pool: &LocalPool) -> Option<(&config::Sticky, &Sticky)> {
    Some((pool.pool.config.sticky.as_ref()?, pool.pool.sticky.as_ref()?))
}

/// No script reads it, no other site's form sends it, and where the client came by TLS it goes back
/// by nothing else (RFC 6265, section 4.1.2).
fn set_cookie(settings: &config::Sticky, value: &str, tls: bool) -> String {
    let mut cookie = format!("{}={value}; Path=/; HttpOnly; SameSite=Lax", settings.cookie);
    if tls {
        cookie.push_str("; Secure");
    }
    if let Some(max_age) = settings.max_age {
        cookie.push_str(&format!("; Max-Age={}", max_age.as_secs()));
    }
    cookie
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_cookie_as_a_browser_gets_it() {
        let mut settings = config::Sticky {
            cookie: "srv".into(),
            secret_file: "s".into(),
            max_age: None,
            place: config::Place::default(),
        };
        assert_eq!(set_cookie(&settings, "12", false), "srv=12; Path=/; HttpOnly; SameSite=Lax");
        settings.max_age = Some(Duration::from_secs(3600));
        assert_eq!(
            set_cookie(&settings, "12", true),
            "srv=12; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=3600"
        );
    }
}
