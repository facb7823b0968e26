//! `udp-discovery watch` as its users run it, on networks of its own.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use udp_discovery_tests::lab::{self, Host, Lab, Process, Signal};

mod program;

/// Longer than anything takes here.
const ENOUGH: Duration = Duration::from_secs(30);

/// Two rounds at the longest interval, and two seconds.
const GONE: Duration = Duration::from_secs(12);

fn command(arguments: &str) -> Command {
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    program::command(&arguments)
}

fn serve(host: &Host) -> Process {
    let server = host.spawn(command("serve --advertise-port 8000"));
    server.wait_for_line("listening", ENOUGH);
    server
}

/// A watch on the first host, and a server on the second.
fn pair() -> [Host; 2] {
    Lab::new().hosts(["10.77.1.1/24", "10.77.1.2/24"])
}

#[test]
fn fault_50_a_killed_server_is_gone_in_time_and_comes_back() {
    lab::run(|| {
        let [client, host] = pair();
        let server = serve(&host);
        let mut watch = client.spawn(command("watch --family 4 --format json"));
        watch.wait_for_line("appeared", ENOUGH);

        server.signal(Signal::SIGKILL);
        let killed = Instant::now();
        watch.wait_for_line("gone", ENOUGH);
        let took = killed.elapsed();
        assert!(took < GONE + Duration::from_secs(2), "{took:?}");
        let _server = serve(&host);
        let start = Instant::now();
        while watch.stdout().len() < 3 {
            assert!(start.elapsed() < ENOUGH);
            std::thread::yield_now();
        }

        watch.signal(Signal::SIGINT);
        assert_eq!(watch.wait(ENOUGH).code(), Some(0));
        let lines = watch.stdout();
        let events: Vec<Value> = lines
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let kinds: Vec<_> = events.iter().map(|it| it["event"].as_str()).collect();
        assert_eq!(kinds, ["appeared", "gone", "appeared"].map(Some));
        for event in events {
            assert_eq!(event["ip"], "10.77.1.2");
            assert_eq!(event["port"], 8000);
            let at = event["at"].as_str().unwrap();
            humantime::parse_rfc3339(at).unwrap();
        }
    });
}

#[test]
fn fault_51_a_link_that_goes_down_and_comes_up_is_a_changed_network_and_loses_no_server() {
    lab::run(|| {
        let [client, host] = pair();
        let _server = serve(&host);
        let mut watch = client.spawn(command("watch --family 4"));
        watch.wait_for_line("appeared: 10.77.1.2:8000 on eth0", ENOUGH);
        client.ip("link set dev eth0 down");
        watch.wait_for_line("network changed: lo 127.0.0.1", ENOUGH);
        client.ip("link set dev eth0 up");
        watch.wait_for_line("network changed: eth0 10.77.1.1", ENOUGH);

        client.ip("address add 10.77.1.3/24 dev eth0");
        watch.wait_for_line("eth0 10.77.1.1, eth0 10.77.1.3", ENOUGH);
        watch.signal(Signal::SIGTERM);
        assert_eq!(watch.wait(ENOUGH).code(), Some(0));
        let log = watch.stdout();
        assert_eq!(log.len(), 4, "{log:?}");
        for line in &log {
            let (at, _) = line.split_once(' ').unwrap();
            humantime::parse_rfc3339(at).unwrap();
        }
        assert_eq!(watch.stderr(), [""; 0]);
    });
}

#[test]
fn a_host_that_starts_before_its_network_waits_for_it() {
    lab::run(|| {
        let [client, host] = pair();
        client.ip("link set dev eth0 down");
        let _server = serve(&host);
        let mut watch = client.spawn(command("watch --family 4 --interface eth0 --format plain"));
        watch.wait_for_line("unavailable no network interface can be used: ", ENOUGH);
        client.ip("link set dev eth0 up");
        watch.wait_for_line("appeared 10.77.1.2:8000", ENOUGH);
        watch.signal(Signal::SIGINT);
        assert_eq!(watch.wait(ENOUGH).code(), Some(0));
        assert_eq!(watch.stdout()[1], "network-changed 10.77.1.1");
    });
}

