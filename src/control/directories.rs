//! The roots of files: opened at a start or a reload, and by `check`.

use std::{collections::HashMap, io, sync::Arc};

use crate::{
    config::{self, Config, Place},
    files::{digests::Digests, directory::Directory, root::Root},
    observe::metrics::Metrics,
};

/// By the name of the files.
pub type Directories = HashMap<Arc<str>, Arc<Directory>>;

/// Opens every root that a configuration names, in its order.
///
/// # Errors
/// Each that can't be served: its place, what is wrong, and what to do.
pub fn roots(config: &Config) -> Result<Vec<Root>, Vec<(Place, String, String)>> {
    let mut roots = Vec::new();
    let mut troubles = Vec::new();
    for files in &config.files {
        match Root::open(&files.root, files.symlinks) {
            Ok(root) => roots.push(root),
            Err(error) => {
                let (message, help) = trouble(files, &error);
                troubles.push((files.place, message, help.to_owned()));
            }
        }
    }
    if troubles.is_empty() { Ok(roots) } else { Err(troubles) }
}

/// A directory of which nothing changed is the very same, and so is what the workers keep of it.
///
/// # Errors
/// There is no thread to be had.
pub fn directories(
    config: &Config,
    roots: Vec<Root>,
    before: &Directories,
    metrics: &Metrics,
) -> io::Result<Directories> {
    let mut digests = before.values().next().map(|directory| directory.digests().clone());
    let mut directories = Directories::new();
    for (files, root) in config.files.iter().zip(roots) {
        let same = before.get(&files.name);
        let same = same.filter(|it| it.config == *files && it.root().is_same(&root));
        let directory = match same {
            Some(same) => same.clone(),
            None => {
                if root.refuses_links() {
                    tracing::warn!(
                        "files {}: no symbolic link is followed: this kernel can't say where one \
                         leads (openat2); `symlinks = \"never\"` says the same",
                        files.name
                    );
                }
                let digests = match &digests {
                    Some(digests) => digests.clone(),
                    None => digests.insert(Digests::start()?).clone(),
                };
                let metrics = metrics.files(&files.name);
                Arc::new(Directory::new(files.clone(), root, digests, metrics))
            }
        };
        directories.insert(files.name.clone(), directory);
    }
    Ok(directories)
}

fn trouble(files: &config::Files, error: &io::Error) -> (String, &'static str) {
    let root = files.root.display();
    match error.kind() {
        io::ErrorKind::NotFound => (
            format!("{root} does not exist"),
            "expected a directory; a relative path starts at the folder of this configuration",
        ),
        io::ErrorKind::PermissionDenied => (
            format!("{root} can't be read: permission denied"),
            "it must be readable by the service's user, and the directories above it open to it",
        ),
        io::ErrorKind::NotADirectory => {
            (format!("{root} is no directory"), "expected the directory whose files are served")
        }
        _ => (format!("{root} can't be read: {error}"), ""),
    }
}
