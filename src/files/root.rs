//! The directory that is served, and how a name below it is opened: never outside of it, and never
//! what is no file.
//!
//! A name is found by a descriptor that reads nothing (`O_PATH`), looked at, and opened only if it is
//! a regular file: to open a pipe would wake who waits at its other end, to open a device may do
//! anything.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, fstatfs, openat, openat2},
    io::Errno,
};

use crate::{config::Symlinks, files::stamp::Stamp};

/// Looked at, not opened.
const LOOK: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);
/// The file may be under a lease, or be another one by now: neither is to be waited for.
const READ: OFlags =
    OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NOCTTY).union(OFlags::NONBLOCK);

/// How often a look is repeated that a rename crossed (openat2(2), EAGAIN).
const LOOKS: usize = 16;

/// File systems whose names and pages, once in memory, are had without a wait: ext4, XFS, Btrfs, tmpfs,
/// F2FS, overlayfs.
const LOCAL: [u64; 6] = [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994, 0xF2F5_2010, 0x794C_7630];

/// A directory that is held, whatever becomes of its name.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
    symlinks: Symlinks,
    resolves: Resolves,
    /// Whether what is in memory can be had without a wait.
    is_local: bool,
}

/// Who walks a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resolves {
    /// openat2(2), within our rules.
    Kernel,
    /// We, name by name: of a kernel before 5.6, or where a sandbox denies that call.
    Ourselves,
}

/// Whether the disk may be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// A worker: what is not in memory is left for later.
    Now,
    /// A thread of the blocking pool.
    Wait,
}

/// Why there is nothing.
#[derive(Debug)]
pub enum Unseen {
    /// Nothing is there, or nothing that may be seen.
    Nothing,
    /// It can't be had without a wait.
    Later,
    /// It may be there.
    Trouble(io::Error),
}

/// What stands under a name.
#[derive(Debug)]
pub enum Node {
    File(Looked),
    Directory(OwnedFd),
}

/// A regular file that is not open yet.
#[derive(Debug)]
pub struct Looked {
    fd: OwnedFd,
    pub stamp: Stamp,
}

impl Root {
    /// # Errors
    /// It is not there, no directory, or not ours to read.
    pub fn open(path: &Path, symlinks: Symlinks) -> io::Result<Root> {
        let fd = openat(CWD, path, LOOK | OFlags::DIRECTORY, Mode::empty())?;
        let resolves = match openat2(&fd, ".", LOOK, Mode::empty(), ResolveFlags::BENEATH) {
            Ok(_) => Resolves::Kernel,
            Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => Resolves::Ourselves,
            Err(error) => return Err(error.into()),
        };
        let local = |fd: &OwnedFd| fstatfs(fd).is_ok_and(|it| LOCAL.contains(&(it.f_type as u64)));
        let is_local = resolves == Resolves::Kernel && local(&fd);
        Ok(Root { fd, symlinks, resolves, is_local })
    }

    /// Whether links are refused that its policy would follow.
    pub fn refuses_links(&self) -> bool {
        self.resolves == Resolves::Ourselves && self.symlinks == Symlinks::Inside
    }

    /// Whether both are one directory.
    pub fn is_same(&self, other: &Root) -> bool {
        let identity = |root: &Root| fstat(&root.fd).map(|stat| (stat.st_dev, stat.st_ino));
        self.symlinks == other.symlinks
            && matches!((identity(self), identity(other)), (Ok(ours), Ok(theirs)) if ours == theirs)
    }

