//! Files that a configuration names, opened so that none of them keeps us waiting.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use rustix::fs::OFlags;

/// Opens a file that has an end. What a pipe's other end has to say may never come, and whoever
/// opens one to read it waits for that end already (fifo(7)): a reload would hang, and all after it.
pub fn open(path: &Path) -> io::Result<File> {
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !kind.is_file() {
        return Err(io::Error::other("this is no regular file but a pipe or a device"));
    }
    Ok(file)
}
