//! The command line, read: words in, a command or a verdict out.

use std::{ffi::OsString, fmt, path::PathBuf, str::FromStr};

use clap::{CommandFactory, Parser, Subcommand, error::ErrorKind};

use crate::{cli::Outcome, config::Address};

/// What a person asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Arguments {
    pub config: PathBuf,
    pub command: Command,
}

/// Nothing is to be done: the text that says why, or that was asked for.
#[derive(Debug)]
pub struct Verdict {
    pub text: String,
    /// `Fine` for `--help` and `--version`, else `Usage`.
    pub outcome: Outcome,
}

#[derive(Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Serve until TERM or INT: drain, then exit. HUP reloads, USR1 reopens log files
    Run,
    /// Tell all errors of the configuration, open its certificates; nothing is served
    #[command(visible_alias = "validate")]
    Check,
    /// Have the daemon read its configuration again; wait for its verdict
    Reload {
        #[arg(long, value_name = "PATH", help = SOCKET_HELP)]
        socket: Option<PathBuf>,
    },
    /// Show listeners, pools and backends as the daemon holds them now
    Status {
        /// The daemon's answer as it came
        #[arg(long)]
        json: bool,
        #[arg(long, value_name = "PATH", help = SOCKET_HELP)]
        socket: Option<PathBuf>,
    },
    /// Take a backend out of use; what is in flight goes on
    Drain {
        #[arg(value_name = "POOL/BACKEND", help = BACKEND_HELP)]
        backend: BackendName,
        #[arg(long, value_name = "PATH", help = SOCKET_HELP)]
        socket: Option<PathBuf>,
    },
    /// Change a backend's share of the traffic, until the file says another; 0: no new clients
    Weight {
        #[arg(value_name = "POOL/BACKEND", help = WEIGHED_HELP)]
        backend: BackendName,
        /// 0 to 256; the file's own takes it back
        #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(0..=256))]
        weight: u32,
        #[arg(long, value_name = "PATH", help = SOCKET_HELP)]
        socket: Option<PathBuf>,
    },
    /// Give a drained backend back to its health; have an open breaker try it at once
    Enable {
        #[arg(value_name = "POOL/BACKEND", help = BACKEND_HELP)]
        backend: BackendName,
        #[arg(long, value_name = "PATH", help = SOCKET_HELP)]
        socket: Option<PathBuf>,
    },
    /// Start three small backends behind the real data path on 127.0.0.1; needs no set-up
    Demo,
    /// Say which version this is
    Version,
}

const SOCKET_HELP: &str = "The daemon's admin socket [default: what the configuration says, else /run/equipoise/admin.sock]";

const BACKEND_HELP: &str =
    "As `status` shows it, such as app/10.0.1.11:8080; or app/app.internal:8080, all of a name";

const WEIGHED_HELP: &str = "As `status` shows it, such as app/10.0.1.11:8080. One address: what a name leads to comes and \
     goes, so the weight of a name is the file's to say";

const EXIT_CODES: &str = "Exit codes: 0 fine, 1 the configuration or the finding, 2 usage, \
                          3 the daemon can't be reached, 4 it refused";

/// The whole front of a small team's infrastructure in one binary and one TOML file
#[derive(Debug, Parser)]
#[command(name = "equipoise", version, after_help = EXIT_CODES, arg_required_else_help = true)]
struct Line {
    /// The configuration
    #[arg(
        short,
        long,
        global = true,
        value_name = "FILE",
        default_value = "/etc/equipoise/equipoise.toml"
    )]
    config: PathBuf,
    /// The same as `check`
    #[arg(short = 't')]
    test: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

/// A pool's name and a backend's address, as one word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendName {
    pool: String,
    address: Address,
}

impl FromStr for BackendName {
    type Err = String;

    fn from_str(text: &str) -> Result<BackendName, String> {
        let expected = "expected POOL/ADDRESS:PORT as `equipoise status` shows it, such as app/10.0.1.11:8080, \
             or POOL/NAME:PORT for all backends of a name";
        let (pool, address) = text.split_once('/').ok_or(expected)?;
        if pool.is_empty() {
            return Err(expected.to_owned());
        }
        let address = address.parse().map_err(|_| expected)?;
        Ok(BackendName { pool: pool.to_owned(), address })
    }
}

impl fmt::Display for BackendName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pool, self.address)
    }
}

