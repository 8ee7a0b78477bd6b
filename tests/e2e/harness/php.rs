//! php-fpm itself, with a pool of its own, as the user who runs the tests.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    os::unix::{net::UnixStream, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use super::{DEADLINE, Process, free_port, wait_until};

/// A php-fpm that runs scripts of its own folder.
pub struct Php {
    // Before the folder, so that the process ends first.
    process: Process,
    listen: Listen,
    dir: TempDir,
}

#[derive(Clone, Copy)]
enum Listen {
    Port(SocketAddr),
    /// Of its own folder.
    Socket,
}

impl Listen {
    fn address(self, dir: &Path) -> String {
        match self {
            Listen::Port(address) => address.to_string(),
            Listen::Socket => dir.join("fpm.sock").display().to_string(),
        }
    }
}

impl Php {
    /// With so many processes; each script is a name below the root and its text.
    #[track_caller]
    pub fn start(children: usize, scripts: &[(&str, &str)]) -> Php {
        let listen = Listen::Port(SocketAddr::from(([127, 0, 0, 1], free_port())));
        Php::start_at(listen, children, scripts)
    }

    /// The same behind a Unix socket.
    #[track_caller]
    pub fn start_behind_socket(children: usize, scripts: &[(&str, &str)]) -> Php {
        Php::start_at(Listen::Socket, children, scripts)
    }

    #[track_caller]
    fn start_at(listen: Listen, children: usize, scripts: &[(&str, &str)]) -> Php {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in scripts {
            write(&dir.path().join("root").join(name), text);
        }
        let process = run(dir.path(), &listen.address(dir.path()), children);
        let php = Php { process, listen, dir };
        php.await_ready();
        php
    }

    /// As a pool's `backends` name it.
    pub fn listens(&self) -> String {
        let address = self.listen.address(self.dir.path());
        match self.listen {
            Listen::Port(_) => address,
            Listen::Socket => format!("unix:{address}"),
        }
    }

    #[track_caller]
    fn await_ready(&self) {
        wait_until(DEADLINE, "php-fpm to listen", || match self.listen {
            Listen::Port(address) => TcpStream::connect(address).is_ok(),
            Listen::Socket => UnixStream::connect(self.listen.address(self.dir.path())).is_ok(),
        });
    }

    /// Where the scripts are.
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// Ends it with all its processes, in mid answer as well.
    #[track_caller]
    pub fn stop(&mut self) {
        self.process.signal(Signal::TERM);
        self.process.wait_exit();
    }

    /// Starts it anew at the same address.
    #[track_caller]
    pub fn start_again(&mut self, children: usize) {
        let listen = self.listen.address(self.dir.path());
        self.process = run(self.dir.path(), &listen, children);
        self.await_ready();
    }
}

impl Drop for Php {
    /// Its processes outlive one that is killed.
    fn drop(&mut self) {
        let group = i32::try_from(self.process.pid()).ok().and_then(Pid::from_raw);
        if let Some(group) = group {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("below the root")).expect("a writable folder");
    fs::write(path, text).expect("a writable folder");
}

fn run(dir: &Path, listen: &str, children: usize) -> Process {
    let is_root = rustix::process::geteuid().is_root();
    let user = if is_root { "user = root\ngroup = root\n" } else { "" };
    let config = format!(
        "[global]\nerror_log = {0}/fpm.log\ndaemonize = no\n\
         [www]\n{user}listen = {listen}\npm = static\npm.max_children = {children}\n\
         ping.path = /ping\nping.response = pong\ncatch_workers_output = no\n\
         php_admin_flag[log_errors] = on\nphp_flag[display_errors] = off\n\
         php_admin_value[upload_max_filesize] = 64M\nphp_admin_value[post_max_size] = 64M\n\
         php_admin_value[upload_tmp_dir] = {0}\nphp_admin_value[opcache.enable] = 0\n",
        dir.display()
    );
    let file = dir.join("fpm.conf");
    fs::write(&file, config).expect("a writable folder");
    let mut command = Command::new(program());
    command.args(["-n", "-F", "-y"]).arg(&file);
    if is_root {
        command.arg("-R");
    }
    command.process_group(0);
    Process::start(&mut command)
}

/// Debian gives it a name with the version.
fn program() -> PathBuf {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&folders).collect();
    folders.push("/usr/sbin".into());
    let in_folder = |folder: &PathBuf| {
        let entries = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
        let is_fpm = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("php-fpm"))
        };
        entries.filter(is_fpm).max()
    };
    let found = folders.iter().find_map(in_folder);
    found.expect("php-fpm is here: tests/run installs what the tests need")
}
