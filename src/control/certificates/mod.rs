//! The certificates that serve: those of listeners, those that we show to backends, and the
//! authorities that others must be vouched for by.
//!
//! - this file: what a configuration names, loaded, and the TLS that is made of it.
//! - `files`: which files those are, and for whom.
//! - `look`: what lies on disk and renews them.

mod files;
mod look;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use self::files::{Files, Held, Named, owners, troubled_place};
pub use self::look::{Doubts, Failure, LOOK_EVERY, Look, look};
use crate::{
    config::{self, Config, Place, PoolTls, Tls, Trust},
    control::event::Line,
    net::{
        certificates::{Authorities, FileError, Pair},
        tls::{self, ClientTls, ServerTls, Tickets, TlsError},
    },
    observe::{
        dates,
        metrics::{CertificateExpiry, ControlMetrics},
    },
};

/// Before this much is left, each start and reload warns.
const EXPIRES_SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// Every certificate that a configuration names, loaded.
#[derive(Clone, Debug, Default)]
pub struct Certificates(HashMap<Files, Held>);

impl Certificates {
    /// Loads what `config` names; what `held` has and did not change on disk is kept.
    ///
    /// # Errors
    /// For all that can't be used: its place in the file, what is wrong, what to do.
    pub fn load(
        config: &Config,
        held: &Certificates,
    ) -> Result<Certificates, Vec<(Place, String, String)>> {
        let mut loaded = HashMap::new();
        let mut troubles = Vec::new();
        for named in owners(config).iter().flat_map(|(_, named)| named) {
            if loaded.contains_key(&named.files) {
                continue;
            }
            match held.unchanged(&named.files).map_or_else(|| held.load_one(&named.files), Ok) {
                Ok(new) => {
                    loaded.insert(named.files.clone(), new);
                }
                Err(error) => troubles.push(trouble(named, &error)),
            }
        }
        if troubles.is_empty() { Ok(Certificates(loaded)) } else { Err(troubles) }
    }

    /// The TLS of one listener.
    ///
    /// # Errors
    /// What no client could be given.
    pub fn server_tls(&self, tls: &Tls, tickets: &Tickets) -> Result<ServerTls, TlsError> {
        let pairs: Vec<Arc<Pair>> = tls.certificates.iter().map(|each| self.pair(each)).collect();
        let asked = tls.clients.as_ref().map(|asked| Files::authorities(&asked.authorities));
        let authorities = asked.map(|files| self.authorities(&files));
        tls::server_config(tls, &pairs, authorities, tickets)
    }

    /// The TLS to the backends of one pool.
    ///
    /// # Errors
    /// What the TLS library refuses.
    pub fn client_tls(&self, tls: &PoolTls) -> Result<ClientTls, TlsError> {
        let authorities = match &tls.trust {
            Trust::System => Some(self.authorities(&Files::System)),
            Trust::Authorities(named) => Some(self.authorities(&Files::authorities(named))),
            Trust::Anyone => None,
        };
        let identity = tls.identity.as_ref().map(|identity| self.pair(identity));
        ClientTls::new(tls, authorities.map(|each| each.roots()), identity.as_deref())
    }

    /// Whether what a listener names is the very same in both.
    pub fn same_for_listener(&self, other: &Certificates, tls: &Tls) -> bool {
        self.same(other, &files::of_listener(tls))
    }

    /// Whether what a pool names is the very same in both.
    pub fn same_for_pool(&self, other: &Certificates, tls: &PoolTls) -> bool {
        self.same(other, &files::of_pool(tls))
    }

    /// What works but should not stay so.
    pub fn warnings(&self, now: SystemTime) -> Vec<Line> {
        let mut lines: Vec<Line> = self.0.values().flat_map(|held| warnings(held, now)).collect();
        lines.sort_by(|a, b| a.text().cmp(b.text()));
        lines
    }

    /// Tells the metrics until when each is valid.
    pub fn tell(&self, config: &Config, metrics: &ControlMetrics) {
        let mut expiries = Vec::new();
        for (owner, named) in owners(config) {
            // What the system trusts is the system's to renew.
            for named in named.iter().filter(|named| named.files != Files::System) {
                let held = &self.0[&named.files];
                expiries.push(CertificateExpiry {
                    owner: owner.label(),
                    certificate: held.name(),
                    not_after: held.not_after(),
                });
            }
        }
        metrics.set_certificates(expiries);
    }

    fn same(&self, other: &Certificates, named: &[Named]) -> bool {
        named.iter().all(|named| match (self.0.get(&named.files), other.0.get(&named.files)) {
            (Some(ours), Some(theirs)) => ours.is(theirs),
            _ => false,
        })
    }

    fn unchanged(&self, files: &Files) -> Option<Held> {
        let held = self.0.get(files)?;
        let stamp = files.stamp().ok()??;
        (stamp == *held.stamp()).then(|| held.clone())
    }

    /// What the system trusts has no one file to look at: it is read each time, and kept where it
    /// is the same.
    fn load_one(&self, files: &Files) -> Result<Held, FileError> {
        let new = files.load()?;
        match (self.0.get(files), &new) {
            (Some(Held::Authorities(held)), Held::Authorities(new))
                if *files == Files::System && held.same(new) =>
            {
                Ok(Held::Authorities(held.clone()))
            }
            _ => Ok(new),
        }
    }

    /// Whatever a configuration names was loaded with it.
    fn pair(&self, named: &config::Certificate) -> Arc<Pair> {
        match &self.0[&Files::pair(named)] {
            Held::Pair(pair) => pair.clone(),
            Held::Authorities(_) => unreachable!("a pair of files is loaded as a pair"),
        }
    }

    fn authorities(&self, files: &Files) -> &Authorities {
        match &self.0[files] {
            Held::Authorities(authorities) => authorities,
            Held::Pair(_) => unreachable!("authorities are loaded as authorities"),
        }
    }
}

/// At the place of the file at fault.
fn trouble(named: &Named, error: &FileError) -> (Place, String, String) {
    let help = if error.is_missing() {
        "expected a PEM file; a relative path starts at the folder of this configuration"
    } else {
        ""
    };
    (troubled_place(named, error), error.to_string(), help.to_owned())
}

fn warnings(held: &Held, now: SystemTime) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    if let Held::Pair(pair) = held {
        lines.extend(pair.warnings().iter().cloned().map(Line::Warn));
    }
    let what = match held {
        Held::Pair(_) => "certificate",
        Held::Authorities(_) => "each authority of",
    };
    let (name, until) = (held.name(), dates::rfc3339(held.not_after()));
    if now > held.not_after() {
        lines.push(Line::Warn(format!("{what} {name} expired at {until}: renew it")));
    } else if now + EXPIRES_SOON > held.not_after() {
        lines.push(Line::Warn(format!("{what} {name} expires at {until}: renew it")));
    }
    lines
}
