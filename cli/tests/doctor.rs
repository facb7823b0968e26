//! The doctor on networks of its own, one for each fault.
#![cfg(target_os = "linux")]

use std::env;
use std::fs;
use std::net::UdpSocket;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};
use serde_json::Value;
use udp_discovery_tests::lab::{self, Host, Lab, Process, Signal};

mod program;
use program::command;

/// Longer than anything takes here.
const ENOUGH: Duration = Duration::from_secs(20);

/// What the doctor printed, and its exit code.
struct Diagnosis {
    json: Value,
    code: i32,
}

impl Diagnosis {
    fn on(host: &Host, arguments: &[&str]) -> Self {
        let process = host.spawn(command(
            &[&["doctor", "--format", "json"], arguments].concat(),
        ));
        Self::of(process)
    }

    fn of(mut process: Process) -> Self {
        let code = process.wait(ENOUGH).code();
        Self::new(
            code,
            &process.stdout().join("\n"),
            &process.stderr().join("\n"),
        )
    }

    fn new(code: Option<i32>, stdout: &str, stderr: &str) -> Self {
        assert_eq!(stderr, "");
        let code = code.expect("it is not killed");
        let json: Value = serde_json::from_str(stdout).unwrap();
        let is_problem = findings(&json).iter().any(|it| it["severity"] == "problem");
        assert_eq!(code, i32::from(is_problem), "{json:#}");
        Self { json, code }
    }

    /// Asserts that these are all problems and warnings.
    fn assert_faults<const N: usize>(&self, expected: [(&str, &str); N]) {
        let faults = findings(&self.json).iter();
        let faults = faults.filter(|it| it["severity"] != "note");
        let faults: Vec<_> = faults
            .map(|it| {
                (
                    it["severity"].as_str().unwrap(),
                    it["code"].as_str().unwrap(),
                )
            })
            .collect();
        assert_eq!(faults, expected, "{:#}", self.json);
    }

    fn finding(&self, code: &str) -> &Value {
        let mut findings = findings(&self.json).iter();
        let found = findings.find(|it| it["code"] == code);
        found.unwrap_or_else(|| panic!("no {code}: {:#}", self.json))
    }

    /// Asserts that a finding with this code says `text`.
    fn assert_says(&self, code: &str, field: &str, text: &str) {
        let mut findings = findings(&self.json).iter().filter(|it| it["code"] == code);
        let says = findings.any(|it| it[field].as_str().is_some_and(|it| it.contains(text)));
        assert!(says, "no {code} with {text:?}: {:#}", self.json);
    }
}

fn findings(json: &Value) -> &Vec<Value> {
    json["findings"].as_array().unwrap()
}

/// Starts a server, and waits until it answers.
fn serve(host: &Host, arguments: &[&str]) -> Process {
    let process = host.spawn(command(&[&["serve"], arguments].concat()));
    process.wait_for_line("listening", ENOUGH);
    process
}

/// Answers plain requests on a host, and requests for details.
fn answer_with_details(host: &Host) {
    let socket = host.run(|| UdpSocket::bind("0.0.0.0:9999")).unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 600];
        while let Ok((len, client)) = socket.recv_from(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..len]);
            let answer = match text.lines().nth(1) {
                None => "SERVER_IP:10.77.1.2".to_owned(),
                Some(nonce) => {
                    let (id, run) = ("A".repeat(43), "A".repeat(11));
                    format!("SERVER_IP:10.77.1.2\n{nonce}\nid={id}\nrun={run}\n")
                }
            };
            let _ = socket.send_to(answer.as_bytes(), client);
        }
    });
}

/// Answers each request on a host with `answer`.
fn answer(host: &Host, answer: &'static [u8]) {
    let socket = host.run(|| UdpSocket::bind("0.0.0.0:9999")).unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((_, client)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(answer, client);
        }
    });
}

fn two_hosts() -> [Host; 2] {
    Lab::new().hosts(["10.77.1.1/24", "10.77.1.2/24"])
}

