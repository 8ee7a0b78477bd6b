//! Whether files have changed, without reading them.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use super::FileError;

/// Files that belong together as the file system tells them apart, symbolic links followed. While
/// it is equal, none of them has been written or replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp(Vec<FileStamp>);

impl Stamp {
    /// # Errors
    /// One of the files can't be looked at.
    pub fn of(files: &[&Path]) -> Result<Stamp, FileError> {
        files.iter().map(|file| FileStamp::of(file)).collect::<Result<_, _>>().map(Stamp)
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
    fn of(path: &Path) -> Result<FileStamp, FileError> {
        let found = fs::metadata(path).map_err(|error| FileError::unread(path, &error))?;
        Ok(FileStamp {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}
