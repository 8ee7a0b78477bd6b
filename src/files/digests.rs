//! Contents in 128 bits: what makes one tag of the same bytes on every server. Computed once for each
//! content, off the data path, one file at a time, and kept by the file's stamp.

use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::SystemTime,
};

use aws_lc_rs::digest::{Context, SHA256, digest};
use rustix::fs::fstat;

use crate::files::stamp::Stamp;

/// The first half of a SHA-256.
pub type Digest = [u8; 16];

/// Contents that are remembered: some 100 bytes each.
const MOST_KNOWN: usize = 16_384;
/// Files that wait for theirs. One that finds no room is asked for again when it is next looked at.
const QUEUE: usize = 64;
/// What is read at once.
const STEP: usize = 256 * 1024;

/// The contents that the process knows; one for its life.
#[derive(Debug)]
pub struct Digests {
    known: Mutex<Known>,
    asks: SyncSender<Asked>,
}

#[derive(Debug, Default)]
struct Known {
    by_stamp: HashMap<Stamp, Digest>,
    /// The oldest first.
    order: VecDeque<Stamp>,
    /// Those that wait, or are read.
    asked: HashMap<Stamp, ()>,
}

#[derive(Debug)]
struct Asked {
    file: Arc<File>,
    stamp: Stamp,
}

/// Of bytes that are at hand.
pub fn of(bytes: &[u8]) -> Digest {
    first_half(digest(&SHA256, bytes).as_ref())
}

impl Digests {
    /// Its thread ends when nobody holds it any more.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start() -> io::Result<Arc<Digests>> {
        let (asks, asked) = sync_channel(QUEUE);
        let digests = Arc::new(Digests { known: Mutex::default(), asks });
        let weak = Arc::downgrade(&digests);
        thread::Builder::new().name("digests".to_owned()).spawn(move || {
            read_all(&asked, |stamp, digest| {
                if let Some(digests) = weak.upgrade() {
                    digests.answered(stamp, digest);
                }
            });
        })?;
        Ok(digests)
    }

    pub fn find(&self, stamp: &Stamp) -> Option<Digest> {
        self.lock().by_stamp.get(stamp).copied()
    }

    /// A content that was read for another reason.
    pub fn learn(&self, stamp: Stamp, digest: Digest) {
        self.lock().remember(stamp, digest);
    }

    /// Has a file read, unless it has been or will be. One that was changed just now is left for a
    /// later time: it could change again and keep its stamp.
    pub fn ask(&self, file: &Arc<File>, stamp: Stamp) {
        if !stamp.is_settled(SystemTime::now()) {
            return;
        }
        let mut known = self.lock();
        if known.by_stamp.contains_key(&stamp) || known.asked.contains_key(&stamp) {
            return;
        }
        if self.asks.try_send(Asked { file: file.clone(), stamp }).is_ok() {
            known.asked.insert(stamp, ());
        }
    }

    fn answered(&self, stamp: Stamp, digest: Option<Digest>) {
        let mut known = self.lock();
        known.asked.remove(&stamp);
        if let Some(digest) = digest {
            known.remember(stamp, digest);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn remember(&mut self, stamp: Stamp, digest: Digest) {
        if self.by_stamp.insert(stamp, digest).is_none() {
            self.order.push_back(stamp);
        }
        while self.order.len() > MOST_KNOWN {
            let oldest = self.order.pop_front();
            if let Some(oldest) = oldest {
                self.by_stamp.remove(&oldest);
            }
        }
    }
}

/// One after the other, in memory that is made once.
fn read_all(asked: &Receiver<Asked>, mut tell: impl FnMut(Stamp, Option<Digest>)) {
    let mut room = Vec::new();
    while let Ok(Asked { file, stamp }) = asked.recv() {
        room.resize(STEP, 0);
        // What can't be read keeps its weak tag; whoever serves it meets the same error and says so.
        let digest = read(&file, &stamp, &mut room).ok().flatten();
        drop(file);
        tell(stamp, digest);
    }
}

/// `None`: it is not that content any more.
fn read(file: &File, stamp: &Stamp, room: &mut [u8]) -> io::Result<Option<Digest>> {
    let mut context = Context::new(&SHA256);
    let mut at = 0;
    loop {
        let count = file.read_at(room, at)?;
        if count == 0 {
            break;
        }
        at += count as u64;
        if at > stamp.length {
            return Ok(None);
        }
        context.update(&room[..count]);
    }
    let same = at == stamp.length && Stamp::of(&fstat(file)?) == *stamp;
    Ok(same.then(|| first_half(context.finish().as_ref())))
}

fn first_half(whole: &[u8]) -> Digest {
    let mut half = Digest::default();
    let length = half.len();
    half.copy_from_slice(&whole[..length]);
    half
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::*;

    #[test]
    fn a_content_has_the_same_digest_however_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large");
        let content: Vec<u8> = (0..700_000_u32).map(|n| n as u8).collect();
        fs::write(&path, &content).unwrap();
        let file = File::open(&path).unwrap();
        let long_ago = SystemTime::now() - Duration::from_secs(3600);
        file.set_modified(long_ago).unwrap();
        let stamp = Stamp::of(&fstat(&file).unwrap());
        let mut room = vec![0; STEP];
        assert_eq!(read(&file, &stamp, &mut room).unwrap(), Some(of(&content)));
        // It grows, shrinks, or is changed in place.
        let other = stamp.of_length(stamp.length + 1);
        assert_eq!(read(&file, &other, &mut room).unwrap(), None);
        let other = stamp.of_length(stamp.length - 1);
        assert_eq!(read(&file, &other, &mut room).unwrap(), None);
        file.set_modified(SystemTime::now()).unwrap();
        assert_eq!(read(&file, &stamp, &mut room).unwrap(), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let digests = Digests::start().unwrap();
        let file = tempfile::tempfile().unwrap();
        let stamp = Stamp::of(&fstat(&file).unwrap());
        let of_length = |length: usize| stamp.of_length(length as u64);
        for length in 0..=MOST_KNOWN {
            digests.learn(of_length(length), [1; 16]);
            digests.learn(of_length(length), [2; 16]);
        }
        assert_eq!(digests.find(&of_length(0)), None);
        assert_eq!(digests.find(&of_length(MOST_KNOWN)), Some([2; 16]));
        assert_eq!(digests.lock().by_stamp.len(), MOST_KNOWN);
    }
}
