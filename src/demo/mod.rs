//! `equipoise demo`: the main job with no set-up, for a newcomer to look at and to break.
//!
//! The data path and the control plane are the real ones, run as `equipoise run` runs them on a
//! configuration as a person would write it. Only what stands around them is the demo's own:
//!
//! - [`ports`]: the usual ones, or the next that are free.
//! - [`folder`]: certificate and configuration, in a folder that goes at the end.
//! - [`backends`]: three small web servers that can be made sick.
//! - [`load`]: a gentle load, so that there is something to see.
//! - [`live`]: requests and verdict of each backend, as they change.

mod backends;
mod folder;
mod live;
mod load;
mod ports;

use std::{
    env,
    error::Error,
    io::{self, Write},
    net::SocketAddr,
    path::{self, Path, PathBuf},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
    task::{LocalSet, spawn_local},
};

use self::{
    backends::Backend,
    folder::Folder,
    load::{Caller, Tally},
    ports::Doors,
};
use crate::{cli::status::columns, server::Server};

/// Runs until TERM or INT has drained it.
///
/// # Errors
/// A port, the temporary folder or a thread can't be had.
pub fn run() -> Result<(), Box<dyn Error>> {
    let (backends, mut notes) = backends::listen()?;
    let addresses: Vec<SocketAddr> = backends.iter().map(Backend::address).collect();
    let (doors, folder, server) = prepare(&addresses, &mut notes)?;
    let caller = |_| Caller::new(doors.https, &folder.certificate());
    let callers = (0..load::CALLERS).map(caller).collect::<io::Result<Vec<Caller>>>()?;

    welcome(&doors, &addresses, &folder, &notes);
    let tally = Arc::new(Tally::default());
    let around = Around::start(backends, callers, tally.clone())?;
    let screen = Screen::start(&folder, tally)?;
    let served = server.serve();
    screen.stop();
    around.stop();
    served?;
    drop(folder);
    println!("drained, and tidied up");
    Ok(())
}

/// How often the next free ports are looked for.
const MAX_TRIES: usize = 5;

/// Binds the doors. Between finding a port free and binding it, another process may take it: then
/// the next are tried.
fn prepare(
    backends: &[SocketAddr],
    notes: &mut Vec<String>,
) -> Result<(Doors, Folder, Server), Box<dyn Error>> {
    let mut tries = 0;
    loop {
        let (doors, more) = ports::doors()?;
        let folder = Folder::write(&doors, backends)?;
        tries += 1;
        match Server::prepare(&folder.config()) {
            Ok(server) => {
                notes.extend(more);
                return Ok((doors, folder, server));
            }
            Err(failure) if tries == MAX_TRIES => return Err(failure.into()),
            Err(_) => {}
        }
    }
}

/// What stands around the data path: the backends before it, the callers behind it.
struct Around {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Around {
    fn start(
        backends: Vec<Backend>,
        callers: Vec<Caller>,
        tally: Arc<Tally>,
    ) -> io::Result<Around> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("demo".to_owned()).spawn(move || {
            LocalSet::new().block_on(&runtime, async {
                backends.into_iter().for_each(|backend| drop(spawn_local(answer(backend))));
                for caller in callers {
                    spawn_local(call(caller, tally.clone()));
                }
                // Whether a word comes or the sender goes, it is the end.
                drop(stopped.await);
            });
        })?;
        Ok(Around { stop, thread })
    }

    fn stop(self) {
        drop(self.stop);
        drop(self.thread.join());
    }
}

async fn answer(backend: Backend) {
    let address = backend.address();
    if let Err(error) = backends::serve(backend).await {
        eprintln!("the backend {address} has ended: {error}");
    }
}

/// The load ends where the drain begins: a door that closes is no failed request.
async fn call(caller: Caller, tally: Arc<Tally>) {
    tokio::select! {
        biased;
        () = interrupted() => {}
        () = caller.call_on(tally) => {}
    }
}

