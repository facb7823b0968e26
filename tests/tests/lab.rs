//! The laboratory itself.

#![cfg(target_os = "linux")]

use std::env;
use std::fs;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use udp_discovery_tests::lab::raw::Datagram;
use udp_discovery_tests::lab::{self, Host, Lab, Signal};
use udp_discovery_tests::python;

/// Long enough for what should come.
const SOON: Duration = Duration::from_secs(10);
/// Long enough to see that nothing comes on a network without delay.
const NEVER: Duration = Duration::from_millis(200);

/// The variable that tells a process on a host how many seconds to sleep.
const SLEEP: &str = "UDP_DISCOVERY_LAB_SLEEP";

fn udp(host: &Host, address: &str) -> UdpSocket {
    let socket = host.run(|| UdpSocket::bind(address)).unwrap();
    socket.set_broadcast(true).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    socket
}

fn receive(socket: &UdpSocket) -> io::Result<(String, SocketAddr)> {
    let mut buffer = [0; 64];
    let (len, source) = socket.recv_from(&mut buffer)?;
    Ok((String::from_utf8_lossy(&buffer[..len]).into(), source))
}

fn pair() -> [Host; 2] {
    Lab::new().hosts(["10.77.1.1/24", "10.77.1.2/24"])
}

/// The message of a panic.
fn panic_of(body: impl FnOnce()) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(body)).err()?;
    Some(*panic.downcast::<String>().expect("a formatted message"))
}

