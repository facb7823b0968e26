//! `udp-discovery serve` as its users run it: started, asked, signalled, stopped. It is asked on
//! loopback alone.
#![cfg(unix)]

use std::net::UdpSocket;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

mod service;

use service::{Service, command, free_port, program, signal};

/// At once, on a machine that has much else to do.
const AT_ONCE: Duration = Duration::from_secs(15);

impl Service {
    fn start(arguments: &[&str]) -> Self {
        Self::start_on(free_port(), arguments)
    }

    fn start_on(port: u16, arguments: &[&str]) -> Self {
        let port_text = port.to_string();
        let mut command = command(&["--port", &port_text]);
        Self::spawn(command.args(arguments), port)
    }

    fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn it_prints_its_configuration_and_answers() {
    let service = Service::start(&[
        "--message=WHO",
        "--prefix=ME:",
        "--buffer-size=300",
        "--advertise-port=8000",
        "--allow=10.15.0.0/16",
    ]);
    let text = service.printed.join("\n");
    for part in [
        &service.port.to_string(),
        "WHO",
        "ME:",
        "300 bytes",
        "info",
        "10.15.0.0/16",
        "names 127.0.0.1:8000",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    let status = service.printed.last().unwrap();
    let listening = format!("listening on 0.0.0.0:{}", service.port);
    assert!(
        status.starts_with(&listening) && status.ends_with(" for 1m"),
        "{status}"
    );
    assert_eq!(service.ask(b"WHO"), b"ME:127.0.0.1:8000");
}

#[test]
fn what_is_advertised_can_be_set() {
    let service = Service::start(&["--advertise-ip=203.0.113.9"]);
    assert_eq!(service.ask(b"DISCOVER_SERVER"), b"SERVER_IP:203.0.113.9");
}

#[test]
fn a_signal_stops_it_at_once_and_it_prints_its_counters() {
    for signal in [Signal::TERM, Signal::INT] {
        let service = Service::start(&[]);
        service.ask(b"DISCOVER_SERVER");
        let start = Instant::now();
        service.signal(signal);
        let (status, rest, _) = service.end();
        assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
        assert_eq!(status.code(), Some(0));
        assert_eq!(rest.len(), 1);
        assert!(
            rest[0].starts_with("counters: received: 1, answered: 1"),
            "{rest:?}"
        );
    }
}

#[test]
fn it_prints_its_counters_when_asked_to_and_goes_on() {
    let mut service = Service::start(&[]);
    for requests in 0..3 {
        service.signal(Signal::USR1);
        let line = service.line();
        // An answer may be here before it is counted there.
        let start = format!("counters: received: {requests}, answered: ");
        assert!(line.starts_with(&start), "{line}");
        service.ask(b"DISCOVER_SERVER");
    }
}

#[test]
fn it_stops_when_its_time_is_over() {
    let start = Instant::now();
    let port = free_port();
    let mut command = Command::new(program());
    command.args(["serve", "--duration", "1", "--port", &port.to_string()]);
    let service = Service::spawn(&mut command, port);
    assert!(service.printed.last().unwrap().ends_with(" for 1s"));
    let (status, rest, _) = service.end();
    assert_eq!(status.code(), Some(0));
    assert!(rest[0].starts_with("counters: "));
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(1) + AT_ONCE);
}

#[test]
fn it_goes_on_when_nobody_reads_what_it_prints() {
    let port = free_port();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = command(&["--port", &port.to_string()]);
    command.stdout(writer.try_clone().unwrap()).stderr(writer);
    let mut child = command.spawn().unwrap();

    // That it runs is known when it answers.
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let timeout = Duration::from_millis(50);
    client.set_read_timeout(Some(timeout)).unwrap();
    let answered = (0..400).any(|_| {
        let _ = client.send_to(b"DISCOVER_SERVER", ("127.0.0.1", port));
        client.recv(&mut [0; 64]).is_ok()
    });
    signal(&child, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(answered);
}

#[test]
fn junk_is_logged_once_and_escaped() {
    let service = Service::start(&["--no-kernel-filter"]);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let junk = b"\x1b[2J\n2026 INFO forged".repeat(10);
    for _ in 0..100 {
        client.send_to(&junk, ("127.0.0.1", service.port)).unwrap();
    }
    service.ask(b"DISCOVER_SERVER");
    service.signal(Signal::TERM);
    let (_, rest, log) = service.end();
    assert!(
        rest[0].contains("dropped (not the request): 100"),
        "{rest:?}"
    );
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("dropped"))
        .collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines[0].contains(r"\x1b[2J\n2026"), "{log}");
    assert!(!log.contains('\x1b'), "{log}");
}

