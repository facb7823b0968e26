//! `udp-discovery serve` while somebody has its output or its log and doesn't read: it answers and
//! stops all the same. It is asked on loopback only.
#![cfg(target_os = "linux")]

use std::env;
use std::fs;
use std::io::{self, BufRead as _, BufReader, PipeReader, PipeWriter, Write as _};
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::fcntl_getpipe_size;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};

mod service;

use service::{Service, command, free_port, signal};

const REQUEST: &[u8] = b"DISCOVER_SERVER";

/// How long anything may take on a machine that has much else to do. What never happens takes
/// longer.
const LONG: Duration = Duration::from_secs(20);

/// A pipe with no room left.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = io::pipe().unwrap();
    let size = fcntl_getpipe_size(&writer).unwrap();
    writer.write_all(&vec![b'\n'; size]).unwrap();
    (reader, writer)
}

/// How `child` ended, if it does within `limit`.
fn ends_within(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    let process = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    let limit = Timespec::try_from(limit).unwrap();
    poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&limit)).unwrap();
    child.try_wait().unwrap()
}

/// Whether a server on `port` answers before long.
fn answers(port: u16) -> bool {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let timeout = Duration::from_millis(50);
    client.set_read_timeout(Some(timeout)).unwrap();
    let deadline = Instant::now() + LONG;
    while Instant::now() < deadline {
        let _ = client.send_to(REQUEST, ("127.0.0.1", port));
        if client.recv(&mut [0; 64]).is_ok() {
            return true;
        }
    }
    false
}

/// A service that logs each answer to `log`.
fn log_every_answer_to(log: PipeWriter) -> Service {
    let port = free_port();
    let mut command = command(&["-v", "--rate-limit=off", "--port", &port.to_string()]);
    let service = Service::spawn_with_log(&mut command, port, log);
    // It has the log open as well, which would then never end.
    drop(command);
    service
}

#[test]
fn it_answers_and_stops_while_nobody_reads_its_log() {
    let (_reader, log) = full_pipe();
    let mut service = log_every_answer_to(log);
    for _ in 0..3000 {
        service.ask(REQUEST);
    }
    assert!(
        service
            .printed
            .iter()
            .any(|line| line == "logging      debug")
    );
    service.signal(Signal::TERM);
    let status = ends_within(&mut service.child, LONG).expect("it stops");
    assert_eq!(status.code(), Some(0));
    let (_, rest, _) = service.end();
    assert!(rest[0].contains("answered: 3000"), "{rest:?}");
}

#[test]
fn it_answers_and_stops_while_nobody_reads_what_it_prints() {
    let (_reader, output) = full_pipe();
    let port = free_port();
    let mut command = command(&["--port", &port.to_string()]);
    let mut child = command.stdout(output).spawn().unwrap();
    let answered = answers(port);
    signal(&child, Signal::USR1);
    let answered_after_report = answers(port);
    signal(&child, Signal::TERM);
    let status = ends_within(&mut child, LONG);
    let _ = child.kill();
    assert!(answered && answered_after_report);
    assert_eq!(status.expect("it stopped").code(), Some(0));
}

#[test]
fn an_error_that_nobody_reads_ends_it() {
    let (_reader, log) = full_pipe();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut child = command(&["--port", &port]).stderr(log).spawn().unwrap();
    let status = ends_within(&mut child, LONG);
    let _ = child.kill();
    assert_eq!(status.expect("it ended").code(), Some(2));
}

#[test]
fn log_lines_that_are_lost_are_counted_when_somebody_reads_again() {
    const ANSWERS: usize = 3000;
    let (reader, log) = full_pipe();
    let service = log_every_answer_to(log);
    for _ in 0..ANSWERS {
        service.ask(REQUEST);
    }
    let mut lines = BufReader::new(reader).lines().map(Result::unwrap);
    let (mut written, mut lost) = (0, 0);
    let mut read = |line: String| {
        written += usize::from(line.contains("answered"));
        let count = line.strip_suffix(" lines were lost: nobody read them in time");
        lost += count.map_or(0, |it| it.parse::<usize>().unwrap());
        written + lost
    };
    // It waits only a moment for its last lines when it stops.
    while read(lines.next().expect("every line is written or counted")) < ANSWERS {}
    service.signal(Signal::TERM);
    lines.for_each(|line| {
        read(line);
    });
    assert!(lost > 0);
    // Nothing else happens here that would be worth more than a line or two.
    let all = written + lost;
    assert!((ANSWERS..ANSWERS + 10).contains(&all), "{written} + {lost}");
}

/// A service manager that takes no more messages holds it up, as nothing else does.
#[test]
fn a_second_signal_ends_it_at_once() {
    let folder = env::temp_dir().join(format!("udp-discovery-full-{}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    let path = folder.join("notify");
    let _manager = UnixDatagram::bind(&path).unwrap();
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    while filler.send_to(b"X=1", &path).is_ok() {}

    let port = free_port();
    let mut command = command(&["--port", &port.to_string()]);
    let mut service = Service::spawn(command.env("NOTIFY_SOCKET", &path), port);
    service.signal(Signal::TERM);
    // Two that arrive together are one.
    let deadline = Instant::now() + LONG;
    let status = loop {
        if let Some(status) = ends_within(&mut service.child, Duration::from_millis(50)) {
            break status;
        }
        assert!(Instant::now() < deadline, "it goes on");
        service.signal(Signal::TERM);
    };
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(status.signal(), Some(Signal::TERM.as_raw()));
}
