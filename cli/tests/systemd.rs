//! `udp-discovery serve` as a service of systemd, with the tests in systemd's place: its
//! notifications, its watchdog, the socket that it takes over, and its units.
#![cfg(target_os = "linux")]

use std::env;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt::Ipv4PacketInfo};
use rustix::process::Signal;
use socket2::{Domain, Socket, Type};

mod service;

use service::{Service, command, free_port, program};

const REQUEST: &[u8] = b"DISCOVER_SERVER";

/// A folder that ends with the test. Its name is short, as that of a socket has to be.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("udp-discovery-{}-{number}", std::process::id());
        let folder = env::temp_dir().join(name);
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The service manager that a service notifies.
struct Manager {
    folder: Folder,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Self {
        let folder = Folder::new();
        let socket = UnixDatagram::bind(folder.0.join("notify")).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        Self { folder, socket }
    }

    fn start(&self, environment: &[(&str, &str)]) -> Service {
        let port = free_port();
        let mut command = command(&["--port", &port.to_string()]);
        command.env("NOTIFY_SOCKET", self.folder.0.join("notify"));
        Service::spawn(command.envs(environment.iter().copied()), port)
    }

    /// The next notification.
    fn told(&self) -> String {
        let mut buffer = [0; 256];
        let len = self.socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    }

    fn told_ready(&self, port: u16) {
        let expected = format!("READY=1\nSTATUS=listening on 0.0.0.0:{port}\n");
        assert_eq!(self.told(), expected);
    }
}

impl Service {
    /// The names of its threads.
    fn threads(&self) -> Vec<String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        tasks
            .map(|task| fs::read_to_string(task.unwrap().path().join("comm")).unwrap())
            .map(|name| name.trim_end().to_owned())
            .collect()
    }

    fn is_watched(&self) -> bool {
        self.threads().iter().any(|name| name == "watchdog")
    }
}

#[test]
fn it_notifies_systemd_that_it_is_ready_and_that_it_stops() {
    let manager = Manager::new();
    let service = manager.start(&[]);
    manager.told_ready(service.port);
    assert_eq!(service.ask(REQUEST), b"SERVER_IP:127.0.0.1");
    assert!(!service.is_watched());
    service.signal(Signal::TERM);
    assert_eq!(
        manager.told(),
        "STOPPING=1\nSTATUS=stopped, answered 1 of 1 datagrams\n"
    );
    assert_eq!(service.end().0.code(), Some(0));
}

