//! The admin socket: one line of JSON each way (see `protocol`), for root and the service's user.

use std::{
    collections::VecDeque,
    fs, io,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    select,
    sync::{Semaphore, mpsc, oneshot},
    time::timeout,
};

use crate::control::{
    ask::Ask,
    protocol::{Answer, MAX_REQUEST, Request},
};

/// Connections at once; more wait in the kernel.
const MAX_CONNECTIONS: usize = 64;

/// Of these, those whose request is awaited. The one that has said nothing for the longest makes room
/// for the next: who asks for the status must not wait for those who are silent.
const MAX_SILENT: usize = 16;

/// Of these, those who wait for a reload, which may hang as long as what it reads.
const MAX_AWAITING: usize = 16;

/// To send a request whole, and to take its answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A socket file of ours, removed when it is dropped.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode: whoever replaced the file meanwhile keeps theirs.
    identity: (u64, u64),
}

/// What is known of a socket file of ours by those who don't hold it.
#[derive(Clone, Debug)]
pub struct Watched {
    path: PathBuf,
    identity: (u64, u64),
}

impl Watched {
    /// Whether its file is still there, and ours: who cleans up a folder leaves a listener behind to
    /// whom nobody finds.
    pub fn stands(&self) -> bool {
        identity(&self.path).is_ok_and(|found| found == self.identity)
    }

    /// Its file again, where that is gone.
    ///
    /// # Errors
    /// In words, with the remedy.
    pub fn renewed(&self) -> Option<Result<AdminSocket, String>> {
        (!self.stands()).then(|| AdminSocket::bind(&self.path))
    }
}

impl AdminSocket {
    /// Listens at `path` with mode 0600; makes its folder if that is missing. A socket file on
    /// which nobody answers is replaced.
    ///
    /// # Errors
    /// In words, with the remedy.
    pub fn bind(path: &Path) -> Result<AdminSocket, String> {
        let explained = |error: io::Error| {
            format!(
                "admin socket {}: {error}; its folder must exist and be writable by this user, or \
                 name another with socket = \"…\" in [admin]",
                path.display()
            )
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(explained)?;
        }
        free(path)?;
        // Named only once it is closed to others: the mode of a new socket follows the umask.
        let unnamed = path.with_file_name(format!(".{}", std::process::id()));
        let bound = named(&unnamed, path);
        if bound.is_err() {
            let _ = fs::remove_file(&unnamed);
        }
        bound.map_err(explained)
    }

    pub fn watched(&self) -> Watched {
        Watched { path: self.path.clone(), identity: self.identity }
    }

    /// A listener for the runtime; the file goes when `self` is dropped.
    pub fn listener(&self) -> io::Result<tokio::net::UnixListener> {
        tokio::net::UnixListener::from_std(self.listener.try_clone()?)
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        if self.watched().stands() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn named(unnamed: &Path, path: &Path) -> io::Result<AdminSocket> {
    let listener = UnixListener::bind(unnamed)?;
    listener.set_nonblocking(true)?;
    fs::set_permissions(unnamed, fs::Permissions::from_mode(0o600))?;
    fs::rename(unnamed, path)?;
    Ok(AdminSocket { listener, path: path.to_owned(), identity: identity(path)? })
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

/// Whether the path may be taken.
fn free(path: &Path) -> Result<(), String> {
    let Ok(found) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !found.file_type().is_socket() {
        return Err(format!(
            "admin socket {} is no socket but another file: remove it, or name another with \
             socket = \"…\" in [admin]",
            path.display()
        ));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(format!(
            "admin socket {}: somebody else's, it seems ({error}): remove it, or name another \
             with socket = \"…\" in [admin]",
            path.display()
        )),
        Ok(_) => Err(format!(
            "another equipoise answers on {}: stop it, or name another with socket = \"…\" in \
             [admin]",
            path.display()
        )),
    }
}

/// Serves connections until it is aborted.
pub async fn serve(listener: tokio::net::UnixListener, asks: mpsc::Sender<Ask>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let awaiting = Arc::new(Semaphore::new(MAX_AWAITING));
    let mut silent = VecDeque::new();
    loop {
        let Ok(place) = room.clone().acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // Out of file descriptors, most likely: those under way must end first.
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let asking = Asking { asks: asks.clone(), awaiting: awaiting.clone() };
        let (hurry, hurried) = oneshot::channel();
        silent.retain(|hurry: &oneshot::Sender<()>| !hurry.is_closed());
        if silent.len() >= MAX_SILENT {
            silent.pop_front();
        }
        silent.push_back(hurry);
        tokio::spawn(async move {
            // A peer that left has nobody to be told.
            let _ = exchange(stream, asking, hurried).await;
            drop(place);
        });
    }
}

/// What a connection asks with.
struct Asking {
    asks: mpsc::Sender<Ask>,
    awaiting: Arc<Semaphore>,
}

/// `hurried` ends when the place is wanted by another, as long as nothing was asked.
async fn exchange(
    stream: tokio::net::UnixStream,
    asking: Asking,
    hurried: oneshot::Receiver<()>,
) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(reader.take(MAX_REQUEST as u64));
    select! {
        read = timeout(PATIENCE, reader.read_line(&mut line)) => read??,
        _ = hurried => return Ok(()),
    };
    let answer = match serde_json::from_str::<Request>(&line) {
        Ok(Request::Reload) => match asking.awaiting.clone().try_acquire_owned() {
            Ok(_place) => ask(Request::Reload, asking.asks).await,
            Err(_) => Answer::refused(vec![format!(
                "{MAX_AWAITING} others wait for a reload already: `equipoise status` tells how it \
                 goes"
            )]),
        },
        Ok(request) => ask(request, asking.asks).await,
        Err(error) => Answer::refused(vec![format!(
            "this is no request ({error}): expected a line such as {{\"command\":\"status\"}}"
        )]),
    };
    let mut text = serde_json::to_string(&answer)?;
    text.push('\n');
    timeout(PATIENCE, writer.write_all(text.as_bytes())).await?
}

async fn ask(request: Request, asks: mpsc::Sender<Ask>) -> Answer {
    let (answer, answered) = oneshot::channel();
    let ending = || Answer::refused(vec!["the process is ending".to_owned()]);
    if asks.send(Ask::Admin { request, answer }).await.is_err() {
        return ending();
    }
    answered.await.unwrap_or_else(|_| ending())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_closed_to_others_and_goes_with_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/admin.sock");
        let socket = AdminSocket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_left_behind_is_replaced_but_no_one_who_answers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        drop(UnixListener::bind(&path).unwrap());
        let first = AdminSocket::bind(&path).unwrap();
        let second = AdminSocket::bind(&path).unwrap_err();
        assert!(second.contains("another equipoise answers"), "{second}");
        assert!(UnixStream::connect(&path).is_ok());
        drop(first);
    }

    #[test]
    fn no_other_file_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        fs::write(&path, "mine").unwrap();
        assert!(AdminSocket::bind(&path).unwrap_err().contains("is no socket"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }

    #[test]
    fn a_successor_keeps_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let first = AdminSocket::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let second = AdminSocket::bind(&path).unwrap();
        drop(first);
        assert!(path.exists());
        drop(second);
    }

    #[test]
    fn a_file_that_is_gone_comes_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/admin.sock");
        let first = AdminSocket::bind(&path).unwrap();
        assert!(first.watched().renewed().is_none());
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
        let second = first.watched().renewed().unwrap().unwrap();
        drop(first);
        assert!(UnixStream::connect(&path).is_ok() && second.watched().stands());
    }