    /// Looks at a name: relative, without `..`, empty for the root itself.
    pub fn look(&self, name: &[u8], patience: Patience) -> Result<Node, Unseen> {
        if patience == Patience::Now && !self.is_local {
            return Err(Unseen::Later);
        }
        let name = if name.is_empty() { b"." } else { name };
        let fd = self.resolve(name, patience).map_err(|error| unseen(error, patience))?;
        let stat = fstat(&fd).map_err(|error| Unseen::Trouble(error.into()))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(Node::File(Looked { fd, stamp: Stamp::of(&stat) })),
            FileType::Directory => Ok(Node::Directory(fd)),
            _ => Err(Unseen::Nothing),
        }
    }

    fn resolve(&self, name: &[u8], patience: Patience) -> Result<OwnedFd, Errno> {
        if self.resolves == Resolves::Ourselves {
            return match self.symlinks {
                Symlinks::Follow => openat(&self.fd, name, LOOK, Mode::empty()),
                Symlinks::Inside | Symlinks::Never => walk(self.fd.as_fd(), name),
            };
        }
        let policy = match self.symlinks {
            Symlinks::Inside => ResolveFlags::BENEATH,
            Symlinks::Never => ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
            Symlinks::Follow => ResolveFlags::empty(),
        };
        let how = policy | ResolveFlags::NO_MAGICLINKS;
        if patience == Patience::Now {
            // What is mounted below may be of another kind.
            let how = how | ResolveFlags::CACHED | ResolveFlags::NO_XDEV;
            return openat2(&self.fd, name, LOOK, Mode::empty(), how);
        }
        let mut looks = 0;
        loop {
            looks += 1;
            match openat2(&self.fd, name, LOOK, Mode::empty(), how) {
                Err(Errno::AGAIN) if looks < LOOKS => {}
                outcome => return outcome,
            }
        }
    }
}

impl Looked {
    /// Opens what was looked at, and nothing else that has taken its name meanwhile.
    pub fn open(&self, patience: Patience) -> Result<File, Unseen> {
        let link = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        // A thread that may wait does so for a lease, too.
        let how = if patience == Patience::Wait { READ - OFlags::NONBLOCK } else { READ };
        let opened = openat(CWD, link, how, Mode::empty());
        Ok(opened.map_err(|error| unseen(error, patience))?.into())
    }
}

/// Name by name, no link followed.
fn walk(root: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    let mut here: Option<OwnedFd> = None;
    for part in name.split(|&byte| byte == b'/') {
        let parent = here.as_ref().map_or(root, AsFd::as_fd);
        let next = openat(parent, part, LOOK | OFlags::NOFOLLOW, Mode::empty())?;
        if FileType::from_raw_mode(fstat(&next)?.st_mode) == FileType::Symlink {
            return Err(Errno::LOOP);
        }
        here = Some(next);
    }
    here.ok_or(Errno::NOENT)
}

