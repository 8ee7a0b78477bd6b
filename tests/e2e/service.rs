//! The process among its own: signals, systemd, the commands and their exit codes.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::{fs::OpenOptionsExt, net::UnixDatagram},
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags, fcntl_setfl, mknodat},
    process::{Pid, Signal, kill_process},
};

use crate::harness::{
    BINARY, Client, DEADLINE, Daemon, ONE_BACKEND, Origin, Output, Setup, equipoise, free_port,
    get, request, run, wait_until,
};

/// Sends half of its answer, and the rest once the gate is open.
fn two_halves() -> (Arc<AtomicBool>, Origin) {
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    let origin = Origin::start(move |peer| {
        while peer.request().is_some() {
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
            wait_until(DEADLINE, "the gate", || gate.load(Ordering::SeqCst));
            peer.write("hello");
        }
    });
    (open, origin)
}

#[test]
fn term_drains() {
    let (open, origin) = two_halves();
    let mut daemon = Setup::of(ONE_BACKEND).with("origin", origin.address()).start();
    let web = daemon.address("web");
    let mut download = Client::connect(web);
    download.send(request("/"));
    assert_eq!(download.answer_head().status, 200);
    daemon.signal(Signal::TERM);
    wait_until(DEADLINE, "/readyz to say so", || daemon.probe("/readyz") == Some(503));
    wait_until(DEADLINE, "new connections to be refused", || Client::try_connect(web).is_err());
    assert!(daemon.process().is_running(), "it waits for the download");
    open.store(true, Ordering::SeqCst);
    assert_eq!(download.take(10), Ok(b"hellohello".to_vec()));
    assert!(download.sees_close());
    assert_eq!(daemon.wait_exit(), 0);
}

#[test]
fn an_answer_that_begins_in_a_drain_says_close() {
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    let origin = Origin::start(move |peer| {
        while peer.request().is_some() {
            wait_until(DEADLINE, "the gate", || gate.load(Ordering::SeqCst));
            peer.answer(200, "ok");
        }
    });
    let mut daemon = Setup::of(ONE_BACKEND).with("origin", origin.address()).start();
    let mut client = Client::connect(daemon.address("web"));
    client.send(request("/"));
    wait_until(DEADLINE, "the request to be under way", || origin.requests() == 1);
    daemon.signal(Signal::TERM);
    wait_until(DEADLINE, "/readyz to say so", || daemon.probe("/readyz") == Some(503));
    open.store(true, Ordering::SeqCst);
    let answer = client.answer();
    assert_eq!((answer.text().as_str(), answer.closes()), ("ok", true));
    assert!(client.sees_close());
    assert_eq!(daemon.wait_exit(), 0);
}

#[test]
fn a_drain_ends_with_its_deadline() {
    let (_closed, origin) = two_halves();
    let config = format!("drain_timeout = \"300ms\"\n{ONE_BACKEND}");
    let mut daemon = Setup::of(&config).with("origin", origin.address()).start();
    let mut download = Client::connect(daemon.address("web"));
    download.send(request("/"));
    assert_eq!(download.answer_head().status, 200);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait_exit(), 0);
    assert!(download.take(10).is_err(), "the client can tell that it was cut");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for second in [Signal::TERM, Signal::INT] {
        let (_closed, origin) = two_halves();
        let config = format!("drain_timeout = \"1h\"\n{ONE_BACKEND}");
        let mut daemon = Setup::of(&config).with("origin", origin.address()).start();
        let mut download = Client::connect(daemon.address("web"));
        download.send(request("/"));
        assert_eq!(download.answer_head().status, 200);
        daemon.signal(Signal::TERM);
        wait_until(DEADLINE, "the drain", || daemon.probe("/readyz") == Some(503));
        daemon.signal(second);
        daemon.wait_exit();
    }
}

#[test]
fn an_idle_daemon_ends_soon_though_its_deadline_is_far() {
    let origin = Origin::answering("ok");
    let config = format!("drain_timeout = \"1h\"\n{ONE_BACKEND}");
    let mut daemon = Setup::of(&config).with("origin", origin.address()).start();
    let mut kept = Client::connect(daemon.address("web"));
    assert_eq!(kept.get("/").text(), "ok");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait_exit(), 0);
}

/// systemd's end of the notify protocol (sd_notify(3)).
struct Manager {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Manager {
    fn listen(path: &Path) -> Manager {
        let socket = UnixDatagram::bind(path).expect("a free path");
        socket.set_read_timeout(Some(DEADLINE)).expect("a time");
        Manager { socket, heard: Vec::new() }
    }

