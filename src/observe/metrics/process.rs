//! The process itself, under the names every exporter uses: from /proc/self, read at each scrape.

use std::{
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

use super::family::Family;

/// Clock ticks a second in /proc: USER_HZ, 100 on every architecture we build for, whatever the
/// kernel's own HZ.
const TICKS_A_SECOND: f64 = 100.0;

/// What can be read; a file that can't be, in a strict sandbox, leaves its family out.
/// `started` is told by the process itself, for /proc/stat (the time of boot) is often hidden.
pub(super) fn families(started: SystemTime) -> Vec<Family> {
    let read = |path| fs::read_to_string(path).ok();
    let cpu_seconds = read("/proc/self/stat").and_then(|text| parse_cpu_seconds(&text));
    let resident = read("/proc/self/status").and_then(|text| parse_resident(&text));
    let max_fds = read("/proc/self/limits").and_then(|text| parse_max_fds(&text));
    // Less the one by which the folder itself is read.
    let open_fds = fs::read_dir("/proc/self/fd").ok().map(|fds| fds.count().saturating_sub(1));

    let mut families = vec![
        Family::gauge(
            "process_start_time_seconds",
            "When the process started, in seconds since 1970.",
        )
        .with(&[], started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()),
    ];
    families.extend(cpu_seconds.map(|seconds| {
        Family::counter("process_cpu_seconds_total", "User and system CPU time spent.")
            .with(&[], seconds)
    }));
    let mut gauge = |name, help, value: Option<f64>| {
        families.extend(value.map(|value| Family::gauge(name, help).with(&[], value)));
    };
    gauge("process_resident_memory_bytes", "Resident memory.", resident);
    gauge("process_open_fds", "Open file descriptors.", open_fds.map(|count| count as f64));
    gauge("process_max_fds", "Most file descriptors that may be open.", max_fds);
    families
}

/// User and system time, from /proc/self/stat (proc_pid_stat(5)).
fn parse_cpu_seconds(text: &str) -> Option<f64> {
    // The second field is the name in brackets, which may hold spaces and brackets itself; utime
    // is the 14th, stime the 15th.
    let (_, from_third) = text.rsplit_once(')')?;
    let mut from_utime = from_third.split_ascii_whitespace().skip(14 - 3);
    let mut ticks = || from_utime.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_A_SECOND)
}

/// Bytes, from /proc/self/status.
fn parse_resident(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}

/// The soft limit, from /proc/self/limits. `None`: unlimited.
fn parse_max_fds(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_moves_no_field() {
        let text = "4242 (a ) R (b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 5 0 987654 1 2 3";
        assert_eq!(parse_cpu_seconds(text), Some(2.0));
    }

    #[test]
    fn a_short_stat_is_none() {
        assert_eq!(parse_cpu_seconds("1 (x) S 1 2"), None);
        assert_eq!(parse_cpu_seconds(""), None);
    }

    #[test]
    fn lines_of_proc() {
        assert_eq!(parse_resident("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2_097_152.0));
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files   1024   4096   files\n";
        assert_eq!(parse_max_fds(limits), Some(1024.0));
        assert_eq!(parse_max_fds("Max open files   unlimited   unlimited   files\n"), None);
    }

    #[test]
    fn this_process_has_all_families() {
        assert_eq!(families(SystemTime::now()).len(), 5);
    }
}