/// Whoever asks learns no more of what he may not see than that it is not there.
fn unseen(error: Errno, patience: Patience) -> Unseen {
    match error {
        Errno::AGAIN if patience == Patience::Now => Unseen::Later,
        // Another mount, or a link out of the root: the patient look tells them apart.
        Errno::XDEV if patience == Patience::Now => Unseen::Later,
        Errno::NOENT
        | Errno::NOTDIR
        | Errno::LOOP
        | Errno::XDEV
        | Errno::ACCESS
        | Errno::PERM
        | Errno::NAMETOOLONG
        | Errno::INVAL
        | Errno::ILSEQ
        | Errno::NXIO
        | Errno::NODEV => Unseen::Nothing,
        error => Unseen::Trouble(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::Read,
        os::unix::fs::symlink,
        path::PathBuf,
        sync::{Arc, mpsc},
    };

    use rustix::fs::mknodat;

    use super::*;

    /// A root with files, links that stay and links that lead out, and what is no file.
    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("sub/deep")).unwrap();
        fs::write(root.join("a.txt"), "a").unwrap();
        fs::write(root.join("sub/b.txt"), "b").unwrap();
        fs::write(folder.path().join("secret"), "secret").unwrap();
        symlink("sub/b.txt", root.join("inner")).unwrap();
        symlink("../a.txt", root.join("sub/up")).unwrap();
        symlink("sub", root.join("folder")).unwrap();
        symlink("../secret", root.join("out")).unwrap();
        symlink(folder.path(), root.join("absolute")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        mknodat(CWD, root.join("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        (folder, root)
    }

    fn seen(root: &Root, name: &str) -> String {
        match root.look(name.as_bytes(), Patience::Wait) {
            Ok(Node::File(looked)) => {
                let mut text = String::new();
                looked.open(Patience::Wait).unwrap().read_to_string(&mut text).unwrap();
                text
            }
            Ok(Node::Directory(_)) => "directory".to_owned(),
            Err(Unseen::Nothing) => "nothing".to_owned(),
            Err(other) => panic!("{name}: {other:?}"),
        }
    }

    const ALWAYS: [(&str, &str); 9] = [
        ("a.txt", "a"),
        ("sub/b.txt", "b"),
        ("", "directory"),
        ("sub", "directory"),
        ("none", "nothing"),
        ("a.txt/x", "nothing"),
        ("pipe", "nothing"),
        ("loop", "nothing"),
        ("sub/deep/none", "nothing"),
    ];

    #[test]
    fn what_links_lead_to_is_a_matter_of_policy() {
        let (_folder, path) = folder();
        let cases = [
            ("inner", ["b", "nothing", "b"]),
            ("sub/up", ["a", "nothing", "a"]),
            ("folder/b.txt", ["b", "nothing", "b"]),
            ("out", ["nothing", "nothing", "secret"]),
            ("absolute/secret", ["nothing", "nothing", "secret"]),
            ("absolute", ["nothing", "nothing", "directory"]),
        ];
        let policies = [Symlinks::Inside, Symlinks::Never, Symlinks::Follow];
        for (column, policy) in policies.into_iter().enumerate() {
            let root = Root::open(&path, policy).unwrap();
            let by_hand =
                Root { resolves: Resolves::Ourselves, ..Root::open(&path, policy).unwrap() };
            for (name, expected) in ALWAYS {
                assert_eq!(seen(&root, name), expected, "{policy:?} {name}");
                assert_eq!(seen(&by_hand, name), expected, "{policy:?} {name}");
            }
            for (name, expected) in cases {
                assert_eq!(seen(&root, name), expected[column], "{policy:?} {name}");
                let expected = expected[column.max(1)];
                assert_eq!(seen(&by_hand, name), expected, "by hand {policy:?} {name}");
            }
        }
    }

    #[test]
    fn a_root_is_held_whatever_becomes_of_its_name() {
        let (folder, path) = folder();
        let root = Root::open(&path, Symlinks::Inside).unwrap();
        fs::rename(&path, folder.path().join("moved")).unwrap();
        assert_eq!(seen(&root, "a.txt"), "a");
        fs::create_dir(&path).unwrap();
        let other = Root::open(&path, Symlinks::Inside).unwrap();
        assert!(!root.is_same(&other));
        assert!(Root::open(&path.join("none"), Symlinks::Inside).is_err());
        assert!(Root::open(&folder.path().join("secret"), Symlinks::Inside).is_err());
    }

    #[test]
    fn a_pipe_is_never_opened() {
        let (_folder, path) = folder();
        let root = Root::open(&path, Symlinks::Inside).unwrap();
        let (tell, told) = mpsc::channel();
        let pipe = Arc::new(path.join("pipe"));
        // It waits for whoever opens the other end.
        std::thread::spawn({
            let pipe = pipe.clone();
            move || tell.send(fs::OpenOptions::new().write(true).open(&*pipe).is_ok())
        });
        for _ in 0..1_000 {
            assert_eq!(seen(&root, "pipe"), "nothing");
        }
        assert!(told.try_recv().is_err(), "nobody opened it");
        drop(fs::File::open(&*pipe));
        assert_eq!(told.recv(), Ok(true));
    }

    #[test]
    fn what_is_in_memory_is_had_at_once() {
        let (_folder, path) = folder();
        let root = Root::open(&path, Symlinks::Inside).unwrap();
        if !root.is_local {
            return;
        }
        assert_eq!(seen(&root, "a.txt"), "a");
        assert!(matches!(root.look(b"a.txt", Patience::Now), Ok(Node::File(_))));
        assert!(matches!(root.look(b"out", Patience::Now), Err(Unseen::Later | Unseen::Nothing)));
    }
}