/// Whether the rules of a firewall can be set here.
fn have_nft() -> bool {
    let have = lab::have("nft");
    if !have {
        lab::skip("`nft` is not installed");
    }
    have
}

/// A stateful firewall: it lets in what belongs to something that was sent.
const STATEFUL: &str = "table inet stateful {\n\
                        chain input {\n\
                        type filter hook input priority 0; policy drop;\n\
                        iif lo accept\n\
                        ct state established,related accept\n\
                        meta l4proto ipv6-icmp accept\n\
                        }\n}\n";

#[test]
fn a_healthy_network_with_a_server_has_notes_only() {
    lab::run(|| {
        let [client, server] = two_hosts();
        let _serving = serve(&server, &["--advertise-port", "8000"]);
        let start = Instant::now();
        let diagnosis = Diagnosis::on(&client, &[]);
        assert!(start.elapsed() < Duration::from_secs(3));
        diagnosis.assert_faults([]);
        assert_eq!(diagnosis.code, 0);
        let json = &diagnosis.json;
        assert_eq!(json["servers"][0]["ip"], "10.77.1.2");
        assert_eq!(json["servers"].as_array().unwrap().len(), 1);
        assert_eq!(json["self_test"], "ok");
        let interfaces = json["interfaces"].as_array().unwrap();
        let [lo, eth0] =
            ["lo", "eth0"].map(|name| interfaces.iter().find(|it| it["name"] == name).unwrap());
        assert_eq!(lo["used"], false);
        assert_eq!(lo["reason"], "loopback");
        assert_eq!(eth0["used"], true);
        assert_eq!(eth0["reason"], Value::Null);
        assert_eq!(eth0["addresses"][0], "10.77.1.1/24");
        assert!(
            eth0["asked"]
                .as_array()
                .unwrap()
                .contains(&"10.77.1.255".into())
        );
        assert_eq!(eth0["answers"], 1);
        diagnosis.finding("servers-found");
        diagnosis.finding("port-free");
    });
}

#[test]
fn a_healthy_network_without_a_server_has_a_note() {
    lab::run(|| {
        let [client, _other] = two_hosts();
        let start = Instant::now();
        let diagnosis = Diagnosis::on(&client, &[]);
        assert!(start.elapsed() < Duration::from_secs(3));
        diagnosis.assert_faults([]);
        assert_eq!(diagnosis.finding("no-server")["severity"], "note");
        diagnosis.assert_says("no-server", "advice", "doctor --target");
    });
}

#[test]
fn a_healthy_network_of_both_families_has_notes_only() {
    lab::run(|| {
        let [client, server] = two_hosts();
        for (host, address) in [(&client, "fd00:77::1/64"), (&server, "fd00:77::2/64")] {
            host.add_ipv6("eth0", address);
        }
        let _serving = serve(&server, &[]);
        Diagnosis::on(&client, &[]).assert_faults([]);
        let diagnosis = Diagnosis::on(&client, &["--target", "10.77.1.2"]);
        diagnosis.assert_faults([]);
        diagnosis.assert_says("target-answers", "message", "6 of 6 broadcasts");
        let diagnosis = Diagnosis::on(&client, &["--target", "fd00:77::2"]);
        diagnosis.assert_faults([]);
        diagnosis.assert_says("target-answers", "message", "3 of 3 broadcasts");
    });
}

#[test]
fn a_target_that_offers_details_is_asked_for_them_too() {
    lab::run(|| {
        let [client, server] = two_hosts();
        answer_with_details(&server);
        let diagnosis = Diagnosis::on(&client, &["--target", "10.77.1.2"]);
        diagnosis.assert_faults([]);
        diagnosis.assert_says("target-answers", "message", "3 of 3 requests for details");
    });
}

