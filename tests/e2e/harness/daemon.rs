//! The real binary as a process.

use std::{
    collections::BTreeMap,
    fmt::Display,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::process::Signal;
use tempfile::TempDir;

use super::{
    Answer, Client, DEADLINE, Metrics, free_port,
    process::{BINARY, Output, Process, equipoise},
    wait_until,
};

/// One listener, one pool, one backend that is never held to be down: `$web` and `$origin`.
pub const ONE_BACKEND: &str = r#"
    [listener.web]
    bind = ["$web"]
    [[route]]
    pool = "app"
    [pool.app]
    backends = ["$origin"]
    passive = { fall = 0 }
"#;

/// A daemon to be. In its configuration `$dir` is a folder of its own, `$name` a value given by
/// `with`, and any other `$name` a free address of 127.0.0.1. Metrics and admin socket are added
/// where the configuration has none.
pub struct Setup {
    config: String,
    dir: TempDir,
    values: BTreeMap<String, String>,
    environment: Vec<(String, String)>,
}

impl Setup {
    pub fn of(config: &str) -> Setup {
        Setup {
            config: config.to_owned(),
            dir: tempfile::tempdir().expect("a temporary folder"),
            values: BTreeMap::new(),
            environment: Vec::new(),
        }
    }

    pub fn with(mut self, name: &str, value: impl Display) -> Setup {
        self.values.insert(name.to_owned(), value.to_string());
        self
    }

    pub fn environment(mut self, name: &str, value: impl Display) -> Setup {
        self.environment.push((name.to_owned(), value.to_string()));
        self
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Runs until it says that it is ready.
    #[track_caller]
    pub fn start(self) -> Daemon {
        let daemon = self.start_unready();
        wait_until(DEADLINE, "/readyz", || daemon.is_ready());
        daemon
    }

    /// Runs until it lives: probes may still be out.
    #[track_caller]
    pub fn start_unready(self) -> Daemon {
        let mut daemon = self.spawn();
        wait_until(DEADLINE, "/healthz", || {
            assert!(daemon.process.is_running(), "the daemon ended");
            daemon.probe("/healthz") == Some(200)
        });
        daemon
    }

    /// The process, whatever becomes of it.
    pub fn spawn(self) -> Daemon {
        let mut command = Command::new(BINARY);
        command.args(["run", "--config"]).stdin(Stdio::null());
        self.spawn_as(&mut command)
    }

    /// The process as another command starts it, to which the configuration's path is added.
    pub fn spawn_as(self, command: &mut Command) -> Daemon {
        let mut placeholders = Placeholders { dir: self.dir, values: self.values };
        let config_path = placeholders.write(&self.config);
        let command = command.arg(&config_path).envs(self.environment);
        Daemon { process: Process::start_with_input(command), config_path, placeholders }
    }
}

pub struct Daemon {
    // Before the folder, so that the process ends first.
    process: Process,
    config_path: PathBuf,
    placeholders: Placeholders,
}

/// What `$dir` and `$name` stand for.
struct Placeholders {
    dir: TempDir,
    values: BTreeMap<String, String>,
}

impl Daemon {
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    pub fn dir(&self) -> &Path {
        self.placeholders.dir.path()
    }

    /// The address that a `$name` of the configuration stands for.
    #[track_caller]
    pub fn address(&self, name: &str) -> SocketAddr {
        let value = self.placeholders.values.get(name);
        let value = value.expect("the configuration names it");
        value.parse().expect("an address")
    }

    /// Replaces the file; nothing else happens.
    pub fn rewrite(&mut self, config: &str) {
        self.placeholders.write(config);
    }

    /// Waits for a count: what an answer was is counted when it has been written, so that its reader
    /// can be here first.
    #[track_caller]
    pub fn wait_for_metric(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        wait_until(DEADLINE, &format!("{name} {labels:?} to be {value}"), || {
            self.metric(name, labels) == value
        });
    }

    /// Runs a command of the binary with this daemon's configuration.
    pub fn command(&self, arguments: &[&str]) -> Output {
        let path = self.config_path.to_str().expect("a path in UTF-8");
        equipoise(&[arguments, &["--config", path]].concat())
    }

    /// `equipoise reload`, which must be taken.
    #[track_caller]
    pub fn reload(&self) {
        let output = self.command(&["reload"]);
        assert_eq!(output.code, 0, "{}", output.words());
    }

    /// SIGHUP, and until it has shown: a reload that was applied, or refused.
    #[track_caller]
    pub fn hang_up(&self) {
        let reloads = "equipoise_reloads_total";
        let before = self.metric(reloads, &[]);
        self.signal(Signal::HUP);
        wait_until(DEADLINE, "the reload", || self.metric(reloads, &[]) > before);
    }

    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    #[track_caller]
    pub fn wait_exit(&mut self) -> i32 {
        self.process.wait_exit()
    }

    #[track_caller]
    pub fn wait_for_log(&self, text: &str) -> String {
        self.process.wait_for_log(text)
    }

    pub fn log(&self) -> Vec<String> {
        self.process.log()
    }

    pub fn is_ready(&self) -> bool {
        self.probe("/readyz") == Some(200)
    }

    /// The status of a path of the metrics address; `None` when it does not answer.
    pub fn probe(&self, path: &str) -> Option<u16> {
        self.ask(path).map(|answer| answer.status)
    }

    #[track_caller]
    pub fn metrics(&self) -> Metrics {
        Metrics::parse(&self.metrics_text())
    }

    #[track_caller]
    pub fn metrics_text(&self) -> String {
        let answer = self.ask("/metrics").expect("the metrics address answers");
        assert_eq!(answer.status, 200);
        answer.text()
    }

    /// A sum of samples, scraped now.
    #[track_caller]
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.metrics().sum(name, labels)
    }

    /// Resident memory, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.pid()));
        let status = status.expect("the process runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kibibytes = line.and_then(|line| line.split_whitespace().nth(1));
        let kibibytes: u64 = kibibytes.and_then(|number| number.parse().ok()).expect("VmRSS in kB");
        kibibytes << 10
    }

    fn ask(&self, path: &str) -> Option<Answer> {
        let mut client = Client::try_connect(self.address("metrics")).ok()?;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        client.try_send(request).ok()?;
        client.try_answer().ok()
    }
}

impl Placeholders {
    /// Writes the configuration, filled in, and gives its path.
    fn write(&mut self, config: &str) -> PathBuf {
        let mut config = config.to_owned();
        if !config.contains("[metrics]") {
            config.push_str("\n[metrics]\nbind = \"$metrics\"\n");
        }
        if !config.contains("[admin]") {
            config.push_str("\n[admin]\nsocket = \"$dir/admin.sock\"\n");
        }
        let path = self.dir.path().join("equipoise.toml");
        fs::write(&path, self.fill(&config)).expect("the test's folder is writable");
        path
    }

    fn fill(&mut self, config: &str) -> String {
        let mut pieces = config.split('$');
        let mut filled = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let end = piece.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let (name, rest) = piece.split_at(end.unwrap_or(piece.len()));
            filled.push_str(&self.value(name));
            filled.push_str(rest);
        }
        filled
    }

    fn value(&mut self, name: &str) -> String {
        if name == "dir" {
            return self.dir.path().display().to_string();
        }
        let value = self.values.entry(name.to_owned());
        value.or_insert_with(|| format!("127.0.0.1:{}", free_port())).clone()
    }
}