    /// The first message from now on with such a line.
    #[track_caller]
    fn wait_for(&mut self, line: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            let length = self.socket.recv(&mut buffer);
            let length = length.unwrap_or_else(|_| panic!("no {line} among {:?}", self.heard));
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            self.heard.push(message.clone());
            if message.lines().any(|heard| heard.starts_with(line)) {
                return message;
            }
        }
    }
}

#[test]
fn systemd_is_told_what_happens() {
    let origin = Origin::answering("ok");
    let setup = Setup::of(ONE_BACKEND).with("origin", origin.address());
    let path = setup.dir().join("notify");
    let mut manager = Manager::listen(&path);
    let mut daemon = setup
        .environment("NOTIFY_SOCKET", path.display())
        .environment("WATCHDOG_USEC", 1_000_000)
        .spawn();
    let ready = manager.wait_for("READY=1");
    assert!(!ready.contains("RELOADING"), "{ready}");
    assert_eq!(get(daemon.address("web"), "/").text(), "ok", "ready means that it serves");
    manager.wait_for("WATCHDOG=1");
    manager.wait_for("WATCHDOG=1");

    daemon.signal(Signal::HUP);
    let reloading = manager.wait_for("RELOADING=1");
    let clock = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    assert!(clock.is_some_and(|clock| clock.parse::<u64>().is_ok()), "{reloading}");
    manager.wait_for("READY=1");

    daemon.rewrite("nonsense = true");
    daemon.signal(Signal::HUP);
    manager.wait_for("RELOADING=1");
    let refused = manager.wait_for("READY=1");
    let status = if refused.contains("STATUS=") { refused } else { manager.wait_for("STATUS=") };
    assert!(status.contains("nonsense") || status.contains("refused"), "{status}");

    daemon.signal(Signal::TERM);
    manager.wait_for("STOPPING=1");
    assert_eq!(daemon.wait_exit(), 0);
}

/// The signals that a process handles itself, as proc(5) tells them.
fn handled_signals(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("a mask");
    u64::from_str_radix(mask.trim(), 16).expect("hexadecimal digits")
}

#[test]
fn a_reload_asked_for_during_the_start_is_made_after_it() {
    let setup = Setup::of(
        r#"
        [listener.web]
        bind = ["$web"]
        [[route]]
        respond = { status = 200 }
        [access_log]
        to = "$dir/access.log"
        "#,
    );
    // The start hangs until somebody reads its access log, which is a pipe.
    let path = setup.dir().join("access.log");
    mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).expect("a writable folder");
    let mut daemon = setup.spawn();
    let pid = daemon.process().pid();
    let hup = 1 << (Signal::HUP.as_raw() - 1);
    wait_until(DEADLINE, "HUP to be heard", || handled_signals(pid) & hup != 0);
    daemon.signal(Signal::HUP);
    // Without waiting for the writer, which may not have come so far.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let reader = OpenOptions::new().read(true).custom_flags(flags).open(&path);
    let _reader = reader.expect("the pipe");
    wait_until(DEADLINE, "/readyz", || daemon.is_ready());
    wait_until(DEADLINE, "the reload", || {
        daemon.metric("equipoise_reloads_total", &[("result", "applied")]) == 1.0
    });
}

#[test]
fn sockets_of_systemd_are_taken() {
    let origin = Origin::answering("ok");
    // Connections may queue on it before the daemon runs.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let web = listener.local_addr().expect("bound");
    let mut early = Client::connect(web);
    early.send(request("/"));
    let setup = Setup::of(ONE_BACKEND).with("origin", origin.address()).with("web", web);
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"", "sh"])
        .args([BINARY, "run", "--config"])
        .stdin(std::os::fd::OwnedFd::from(listener));
    let daemon = setup.spawn_as(&mut command);
    assert_eq!(early.answer().text(), "ok", "it was in the queue of that very socket");
    wait_until(DEADLINE, "/readyz", || daemon.is_ready());
    assert_eq!(get(web, "/").text(), "ok");
    daemon.reload();
    assert_eq!(get(web, "/").text(), "ok");
}

