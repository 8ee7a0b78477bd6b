//! What preparing a configuration would leave on the disk, so that one that is refused leaves nothing.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::config::{Config, LogTarget};

/// Files and folders that a configuration names, and that were not there before it was prepared.
pub struct Traces {
    log: Option<PathBuf>,
    /// The deepest first.
    folders: Vec<PathBuf>,
}

impl Traces {
    pub fn before(config: &Config) -> Traces {
        let log = config.access_log.as_ref().and_then(|log| match &log.to {
            LogTarget::File(path) => Some(path.clone()),
            LogTarget::Stdout => None,
        });
        let folders = config.admin.socket.ancestors().skip(1);
        let missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
        Traces {
            log: log.filter(|path| !path.exists()),
            folders: folders.take_while(missing).map(Path::to_owned).collect(),
        }
    }

    /// Takes away what is empty: whoever wrote there meanwhile keeps it.
    pub fn remove(self) {
        if let Some(log) = self.log
            && fs::metadata(&log).is_ok_and(|log| log.is_file() && log.len() == 0)
        {
            let _ = fs::remove_file(log);
        }
        for folder in self.folders {
            let _ = fs::remove_dir(folder);
        }
    }
}