#[test]
fn it_does_not_notify_that_it_is_ready_if_the_port_is_taken() {
    let manager = Manager::new();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = command(&["--port", &port])
        .env("NOTIFY_SOCKET", manager.folder.0.join("notify"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    manager.socket.set_nonblocking(true).unwrap();
    assert!(manager.socket.recv(&mut [0; 64]).is_err());
}

#[test]
fn it_serves_if_the_service_manager_is_gone() {
    let port = free_port();
    let mut command = command(&["--port", &port.to_string()]);
    let service = Service::spawn(command.env("NOTIFY_SOCKET", "/nowhere/notify"), port);
    assert_eq!(service.ask(REQUEST), b"SERVER_IP:127.0.0.1");
    service.signal(Signal::TERM);
    let (status, _, log) = service.end();
    assert_eq!(status.code(), Some(0));
    assert!(log.contains("could not be notified"), "{log}");
}

#[test]
fn the_watchdog_is_notified_again_and_again_and_not_logged() {
    let manager = Manager::new();
    let service = manager.start(&[("WATCHDOG_USEC", "200000")]);
    manager.told_ready(service.port);
    for _ in 0..5 {
        assert_eq!(manager.told(), "WATCHDOG=1\n");
    }
    service.signal(Signal::TERM);
    while manager.told() == "WATCHDOG=1\n" {}
    let (_, rest, log) = service.end();
    assert!(!log.contains("answered"), "{log}");
    // Each time it went the whole way.
    let answered = rest[0].split("answered: ").nth(1).unwrap();
    let answered = answered.split(',').next().unwrap();
    assert!(answered.parse::<u32>().unwrap() >= 5, "{rest:?}");
}

/// All of it stops at once, as it would if it hung; then it goes on.
#[test]
fn the_watchdog_is_not_notified_while_the_service_hangs() {
    let manager = Manager::new();
    let service = manager.start(&[("WATCHDOG_USEC", "200000")]);
    manager.told_ready(service.port);
    assert_eq!(manager.told(), "WATCHDOG=1\n");
    service.signal(Signal::STOP);
    manager
        .socket
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    // What was on its way.
    while manager.socket.recv(&mut [0; 64]).is_ok() {}
    service.signal(Signal::CONT);
    manager
        .socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    assert_eq!(manager.told(), "WATCHDOG=1\n");
}

#[test]
fn the_watchdog_of_another_process_is_not_its_own() {
    let manager = Manager::new();
    let service = manager.start(&[("WATCHDOG_USEC", "200000"), ("WATCHDOG_PID", "1")]);
    manager.told_ready(service.port);
    assert!(!service.is_watched());
    service.signal(Signal::TERM);
    assert!(manager.told().starts_with("STOPPING=1\n"));
}

#[test]
fn the_watchdog_of_its_own_process_is() {
    let manager = Manager::new();
    let port = free_port();
    let script = "export WATCHDOG_USEC=200000 WATCHDOG_PID=$$; exec \"$0\" \"$@\"";
    let mut command = in_shell(script, &["--port", &port.to_string()]);
    command.env("NOTIFY_SOCKET", manager.folder.0.join("notify"));
    let service = Service::spawn(&mut command, port);
    manager.told_ready(service.port);
    assert_eq!(manager.told(), "WATCHDOG=1\n");
    assert!(service.is_watched());
}

#[test]
fn nothing_is_watched_without_a_service_manager() {
    let port = free_port();
    let mut command = command(&["--port", &port.to_string()]);
    let service = Service::spawn(command.env("WATCHDOG_USEC", "200000"), port);
    assert_eq!(service.ask(REQUEST), b"SERVER_IP:127.0.0.1");
    assert!(!service.is_watched(), "{:?}", service.threads());
}

/// The shell's pid is that of the service, which it becomes.
fn in_shell(script: &str, arguments: &[&str]) -> Command {
    let serve = command(arguments);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", script])
        .arg(program())
        .args(serve.get_args());
    for (name, _) in serve.get_envs() {
        shell.env_remove(name);
    }
    shell
}

/// A service that `descriptor` is handed over to, `count` times.
fn with_handed_over(descriptor: impl Into<OwnedFd>, count: u32) -> Command {
    let script =
        format!("export LISTEN_FDS={count} LISTEN_PID=$$; exec \"$0\" \"$@\" 3<&0 4<&0 </dev/null");
    let mut command = in_shell(&script, &["--socket-activation"]);
    command.stdin(Stdio::from(descriptor.into()));
    command
}

/// Binds as systemd does, with `SO_REUSEADDR`.
fn bind_reusable(address: impl Into<SocketAddr>) -> std::io::Result<UdpSocket> {
    let address = address.into();
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn port_of(socket: &UdpSocket) -> u16 {
    socket.local_addr().unwrap().port()
}

fn fails_with(command: &mut Command, expected: &str) {
    let Output { status, stderr, .. } = command.output().unwrap();
    let text = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(2), "{text}");
    assert!(text.starts_with(&format!("error: {expected}")), "{text}");
}

#[test]
fn a_socket_that_is_handed_over_is_served() {
    let systemds = bind_reusable((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = port_of(&systemds);
    let mut command = with_handed_over(systemds.try_clone().unwrap(), 1);
    let service = Service::spawn(&mut command, port);
    assert!(service.printed.contains(&format!("port         {port}")));
    assert_eq!(service.ask(REQUEST), b"SERVER_IP:127.0.0.1");
    service.signal(Signal::TERM);
    assert_eq!(service.end().0.code(), Some(0));

    // systemd keeps it, for the service's next start.
    let mut command = with_handed_over(systemds, 1);
    let service = Service::spawn(&mut command, port);
    assert_eq!(service.ask(REQUEST), b"SERVER_IP:127.0.0.1");
}

/// It starts the service.
#[test]
fn a_request_from_before_the_start_is_answered() {
    let systemds = bind_reusable((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    // PassPacketInfo=yes in the unit.
    setsockopt(&systemds, Ipv4PacketInfo, &true).unwrap();
    let port = port_of(&systemds);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.send_to(REQUEST, ("127.0.0.1", port)).unwrap();

    let mut command = with_handed_over(systemds, 1);
    let _service = Service::spawn(&mut command, port);
    client
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut answer = [0; 64];
    let len = client.recv(&mut answer).unwrap();
    assert_eq!(&answer[..len], b"SERVER_IP:127.0.0.1");
}

#[test]
fn a_socket_that_is_handed_over_is_shared_with_nobody() {
    let systemds = bind_reusable((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = port_of(&systemds);
    // Until the service takes it over, it could be.
    let second = bind_reusable((Ipv4Addr::LOCALHOST, port)).unwrap();
    drop(second);

    let mut command = with_handed_over(systemds, 1);
    let service = Service::spawn(&mut command, port);
    for ip in [Ipv4Addr::UNSPECIFIED, Ipv4Addr::LOCALHOST] {
        let error = bind_reusable((ip, port)).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    }
    assert_eq!(service.ask(REQUEST), b"SERVER_IP:127.0.0.1");
}

#[test]
fn a_socket_that_is_shared_already_is_refused() {
    let systemds = bind_reusable((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = port_of(&systemds);
    let _second = bind_reusable((Ipv4Addr::LOCALHOST, port)).unwrap();
    fails_with(
        &mut with_handed_over(systemds, 1),
        &format!("another socket shares 0.0.0.0:{port} with the one"),
    );
}

/// The filter stays with the socket, which outlives the service.
#[test]
fn the_filter_of_the_service_before_is_gone() {
    let systemds = bind_reusable((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = port_of(&systemds);
    let mut command = with_handed_over(systemds.try_clone().unwrap(), 1);
    let service = Service::spawn(&mut command, port);
    service.signal(Signal::TERM);
    service.end();

    let mut command = with_handed_over(systemds, 1);
    let service = Service::spawn(command.arg("--no-kernel-filter"), port);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.send_to(b"junk", ("127.0.0.1", port)).unwrap();
    service.ask(REQUEST);
    service.signal(Signal::TERM);
    let (_, rest, _) = service.end();
    assert!(rest[0].contains("dropped (not the request): 1"), "{rest:?}");
}

#[test]
fn the_watchdog_asks_a_socket_where_it_is_bound() {
    let manager = Manager::new();
    let systemds = bind_reusable((Ipv4Addr::new(127, 1, 2, 3), 0)).unwrap();
    let address = systemds.local_addr().unwrap();
    let mut command = with_handed_over(systemds, 1);
    command
        .env("NOTIFY_SOCKET", manager.folder.0.join("notify"))
        .env("WATCHDOG_USEC", "200000");
    let _service = Service::spawn(&mut command, address.port());
    let ready = format!("READY=1\nSTATUS=listening on {address}\n");
    assert_eq!(manager.told(), ready);
    assert_eq!(manager.told(), "WATCHDOG=1\n");
}

#[test]
fn without_a_socket_it_says_so() {
    let mut alone = command(&["--socket-activation"]);
    alone.env_remove("LISTEN_FDS").env_remove("LISTEN_PID");
    fails_with(&mut alone, "systemd handed over no socket\nhint: ");
    // Handed over to another process.
    alone.env("LISTEN_FDS", "1").env("LISTEN_PID", "1");
    fails_with(&mut alone, "systemd handed over no socket\nhint: ");
}

/// A service that two sockets are handed over to. The second is its standard error, from which the
/// shell takes it.
fn with_both_handed_over(first: UdpSocket) -> Command {
    let script = "export LISTEN_FDS=2 LISTEN_PID=$$; \
                  exec \"$0\" \"$@\" 3<&0 4<&2 </dev/null 2>/dev/null";
    let mut command = in_shell(script, &["--socket-activation"]);
    command.stdin(Stdio::from(OwnedFd::from(first)));
    command
}

/// Sockets on one port of every address, of IPv4 and of IPv6; `None` on a host without IPv6.
fn bind_both() -> Option<[UdpSocket; 2]> {
    UdpSocket::bind("[::1]:0").ok()?;
    loop {
        let v4 = bind_reusable((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        if let Ok(v6) = bind_any_ipv6(port_of(&v4)) {
            return Some([v4, v6]);
        }
    }
}

/// With `BindIPv6Only=ipv6-only`.
fn bind_any_ipv6(port: u16) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, None)?;
    socket.set_only_v6(true)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into())?;
    Ok(socket.into())
}

fn asked_by_ipv6(port: u16) -> Vec<u8> {
    let client = UdpSocket::bind("[::1]:0").unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    client.send_to(REQUEST, ("::1", port)).unwrap();
    let mut answer = [0; 64];
    let len = client.recv(&mut answer).unwrap();
    answer[..len].to_vec()
}

#[test]
fn a_socket_of_each_family_is_served_in_either_order() {
    for ipv6_first in [false, true] {
        let Some([v4, v6]) = bind_both() else { return };
        let port = port_of(&v4);
        let (first, second) = if ipv6_first { (v6, v4) } else { (v4, v6) };
        let mut command = with_both_handed_over(first);
        let service = Service::spawn_with_log(&mut command, port, OwnedFd::from(second));
        let listening = format!("listening on 0.0.0.0:{port} and [::]:{port} for 1m");
        assert_eq!(service.printed.last(), Some(&listening));
        assert_eq!(service.ask(REQUEST), b"SERVER_IP:127.0.0.1");
        assert_eq!(asked_by_ipv6(port), b"SERVER_IP:[::1]");
        // Both are shared with nobody.
        assert!(bind_reusable((Ipv4Addr::LOCALHOST, port)).is_err());
        assert!(bind_any_ipv6(port).is_err());
    }
}

#[test]
fn a_socket_of_ipv6_is_served_and_watched() {
    let Some([_, v6]) = bind_both() else { return };
    let manager = Manager::new();
    let port = port_of(&v6);
    let mut command = with_handed_over(v6, 1);
    command
        .env("NOTIFY_SOCKET", manager.folder.0.join("notify"))
        .env("WATCHDOG_USEC", "200000");
    let _service = Service::spawn(&mut command, port);
    assert_eq!(asked_by_ipv6(port), b"SERVER_IP:[::1]");
    let ready = format!("READY=1\nSTATUS=listening on [::]:{port}\n");
    assert_eq!(manager.told(), ready);
    assert_eq!(manager.told(), "WATCHDOG=1\n");
}

#[test]
fn a_socket_of_ipv6_that_is_shared_already_is_refused() {
    let Some([_, systemds]) = bind_both() else {
        return;
    };
    let port = port_of(&systemds);
    let _second = bind_reusable((Ipv6Addr::LOCALHOST, port)).unwrap();
    fails_with(
        &mut with_handed_over(systemds, 1),
        &format!("another socket shares [::]:{port} with the one"),
    );
}

#[test]
fn what_is_not_one_udp_socket_for_each_family_is_refused() {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    fails_with(
        &mut with_handed_over(udp, 2),
        "systemd handed over 2 sockets, not one for each family\n\
         hint: the socket unit must have ListenDatagram=0.0.0.0:9999, or ListenDatagram=[::]:9999",
    );
    let others: [OwnedFd; 3] = [
        TcpListener::bind("127.0.0.1:0").unwrap().into(),
        UnixDatagram::unbound().unwrap().into(),
        fs::File::open("/dev/null").unwrap().into(),
    ];
    for other in others {
        fails_with(
            &mut with_handed_over(other, 1),
            "systemd handed over something other than a UDP socket",
        );
    }
    // Without BindIPv6Only=ipv6-only.
    if let Ok(both) = bind_reusable((Ipv6Addr::UNSPECIFIED, 0)) {
        let address = both.local_addr().unwrap();
        let expected =
            format!("systemd handed over a socket on {address} that receives IPv4 datagrams too");
        fails_with(&mut with_handed_over(both, 1), &expected);
    }
}

#[test]
fn details_that_do_not_fit_are_refused_on_a_socket_that_is_handed_over_too() {
    let systemds = bind_reusable((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut command = with_handed_over(systemds, 1);
    let property = format!("text={}", "x".repeat(400));
    command.env("DISCOVERY_SERVER_PROPERTIES", property);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("bytes too many"), "{text}");
}

#[test]
fn options_that_a_handed_over_socket_makes_senseless_are_refused() {
    for option in ["--port=9999", "--replace"] {
        let output = command(&["--socket-activation", option]).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("cannot be used with"), "{text}");
    }
}

/// The units, with the path of the program that is here, and the drop-ins of the guide.
struct Units {
    folder: Folder,
}

impl Units {
    /// None, if systemd isn't installed, or is older than 250, which can't look at a unit alone.
    fn new() -> Option<Self> {
        let version = Command::new("systemd-analyze").arg("--version").output();
        let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let major = version
            .ok()
            .and_then(|text| text.split(' ').nth(1)?.parse().ok());
        if major.is_none_or(|major: u32| major < 250) {
            assert!(
                env::var("CI").as_deref() != Ok("true"),
                "in CI this test must run: install systemd 250 or later"
            );
            println!("skipped: there is no systemd-analyze of version 250 or later");
            return None;
        }
        let folder = Folder::new();
        for name in ["udp-discovery.service", "udp-discovery.socket"] {
            fs::write(folder.0.join(name), with_program(&unit(name))).unwrap();
        }
        Some(Self { folder })
    }

    fn add_drop_in(&self, text: &str) {
        let kind = if text.starts_with("[Socket]") {
            "socket"
        } else {
            "service"
        };
        let folder = self.folder.0.join(format!("udp-discovery.{kind}.d"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("override.conf"), with_program(text)).unwrap();
    }

    fn analyze(&self, arguments: &[&str], units: &[&str]) -> (bool, String) {
        let output = Command::new("systemd-analyze")
            .args(arguments)
            .args(units.iter().map(|name| self.folder.0.join(name)))
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        (output.status.success(), text)
    }

    fn verify(&self) {
        let units = ["udp-discovery.service", "udp-discovery.socket"];
        // What is wrong with the system's own units is another matter.
        let arguments = ["verify", "--man=no", "--recursive-errors=no"];
        let (is_right, text) = self.analyze(&arguments, &units);
        assert!(is_right, "{text}");
    }

    /// Its exposure is 2.0 of 10 at the most.
    fn is_hardened(&self) {
        let arguments = ["security", "--offline=yes", "--threshold=20", "--no-pager"];
        let (is_hardened, text) = self.analyze(&arguments, &["udp-discovery.service"]);
        assert!(is_hardened, "{text}");
    }
}

fn unit(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd");
    fs::read_to_string(folder.join(name)).unwrap()
}

fn with_program(text: &str) -> String {
    let program = program().into_string().unwrap();
    text.replace("/usr/local/bin/udp-discovery", &program)
}

fn guide() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/systemd.md");
    fs::read_to_string(path).unwrap()
}

#[test]
fn the_units_are_right_and_hardened() {
    let Some(units) = Units::new() else { return };
    units.verify();
    units.is_hardened();
}

#[test]
fn what_is_wrong_with_a_unit_is_found() {
    let Some(units) = Units::new() else { return };
    units.add_drop_in("[Service]\nNoSuchKey=yes\n");
    assert!(std::panic::catch_unwind(|| units.verify()).is_err());
    units.add_drop_in(
        "[Service]\nCapabilityBoundingSet=CAP_SYS_ADMIN\nPrivateUsers=no\nSystemCallFilter=\n",
    );
    assert!(std::panic::catch_unwind(|| units.is_hardened()).is_err());
}

#[test]
fn the_drop_ins_of_the_guide_are_right_and_take_no_hardening_away() {
    let Some(units) = Units::new() else { return };
    let guide = guide();
    let blocks = guide.split("```ini\n").skip(1);
    let drop_ins: Vec<&str> = blocks
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(drop_ins.len() >= 2);
    for drop_in in drop_ins {
        units.add_drop_in(drop_in);
        units.verify();
        units.is_hardened();
    }
}

#[test]
fn the_guide_has_every_hardening_of_the_unit_and_no_other() {
    let service = unit("udp-discovery.service");
    let hardening = service.split("# It needs").nth(1).unwrap();
    let hardening = hardening.split("[Install]").next().unwrap();
    let mut in_unit: Vec<&str> = hardening
        .lines()
        .filter_map(|line| Some(line.split_once('=')?.0))
        .collect();
    let guide = guide();
    let table = guide.split("## Hardening").nth(1).unwrap();
    let table = table.split("\n## ").next().unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let mut in_guide: Vec<&str> = rows
        .flat_map(|row| row.split('|').nth(1).unwrap().split('`'))
        .filter(|text| text.chars().any(char::is_alphabetic))
        .map(|text| text.split('=').next().unwrap())
        .collect();
    in_unit.sort_unstable();
    in_unit.dedup();
    in_guide.sort_unstable();
    assert_eq!(in_guide, in_unit);
}