#[test]
fn a_broadcast_reaches_the_hosts_of_its_network_alone() {
    lab::run(|| {
        let [a, b] = pair();
        let lab = Lab::new();
        let c = lab.host("c");
        c.join(&lab.network("net1", "10.77.2.0/24"), "eth0", "10.77.2.3/24");

        let (a, b, c) = (
            udp(&a, "0.0.0.0:9999"),
            udp(&b, "0.0.0.0:9999"),
            udp(&c, "0.0.0.0:9999"),
        );
        a.send_to(b"from a", "10.77.1.255:9999").unwrap();
        let (text, source) = receive(&b).unwrap();
        assert_eq!(
            (text.as_str(), source.to_string().as_str()),
            ("from a", "10.77.1.1:9999")
        );
        b.send_to(b"from b", "10.77.1.255:9999").unwrap();
        let texts = [receive(&a).unwrap().0, receive(&a).unwrap().0];
        assert_eq!(texts, ["from a", "from b"]);

        c.set_read_timeout(Some(NEVER)).unwrap();
        assert_eq!(receive(&c).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    });
}

#[test]
fn a_closure_runs_in_its_host_and_returns_its_value_or_panic() {
    lab::run(|| {
        let [a, b] = pair();
        let holds = |host: &Host, address: &str| host.run(|| UdpSocket::bind((address, 0)).is_ok());
        assert!(holds(&a, "10.77.1.1") && !holds(&b, "10.77.1.1"));
        let there = b.spawn_thread(|| UdpSocket::bind("10.77.1.2:0").is_ok());
        assert!(there.join().unwrap());
        let value = 7;
        assert_eq!(
            panic_of(|| a.run(|| panic!("seven: {value}"))).unwrap(),
            "seven: 7"
        );
    });
}

#[test]
fn a_network_that_is_down_carries_nothing_until_it_is_up() {
    lab::run(|| {
        let lab = Lab::new();
        let network = lab.network("net0", "10.77.1.0/24");
        let (a, b) = (lab.host("a"), lab.host("b"));
        a.join(&network, "eth0", "10.77.1.1/24");
        b.join(&network, "eth0", "10.77.1.2/24");
        let (from, to) = (udp(&a, "10.77.1.1:0"), udp(&b, "0.0.0.0:9999"));

        network.set_down();
        from.send_to(b"lost", "10.77.1.255:9999").unwrap();
        to.set_read_timeout(Some(NEVER)).unwrap();
        assert!(receive(&to).is_err());
        network.set_up();
        from.send_to(b"carried", "10.77.1.255:9999").unwrap();
        to.set_read_timeout(Some(SOON)).unwrap();
        assert_eq!(receive(&to).unwrap().0, "carried");
    });
}

#[test]
fn a_lossy_host_loses_its_share_both_ways_in_silence() {
    if !lab::have("nft") {
        return lab::skip("`nft` is not installed");
    }
    lab::run(|| {
        let [a, b] = pair();
        let (near, far) = (udp(&a, "10.77.1.1:9999"), udp(&b, "10.77.1.2:9999"));
        // Counts how many of 200 datagrams arrive. A last one, sent without loss, ends the count.
        // It is repeated until it arrives, since a busy kernel drops datagrams too.
        let arrivals = |from: &UdpSocket, to: &UdpSocket, percent| {
            to.set_read_timeout(Some(NEVER)).unwrap();
            let send = |text: &str| {
                from.send_to(text.as_bytes(), to.local_addr().unwrap())
                    .unwrap();
            };
            a.loss(percent);
            for _ in 0..200 {
                send("x");
            }
            a.loss(0);
            let mut count = 0;
            let deadline = Instant::now() + SOON;
            send("end");
            while Instant::now() < deadline {
                match receive(to) {
                    Ok((text, _)) if text == "x" => count += 1,
                    Ok(_) => break,
                    Err(_) => send("end"),
                }
            }
            // Drop its repetitions.
            while receive(to).is_ok() {}
            count
        };
        for (from, to) in [(&near, &far), (&far, &near)] {
            assert!(arrivals(from, to, 0) > 150);
            assert_eq!(arrivals(from, to, 100), 0);
            // More than 7 standard deviations off the mean of 100 never happens.
            assert!((50..=150).contains(&arrivals(from, to, 50)));
        }
    });
}

#[test]
fn a_forged_datagram_arrives_with_the_source_that_it_claims() {
    lab::run(|| {
        let [a, b] = pair();
        let socket = udp(&b, "0.0.0.0:9999");
        let (attacker, victim) = (a.raw("eth0"), b.raw("eth0").mac());
        let everybody = "255.255.255.255:9999".parse().unwrap();
        let unicast = "10.77.1.2:9999".parse().unwrap();

        for source in ["0.0.0.0:68", "10.77.1.77:0", "10.77.1.9:9999"] {
            attacker.send(&Datagram::new(
                source.parse().unwrap(),
                everybody,
                b"to all",
            ));
            let (text, from) = receive(&socket).unwrap();
            assert_eq!(
                (text.as_str(), from.to_string().as_str()),
                ("to all", source)
            );
        }
        // An off-link source needs a route back, by which the kernel judges it.
        b.ip("route add default via 10.77.1.1");
        let off_link = Datagram::new("203.0.113.9:53".parse().unwrap(), unicast, b"to one");
        attacker.send(&off_link.with_mac(victim));
        let (text, from) = receive(&socket).unwrap();
        assert_eq!(
            (text.as_str(), from.to_string().as_str()),
            ("to one", "203.0.113.9:53")
        );
    });
}

#[test]
fn a_kernel_drops_martians_and_wrong_checksums() {
    lab::run(|| {
        let [a, b] = pair();
        let socket = udp(&b, "0.0.0.0:9999");
        let attacker = a.raw("eth0");
        let everybody = "255.255.255.255:9999".parse().unwrap();
        let source = "10.77.1.1:5353".parse().unwrap();

        for martian in ["127.0.0.1:9999", "255.255.255.255:9999", "224.0.0.1:9999"] {
            attacker.send(&Datagram::new(
                martian.parse().unwrap(),
                everybody,
                b"martian",
            ));
        }
        let payloads: [&[u8]; 4] = [b"", b"x", b"odd", b"even"];
        for payload in payloads {
            let datagram = Datagram::new(source, everybody, payload);
            attacker.send(&datagram.clone().with_wrong_checksum());
            attacker.send(&datagram);
        }
        for payload in payloads {
            assert_eq!(receive(&socket).unwrap().0.as_bytes(), payload);
        }
        socket.set_read_timeout(Some(NEVER)).unwrap();
        assert!(receive(&socket).is_err());
    });
}

#[test]
fn a_process_tells_what_it_writes_and_how_it_ends() {
    lab::run(|| {
        let host = Lab::new().host("a");
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            host.spawn(command)
        };
        let mut echo = shell("echo out; echo err >&2; cat; echo end; exit 3");
        assert_eq!(echo.wait_for_line("er", SOON), "err");
        echo.close_stdin();
        assert_eq!(echo.wait_for_line("end", SOON), "end");
        assert_eq!(echo.wait(SOON).code(), Some(3));
        assert_eq!(
            (echo.stdout(), echo.stderr()),
            (vec!["out".into(), "end".into()], vec!["err".into()])
        );

        let mut trap = shell("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done");
        trap.wait_for_line("up", SOON);
        trap.signal(Signal::SIGTERM);
        assert!(trap.wait(SOON).success());
        assert_eq!(trap.stdout(), ["up", "bye"]);

        let text = panic_of(|| drop(shell("echo other").wait_for_line("text", SOON))).unwrap();
        assert!(
            text.contains("no line with \"text\"") && text.contains("other"),
            "{text}"
        );

        let dropped = shell("exec sleep 1000");
        let path = format!("/proc/{}", dropped.id());
        assert!(Path::new(&path).exists());
        drop(dropped);
        assert!(!Path::new(&path).exists());
    });
}

#[test]
fn a_wrong_test_name_fails() {
    if let Err(why) = lab::available() {
        return lab::skip(&why);
    }
    let run = || lab::run_within(SOON, "no_such_test", || ());
    let text = panic_of(run).unwrap();
    assert!(text.contains("the calling test has another name"), "{text}");
    // The name of a thread without one can't be compared.
    let unnamed = thread::spawn(move || panic_of(run));
    let text = unnamed.join().unwrap().unwrap();
    assert!(
        text.contains("no test of this binary is named no_such_test"),
        "{text}"
    );
}