async fn interrupted() {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// The live line, on a thread of its own.
struct Screen {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Screen {
    fn start(folder: &Folder, tally: Arc<Tally>) -> io::Result<Screen> {
        let socket = folder.socket();
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("live line".to_owned())
            .spawn(move || live::show(&socket, &tally, &stopped))?;
        Ok(Screen { stop, thread })
    }

    fn stop(self) {
        drop(self.stop);
        drop(self.thread.join());
    }
}

/// What runs, and what to type. A reader that has gone away is no reason to end the demo.
fn welcome(doors: &Doors, backends: &[SocketAddr], folder: &Folder, notes: &[String]) {
    let text = welcome_text(doors, backends, &Places::of(folder), notes);
    let mut out = io::stdout();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// What the printed commands name.
struct Places {
    program: PathBuf,
    config: PathBuf,
    certificate: PathBuf,
}

impl Places {
    fn of(folder: &Folder) -> Places {
        let typed = env::args_os().next().unwrap_or_else(|| "equipoise".into());
        Places {
            program: from_anywhere(Path::new(&typed)),
            config: folder.config(),
            certificate: folder.certificate(),
        }
    }
}

/// The other terminal may stand in another folder. What was found by PATH is found there, too.
fn from_anywhere(program: &Path) -> PathBuf {
    let found_by_path = program.components().count() == 1;
    let absolute = if found_by_path { None } else { path::absolute(program).ok() };
    absolute.unwrap_or_else(|| program.to_owned())
}

/// A path as one word of a shell.
fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+,@".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

fn welcome_text(
    doors: &Doors,
    backends: &[SocketAddr],
    places: &Places,
    notes: &[String],
) -> String {
    let Doors { https, http, metrics } = doors;
    let Places { program, config, certificate } = places;
    let (program, config, certificate) = (word(program), word(config), word(certificate));
    let all: Vec<String> = backends.iter().map(ToString::to_string).collect();
    let patient = &all[all.len() / 2];
    let started = [
        ("https", format!("https://localhost:{}", https.port())),
        ("http", format!("http://localhost:{}  redirects to https", http.port())),
        ("backends", all.join("  ")),
        ("metrics", format!("http://{metrics}/metrics")),
        ("config", config.clone()),
        (
            "load",
            format!(
                "{} requests a second of the demo's own, through https",
                load::REQUESTS_PER_SECOND
            ),
        ),
    ];
    let typed = [
        ("ask", format!("curl --cacert {certificate} https://{https}/")),
        ("sicken", format!("curl -X POST http://{patient}/sick")),
        ("heal", format!("curl -X POST http://{patient}/well")),
        ("look", format!("{program} status -c {config}")),
        ("check", format!("{program} check -c {config}")),
        ("end", "Ctrl-C".to_owned()),
    ];
    let row = |(name, value): (&str, String)| [name.to_owned(), value];
    let notes: String = notes.iter().map(|note| format!("{note}\n")).collect();
    format!(
        "{notes}equipoise runs before three small backends\n\n{}\nin another terminal\n\n{}\n\
         each backend's port, verdict and requests\n\n",
        columns(started.map(row)),
        columns(typed.map(row)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_commands_work_in_any_folder_and_shell() {
        assert_eq!(from_anywhere(Path::new("equipoise")), Path::new("equipoise"));
        assert!(from_anywhere(Path::new("target/debug/equipoise")).is_absolute());
        assert_eq!(word(Path::new("/tmp/d-1/demo.crt")), "/tmp/d-1/demo.crt");
        assert_eq!(word(Path::new("/it's a/b")), r"'/it'\''s a/b'");
    }

    #[test]
    fn the_table_holds_addresses_commands_and_what_was_taken() {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let doors = Doors { https: local(8444), http: local(8080), metrics: local(9180) };
        let places = Places {
            program: "/my house/equipoise".into(),
            config: "/tmp/d/equipoise.toml".into(),
            certificate: "/tmp/d/demo.crt".into(),
        };
        let backends = [local(9101), local(9102), local(9103)];
        let notes = ["port 8443 is taken: using 8444".to_owned()];
        let text = welcome_text(&doors, &backends, &places, &notes);
        for expected in [
            "port 8443 is taken: using 8444\n",
            "  curl --cacert /tmp/d/demo.crt https://127.0.0.1:8444/\n",
            "  curl -X POST http://127.0.0.1:9102/sick\n",
            "  '/my house/equipoise' check -c /tmp/d/equipoise.toml\n",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
    }
}
