//! The commands: what a person types, and the exit code that a script gets.
//!
//! - [`arguments`]: the command line, read.
//! - [`admin`]: a question to the running daemon, and its answer.
//! - [`check`]: the configuration, and the certificates it names, looked at without a daemon.
//! - [`status`]: the daemon's state as a table.
//!
//! What was asked for goes to stdout, what went wrong to stderr.

pub mod admin;
pub mod arguments;
pub mod check;
pub mod status;

use std::{
    ffi::OsString,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::SystemTime,
};

use self::{
    admin::Trouble,
    arguments::{Arguments, Command, Verdict},
};
use crate::{
    control::protocol::{Answer, Request},
    demo, server,
};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Fine,
    /// The configuration is at fault, or the command could not do what it is for.
    Finding,
    /// The command line is at fault.
    Usage,
    /// No daemon answers.
    Unreachable,
    /// The daemon answered no.
    Refused,
}

impl Outcome {
    pub fn code(self) -> u8 {
        match self {
            Outcome::Fine => 0,
            Outcome::Finding => 1,
            Outcome::Usage => 2,
            Outcome::Unreachable => 3,
            Outcome::Refused => 4,
        }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> ExitCode {
        ExitCode::from(outcome.code())
    }
}

/// Does what the command line asks for; the first argument is the program's own name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Outcome {
    match arguments::read(arguments) {
        Ok(Arguments { config, command }) => dispatch(&config, command),
        Err(verdict) => {
            let Verdict { text, outcome } = verdict;
            if outcome == Outcome::Fine {
                say(&text)
            } else {
                complain(&text)
            }
            outcome
        }
    }
}

fn dispatch(config: &Path, command: Command) -> Outcome {
    match command {
        Command::Run => serve(config),
        Command::Check => checked(config),
        Command::Reload { socket } => order(config, socket, &Request::Reload),
        Command::Drain { backend, socket } => {
            order(config, socket, &Request::Drain { backend: backend.to_string() })
        }
        Command::Weight { backend, weight, socket } => {
            let backend = backend.to_string();
            order(config, socket, &Request::Weight { backend, weight })
        }
        Command::Enable { backend, socket } => {
            order(config, socket, &Request::Enable { backend: backend.to_string() })
        }
        Command::Status { json, socket } => show_status(config, socket, json),
        Command::Demo => present_demo(),
        Command::Version => {
            say(concat!("equipoise ", env!("CARGO_PKG_VERSION")));
            Outcome::Fine
        }
    }
}

fn serve(config: &Path) -> Outcome {
    match server::run(config) {
        Ok(()) => Outcome::Fine,
        Err(error) => finding(&error.to_string()),
    }
}

fn present_demo() -> Outcome {
    match demo::run() {
        Ok(()) => Outcome::Fine,
        Err(error) => finding(&format!("the demo can't start: {error}")),
    }
}

fn checked(config: &Path) -> Outcome {
    match check::check(config, SystemTime::now()) {
        Ok(report) => {
            for warning in &report.warnings {
                complain(&format!("warning: {warning}"));
            }
            say(&report.summary);
            Outcome::Fine
        }
        Err(errors) => finding(&errors.to_string()),
    }
}

/// Asks the daemon to do something, and shows its words.
fn order(config: &Path, socket: Option<PathBuf>, request: &Request) -> Outcome {
    match ask(config, socket, request) {
        Ok((_, answer)) if answer.ok => {
            say(&answer.words.join("\n"));
            Outcome::Fine
        }
        Ok((_, answer)) => refused(&answer),
        Err(outcome) => outcome,
    }
}

fn show_status(config: &Path, socket: Option<PathBuf>, json: bool) -> Outcome {
    let (raw, answer) = match ask(config, socket, &Request::Status) {
        Ok(answered) => answered,
        Err(outcome) => return outcome,
    };
    let Some(state) = answer.status.filter(|_| answer.ok) else {
        return refused(&Answer { status: None, ..answer });
    };
    say(&if json { raw } else { status::table(&state, SystemTime::now()) });
    Outcome::Fine
}

/// The daemon's answer, as it came and as it is meant. Trouble has been told.
fn ask(
    config: &Path,
    socket: Option<PathBuf>,
    request: &Request,
) -> Result<(String, Answer), Outcome> {
    let socket = socket.unwrap_or_else(|| admin::socket_of(config));
    admin::ask(&socket, request).map_err(|trouble| {
        complain(&format!("error: {trouble}"));
        match trouble {
            Trouble::Unreachable(_) => Outcome::Unreachable,
            Trouble::Misunderstood(_) => Outcome::Refused,
        }
    })
}

fn refused(answer: &Answer) -> Outcome {
    complain(&format!("refused, nothing has changed:\n{}", answer.words.join("\n")));
    Outcome::Refused
}

fn finding(text: &str) -> Outcome {
    complain(text);
    Outcome::Finding
}

/// A reader that has gone away, as of `equipoise status | head`, is no error.
fn say(text: &str) {
    drop(writeln!(io::stdout(), "{}", text.trim_end()));
}

fn complain(text: &str) {
    drop(writeln!(io::stderr(), "{}", text.trim_end()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_a_promise_to_scripts() {
        use Outcome::*;
        let codes = [Fine, Finding, Usage, Unreachable, Refused].map(Outcome::code);
        assert_eq!(codes, [0, 1, 2, 3, 4]);
    }
}