/// The unit with the binary that is tested in the place of the installed one.
fn unit(folder: &Path) -> std::path::PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/systemd/equipoise.service");
    let text = fs::read_to_string(source).expect("the unit is part of the project");
    let with_binary = |line: &str| match line.split_once('=') {
        Some((key @ ("ExecStart" | "ExecStartPre" | "ExecReload"), command)) => {
            let arguments = command.split_once(' ').map_or("", |(_, arguments)| arguments);
            format!("{key}={BINARY} {arguments}\n")
        }
        _ => format!("{line}\n"),
    };
    let path = folder.join("equipoise.service");
    let text: String = text.lines().map(with_binary).collect();
    fs::write(&path, text).expect("a writable folder");
    path
}

#[test]
fn the_unit_is_sound_by_systemd_analyze() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = unit(folder.path());
    let verified = run(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path));
    assert_eq!(verified.code, 0, "{verified:?}");
    // systemd before 253 doesn't know notify-reload, says so, and keeps the line before it.
    let words = verified.words();
    let complaint = words
        .lines()
        .find(|line| line.contains("equipoise.service") && !line.contains("notify-reload"));
    assert_eq!(complaint, None);
}

#[test]
fn the_unit_is_a_sandbox_by_systemd_analyze() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = unit(folder.path());
    let judged = run(Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=14", "--no-pager"])
        .arg(&path));
    let level = judged
        .stdout
        .lines()
        .find_map(|line| line.split_once("Overall exposure level for equipoise.service: "))
        .and_then(|(_, rest)| rest.split(' ').next()?.parse::<f64>().ok())
        .expect("a level");
    assert!(level <= 1.4, "{level}: {}", judged.stdout);
    assert_eq!(judged.code, 0, "{judged:?}");
}

/// Runs `check` on a file with this text.
fn check(text: &str) -> Output {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("equipoise.toml");
    fs::write(&path, text).expect("a writable folder");
    equipoise(&["check", "--config", path.to_str().expect("UTF-8")])
}

const SOUND: &str = r#"
[listener.web]
bind = ["127.0.0.1:8080"]
[[route]]
pool = "app"
[pool.app]
backends = ["127.0.0.1:9001"]
"#;

#[test]
fn check_takes_a_sound_file_and_says_what_is_watched_passively_only() {
    let output = check(SOUND);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.words().contains("app") && output.words().contains("health"), "{output:?}");
}

#[test]
fn check_tells_all_errors_at_once_with_their_places() {
    let text = r#"workres = 2
[listener.web]
bind = ["127.0.0.1:8080"]
timeouts = { header = "5 parsecs" }
[[route]]
pool = "ap"
[pool.app]
backends = ["127.0.0.1:99999"]
balance = "least-conections"
"#;
    let output = check(text);
    assert_eq!(output.code, 1, "{output:?}");
    let words = output.words();
    for line in [1, 4, 6, 8, 9] {
        assert!(words.contains(&format!("equipoise.toml:{line}:")), "line {line}: {words}");
    }
    for expected in ["workers", "5 parsecs", "app", "127.0.0.1:99999", "least-connections", "^"] {
        assert!(words.contains(expected), "{expected:?} is not in {words}");
    }
}

#[test]
fn check_opens_the_certificates() {
    let text = SOUND.replace(
        "[[route]]",
        "certificates = [{ cert = \"not-there.crt\", key = \"not-there.key\" }]\n[[route]]",
    );
    let output = check(&text);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.words().contains("not-there.crt"), "{output:?}");
    assert!(output.words().contains("equipoise.toml:4:"), "{output:?}");
}

#[test]
fn check_has_the_names_that_people_try() {
    for arguments in [["validate", "--config"], ["-t", "--config"]] {
        let [command, flag] = arguments;
        let output = equipoise(&[command, flag, "/nonexistent/equipoise.toml"]);
        assert_eq!(output.code, 1, "{command}: {output:?}");
        assert!(output.words().contains("/nonexistent/equipoise.toml"), "{output:?}");
    }
}

#[test]
fn exit_codes_tell_what_is_wrong() {
    for (arguments, code) in [
        (vec!["version"], 0),
        (vec!["--help"], 0),
        (vec!["fly"], 2),
        (vec!["run", "--wings"], 2),
        (vec!["drain"], 2),
        (vec!["check", "--config", "/nonexistent"], 1),
        (vec!["run", "--config", "/nonexistent"], 1),
    ] {
        let output = equipoise(&arguments);
        assert_eq!(output.code, code, "{arguments:?}: {output:?}");
    }
    let version = equipoise(&["version"]);
    assert!(version.stdout.contains(env!("CARGO_PKG_VERSION")), "{version:?}");
}