#[test]
fn a_server_finds_itself_and_its_port() {
    lab::run(|| {
        let [host, _other] = two_hosts();
        let _serving = serve(&host, &[]);
        let diagnosis = Diagnosis::on(&host, &["--target", "10.77.1.1"]);
        diagnosis.assert_faults([]);
        diagnosis.assert_says("port-serves", "message", "udp-discovery");
        diagnosis.assert_says("target-answers", "message", "this host");
    });
}

#[test]
fn servers_that_share_a_port_are_told_with_what_reaches_only_one() {
    lab::run(|| {
        let [host, _other] = two_hosts();
        let _servers =
            ["8001", "8002"].map(|port| serve(&host, &["--share-port", "--advertise-port", port]));
        let diagnosis = Diagnosis::on(&host, &[]);
        diagnosis.assert_faults([]);
        diagnosis.assert_says("port-serves", "message", "reaches only one");
    });
}

#[test]
fn loopback_alone_is_no_network() {
    lab::run(|| {
        let host = Lab::new().host("alone");
        let diagnosis = Diagnosis::on(&host, &[]);
        diagnosis.assert_faults([("problem", "no-network")]);
        assert_eq!(diagnosis.json["self_test"], "ok");
    });
}

#[test]
fn interfaces_that_are_down_are_a_problem_if_there_is_no_other() {
    lab::run(|| {
        let [host, _other] = two_hosts();
        host.ip("link set dev eth0 down");
        let diagnosis = Diagnosis::on(&host, &[]);
        diagnosis.assert_faults([("problem", "interface-down")]);
        assert_eq!(diagnosis.finding("interface-down")["interface"], "eth0");
        diagnosis.assert_says("interface-down", "advice", "ip link set dev eth0 up");

        host.ip("link add eth1 type veth peer name far");
        host.ip("link set dev eth1 up");
        host.ip("link set dev far up");
        host.ip("address add 10.77.9.1/24 dev eth1");
        Diagnosis::on(&host, &[]).assert_faults([]);
    });
}

#[test]
fn an_interface_without_a_carrier_is_down() {
    lab::run(|| {
        let host = Lab::new().host("unplugged");
        host.ip("link add eth0 type veth peer name veth0");
        host.ip("address add 10.77.1.1/24 dev eth0");
        host.ip("link set dev eth0 up");
        let diagnosis = Diagnosis::on(&host, &[]);
        diagnosis.assert_faults([("problem", "interface-down")]);
        assert_eq!(diagnosis.finding("interface-down")["interface"], "eth0");
        diagnosis.assert_says("interface-down", "message", "no carrier");
    });
}

#[test]
fn an_interface_without_an_address_is_a_problem_if_there_is_no_other() {
    lab::run(|| {
        let [host, _other] = two_hosts();
        host.ip("address flush dev eth0");
        let diagnosis = Diagnosis::on(&host, &[]);
        diagnosis.assert_faults([("problem", "no-address")]);
        assert_eq!(diagnosis.finding("no-address")["interface"], "eth0");
    });
}

/// Opens a point-to-point interface, so that it has a carrier.
const OPEN_TUN: &str = r#"
import fcntl, os, struct, time
end = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(end, 0x400454ca, struct.pack("16sH22x", b"tun0", 0x1001))
print("ready", flush=True)
time.sleep(60)
"#;

#[test]
fn a_point_to_point_link_has_no_broadcast() {
    if !lab::have("python3") {
        return lab::skip("`python3` is not installed");
    }
    if let Err(error) = fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
    {
        // No package would change this, so it is no failure in CI.
        println!("skipped: /dev/net/tun: {error}");
        return;
    }
    lab::run(|| {
        let host = Lab::new().host("tunnel");
        let mut python = Command::new("python3");
        python.args(["-c", OPEN_TUN]);
        let tunnel = host.spawn(python);
        tunnel.wait_for_line("ready", ENOUGH);
        host.ip("link set dev tun0 addrgenmode none");
        host.ip("address add 10.77.8.1 peer 10.77.8.2/32 dev tun0");
        host.ip("link set dev tun0 up");
        let diagnosis = Diagnosis::on(&host, &[]);
        diagnosis.assert_faults([("problem", "no-broadcast")]);
        diagnosis.assert_says("no-broadcast", "advice", "--target");
    });
}