/// Whichever of the kernel and the server drops it.
#[test]
fn junk_is_counted() {
    let service = Service::start(&[]);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..3 {
        client
            .send_to(b"junk", ("127.0.0.1", service.port))
            .unwrap();
    }
    service.ask(b"DISCOVER_SERVER");
    service.signal(Signal::TERM);
    let (_, rest, _) = service.end();
    assert!(rest[0].contains("dropped"), "{rest:?}");
    assert!(rest[0].contains(": 3"), "{rest:?}");
}

#[test]
fn a_client_is_answered_as_often_as_its_limit_says() {
    let service = Service::start(&["--rate-limit=1"]);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let second = Duration::from_secs(1);
    client.set_read_timeout(Some(second)).unwrap();
    let answered = (0..50).take_while(|_| {
        let server = ("127.0.0.1", service.port);
        client.send_to(b"DISCOVER_SERVER", server).unwrap();
        client.recv(&mut [0; 64]).is_ok()
    });
    let answered = answered.count();
    assert!((5..10).contains(&answered), "{answered}");
    let off = Service::start(&["--rate-limit=off"]);
    for _ in 0..200 {
        assert_eq!(off.ask(b"DISCOVER_SERVER"), b"SERVER_IP:127.0.0.1");
    }
    service.signal(Signal::TERM);
    let (_, rest, _) = service.end();
    assert!(
        rest[0].contains("dropped (source over its limit): "),
        "{rest:?}"
    );
}

#[test]
fn nothing_is_logged_where_the_setting_says_so() {
    let port = free_port();
    let mut command = command(&["--port", &port.to_string()]);
    let service = Service::spawn(command.env("ENABLE_LOGGING", "false"), port);
    assert!(
        service
            .printed
            .iter()
            .any(|line| line == "logging      off")
    );
    service.ask(b"DISCOVER_SERVER");
    service.signal(Signal::TERM);
    assert_eq!(service.end().2, "");
}

#[test]
fn with_quiet_it_prints_errors_only() {
    let port = free_port();
    let mut quiet = command(&["-q", "--port", &port.to_string()]);
    let mut child = quiet
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let timeout = Duration::from_millis(50);
    client.set_read_timeout(Some(timeout)).unwrap();
    let answered = (0..400).any(|_| {
        let _ = client.send_to(b"DISCOVER_SERVER", ("127.0.0.1", port));
        client.recv(&mut [0; 64]).is_ok()
    });
    signal(&child, Signal::TERM);
    let status = child.wait().unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(answered && status.success());
    assert!(output.stdout.is_empty());
    assert_eq!(stderr(&output), "");

    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = command(&["-q", "--port", &port]).output().unwrap();
    assert!(stderr(&output).starts_with("error: UDP port "));
}

#[test]
fn it_is_set_up_by_the_environment_and_a_file() {
    let port = free_port();
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("serve.toml");
    let file = format!("port = {port}\n[server]\nadvertise_ip = \"203.0.113.9\"\n");
    std::fs::write(&path, file).unwrap();
    let mut command = command(&["--config", path.to_str().unwrap()]);
    command.env("DISCOVERY_SERVER_ADVERTISE_PORT", "8000");
    let service = Service::spawn(&mut command, port);
    assert_eq!(
        service.ask(b"DISCOVER_SERVER"),
        b"SERVER_IP:203.0.113.9:8000"
    );
}