#[test]
fn a_failure_inside_is_a_failure_outside() {
    let output = this_binary("fails").output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    if lab::available().is_ok() {
        assert!(!output.status.success());
        assert!(text.contains("fails failed in the laboratory"), "{text}");
        assert!(text.contains("for this reason"), "{text}");
    } else {
        assert!(
            output.status.success() && text.contains("skipped: "),
            "{text}"
        );
    }
}

#[test]
fn nothing_is_left_of_a_test_that_takes_too_long() {
    const LIMIT: Duration = Duration::from_secs(5);
    let name = "nothing_is_left_of_a_test_that_takes_too_long";
    let Some(text) = panic_of(|| lab::run_within(LIMIT, name, hang)) else {
        return assert!(lab::available().is_err(), "it never ends by itself");
    };
    assert!(text.contains("took longer than 5s"), "{text}");
    let namespaces: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("net:["))
        .collect();
    assert_eq!(namespaces.len(), 2, "{text}");
    wait_until(|| !namespaces.iter().any(|it| is_used(it)));
}

#[test]
fn nothing_is_left_of_a_test_whose_outside_is_killed() {
    if let Err(why) = lab::available() {
        return lab::skip(&why);
    }
    // Nobody else sleeps for so long, not even in another run of this test.
    let seconds = format!("86399.{}", process::id());
    let mut command = this_binary("hangs");
    command.env(SLEEP, &seconds).stdout(Stdio::null());
    let mut outside = command.spawn().unwrap();
    wait_until(|| !sleepers(&seconds).is_empty());
    let namespace = namespace_of(&sleepers(&seconds)[0]);
    assert!(is_used(&namespace));
    outside.kill().unwrap();
    outside.wait().unwrap();
    wait_until(|| sleepers(&seconds).is_empty() && !is_used(&namespace));
}

#[test]
fn the_python_peers_find_each_other() {
    lab::run_with_python(env!("CARGO_TARGET_TMPDIR"), |interpreter| {
        let [a, b] = pair();
        // Their server names the address of its default route.
        b.ip("route add default via 10.77.1.254");
        let server = b.spawn(python::server(interpreter, r#"{"DISCOVERY_PORT": 9999}"#));
        server.wait_for_line("ready", SOON);
        let config = r#"{"discovery_port": 9999, "timeout": 0.5}"#;
        let mut client = a.spawn(python::client(interpreter, config));
        assert!(client.wait(SOON).success(), "{client:?}");
        assert_eq!(client.stdout(), [r#"[{"ip": "10.77.1.2", "port": 8000}]"#]);
    });
}

#[test]
#[ignore = "it fails: a_failure_inside_is_a_failure_outside runs it"]
fn fails() {
    lab::run(|| panic!("for this reason"));
}

#[test]
#[ignore = "it hangs: nothing_is_left_of_a_test_whose_outside_is_killed runs it"]
fn hangs() {
    lab::run_within(lab::DEFAULT_TIME_LIMIT, "hangs", hang);
}

/// Has two hosts and a process that sleeps, tells their namespaces, and never ends.
fn hang() {
    let [a, b] = pair();
    for host in [&a, &b] {
        println!(
            "{}",
            host.run(|| namespace_of(Path::new("/proc/thread-self")))
        );
    }
    let mut command = Command::new("sleep");
    command.arg(env::var(SLEEP).unwrap_or("86400".into()));
    let _sleeper = a.spawn(command);
    loop {
        thread::park();
    }
}

/// This binary, to run one of its ignored tests.
fn this_binary(test: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args([test, "--exact", "--include-ignored", "--nocapture"]);
    command
}

fn wait_until(done: impl Fn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !done() {
        assert!(Instant::now() < deadline, "it doesn't come");
        thread::yield_now();
    }
}

/// The processes, as folders of /proc, that sleep for `seconds`.
fn sleepers(seconds: &str) -> Vec<PathBuf> {
    let command_line = format!("sleep\0{seconds}\0").into_bytes();
    let sleeps =
        |process: &PathBuf| fs::read(process.join("cmdline")).is_ok_and(|it| it == command_line);
    folder("/proc").into_iter().filter(sleeps).collect()
}

/// The network namespace of a process or thread, such as `net:[4026531840]`.
fn namespace_of(process: &Path) -> String {
    let link = fs::read_link(process.join("ns/net")).unwrap_or_default();
    link.display().to_string()
}

/// Whether a thread is in that network namespace, or a descriptor keeps it.
fn is_used(namespace: &str) -> bool {
    let uses = |process: &PathBuf| {
        let threads = folder(process.join("task"));
        let files = folder(process.join("fd"));
        threads
            .iter()
            .any(|thread| namespace_of(thread) == namespace)
            || files
                .iter()
                .any(|file| fs::read_link(file).is_ok_and(|link| link == Path::new(namespace)))
    };
    folder("/proc").iter().any(uses)
}

/// What is in a folder; nothing, if it is gone.
fn folder(path: impl AsRef<Path>) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten();
    entries.flatten().map(|entry| entry.path()).collect()
}