#[test]
fn container_bridges_alone_are_a_problem() {
    lab::run(|| {
        let host = Lab::new().host("containers");
        host.ip("link add docker0 type veth peer name veth0");
        host.ip("link set dev docker0 up");
        host.ip("link set dev veth0 up");
        host.ip("address add 10.77.9.1/24 dev docker0");
        let diagnosis = Diagnosis::on(&host, &[]);
        diagnosis.assert_faults([("problem", "only-container-bridges")]);
    });
}

#[test]
fn settings_that_leave_every_network_out_are_a_problem() {
    lab::run(|| {
        let [client, _other] = two_hosts();
        for (variable, names) in [
            ("DISCOVERY_CLIENT_INTERFACES", "wlan0"),
            ("DISCOVERY_CLIENT_EXCLUDED_INTERFACES", "eth*"),
        ] {
            let mut doctor = command(&["doctor", "--format", "json"]);
            doctor.env(variable, names);
            let diagnosis = Diagnosis::of(client.spawn(doctor));
            diagnosis.assert_faults([("problem", "search-failed")]);
        }
    });
}

#[test]
fn a_firewall_that_refuses_to_send_is_a_problem() {
    if !have_nft() {
        return;
    }
    lab::run(|| {
        let [client, server] = two_hosts();
        let _serving = serve(&server, &[]);
        client.nft(
            "table inet refuse {\nchain output {\ntype filter hook output priority 0\n\
             oifname eth0 udp dport 9999 drop\n}\n}\n",
        );
        let diagnosis = Diagnosis::on(&client, &[]);
        diagnosis.assert_faults([("problem", "send-refused")]);
        assert_eq!(diagnosis.finding("send-refused")["interface"], "eth0");
        diagnosis.assert_says("send-refused", "message", "firewall");
        let diagnosis = Diagnosis::on(&client, &["--target", "10.77.1.2"]);
        diagnosis.assert_faults([("problem", "send-refused"), ("problem", "send-refused")]);
    });
}

#[test]
fn answers_to_broadcasts_that_a_stateful_firewall_drops_are_told_by_its_memory() {
    if !have_nft() {
        return;
    }
    lab::run(|| {
        let [client, server] = two_hosts();
        let _serving = serve(&server, &[]);
        client.nft(STATEFUL);
        let diagnosis = Diagnosis::on(&client, &["--target", "10.77.1.2"]);
        diagnosis.assert_faults([("problem", "answers-to-broadcast-dropped")]);
        let message = "0 of 6 broadcasts, 3 of 3 requests to it alone, and 6 of 6 broadcasts";
        diagnosis.assert_says("answers-to-broadcast-dropped", "message", message);

        // A firewall with a rule for a server on this host.
        client.nft("add rule inet stateful input udp dport 9999 accept\n");
        let diagnosis = Diagnosis::on(&client, &["--target", "10.77.1.2"]);
        diagnosis.assert_faults([("problem", "answers-to-broadcast-dropped")]);
        let advice = "--source-port 9999";
        diagnosis.assert_says("answers-to-broadcast-dropped", "advice", advice);
    });
}

