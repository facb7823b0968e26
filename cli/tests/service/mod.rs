//! `udp-discovery serve`, running.

use std::env;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, ErrorKind, Lines, Read as _};
use std::net::UdpSocket;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// The path of the command, which cargo passes to tests.
pub(crate) fn program() -> OsString {
    env::var_os("CARGO_BIN_EXE_udp-discovery").expect("cargo runs the tests")
}

pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    // It ends by itself, whatever becomes of the test.
    command.args(["serve", "--duration", "60"]).args(arguments);
    let others = [
        "RESPONSE_PREFIX",
        "ENABLE_LOGGING",
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
    ];
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("DISCOVERY_") || others.iter().any(|it| name == *it) {
            command.env_remove(name);
        }
    }
    command
}

/// A port that is free, and of which no two tests get the same.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
        if UdpSocket::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}

/// Sends a signal to a child of this process, and to nobody else.
pub(crate) fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// A service that runs.
pub(crate) struct Service {
    pub(crate) child: Child,
    pub(crate) lines: Lines<BufReader<ChildStdout>>,
    /// What it printed up to its status.
    pub(crate) printed: Vec<String>,
    pub(crate) port: u16,
}

impl Service {
    /// Returns when it says that it listens.
    pub(crate) fn spawn(command: &mut Command, port: u16) -> Self {
        Self::spawn_with_log(command, port, Stdio::piped())
    }

    /// As `spawn`, with its log written to `log`.
    pub(crate) fn spawn_with_log(command: &mut Command, port: u16, log: impl Into<Stdio>) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut printed = Vec::new();
        while !printed
            .last()
            .is_some_and(|line: &String| line.starts_with("listening on "))
        {
            printed.push(lines.next().expect("it goes on").unwrap());
        }
        Self {
            child,
            lines,
            printed,
            port,
        }
    }

    pub(crate) fn signal(&self, it: Signal) {
        signal(&self.child, it);
    }

    /// Its end, the rest of what it prints, and its log.
    pub(crate) fn end(mut self) -> (ExitStatus, Vec<String>, String) {
        let rest = self.lines.by_ref().map(Result::unwrap).collect();
        let mut log = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut log).unwrap();
        }
        (self.child.wait().unwrap(), rest, log)
    }

    /// What it answers to `datagram` on loopback.
    pub(crate) fn ask(&self, datagram: &[u8]) -> Vec<u8> {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        client.send_to(datagram, ("127.0.0.1", self.port)).unwrap();
        let mut answer = [0; 256];
        loop {
            match client.recv(&mut answer) {
                Ok(len) => return answer[..len].to_vec(),
                // As when the machine was halted for a while.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
