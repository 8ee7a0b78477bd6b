//! Whether a script is there: looked up by other threads than the worker's, which a slow disk must not
//! stop, and remembered for a moment.

use std::{
    cell::RefCell,
    collections::HashMap,
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
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
    remembered: RefCell<HashMap<Asked, Found>>,
    room: Arc<Semaphore>,
}

/// A root, and a name below it: two roots may make the same path with two names, and are not the same
/// to lie below.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Asked {
    root: Box<Path>,
    name: Box<[u8]>,
}

impl Asked {
    fn new(root: &Path, name: &[u8]) -> Asked {
        Asked { root: root.into(), name: name.into() }
    }

    fn file(&self) -> PathBuf {
        let path = [self.root.as_os_str().as_bytes(), &self.name].concat();
        PathBuf::from(OsStr::from_bytes(&path))
    }
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
        room: Arc::new(Semaphore::new(MOST_AT_ONCE)),
    };
}

/// Whether `name` is a regular file below `root`, where symbolic links lead out of that as well.
pub async fn is_there(root: &Path, name: &[u8]) -> bool {
    let asked = Asked::new(root, name);
    let now = clock::now().into_std();
    if let Some(known) = WORKER.with(|worker| worker.recall(&asked, now)) {
        return known;
    }
    let room = WORKER.with(|worker| worker.room.clone());
    let Ok(place) = room.acquire_owned().await else {
        return false;
    };
    let (root, file) = (root.to_path_buf(), asked.file());
    // Whoever waits no longer leaves the thread its place: one that hangs is counted until it ends.
    let looked = spawn_blocking(move || {
        let there = is_file_below(&root, &file).unwrap_or(false);
        drop(place);
        there
    });
    let there = looked.await.unwrap_or(false);
    let found = Found { there, since: clock::now().into_std() };
    WORKER.with(|worker| worker.remember(asked, found));
    there
}

impl Worker {
    fn recall(&self, asked: &Asked, now: Instant) -> Option<bool> {
        let remembered = self.remembered.borrow();
        remembered.get(asked).filter(|found| found.is_fresh(now)).map(|found| found.there)
    }

    fn remember(&self, asked: Asked, found: Found) {
        let mut remembered = self.remembered.borrow_mut();
        if remembered.len() >= MOST_REMEMBERED {
            remembered.retain(|_, other| other.is_fresh(found.since));
        }
        // So many names within a moment are made up by somebody: none of them is worth keeping.
        if remembered.len() < MOST_REMEMBERED {
            remembered.insert(asked, found);
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
        let asked = Asked::new(folder.path(), b"/x.php");
        let later = Instant::now() + REMEMBERED + Duration::from_millis(1);
        assert_eq!(WORKER.with(|worker| worker.recall(&asked, later)), None);
    }

    #[tokio::test]
    async fn a_path_below_one_root_may_be_above_another() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a")).unwrap();
        fs::write(folder.path().join("x.php"), "").unwrap();
        symlink("../x.php", folder.path().join("a/x.php")).unwrap();
        assert!(is_there(folder.path(), b"/a/x.php").await);
        assert!(!is_there(&folder.path().join("a"), b"/x.php").await);
    }

    #[tokio::test]
    async fn a_look_up_that_is_given_up_keeps_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let room = WORKER.with(|worker| worker.room.clone());
        let all = room.clone().acquire_many_owned(MOST_AT_ONCE as u32 - 1).await.unwrap();
        let mut looked = Box::pin(is_there(folder.path(), b"/given-up.php"));
        std::future::poll_fn(|context| {
            let _ = looked.as_mut().poll(context);
            std::task::Poll::Ready(())
        })
        .await;
        drop(looked);
        // It comes back when the thread has ended, and not before.
        drop(room.clone().acquire_owned().await.unwrap());
        drop(all);
        assert_eq!(room.available_permits(), MOST_AT_ONCE);
    }

    #[test]
    fn names_that_are_made_up_take_no_more_memory_than_that() {
        let now = Instant::now();
        WORKER.with(|worker| {
            for number in 0..2 * MOST_REMEMBERED {
                let asked = Asked::new(Path::new("/srv"), number.to_string().as_bytes());
                worker.remember(asked, Found { there: false, since: now });
            }
            assert_eq!(worker.remembered.borrow().len(), MOST_REMEMBERED);
            let found = Found { there: true, since: now + REMEMBERED };
            worker.remember(Asked::new(Path::new("/srv"), b"new"), found);
            assert_eq!(worker.remembered.borrow().len(), 1);
        });
    }
}
