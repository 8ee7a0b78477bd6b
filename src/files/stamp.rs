//! What tells one content of a file from another without reading it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{Stat, Statx};

/// How coarse the clocks of file systems are, with room to spare: a file that was changed so lately may
/// change again and look the same.
const UNSETTLED: Duration = Duration::from_secs(2);

/// A file at a moment. Whoever changes its content changes its stamp, but within a tick of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    device: u64,
    inode: u64,
    /// Seconds and nanoseconds since 1970.
    modified: (i64, i64),
    /// Of the inode: it moves when a time of modification is set back by hand.
    changed: (i64, i64),
    pub length: u64,
}

impl Stamp {
    pub fn of(stat: &Stat) -> Stamp {
        // The widths of these differ from one architecture to the next.
        #[allow(clippy::unnecessary_cast)]
        Stamp {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            changed: (stat.st_ctime as i64, stat.st_ctime_nsec as i64),
            length: stat.st_size as u64,
        }
    }

    /// The same but for its length.
    #[cfg(test)]
    pub fn of_length(self, length: u64) -> Stamp {
        Stamp { length, ..self }
    }

    /// What comes before 1970 is told as its first moment.
    pub fn modified(&self) -> SystemTime {
        moment(self.modified)
    }

    /// Whether an open file still holds what it did. Its inode changes with its name as well, which says
    /// nothing of its content.
    pub fn holds(&self, now: &Statx) -> bool {
        let modified = (now.stx_mtime.tv_sec, i64::from(now.stx_mtime.tv_nsec));
        self.modified == modified && self.length == now.stx_size
    }

    /// The time of modification and the length, which make the weak tag until the content is known.
    pub fn modified_at(&self) -> (i64, i64, u64) {
        (self.modified.0, self.modified.1, self.length)
    }

    /// Whether a change from `now` on would show.
    pub fn is_settled(&self, now: SystemTime) -> bool {
        let latest = moment(self.changed).max(moment(self.modified));
        now.duration_since(latest).is_ok_and(|since| since > UNSETTLED)
    }
}

fn moment((seconds, nanoseconds): (i64, i64)) -> SystemTime {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    let nanoseconds = u64::try_from(nanoseconds).unwrap_or(0);
    let since = Duration::from_secs(seconds) + Duration::from_nanos(nanoseconds);
    UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp =
        Stamp { device: 1, inode: 2, modified: (1_000, 5), changed: (1_000, 5), length: 3 };

    #[test]
    fn a_file_that_was_just_changed_is_not_settled() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert!(!STAMP.is_settled(at(999)) && !STAMP.is_settled(at(1_002)));
        assert!(STAMP.is_settled(at(1_003)));
        let set_back = Stamp { modified: (0, 0), ..STAMP };
        assert!(!set_back.is_settled(at(1_001)) && set_back.modified() == UNIX_EPOCH);
    }

    #[test]
    fn no_time_panics() {
        for seconds in [i64::MIN, -1, i64::MAX] {
            let stamp = Stamp { modified: (seconds, seconds), changed: (seconds, -1), ..STAMP };
            let _ = (stamp.modified(), stamp.is_settled(SystemTime::now()));
        }
    }
}