#[test]
fn a_second_service_is_refused_and_the_first_goes_on() {
    let first = Service::start(&[]);
    let output = command(&["--port", &first.port.to_string()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let text = stderr(&output);
    let start = format!("error: UDP port {} is in use", first.port);
    assert!(text.starts_with(&start), "{text}");
    assert_eq!(first.ask(b"DISCOVER_SERVER"), b"SERVER_IP:127.0.0.1");
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;

    use nix::libc;
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
        SeccompRule, apply_filter,
    };

    use super::*;

    #[test]
    fn the_error_names_the_program_that_has_the_port() {
        for address in ["127.0.0.1:0", "0.0.0.0:0"] {
            let socket = UdpSocket::bind(address).unwrap();
            let port = socket.local_addr().unwrap().port();
            let output = command(&["--port", &port.to_string()]).output().unwrap();
            assert_eq!(output.status.code(), Some(2));
            let own_name = fs::read_to_string("/proc/self/comm").unwrap();
            // What another test is about to start has it too, for a moment.
            let first = format!("error: UDP port {port} is in use by ");
            let own = format!("{} (pid {})", own_name.trim_end(), std::process::id());
            let text = stderr(&output);
            let holders = text.strip_prefix(&first).unwrap_or_default();
            let (holders, _) = holders.split_once("\nhint: ").unwrap_or_default();
            assert!(holders.split(", ").any(|it| it == own), "{text}");
            assert!(!text.contains("--replace"));
        }
    }

    #[test]
    fn the_error_names_a_service_of_ours_and_how_to_replace_it() {
        let first = Service::start(&[]);
        let output = command(&["--port", &first.port.to_string()])
            .output()
            .unwrap();
        let text = stderr(&output);
        let name = format!("by udp-discovery (pid {})", first.child.id());
        assert!(text.contains(&name) && text.contains("--replace"), "{text}");
    }

    #[test]
    fn a_shared_port_is_said_to_have_unicast_reach_only_one_server() {
        let first = Service::start(&["--share-port", "--advertise-port=1"]);
        let second = ["--share-port", "--advertise-port=2"];
        let port = first.port.to_string();
        let mut second = command(&[&second[..], &["--port", &port]].concat());
        let second = Service::spawn(&mut second, first.port);
        let expected = format!(
            "port         {port}, shared: a request by unicast reaches only one of its servers"
        );
        for service in [first, second] {
            assert!(service.printed.contains(&expected), "{:?}", service.printed);
        }
    }

    #[test]
    fn sharing_is_suggested_only_where_a_service_of_ours_shares_the_port() {
        for (first, second, suggested) in [
            ("--share-port", None, "share the port with --share-port"),
            (
                "--no-multicast",
                None,
                ": stop it with --replace, or choose",
            ),
            (
                "--no-multicast",
                Some("--share-port"),
                "that does not share the port: start it with --share-port too, or choose",
            ),
        ] {
            let first = Service::start(&[first]);
            let port = first.port.to_string();
            let mut second_command = command(&["--port", &port]);
            let output = second_command.args(second).output().unwrap();
            assert_eq!(output.status.code(), Some(2));
            let text = stderr(&output);
            assert!(text.contains(suggested), "{text}");
            // The look at it took nothing away.
            assert!(first.ask(b"DISCOVER_SERVER").starts_with(b"SERVER_IP:"));
        }
    }

    /// What `serve --share-port` says where `call` fails with `errno`.
    fn without(call: i64, arguments: &[(u8, i32)], errno: i32) -> String {
        let condition = |&(index, value): &(u8, i32)| {
            let value = value.unsigned_abs().into();
            let dword = SeccompCmpArgLen::Dword;
            SeccompCondition::new(index, dword, SeccompCmpOp::Eq, value).unwrap()
        };
        let rule = SeccompRule::new(arguments.iter().map(condition).collect()).unwrap();
        let filter = SeccompFilter::new(
            [(call, vec![rule])].into(),
            SeccompAction::Allow,
            SeccompAction::Errno(errno.unsigned_abs()),
            std::env::consts::ARCH.try_into().unwrap(),
        );
        let filter: BpfProgram = filter.unwrap().try_into().unwrap();
        let port = free_port().to_string();
        // The filter is that of a thread and the processes that it starts.
        let serve = std::thread::spawn(move || {
            apply_filter(&filter).unwrap();
            command(&["--share-port", "--port", &port])
                .output()
                .unwrap()
        });
        let output = serve.join().unwrap();
        assert_eq!(output.status.code(), Some(2));
        stderr(&output)
    }

    #[test]
    fn that_a_port_cannot_be_shared_is_said_only_of_the_call_that_shares_it() {
        let cannot = "error: this system cannot share a UDP port between servers";
        let share = [(1, libc::SOL_SOCKET), (2, libc::SO_REUSEPORT)];
        let text = without(libc::SYS_setsockopt, &share, libc::ENOPROTOOPT);
        assert!(text.starts_with(cannot), "{text}");
        // As on a host without IPv4.
        let open = [(0, libc::AF_INET)];
        let text = without(libc::SYS_socket, &open, libc::EOPNOTSUPP);
        assert!(!text.contains(cannot), "{text}");
    }

    #[test]
    fn a_hangup_stops_it_as_a_signal_to_end_does() {
        let service = Service::start(&[]);
        service.ask(b"DISCOVER_SERVER");
        service.signal(Signal::HUP);
        let (status, rest, _) = service.end();
        assert_eq!(status.code(), Some(0));
        assert!(
            rest[0].starts_with("counters: received: 1, answered: 1"),
            "{rest:?}"
        );
    }

    /// Started by nohup(1), it outlives its terminal.
    #[test]
    fn a_hangup_that_is_ignored_when_it_starts_stays_ignored() {
        let port = free_port();
        let plain = command(&["--port", &port.to_string()]);
        let mut nohup = Command::new("nohup");
        nohup.arg(plain.get_program()).args(plain.get_args());
        let service = Service::spawn(&mut nohup, port);
        service.signal(Signal::HUP);
        assert_eq!(service.ask(b"DISCOVER_SERVER"), b"SERVER_IP:127.0.0.1");
        service.signal(Signal::TERM);
        let (status, rest, _) = service.end();
        assert_eq!(status.code(), Some(0));
        assert!(rest[0].starts_with("counters: received: 1"), "{rest:?}");
    }
}
