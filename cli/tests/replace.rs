//! `udp-discovery serve --replace`: which programs it stops, and which never.
#![cfg(target_os = "linux")]

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;

use rustix::process::Signal;

mod service;

use service::{Service, command, free_port, program, signal};

const REQUEST: &[u8] = b"DISCOVER_SERVER";

/// An empty folder of this test run.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).unwrap();
    folder
}

/// Copies a program. A process of its own writes the file: what another test starts meanwhile would
/// inherit this one's descriptor, and a file that is being written can't be run.
fn copy(from: impl AsRef<OsStr>, to: &Path) {
    let copied = Command::new("cp").arg("-L").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

fn start_on(port: u16, arguments: &[&str]) -> Service {
    let port_text = port.to_string();
    Service::spawn(command(&["--port", &port_text]).args(arguments), port)
}

/// A service run from `program`.
fn start_program(program: &Path, port: u16) -> Service {
    let mut command = Command::new(program);
    command.args(["serve", "--duration", "60", "--port", &port.to_string()]);
    Service::spawn(&mut command, port)
}

/// Tries to replace what has `port`, and expects that nothing is stopped.
fn refused(port: u16) -> String {
    let port = port.to_string();
    let output = command(&["--replace", "--port", &port]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let text = stderr(&output);
    assert!(text.contains("nothing was stopped"), "{text}");
    text
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Replaces `first`, and expects it to end as if it had been told to.
fn replaced(first: Service) {
    let second = start_on(first.port, &["--replace", "--advertise-port=2"]);
    let stopped = format!("stopped the service with pid {}", first.child.id());
    assert_eq!(second.printed[0], stopped);
    assert_eq!(second.ask(REQUEST), b"SERVER_IP:127.0.0.1:2");
    let (status, rest, _) = first.end();
    assert_eq!(status.code(), Some(0));
    assert!(rest[0].starts_with("counters: "));
}

#[test]
fn it_stops_the_service_that_has_the_port() {
    replaced(start_on(free_port(), &["--advertise-port=1"]));
}

#[test]
fn it_is_a_plain_start_if_nobody_has_the_port() {
    let service = start_on(free_port(), &["--replace"]);
    let first = &service.printed[0];
    assert!(first.starts_with("port "), "{first}");
    service.signal(Signal::TERM);
    assert!(service.end().0.success());
}

/// After an upgrade, the service that runs has a file that is there no longer, or another one is
/// in its place.
#[test]
fn it_stops_a_service_whose_program_was_upgraded() {
    let program_of_first = folder("upgraded").join("udp-discovery");
    for replace_file in [
        |path: &Path| fs::remove_file(path).unwrap(),
        |path: &Path| {
            let new = path.with_extension("new");
            copy(program(), &new);
            fs::rename(&new, path).unwrap();
        },
    ] {
        copy(program(), &program_of_first);
        let first = start_program(&program_of_first, free_port());
        replace_file(&program_of_first);
        replaced(first);
    }
}

#[test]
fn it_stops_a_service_whose_program_has_another_name() {
    let renamed = folder("renamed").join("something-else");
    copy(program(), &renamed);
    replaced(start_program(&renamed, free_port()));
}

/// If it were touched, this test would end.
#[test]
fn it_does_not_touch_another_program() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let text = refused(socket.local_addr().unwrap().port());
    let pid = format!("(pid {})", std::process::id());
    assert!(text.contains(&pid), "{text}");
}

/// A shell that is called `udp-discovery` and runs a script that is called `serve`.
#[test]
fn it_does_not_touch_another_program_that_only_looks_like_a_service() {
    let folder = folder("named-alike");
    let shell = folder.join("udp-discovery");
    copy("/bin/sh", &shell);
    // It is there until something is sent to its port.
    fs::write(folder.join("serve"), "echo ready\nread line\n").unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let mut command = Command::new(&shell);
    command.arg("serve").current_dir(&folder);
    command.stdin(OwnedFd::from(socket)).stdout(Stdio::piped());
    let mut other = Running(command.spawn().unwrap());
    // So that the socket is the shell's only.
    drop(command);
    let mut ready = String::new();
    let mut output = BufReader::new(other.0.stdout.take().unwrap());
    output.read_line(&mut ready).unwrap();
    assert_eq!(ready, "ready\n");

    let text = refused(address.port());
    assert!(text.contains("udp-discovery (pid "), "{text}");
    assert_eq!(other.0.try_wait().unwrap(), None);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.send_to(b"\n", address).unwrap();
    assert_eq!(other.0.wait().unwrap().signal(), None);
}

#[test]
fn it_does_not_touch_a_service_of_another_port_that_inherited_the_socket() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let inherited = socket.local_addr().unwrap().port();
    let port = free_port();
    let mut command = command(&["--port", &port.to_string()]);
    command.stdin(OwnedFd::from(socket));
    let service = Service::spawn(&mut command, port);
    drop(command);
    refused(inherited);
    assert_eq!(service.ask(REQUEST), b"SERVER_IP:127.0.0.1");
}

/// A program that doesn't outlive its test.
struct Running(Child);

/// How far one of those that race to replace each other came.
enum Place {
    Listening(Running),
    Ended(ExitStatus, String),
}

impl Running {
    /// Returns when it listens or has ended.
    fn finish(mut self) -> Place {
        let output = BufReader::new(self.0.stdout.take().unwrap());
        let mut lines = output.lines().map(Result::unwrap);
        if lines.any(|line| line.starts_with("listening on ")) {
            return Place::Listening(self);
        }
        let mut log = String::new();
        let mut stderr = self.0.stderr.take().unwrap();
        stderr.read_to_string(&mut log).unwrap();
        Place::Ended(self.0.wait().unwrap(), log)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn of_many_that_replace_each_other_one_remains_and_the_others_say_why_not() {
    const RACERS: usize = 60;
    let port = free_port().to_string();
    let racers: Vec<Running> = (0..RACERS)
        .map(|_| {
            let mut command = command(&["--replace", "--port", &port]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            Running(command.spawn().unwrap())
        })
        .collect();
    let threads: Vec<_> = racers
        .into_iter()
        .map(|racer| thread::spawn(|| racer.finish()))
        .collect();
    let mut listening = Vec::new();
    for thread in threads {
        match thread.join().unwrap() {
            Place::Listening(racer) => listening.push(racer),
            // Replaced before it had said that it listens.
            Place::Ended(status, _) if status.success() || status.signal() == Some(15) => {}
            Place::Ended(status, log) => {
                assert_eq!(status.code(), Some(2), "{log}");
                assert!(log.contains("in the meantime"), "{log}");
            }
        }
    }
    // All have done what they came for. Those that were told to stop have stopped.
    listening.retain_mut(|racer| racer.0.try_wait().unwrap().is_none());
    assert_eq!(listening.len(), 1);
    signal(&listening[0].0, Signal::TERM);
    assert!(listening[0].0.wait().unwrap().success());
}
