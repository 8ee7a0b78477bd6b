//! Whether a script is there: looked up by other threads than the worker's, which a slow disk must not
//! stop, and remembered for a moment.

use std::{
    cell::RefCell,
    collections::HashMap,
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::{sync::Semaphore, task::spawn_blocking};

use crate::net::clock;

/// For so long a new script is not seen, or one that has gone is still asked for: PHP itself
/// remembers for longer (`opcache.revalidate_freq`).
const REMEMBERED: Duration = Duration::from_secs(1);
/// Names that a worker remembers.
const MOST_REMEMBERED: usize = 1024;
/// Threads that a worker lets look things up at once; more requests wait for them.
const MOST_AT_ONCE: usize = 16;

struct Worker {
    /// By the whole path.
    remembered: RefCell<HashMap<Box<[u8]>, Found>>,
    room: Rc<Semaphore>,
}

/// What was found, and when.
#[derive(Clone, Copy)]
struct Found {
    there: bool,
    since: Instant,
}

impl Found {
    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < REMEMBERED
    }
}

thread_local! {
    static WORKER: Worker = Worker {
        remembered: RefCell::default(),
        room: Rc::new(Semaphore::new(MOST_AT_ONCE)),
    };
}

/// Whether `name` is a regular file below `root`, where symbolic links lead out of that as well.
pub async fn is_there(root: &Path, name: &[u8]) -> bool {
    let key: Box<[u8]> = [root.as_os_str().as_bytes(), name].concat().into();
    let now = clock::now().into_std();
    if let Some(known) = WORKER.with(|worker| worker.recall(&key, now)) {
        return known;
    }
    let room = WORKER.with(|worker| worker.room.clone());
    // Never closed.
    let _place = room.acquire().await;
    let (root, file) = (root.to_path_buf(), PathBuf::from(OsStr::from_bytes(&key)));
    let looked = spawn_blocking(move || is_file_below(&root, &file).unwrap_or(false)).await;
    let there = looked.unwrap_or(false);
    WORKER.with(|worker| worker.remember(key, there, clock::now().into_std()));
    there
}

impl Worker {
    fn recall(&self, key: &[u8], now: Instant) -> Option<bool> {
        let remembered = self.remembered.borrow();
        remembered.get(key).filter(|found| found.is_fresh(now)).map(|found| found.there)
    }

    fn remember(&self, key: Box<[u8]>, there: bool, now: Instant) {
        let mut remembered = self.remembered.borrow_mut();
        if remembered.len() >= MOST_REMEMBERED {
            remembered.retain(|_, found| found.is_fresh(now));
        }
        // So many names within a moment are made up by somebody: none of them is worth keeping.
        if remembered.len() < MOST_REMEMBERED {
            remembered.insert(key, Found { there, since: now });
        }
    }
}

fn is_file_below(root: &Path, file: &Path) -> io::Result<bool> {
    // What it really is: a link that leads out of the root is not below it.
    let real = file.canonicalize()?;
    Ok(real.metadata()?.is_file() && real.starts_with(root.canonicalize()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    #[test]
    fn only_regular_files_below_the_root() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("current");
        let release = folder.path().join("release");
        fs::create_dir_all(release.join("folder.php")).unwrap();
        symlink(&release, &root).unwrap();
        fs::write(release.join("x.php"), "").unwrap();
        fs::write(folder.path().join("out.php"), "").unwrap();
        symlink(folder.path().join("out.php"), release.join("link.php")).unwrap();
        symlink(release.join("x.php"), release.join("inside.php")).unwrap();
        symlink("loop.php", release.join("loop.php")).unwrap();
        let is = |name: &str| is_file_below(&root, &root.join(name)).unwrap_or(false);
        assert!(is("x.php") && is("inside.php"));
        for name in
            ["folder.php", "link.php", "loop.php", "missing.php", "x.php/y.php", "../out.php"]
        {
            assert!(!is(name), "{name}");
        }
    }

    #[tokio::test]
    async fn what_was_looked_up_is_remembered_for_a_moment() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("x.php"), "").unwrap();
        assert!(is_there(folder.path(), b"/x.php").await);
        fs::remove_file(folder.path().join("x.php")).unwrap();
        assert!(is_there(folder.path(), b"/x.php").await);
        assert!(!is_there(folder.path(), b"/y.php").await);
        let key = [folder.path().as_os_str().as_bytes(), b"/x.php"].concat();
        let later = Instant::now() + REMEMBERED + Duration::from_millis(1);
        assert_eq!(WORKER.with(|worker| worker.recall(&key, later)), None);
    }

    #[test]
    fn names_that_are_made_up_take_no_more_memory_than_that() {
        let now = Instant::now();
        WORKER.with(|worker| {
            for number in 0..2 * MOST_REMEMBERED {
                worker.remember(number.to_string().into_bytes().into(), false, now);
            }
            assert_eq!(worker.remembered.borrow().len(), MOST_REMEMBERED);
            worker.remember((*b"new").into(), true, now + REMEMBERED);
            assert_eq!(worker.remembered.borrow().len(), 1);
        });
    }
}