/// Reads a command line; its first word is the program's own name.
pub fn read(line: impl IntoIterator<Item = OsString>) -> Result<Arguments, Verdict> {
    let line = Line::try_parse_from(line)?;
    let command = match (line.test, line.command) {
        (true, None) => Command::Check,
        (false, Some(command)) => command,
        (true, Some(_)) => {
            return Err(usage(
                ErrorKind::ArgumentConflict,
                "-t is a command of its own: drop the other one",
            ));
        }
        (false, None) => {
            let words = "expected a command, such as `equipoise check`";
            return Err(usage(ErrorKind::MissingSubcommand, words));
        }
    };
    Ok(Arguments { config: line.config, command })
}

fn usage(kind: ErrorKind, words: &str) -> Verdict {
    Line::command().error(kind, words).into()
}

impl From<clap::Error> for Verdict {
    fn from(error: clap::Error) -> Verdict {
        let outcome = if error.use_stderr() { Outcome::Usage } else { Outcome::Fine };
        Verdict { text: error.render().to_string(), outcome }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &str) -> Result<Arguments, Verdict> {
        read(words.split_whitespace().map(OsString::from))
    }

    #[test]
    fn what_people_type() {
        let backend = || "app/10.0.1.11:80".parse().unwrap();
        let socket = || Some(PathBuf::from("/a.sock"));
        for (words, config, command) in [
            ("equipoise run", None, Command::Run),
            ("equipoise check", None, Command::Check),
            ("equipoise validate", None, Command::Check),
            ("equipoise -t", None, Command::Check),
            ("equipoise -t -c e.toml", Some("e.toml"), Command::Check),
            ("equipoise -c e.toml check", Some("e.toml"), Command::Check),
            ("equipoise check --config e.toml", Some("e.toml"), Command::Check),
            ("equipoise reload", None, Command::Reload { socket: None }),
            ("equipoise reload --socket /a.sock", None, Command::Reload { socket: socket() }),
            ("equipoise status", None, Command::Status { json: false, socket: None }),
            ("equipoise status --json", None, Command::Status { json: true, socket: None }),
            (
                "equipoise drain app/10.0.1.11:80",
                None,
                Command::Drain { backend: backend(), socket: None },
            ),
            (
                "equipoise weight app/10.0.1.11:80 0",
                None,
                Command::Weight { backend: backend(), weight: 0, socket: None },
            ),
            (
                "equipoise enable app/10.0.1.11:80",
                None,
                Command::Enable { backend: backend(), socket: None },
            ),
            ("equipoise demo", None, Command::Demo),
            ("equipoise version", None, Command::Version),
        ] {
            let config = config.unwrap_or("/etc/equipoise/equipoise.toml").into();
            assert_eq!(line(words).ok(), Some(Arguments { config, command }), "{words}");
        }
    }

    #[test]
    fn help_and_version_are_fine_and_mistakes_are_not() {
        for (words, outcome) in [
            ("equipoise --help", Outcome::Fine),
            ("equipoise --version", Outcome::Fine),
            ("equipoise", Outcome::Usage),
            ("equipoise -c e.toml", Outcome::Usage),
            ("equipoise -t run", Outcome::Usage),
            ("equipoise start", Outcome::Usage),
            ("equipoise check --socket /a.sock", Outcome::Usage),
            ("equipoise drain", Outcome::Usage),
            ("equipoise drain app", Outcome::Usage),
            ("equipoise drain /10.0.1.11:80", Outcome::Usage),
            ("equipoise drain app/10.0.1.11", Outcome::Usage),
            ("equipoise weight app/10.0.1.11:80", Outcome::Usage),
            ("equipoise weight app/10.0.1.11:80 257", Outcome::Usage),
            ("equipoise weight app/10.0.1.11:80 -1", Outcome::Usage),
        ] {
            let verdict = line(words).expect_err(words);
            assert_eq!(verdict.outcome, outcome, "{words}: {}", verdict.text);
        }
    }

    #[test]
    fn a_wrong_backend_is_told_what_was_expected() {
        let text = line("equipoise drain app").unwrap_err().text;
        assert!(text.contains("such as app/10.0.1.11:8080"), "{text}");
    }

    #[test]
    fn an_ipv6_backend_is_one_word_too() {
        let name: BackendName = "app/[::1]:80".parse().unwrap();
        assert_eq!(name.to_string(), "app/[::1]:80");
    }
}