#[test]
fn an_output_that_takes_no_more_ends_it() {
    lab::run(|| {
        let host = Lab::new().host("alone");
        let _server = serve(&host);
        for format in ["table", "json", "plain"] {
            let arguments = format!("watch --loopback --interface lo --format {format}");
            let output = |stdout: Stdio| -> Output {
                let mut command = command(&arguments);
                command.stdout(stdout).stderr(Stdio::piped());
                let child = host.run(|| command.spawn()).unwrap();
                child.wait_with_output().unwrap()
            };
            let (reader, writer) = io::pipe().unwrap();
            drop(reader);
            let closed = output(writer.into());
            assert_eq!(
                closed.status.code(),
                Some(0),
                "{:?}",
                closed.status.signal()
            );
            assert!(closed.stderr.is_empty());

            let full: File = fs::OpenOptions::new()
                .write(true)
                .open("/dev/full")
                .unwrap();
            let full = output(full.into());
            assert_eq!(full.status.code(), Some(2));
            assert!(
                full.stderr
                    .starts_with(b"error: cannot write to standard output")
            );
        }
    });
}

#[test]
fn what_ends_a_search_and_a_wrong_interval_are_refused() {
    for (arguments, expected) in [
        ("--first", "unexpected argument '--first'"),
        ("--expect 3", "unexpected argument '--expect'"),
        ("--quiet-for 1s", "unexpected argument '--quiet-for'"),
        ("--remember file", "unexpected argument '--remember'"),
        (
            "--interval 5s..1s",
            r#"invalid value "5s..1s" for --interval: expected a duration such as 2s, or a range"#,
        ),
        ("--interval 100ms", "from 1 s to a day"),
        (
            "--target 10.0.0.0/8",
            "hint: to ask all of them, add --force",
        ),
    ] {
        let output = command(&format!("watch {arguments}")).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(expected), "{arguments}: {text}");
    }
}

/// A server with an id that it keeps, which is started again and then gets another address.
#[test]
fn a_server_with_an_id_is_followed_through_a_restart_and_another_address() {
    lab::run(|| {
        let [client, host] = pair();
        let file = format!("{}/watch-id", env!("CARGO_TARGET_TMPDIR"));
        let _ = fs::remove_file(&file);
        let start = || {
            let arguments = format!("serve --advertise-port 8000 --name printer --id-file {file}");
            let server = host.spawn(command(&arguments));
            server.wait_for_line("listening", ENOUGH);
            server
        };
        let server = start();
        let mut watch = client.spawn(command("watch --details --family 4 --format json"));
        watch.wait_for_line("appeared", ENOUGH);
        drop(server);
        let _server = start();
        watch.wait_for_line("restarted", ENOUGH);
        // Otherwise the other address would go with the first.
        let promote = "/proc/sys/net/ipv4/conf/all/promote_secondaries";
        host.run(|| fs::write(promote, "1")).unwrap();
        host.ip("address add 10.77.1.9/24 broadcast + dev eth0");
        host.ip("address del 10.77.1.2/24 dev eth0");
        watch.wait_for_line("10.77.1.9", ENOUGH);
        watch.signal(Signal::SIGINT);
        assert_eq!(watch.wait(ENOUGH).code(), Some(0));
        let events: Vec<Value> = watch
            .stdout()
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let kinds: Vec<_> = events
            .iter()
            .map(|it| it["event"].as_str().unwrap())
            .collect();
        assert_eq!(kinds[..2], ["appeared", "restarted"], "{events:#?}");
        assert!(
            !kinds[2..].contains(&"appeared") && !kinds.contains(&"gone"),
            "{events:#?}"
        );
        assert!(kinds[2..].contains(&"changed"), "{events:#?}");
        for event in events.iter().filter(|it| it["event"] != "network-changed") {
            assert_eq!(
                (&event["id"], &event["name"]),
                (&events[0]["id"], &events[0]["name"])
            );
        }
        assert_ne!(events[0]["run"], events[1]["run"]);
    });
}

#[test]
fn fault_53_a_watch_that_is_stopped_for_a_while_calls_nobody_gone() {
    const STOPPED: Duration = Duration::from_secs(5);
    lab::run(|| {
        let [client, host] = pair();
        let server = serve(&host);
        let mut watch = client.spawn(command("watch --family 4 --format json --interval 1s"));
        watch.wait_for_line("appeared", ENOUGH);
        watch.signal(Signal::SIGSTOP);
        std::thread::sleep(STOPPED);
        watch.signal(Signal::SIGCONT);
        // Longer than a server needs that is gone.
        std::thread::sleep(Duration::from_secs(4));
        assert_eq!(watch.stdout().len(), 1, "{:#?}", watch.stdout());
        // It still watches.
        drop(server);
        watch.wait_for_line("gone", ENOUGH);
        watch.signal(Signal::SIGINT);
        assert_eq!(watch.wait(ENOUGH).code(), Some(0));
    });
}
