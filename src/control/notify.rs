//! What the service manager is told (sd_notify(3)), over the socket in NOTIFY_SOCKET.

use std::{
    env,
    ffi::{OsStr, OsString},
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    process,
    time::Duration,
};

/// The way to the service manager; without one nothing is told.
#[derive(Debug)]
pub struct Notify {
    socket: Option<UnixDatagram>,
    /// How often the manager wants to hear that we live, at least.
    pub watchdog: Option<Duration>,
}

impl Notify {
    pub fn from_environment() -> Notify {
        let socket = env::var_os("NOTIFY_SOCKET").and_then(|address| {
            connect(&address)
                .map_err(|error| {
                    let address = address.to_string_lossy();
                    tracing::warn!(
                        "NOTIFY_SOCKET={address}: {error}: the service manager is told nothing"
                    );
                })
                .ok()
        });
        let text = |name| env::var(name).ok();
        let (every, pid) = (text("WATCHDOG_USEC"), text("WATCHDOG_PID"));
        let watchdog = watchdog(every.as_deref(), pid.as_deref(), process::id());
        Notify { watchdog: watchdog.filter(|_| socket.is_some()), socket }
    }

    /// It serves: after the start, or after a reload, whichever way that went.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// A reload begins. The manager tells this one from an earlier one by the time.
    pub fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}\nSTATUS=reloading"));
    }

    pub fn status(&self, status: &str) {
        self.tell(&format!("STATUS={}", one_line(status)));
    }

    /// The end has begun and may take as long as this, whatever the unit's TimeoutStopSec says.
    pub fn stopping(&self, at_most: Duration) {
        let microseconds = at_most.as_micros();
        self.tell(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={microseconds}\nSTATUS=draining"));
    }

    pub fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    /// It never waits: a manager that doesn't read loses words.
    fn tell(&self, words: &str) {
        if let Some(socket) = &self.socket {
            let _ = socket.send(words.as_bytes());
        }
    }
}

/// A path, or with `@` in front a name in the abstract namespace.
fn connect(address: &OsStr) -> io::Result<UnixDatagram> {
    let address = match address.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(OsString::from(address))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The variables are inherited by children, so WATCHDOG_PID says whom they concern.
fn watchdog(every: Option<&str>, pid: Option<&str>, own: u32) -> Option<Duration> {
    if pid.is_some_and(|pid| pid.parse() != Ok(own)) {
        return None;
    }
    let microseconds: u64 = every?.parse().ok()?;
    (microseconds > 0).then(|| Duration::from_micros(microseconds))
}

/// Assignments are lines, so that a value is one.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_ours_or_nobodys() {
        let second = Some(Duration::from_secs(1));
        assert_eq!(watchdog(Some("1000000"), Some("7"), 7), second);
        assert_eq!(watchdog(Some("1000000"), None, 7), second);
        assert_eq!(watchdog(Some("1000000"), Some("8"), 7), None);
        assert_eq!(watchdog(None, Some("7"), 7), None);
        assert_eq!(watchdog(Some("0"), None, 7), None);
        assert_eq!(watchdog(Some("soon"), None, 7), None);
    }

    fn check(manager: UnixDatagram, address: &OsStr) {
        let notify = Notify { socket: Some(connect(address).unwrap()), watchdog: None };
        let told = || {
            let mut words = [0; 256];
            let length = manager.recv(&mut words).unwrap();
            String::from_utf8_lossy(&words[..length]).into_owned()
        };
        notify.ready("generation 1\nserves");
        assert_eq!(told(), "READY=1\nSTATUS=generation 1 serves");
        notify.reloading();
        assert!(told().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    }

    #[test]
    fn told_by_path_and_by_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        check(UnixDatagram::bind(&path).unwrap(), path.as_os_str());
        let name = format!("equipoise-test-{}", process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        check(manager, OsStr::new(&format!("@{name}")));
    }

    #[test]
    fn no_manager_is_no_trouble() {
        Notify { socket: None, watchdog: None }.ready("serves");
    }

    fn any_text(random: &mut fastrand::Rng) -> String {
        let alphabet = ['0', '1', '7', '9', '-', '+', ' ', '.', 'x', '\0', '\n', 'é'];
        (0..random.usize(..24)).map(|_| alphabet[random.usize(..alphabet.len())]).collect()
    }

    #[test]
    fn variables_of_any_text_are_a_time_or_nothing() {
        let mut random = fastrand::Rng::with_seed(17);
        for _ in 0..20_000 {
            let text = any_text(&mut random);
            assert_ne!(watchdog(Some(&text), Some("7"), 7), Some(Duration::ZERO), "{text:?}");
            let ours = watchdog(Some("5"), Some(&text), 7).is_some();
            assert_eq!(ours, text.parse() == Ok(7_u32), "{text:?}");
        }
    }
}