#[test]
fn a_command_without_a_daemon_is_3() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("equipoise.toml");
    let socket = folder.path().join("admin.sock");
    let text = format!("{SOUND}\n[admin]\nsocket = \"{}\"\n", socket.display());
    fs::write(&path, text).expect("a writable folder");
    let path = path.to_str().expect("UTF-8");
    for command in [
        vec!["reload"],
        vec!["status"],
        vec!["drain", "app/127.0.0.1:9001"],
        vec!["enable", "app/127.0.0.1:9001"],
    ] {
        let output = equipoise(&[command.as_slice(), &["--config", path]].concat());
        assert_eq!(output.code, 3, "{command:?}: {output:?}");
        assert!(output.words().contains("admin.sock"), "{output:?}");
    }
}

#[test]
fn a_port_that_is_taken_ends_the_start_with_its_address() {
    let origin = Origin::answering("ok");
    let setup = Setup::of(ONE_BACKEND).with("origin", origin.address());
    let mut daemon: Daemon = setup.with("web", origin.address()).spawn();
    assert_eq!(daemon.wait_exit(), 1);
    daemon.wait_for_log(&origin.address().to_string());
}

#[test]
fn a_log_that_nobody_reads_holds_nothing_up() {
    let (port, dir) = (free_port(), tempfile::tempdir().expect("a temporary folder"));
    let config = format!(
        "workers = 1\n[listener.web]\nbind = \"127.0.0.1:{port}\"\n[admin]\nsocket = \"admin.sock\"\n\
         [[route]]\nrespond = {{ status = 200, body = \"on and on\" }}\n"
    );
    let file = dir.path().join("equipoise.toml");
    fs::write(&file, config).expect("a file");
    let file = file.to_str().expect("a path in UTF-8");
    let (_unread, mut full) = io::pipe().expect("a pipe");
    fcntl_setfl(&full, OFlags::NONBLOCK).expect("a pipe that doesn't wait");
    while full.write(&[b'\n'; 4096]).is_ok() {}
    fcntl_setfl(&full, OFlags::empty()).expect("a pipe that waits");
    let mut command = Command::new(BINARY);
    let mut daemon = command.args(["run", "-c", file]).stderr(full).spawn().expect("it starts");
    let web = SocketAddr::from(([127, 0, 0, 1], port));
    wait_until(DEADLINE, "it to listen", || TcpStream::connect(web).is_ok());
    assert_eq!(get(web, "/").text(), "on and on");
    for _ in 0..3 {
        assert_eq!(equipoise(&["reload", "-c", file]).code, 0);
    }
    assert_eq!(get(web, "/").text(), "on and on");
    let pid = i32::try_from(daemon.id()).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, Signal::TERM).expect("it runs");
    let mut code = None;
    wait_until(DEADLINE, "it to end", || {
        code = daemon.try_wait().expect("a child");
        code.is_some()
    });
    assert_eq!(code.and_then(|status| status.code()), Some(0));
}

#[test]
fn an_admin_socket_whose_file_is_gone_comes_again() {
    let origin = Origin::answering("ok");
    let daemon = Setup::of(ONE_BACKEND).with("origin", origin.address()).start();
    let socket = daemon.dir().join("admin.sock");
    fs::remove_file(&socket).expect("it is there");
    assert_eq!(daemon.command(&["status"]).code, 3);
    daemon.hang_up();
    assert_eq!(daemon.command(&["status"]).code, 0, "a reload brings it back");
    fs::remove_file(&socket).expect("it is there");
    wait_until(DEADLINE, "it to come by itself", || daemon.command(&["status"]).code == 0);
    daemon.wait_for_log("the admin socket's file was gone: it is there again");
}

#[test]
fn a_socket_that_the_file_says_now_and_the_daemon_does_not_yet() {
    let origin = Origin::answering("ok");
    let mut daemon = Setup::of(ONE_BACKEND).with("origin", origin.address()).start();
    let moved =
        ONE_BACKEND.replace("[listener.web]", "[admin]\nsocket = \"b.sock\"\n[listener.web]");
    daemon.rewrite(&moved);
    let output = daemon.command(&["reload"]);
    assert_eq!(output.code, 3, "{output:?}");
    assert!(output.words().contains("the daemon still listens where it said before"), "{output:?}");
    daemon.hang_up();
    assert_eq!(daemon.command(&["status"]).code, 0);
}