    #[test]
    fn the_longest_path_that_a_configuration_may_name_can_be_bound() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["s", "admin.sock"] {
            let mut length = 120;
            let config = loop {
                let fill = length - folder.path().as_os_str().len() - name.len() - 2;
                let path = folder.path().join("x".repeat(fill)).join(name);
                let text = format!(
                    "[listener.web]\nbind = \"0.0.0.0:80\"\n[[route]]\nrespond = {{ status = 200 }}\n\
                     [admin]\nsocket = {path:?}\n"
                );
                match crate::config::parse(&text, Path::new("e.toml")) {
                    Ok(config) => break config,
                    Err(_) => length -= 1,
                }
            };
            assert!(length >= 99, "{length}");
            drop(AdminSocket::bind(&config.admin.socket).unwrap());
        }
    }

    #[tokio::test]
    async fn who_says_nothing_keeps_nobody_from_asking() {
        let folder = tempfile::tempdir().unwrap();
        let socket = AdminSocket::bind(&folder.path().join("a.sock")).unwrap();
        let (asks, mut asked) = mpsc::channel(64);
        let server = tokio::spawn(serve(socket.listener().unwrap(), asks));
        let connect = || tokio::net::UnixStream::connect(&socket.path);
        let mut reloads = Vec::new();
        for _ in 0..MAX_AWAITING {
            let mut client = connect().await.unwrap();
            client.write_all(b"{\"command\":\"reload\"}\n").await.unwrap();
            // Unanswered: it hangs.
            reloads.push((client, asked.recv().await.unwrap()));
        }
        let mut silent = Vec::new();
        for _ in 0..3 * MAX_CONNECTIONS {
            silent.push(connect().await.unwrap());
        }
        let begun = tokio::time::Instant::now();
        for (command, expected) in [("reload", "16 others wait for a reload"), ("status", "here")] {
            let mut client = connect().await.unwrap();
            client.write_all(format!("{{\"command\":\"{command}\"}}\n").as_bytes()).await.unwrap();
            let mut answer = String::new();
            let told = client.read_to_string(&mut answer);
            select! {
                told = told => { told.unwrap(); }
                Some(Ask::Admin { answer, .. }) = asked.recv() => {
                    let _ = answer.send(Answer::done(vec!["here".to_owned()]));
                    client.read_to_string(&mut String::new()).await.unwrap();
                    continue;
                }
            }
            assert!(answer.contains(expected), "{answer}");
        }
        assert!(begun.elapsed() < PATIENCE, "nobody's patience was waited for");
        server.abort();
    }

    /// What the socket answers to these bytes.
    async fn check(sent: &[u8], expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        let socket = AdminSocket::bind(&folder.path().join("a.sock")).unwrap();
        let (asks, mut asked) = mpsc::channel(1);
        let server = tokio::spawn(serve(socket.listener().unwrap(), asks));
        tokio::spawn(async move {
            while let Some(ask) = asked.recv().await {
                if let Ask::Admin { request, answer } = ask {
                    let _ = answer.send(Answer::done(vec![format!("{request:?}")]));
                }
            }
        });
        let mut client = tokio::net::UnixStream::connect(&socket.path).await.unwrap();
        client.write_all(sent).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains(expected) && answer.ends_with('\n'), "{answer}");
        server.abort();
    }

    #[tokio::test]
    async fn a_request_is_asked_and_answered() {
        check(b"{\"command\":\"reload\"}\n", "\"ok\":true,\"words\":[\"Reload\"]").await;
    }

    #[tokio::test]
    async fn what_is_no_request_is_told_so() {
        check(b"GET / HTTP/1.1\r\n\r\n", "\"ok\":false,\"words\":[\"this is no request").await;
        check(&[b' '; MAX_REQUEST], "\"ok\":false").await;
    }
}
