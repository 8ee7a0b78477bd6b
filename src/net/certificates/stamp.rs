//! Whether the files of a pair have changed, without reading them.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use super::PairError;

/// The two files as the file system tells them apart, symbolic links followed. While it is equal,
/// neither file has been written or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    cert: FileStamp,
    key: FileStamp,
}

impl Stamp {
    /// # Errors
    /// One of the files can't be looked at.
    pub fn of(cert: &Path, key: &Path) -> Result<Stamp, PairError> {
        Ok(Stamp { cert: FileStamp::of(cert)?, key: FileStamp::of(key)? })
    }
}

/// Times are seconds and nanoseconds. The change time also tells a file whose old modification
/// time was set again (`cp -p`, `rsync -t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileStamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileStamp {
    fn of(path: &Path) -> Result<FileStamp, PairError> {
        let found = fs::metadata(path).map_err(|error| PairError::unread(path, &error))?;
        Ok(FileStamp {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}
