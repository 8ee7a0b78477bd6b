//! The daemon's own words: what happened, to stderr. The access log is another thing.
//!
//! A thread of its own writes them, from a bounded queue: a pipe that nobody reads must hold up
//! neither a worker nor the control plane. Lines that find the queue full are dropped and counted.

use std::{
    env, fmt,
    fs::File,
    io::{self, IsTerminal},
    os::{fd::AsFd, unix::fs::MetadataExt},
    sync::OnceLock,
};

use tracing::{Event, Level, Subscriber};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter,
    filter::LevelFilter,
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Format, Full, Writer},
    },
    registry::LookupSpan,
};

/// Which events are told: `warn`, or `info,equipoise::pool=debug`.
pub const FILTER_VARIABLE: &str = "EQUIPOISE_LOG";

/// Our own words. Libraries warn of what a peer sends, a line each time, and any client could fill
/// the log with it.
const DEFAULT_FILTER: &str = "error,equipoise=info";

/// Lines that may wait to be written.
const MAX_LINES: usize = 8192;

/// Counts the lines that were dropped: the log is one for the process, and so is this.
static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

/// The running log. Dropping it writes what is queued, for as long as a second.
#[must_use]
pub struct Log(#[expect(dead_code, reason = "held for its drop")] WorkerGuard);

/// Lines dropped so far because stderr took none.
pub fn lost_lines() -> u64 {
    DROPPED.get().map_or(0, |dropped| dropped.dropped_lines() as u64)
}

/// Starts the log, once for the process. In systemd's journal lines bear a priority instead of a
/// time, for the journal has its own; colours are for terminals only.
///
/// An error says what is wrong with the filter.
pub fn start() -> Result<Log, String> {
    let filter = filter(env::var(FILTER_VARIABLE).ok())?;
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(MAX_LINES)
        .lossy(true)
        .thread_name("log")
        .finish(io::stderr());
    DROPPED.get_or_init(|| writer.error_counter());
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false);
    let started = if stderr_is_the_journal() {
        tracing::subscriber::set_global_default(
            subscriber.with_ansi(false).event_format(JournalLines::new()).finish(),
        )
    } else {
        tracing::subscriber::set_global_default(subscriber.finish())
    };
    started.map_err(|_| "the log was started before".to_owned())?;
    Ok(Log(guard))
}

fn filter(wanted: Option<String>) -> Result<EnvFilter, String> {
    let wanted = wanted.filter(|wanted| !wanted.is_empty());
    let wanted = wanted.unwrap_or_else(|| DEFAULT_FILTER.to_owned());
    EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).parse(&wanted).map_err(
        |error| {
            format!(
                "{FILTER_VARIABLE}=\"{wanted}\" is no filter ({error}); expected error, warn, \
                 info, debug or trace, or module=level with commas between"
            )
        },
    )
}

/// JOURNAL_STREAM names the device and inode of the journal's socket (systemd.exec(5)). A child
/// with its stderr elsewhere inherits the variable, so it alone proves nothing.
fn stderr_is_the_journal() -> bool {
    let Ok(named) = env::var("JOURNAL_STREAM") else {
        return false;
    };
    let stderr = io::stderr().as_fd().try_clone_to_owned().map(File::from);
    stderr
        .and_then(|stderr| stderr.metadata())
        .is_ok_and(|metadata| names_stream(&named, metadata.dev(), metadata.ino()))
}

fn names_stream(named: &str, device: u64, inode: u64) -> bool {
    named.split_once(':').is_some_and(|(named_device, named_inode)| {
        named_device.parse() == Ok(device) && named_inode.parse() == Ok(inode)
    })
}

/// A line as journald reads it: `<4>` in front says how grave it is (sd-daemon(3)).
struct JournalLines(Format<Full, ()>);

impl JournalLines {
    fn new() -> Self {
        JournalLines(Format::default().with_target(false).without_time().with_level(false))
    }
}

impl<S, N> FormatEvent<S, N> for JournalLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(writer, "<{}>", priority(*event.metadata().level()))?;
        self.0.format_event(context, writer, event)
    }
}

/// As in syslog(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_journal_line_is_a_priority_and_the_words() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .event_format(JournalLines::new())
            .with_writer(file.reopen().expect("the same file"))
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(pool = "app", "no backend is up");
            tracing::info!("reloaded");
        });
        let written = fs::read_to_string(file.path()).expect("the file");
        assert_eq!(written, "<4>no backend is up pool=\"app\"\n<6>reloaded\n");
    }

    #[test]
    fn the_default_is_info_of_our_own() {
        for none in [None, Some(String::new())] {
            let filter = filter(none).map(|filter| filter.to_string());
            assert_eq!(filter, Ok("equipoise=info,error".to_owned()));
        }
        assert_eq!(
            filter(Some("warn,equipoise::pool=debug".into())).map(|filter| filter.to_string()),
            Ok("equipoise::pool=debug,warn".to_owned())
        );
    }

    #[test]
    fn a_bad_filter_says_what_was_expected() {
        let error = filter(Some("equipoise=loud".into())).expect_err("loud is no level");
        assert!(error.starts_with("EQUIPOISE_LOG=\"equipoise=loud\" is no filter"), "{error}");
        assert!(error.contains("expected error, warn, info"), "{error}");
    }

    #[test]
    fn the_journal_is_the_named_stream_and_no_other() {
        assert!(names_stream("8:4242", 8, 4242));
        assert!(!names_stream("8:4242", 8, 4243));
        assert!(!names_stream("", 0, 0));
        assert!(!names_stream("8", 8, 0));
    }
}