#[test]
fn broadcasts_that_do_not_reach_a_host_that_answers_are_not_delivered() {
    if !have_nft() {
        return;
    }
    lab::run(|| {
        let [client, server] = two_hosts();
        let _serving = serve(&server, &[]);
        let filter = |what: &str| {
            server.nft(&format!(
                "table netdev isolation\ndelete table netdev isolation\n\
                 table netdev isolation {{\nchain ingress {{\n\
                 type filter hook ingress device \"eth0\" priority 0;\n\
                 {what} udp dport 9999 drop\n}}\n}}\n"
            ));
        };
        filter("ether daddr ff:ff:ff:ff:ff:ff ip version 4");
        let diagnosis = Diagnosis::on(&client, &["--target", "10.77.1.2"]);
        diagnosis.assert_faults([("problem", "broadcast-not-delivered")]);
        diagnosis.assert_says("broadcast-not-delivered", "advice", "--multicast");

        filter("ether daddr & 01:00:00:00:00:00 == 01:00:00:00:00:00");
        let start = Instant::now();
        let diagnosis = Diagnosis::on(&client, &["--target", "10.77.1.2"]);
        assert!(start.elapsed() < Duration::from_secs(10));
        diagnosis.assert_faults([("problem", "broadcast-not-delivered")]);
        let advice = diagnosis.finding("broadcast-not-delivered")["advice"].to_string();
        assert!(!advice.contains("--multicast"), "{advice}");
    });
}

#[test]
fn a_target_behind_a_router_is_elsewhere() {
    lab::run(|| {
        let lab = Lab::new();
        let [client, router, server] = ["client", "router", "server"].map(|name| lab.host(name));
        let near = lab.network("near", "10.77.1.0/24");
        let far = lab.network("far", "10.77.2.0/24");
        client.join(&near, "eth0", "10.77.1.1/24");
        router.join(&near, "eth0", "10.77.1.254/24");
        router.join(&far, "eth1", "10.77.2.254/24");
        server.join(&far, "eth0", "10.77.2.2/24");
        router
            .run(|| fs::write("/proc/sys/net/ipv4/ip_forward", "1"))
            .unwrap();

        let diagnosis = Diagnosis::on(&client, &["--target", "10.77.2.2"]);
        diagnosis.assert_faults([("problem", "target-elsewhere")]);
        diagnosis.assert_says("target-elsewhere", "message", "No route");

        client.ip("route add default via 10.77.1.254");
        server.ip("route add default via 10.77.2.254");
        let serving = serve(&server, &[]);
        let diagnosis = Diagnosis::on(&client, &["--target", "10.77.2.2"]);
        diagnosis.assert_faults([("problem", "target-elsewhere")]);
        diagnosis.assert_says("target-elsewhere", "advice", "--allow 10.77.1.1");
        drop(serving);

        let _serving = serve(&server, &["--allow", "10.77.1.1"]);
        let diagnosis = Diagnosis::on(&client, &["--target", "10.77.2.2"]);
        diagnosis.assert_faults([("problem", "target-elsewhere")]);
        diagnosis.assert_says("target-elsewhere", "advice", "discover --target 10.77.2.2");
    });
}

#[test]
fn a_target_that_is_no_host_is_unknown_and_a_network_is_a_usage_error() {
    lab::run(|| {
        let [client, _other] = two_hosts();
        for target in ["nosuch.invalid", "10.77.1.255"] {
            let diagnosis = Diagnosis::on(&client, &["--target", target]);
            diagnosis.assert_faults([("problem", "target-unknown")]);
        }
        for target in ["10.77.1.0/24", "255.255.255.255", ""] {
            let mut doctor = client.spawn(command(&["doctor", "--target", target]));
            assert_eq!(doctor.wait(ENOUGH).code(), Some(2), "{target:?}");
            assert_eq!(doctor.stdout(), [""; 0]);
        }
    });
}

#[test]
fn a_port_without_a_server_is_closed() {
    lab::run(|| {
        let [client, _server] = two_hosts();
        let diagnosis = Diagnosis::on(&client, &["--target", "10.77.1.2"]);
        diagnosis.assert_faults([("problem", "port-closed")]);
        assert_eq!(diagnosis.finding("port-closed")["interface"], "eth0");
    });
}

/// Expects that the doctor says this about a target that does not answer.
fn assert_silence(client: &Host, target: &str, text: &str) {
    let diagnosis = Diagnosis::on(client, &["--target", target]);
    diagnosis.assert_faults([("problem", "no-answer")]);
    diagnosis.assert_says("no-answer", "message", text);
}

