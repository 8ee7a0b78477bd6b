//! Which files of certificates a configuration names, and for whom.

use std::{fmt, path::PathBuf, sync::Arc, time::SystemTime};

use crate::{
    config::{self, Certificate, Config, Place, PoolTls, Tls, Trust},
    net::certificates::{Authorities, FileError, Pair, Stamp},
    observe::metrics::CertificateOwner,
};

/// What is read together, and so says who it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Files {
    Pair {
        cert: PathBuf,
        key: PathBuf,
    },
    Authorities(PathBuf),
    /// What the system trusts, wherever that lies.
    System,
}

/// The same, loaded.
#[derive(Clone, Debug)]
pub(super) enum Held {
    Pair(Arc<Pair>),
    Authorities(Arc<Authorities>),
}

/// Files, and where in the configuration they stand.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub files: Files,
    place: Place,
    key_place: Place,
}

/// Who uses them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Listener(Arc<str>),
    Pool(Arc<str>),
}

/// All who use certificates, each with what it names, in the order of the file.
pub(super) fn owners(config: &Config) -> Vec<(Owner, Vec<Named>)> {
    let listeners = config.listeners.iter().filter_map(|listener| {
        Some((Owner::Listener(listener.name.clone()), of_listener(listener.tls.as_ref()?)))
    });
    let pools = config
        .pools
        .iter()
        .filter_map(|pool| Some((Owner::Pool(pool.name.clone()), of_pool(pool.tls.as_ref()?))));
    listeners.chain(pools).collect()
}

pub(super) fn of_listener(tls: &Tls) -> Vec<Named> {
    let asked = tls.clients.iter().map(|asked| Named::authorities(&asked.authorities));
    tls.certificates.iter().map(Named::pair).chain(asked).collect()
}

pub(super) fn of_pool(tls: &PoolTls) -> Vec<Named> {
    let trusted = match &tls.trust {
        Trust::System => Some(Named::at(Files::System, Place::default())),
        Trust::Authorities(named) => Some(Named::authorities(named)),
        Trust::Anyone => None,
    };
    trusted.into_iter().chain(tls.identity.as_ref().map(Named::pair)).collect()
}

/// Where the file at fault stands.
pub(super) fn troubled_place(named: &Named, error: &FileError) -> Place {
    match &named.files {
        Files::Pair { key, .. } if error.file() == key => named.key_place,
        Files::Pair { .. } | Files::Authorities(_) | Files::System => named.place,
    }
}

impl Files {
    pub fn pair(named: &Certificate) -> Files {
        Files::Pair { cert: named.cert.clone(), key: named.key.clone() }
    }

    pub fn authorities(named: &config::Authorities) -> Files {
        Files::Authorities(named.file.clone())
    }

    pub fn load(&self) -> Result<Held, FileError> {
        match self {
            Files::Pair { cert, key } => Pair::load(cert, key).map(Arc::new).map(Held::Pair),
            Files::Authorities(file) => {
                Authorities::load(file).map(Arc::new).map(Held::Authorities)
            }
            Files::System => Authorities::of_system().map(Arc::new).map(Held::Authorities),
        }
    }

    /// The files as they are now; `None` where there is nothing to look at.
    pub fn stamp(&self) -> Result<Option<Stamp>, FileError> {
        match self {
            Files::Pair { cert, key } => Stamp::of(&[cert, key]).map(Some),
            Files::Authorities(file) => Stamp::of(&[file]).map(Some),
            Files::System => Ok(None),
        }
    }
}

impl Held {
    /// The files as they were when they were read.
    pub fn stamp(&self) -> &Stamp {
        match self {
            Held::Pair(pair) => pair.stamp(),
            Held::Authorities(authorities) => authorities.stamp(),
        }
    }

    pub fn not_after(&self) -> SystemTime {
        match self {
            Held::Pair(pair) => pair.not_after(),
            Held::Authorities(authorities) => authorities.not_after(),
        }
    }

    /// What it is called in metrics and logs: a certificate's first name, else its file.
    pub fn name(&self) -> String {
        match self {
            Held::Pair(pair) => {
                let first = pair.names().first().cloned();
                first.unwrap_or_else(|| pair.cert().display().to_string())
            }
            Held::Authorities(authorities) => authorities.file().display().to_string(),
        }
    }

    pub fn is(&self, other: &Held) -> bool {
        match (self, other) {
            (Held::Pair(ours), Held::Pair(theirs)) => Arc::ptr_eq(ours, theirs),
            (Held::Authorities(ours), Held::Authorities(theirs)) => Arc::ptr_eq(ours, theirs),
            (Held::Pair(_), Held::Authorities(_)) | (Held::Authorities(_), Held::Pair(_)) => false,
        }
    }
}

impl Named {
    fn pair(named: &Certificate) -> Named {
        let files = Files::pair(named);
        Named { files, place: named.place, key_place: named.key_place }
    }

    fn authorities(named: &config::Authorities) -> Named {
        Named::at(Files::authorities(named), named.place)
    }

    fn at(files: Files, place: Place) -> Named {
        Named { files, place, key_place: place }
    }
}

impl Owner {
    pub fn label(&self) -> CertificateOwner {
        match self {
            Owner::Listener(name) => CertificateOwner::Listener(name.to_string()),
            Owner::Pool(name) => CertificateOwner::Pool(name.to_string()),
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Listener(name) => write!(f, "listener {name}"),
            Owner::Pool(name) => write!(f, "pool {name}"),
        }
    }
}
