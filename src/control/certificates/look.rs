//! What lies on disk is looked at every few seconds. Files that changed and load are used. Those
//! that changed and do not load may be half of a renewal (the certificate written, the key not
//! yet), so nothing is said before the next look finds the very same files and the very same
//! trouble; then it is said once.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    Certificates,
    files::{Files, Held, Owner, owners},
    warnings,
};
use crate::{
    config::Config,
    control::event::Line,
    net::{
        certificates::Stamp,
        tls::{Tickets, TlsError},
    },
    observe::{dates, metrics::CertificateOwner},
    snapshot::Spoken,
};

/// How often the files are looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What looks at the files have found amiss so far.
#[derive(Clone, Debug, Default)]
pub struct Doubts(HashMap<Files, Doubt>);

/// Changed files that did not load.
#[derive(Clone, Debug, PartialEq)]
struct Doubt {
    /// `None`: a file is missing.
    stamp: Option<Stamp>,
    told: bool,
}

impl Doubt {
    /// The doubt after one more look that found `stamp` and could not load it.
    fn after(before: Option<&Doubt>, stamp: Option<Stamp>) -> Doubt {
        let told = before.is_some_and(|before| before.stamp == stamp);
        Doubt { stamp, told }
    }
}

/// What one look at the files found.
#[derive(Default)]
pub struct Look {
    pub certificates: Certificates,
    pub doubts: Doubts,
    pub renewed: Spoken,
    pub failures: Vec<Failure>,
    pub lines: Vec<Line>,
}

/// Changed files that were refused.
pub struct Failure {
    pub owner: CertificateOwner,
    pub certificate: String,
}

/// Looks at every file that is in use; reads those that changed.
pub fn look(
    config: &Config,
    certificates: &Certificates,
    doubts: &Doubts,
    tickets: &Tickets,
) -> Look {
    let mut look = Look { certificates: certificates.clone(), ..Look::default() };
    for (files, held) in &certificates.0 {
        let stamp = match files.stamp() {
            // Nothing to look at.
            Ok(None) => continue,
            Ok(Some(stamp)) if stamp == *held.stamp() => continue,
            found => found.ok().flatten(),
        };
        let before = doubts.0.get(files);
        if let Some(before) = before.filter(|before| before.told && before.stamp == stamp) {
            look.doubts.0.insert(files.clone(), before.clone());
            continue;
        }
        let loaded = files.load().map_err(|error| error.to_string());
        let taken = loaded.and_then(|new| look.take(config, files, new, tickets));
        if let Err(why) = taken {
            let doubt = Doubt::after(before, stamp);
            if doubt.told {
                look.refuse(config, files, held, &why);
            }
            look.doubts.0.insert(files.clone(), doubt);
        }
    }
    look
}

impl Look {
    /// Spoken files are used by all who name them, or by none.
    fn take(
        &mut self,
        config: &Config,
        files: &Files,
        new: Held,
        tickets: &Tickets,
    ) -> Result<(), String> {
        let mut certificates = self.certificates.clone();
        certificates.0.insert(files.clone(), new.clone());
        let mut renewed = Spoken::default();
        let users = users(config, files);
        for owner in &users {
            let made = certificates.make(config, owner, tickets, &mut renewed);
            made.map_err(|error| error.to_string())?;
        }
        let (name, until) = (new.name(), dates::rfc3339(new.not_after()));
        for owner in users {
            let words = format!("{owner}: certificate {name} renewed: valid until {until}");
            self.lines.push(Line::Info(words));
        }
        self.lines.extend(warnings(&new, SystemTime::now()));
        self.renewed.extend(renewed);
        self.certificates = certificates;
        Ok(())
    }

    fn refuse(&mut self, config: &Config, files: &Files, held: &Held, why: &str) {
        for owner in users(config, files) {
            let certificate = held.name();
            self.lines.push(Line::Warn(format!(
                "{owner}: certificate {certificate} not renewed: {why}; the old one is used"
            )));
            self.failures.push(Failure { owner: owner.label(), certificate });
        }
    }
}

impl Certificates {
    fn make(
        &self,
        config: &Config,
        owner: &Owner,
        tickets: &Tickets,
        into: &mut Spoken,
    ) -> Result<(), TlsError> {
        match owner {
            Owner::Listener(name) => {
                let mut listeners = config.listeners.iter();
                let listener = listeners.find(|listener| listener.name == *name);
                if let Some(tls) = listener.and_then(|listener| listener.tls.as_ref()) {
                    into.listeners.insert(name.clone(), self.server_tls(tls, tickets)?);
                }
            }
            Owner::Pool(name) => {
                let pool = config.pools.iter().find(|pool| pool.name == *name);
                if let Some(tls) = pool.and_then(|pool| pool.tls.as_ref()) {
                    into.pools.insert(name.clone(), Arc::new(self.client_tls(tls)?));
                }
            }
        }
        Ok(())
    }
}

/// Who names these files.
fn users(config: &Config, files: &Files) -> Vec<Owner> {
    let names = |named: &[super::files::Named]| named.iter().any(|named| named.files == *files);
    let users = owners(config).into_iter().filter(|(_, named)| names(named));
    users.map(|(owner, _)| owner).collect()
}