#[test]
fn a_host_that_is_not_there_and_one_with_other_words_are_told_apart() {
    lab::run(|| {
        let [client, server] = two_hosts();
        let nobody = "No host on this link has the address 10.77.1.9";
        assert_silence(&client, "10.77.1.9", nobody);
        let _other_words = serve(&server, &["--message", "FIND_PRINTER"]);
        assert_silence(&client, "10.77.1.2", "other words");
    });
}

#[test]
fn firewalls_of_a_target_are_told_apart_as_far_as_can_be() {
    if !have_nft() {
        return;
    }
    lab::run(|| {
        let [client, server] = two_hosts();
        let says = |text| assert_silence(&client, "10.77.1.2", text);
        let filter = |rule: &str| {
            server.nft(&format!(
                "table ip filter\ndelete table ip filter\n\
                 table ip filter {{\nchain input {{\ntype filter hook input priority 0\n\
                 {rule}\n}}\n}}\n"
            ));
        };
        filter("udp dport 9999 drop");
        says("a firewall drops requests");
        filter("drop");
        says("does not answer at all");
        filter("udp dport 9999 reject with icmp type admin-prohibited");
        says("A firewall forbids");
    });
}

#[test]
fn a_target_with_another_response_prefix_has_other_words() {
    lab::run(|| {
        let [client, server] = two_hosts();
        answer(&server, b"PRINTER:10.77.1.2");
        let diagnosis = Diagnosis::on(&client, &["--target", "10.77.1.2"]);
        diagnosis.assert_faults([("problem", "no-answer"), ("warning", "other-words")]);
        diagnosis.assert_says("no-answer", "message", "PRINTER:10.77.1.2");
    });
}

#[test]
fn hosts_of_one_link_with_different_prefixes_are_a_mismatch() {
    lab::run(|| {
        let [client, server, other] =
            Lab::new().hosts(["10.77.1.1/24", "10.77.1.2/16", "10.77.2.5/16"]);
        let serving = serve(&server, &[]);
        let diagnosis = Diagnosis::on(&client, &["--target", "10.77.1.2"]);
        diagnosis.assert_faults([("warning", "prefix-mismatch")]);
        assert_eq!(diagnosis.code, 0);
        drop(serving);

        let _serving = serve(&other, &[]);
        let diagnosis = Diagnosis::on(&client, &[]);
        diagnosis.assert_faults([("warning", "prefix-mismatch")]);
        diagnosis.assert_says("prefix-mismatch", "message", "10.77.2.5");
    });
}

#[test]
fn a_port_that_a_program_has_which_does_not_answer_is_taken() {
    lab::run(|| {
        let [host, _other] = two_hosts();
        let _socket = host.run(|| UdpSocket::bind("0.0.0.0:9999")).unwrap();
        let diagnosis = Diagnosis::on(&host, &[]);
        diagnosis.assert_faults([("problem", "port-taken")]);
        let own = format!("(pid {})", std::process::id());
        diagnosis.assert_says("port-taken", "message", &own);
    });
}

#[test]
fn a_server_that_claims_loopback_claims_an_unreachable_address() {
    lab::run(|| {
        let [client, server] = two_hosts();
        answer(&server, b"SERVER_IP:127.0.0.1:8000");
        let diagnosis = Diagnosis::on(&client, &[]);
        diagnosis.assert_faults([("warning", "claims-unreachable-address")]);
        assert_eq!(
            diagnosis.finding("claims-unreachable-address")["interface"],
            "eth0"
        );
        let advice = "--advertise-ip 10.77.1.2";
        diagnosis.assert_says("claims-unreachable-address", "advice", advice);
    });
}

