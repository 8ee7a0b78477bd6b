//! A process of the binary, and what it says.

use std::{
    io::{BufRead, BufReader, Read},
    os::unix::process::ExitStatusExt,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use rustix::process::{Pid, Signal, kill_process};

use super::{DEADLINE, wait_until};

pub const BINARY: &str = env!("CARGO_BIN_EXE_equipoise");

/// What a command said.
#[derive(Debug)]
pub struct Output {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a command that ends by itself.
pub fn equipoise(arguments: &[&str]) -> Output {
    run(Command::new(BINARY).args(arguments))
}

/// Runs any program that ends by itself.
pub fn run(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| {
        panic!("{command:?}: {error}: tests/run installs what the tests need")
    });
    Output {
        code: output.status.code().expect("no signal ended it"),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Output {
    /// Both streams: where the words stand is not what most tests are about.
    pub fn words(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// A process that runs until it is told to end; dropped, it is killed.
pub struct Process {
    child: Child,
    log: Lines,
    output: Lines,
}

impl Process {
    pub fn start(command: &mut Command) -> Process {
        let command = command.stdin(Stdio::null());
        Process::start_with_input(command)
    }

    /// With the standard input that the command has.
    pub fn start_with_input(command: &mut Command) -> Process {
        let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().expect("the binary starts");
        let (log, output) = (Lines::default(), Lines::default());
        log.follow(child.stderr.take().expect("piped"));
        output.follow(child.stdout.take().expect("piped"));
        Process { child, log, output }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process id"), signal).expect("the process runs");
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_none()
    }

    /// Waits for the end, and gives the exit code; a signal's number is negative.
    #[track_caller]
    pub fn wait_exit(&mut self) -> i32 {
        let mut status = None;
        wait_until(DEADLINE, "the process's end", || {
            status = self.child.try_wait().expect("a child of ours");
            status.is_some()
        });
        let status = status.expect("it has ended");
        status.code().unwrap_or_else(|| -status.signal().unwrap_or(0))
    }

    /// Lines of standard error.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().clone()
    }

    /// Lines of standard output.
    pub fn output(&self) -> Vec<String> {
        self.output.lock().clone()
    }

    /// The first line of standard error with this text.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) -> String {
        self.log.wait_for(text)
    }

    /// The first line of standard output with this text.
    #[track_caller]
    pub fn wait_for_output(&self, text: &str) -> String {
        self.output.wait_for(text)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("what the process said:\n{}", self.log().join("\n"));
        }
    }
}

/// The lines that a process has written so far.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn follow(&self, pipe: impl Read + Send + 'static) {
        let lines = self.clone();
        thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while matches!(pipe.read_until(b'\n', &mut line), Ok(length) if length > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                lines.lock().push(text);
                line.clear();
            }
        });
    }

    #[track_caller]
    fn wait_for(&self, text: &str) -> String {
        let mut found = None;
        wait_until(DEADLINE, &format!("a line with {text:?}"), || {
            found = self.lock().iter().find(|line| line.contains(text)).cloned();
            found.is_some()
        });
        found.expect("found above")
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