#[test]
fn answers_that_the_receive_buffer_has_no_room_for_are_lost() {
    /// More than fit into a buffer of 8 MiB, the most that a search gets.
    const ANSWERS: usize = 20_000;
    lab::run(|| {
        let [client, server] = two_hosts();
        let socket = server.run(|| UdpSocket::bind("0.0.0.0:9999")).unwrap();
        let doctor = client.spawn(command(&["doctor", "--format", "json"]));
        let (_, asker) = socket.recv_from(&mut [0; 512]).unwrap();
        doctor.signal(Signal::SIGSTOP);
        for _ in 0..ANSWERS {
            socket.send_to(b"SERVER_IP:10.77.1.2", asker).unwrap();
        }
        doctor.signal(Signal::SIGCONT);
        let diagnosis = Diagnosis::of(doctor);
        diagnosis.assert_faults([("warning", "answers-lost")]);
        diagnosis.assert_says("answers-lost", "advice", "net.core.rmem_max");
    });
}

/// Runs the doctor after `shell`, a command of sh(1), with its own mounts.
fn after(host: &Host, shell: &str) -> Diagnosis {
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "sh", "-c"]);
    unshare.arg(format!("{shell} && exec \"$0\" doctor --format json"));
    unshare.arg(command(&[]).get_program());
    Diagnosis::of(host.spawn(unshare))
}

/// Runs the doctor where the system refuses to open the sockets of `family`, or all of them.
fn without_sockets(host: &Host, family: Option<i32>) -> Diagnosis {
    let rules = match family {
        None => Vec::new(),
        Some(family) => {
            let family = u64::try_from(family).unwrap();
            let dword = SeccompCmpArgLen::Dword;
            let condition = SeccompCondition::new(0, dword, SeccompCmpOp::Eq, family).unwrap();
            vec![SeccompRule::new(vec![condition]).unwrap()]
        }
    };
    let filter = SeccompFilter::new(
        [(libc::SYS_socket, rules)].into(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM.unsigned_abs()),
        env::consts::ARCH.try_into().unwrap(),
    );
    let filter: BpfProgram = filter.unwrap().try_into().unwrap();
    let output = host.run(|| {
        // Of this thread and the processes that it starts.
        apply_filter(&filter).unwrap();
        command(&["doctor", "--format", "json"]).output().unwrap()
    });
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Diagnosis::new(
        output.status.code(),
        &text(output.stdout),
        &text(output.stderr),
    )
}

#[test]
fn fault_56_without_sockets_the_doctor_says_what_it_does_not_see() {
    lab::run(|| {
        let [client, server] = two_hosts();
        let _serving = serve(&server, &[]);
        let diagnosis = without_sockets(&client, None);
        diagnosis.finding("self-test-failed");
        diagnosis.assert_says("not-seen", "message", "the network interfaces");
        assert_eq!(diagnosis.json["self_test"], "failed");
        let diagnosis = without_sockets(&client, Some(libc::AF_NETLINK));
        diagnosis.assert_says("not-seen", "message", "the network interfaces");
        let diagnosis = without_sockets(&client, Some(libc::AF_INET));
        diagnosis.finding("self-test-failed");
        diagnosis.assert_says("search-failed", "message", "cannot open a socket");
        let diagnosis = without_sockets(&client, Some(libc::AF_INET6));
        diagnosis.assert_faults([]);
    });
}

#[test]
fn fault_56_without_proc_the_doctor_says_what_it_does_not_see() {
    lab::run(|| {
        let [client, server] = two_hosts();
        let _serving = serve(&server, &[]);
        let diagnosis = after(&client, "mount -t tmpfs none /proc");
        diagnosis.assert_faults([("warning", "not-seen")]);
        diagnosis.assert_says("not-seen", "message", "whether answers were lost");
        diagnosis.finding("servers-found");
    });
}

#[test]
fn fault_56_with_hardly_any_descriptors_the_doctor_says_what_it_does_not_see() {
    lab::run(|| {
        let [client, server] = two_hosts();
        let _serving = serve(&server, &[]);
        for limit in 4..10 {
            let diagnosis = after(&client, &format!("ulimit -n {limit}"));
            let faults = findings(&diagnosis.json).iter();
            let faults = faults.filter(|it| it["severity"] != "note");
            assert!(faults.count() > 0, "{limit}: {:#}", diagnosis.json);
        }
    });
}
