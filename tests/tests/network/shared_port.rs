//! Several servers on one port of a host.

use std::env;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::thread;

use udp_discovery_client::{Config as ClientConfig, Family};
use udp_discovery_server::protocol::MULTICAST_V4;
use udp_discovery_server::{BindError, Config, Server};
use udp_discovery_tests::lab::{self, Host, Process, Signal};

use crate::endpoints::{
    Asker, ENOUGH, Found, REQUEST, SOON, Serving, lasting, pair, search, wait_until,
};
use crate::ipv6::have_ipv6;
use crate::ipv6_search::with_ipv6;
use crate::ports::{BINDERS, IPV6_BINDERS, binder, binder_command};

const COUNT: u16 = 16;

/// A user that is neither root nor the one that runs the tests.
const OTHER_USER: u32 = 54_322;

fn shared() -> Config {
    Config::default().with_shared_port(true)
}

/// Servers that share their port, with the service ports from 8001.
fn servers(host: &Host) -> Vec<Serving> {
    let server = |number| Serving::on(host, shared().with_advertise_port(8000 + number));
    (1..=COUNT).map(server).collect()
}

/// A search with one probe, by this family.
fn one_probe(family: Family) -> ClientConfig {
    lasting(ENOUGH)
        .with_probes(1.try_into().unwrap())
        .with_family(family)
}

/// The service ports of the servers that were found, in order.
fn ports(found: &Found) -> Vec<u16> {
    let ports = found.servers.iter().map(|it| it.port.unwrap().get());
    let mut ports: Vec<u16> = ports.collect();
    ports.sort_unstable();
    ports
}

/// FAULTS R49
#[test]
fn each_of_16_servers_that_share_a_port_answers_a_broadcast_and_a_multicast_once() {
    lab::run(|| {
        let [a, b] = with_ipv6(pair());
        let servers = servers(&b);
        for (family, answered) in [(Family::V4, 1), (Family::V6, 2)] {
            let found = search(&a, one_probe(family));
            assert!(ports(&found).into_iter().eq(8001..=8000 + COUNT));
            assert_eq!(found.report.counts.duplicates, 0, "{family:?}");
            for server in &servers {
                assert_eq!(server.stats().answered(), answered, "{family:?}");
            }
        }
    });
}

/// FAULTS R49
#[test]
fn each_of_16_servers_that_share_a_port_answers_an_ipv4_multicast_once() {
    lab::run(|| {
        let [a, b] = pair();
        let servers = servers(&b);
        a.ip("route add 239.0.0.0/8 dev eth0");
        let asker = Asker::at(&a, "10.77.1.1:0");
        asker.send(REQUEST, &format!("{MULTICAST_V4}:9999"));
        let mut answers: Vec<_> = (0..COUNT).map(|_| asker.answer().0).collect();
        answers.sort_unstable();
        let of_port = |port| format!("SERVER_IP:10.77.1.2:{port}");
        let expected: Vec<_> = (8001..=8000 + COUNT).map(of_port).collect();
        assert_eq!(answers, expected);
        for server in servers {
            assert_eq!(server.stop().answered(), 1);
        }
    });
}

/// FAULTS R49
#[test]
fn the_servers_that_remain_on_a_shared_port_go_on_answering() {
    lab::run(|| {
        let [a, b] = pair();
        let mut servers = servers(&b);
        while let Some(server) = servers.pop() {
            server.stop();
            let found = search(
                &a,
                one_probe(Family::V4).with_expect(usize::from(COUNT).try_into().unwrap()),
            );
            assert_eq!(found.servers.len(), servers.len());
            if servers.len() < 12 {
                break;
            }
        }
        drop(servers);
        Serving::on(&b, Config::default()).stop();
    });
}

/// The variable with the service port that [`serves_a_shared_port`] advertises.
const ADVERTISED: &str = "UDP_DISCOVERY_TEST_ADVERTISED";

#[test]
#[ignore = "it is the other process of another test"]
fn serves_a_shared_port() {
    let port = env::var(ADVERTISED).unwrap().parse().unwrap();
    let _server = Server::bind(shared().with_advertise_port(port))
        .unwrap()
        .spawn()
        .unwrap();
    println!("serving");
    // Until it is killed.
    loop {
        thread::park();
    }
}

/// A server that shares the port, in a process of its own.
fn serving_process(host: &Host, port: u16) -> Process {
    let mut command = Command::new(env::current_exe().unwrap());
    let name = "shared_port::serves_a_shared_port";
    command.args([name, "--exact", "--ignored", "--nocapture"]);
    command.env(ADVERTISED, port.to_string());
    let process = host.spawn(command);
    process.wait_for_line("serving", SOON);
    process
}

/// FAULTS R49
#[test]
fn when_a_server_on_a_shared_port_is_killed_the_others_go_on_answering() {
    lab::run(|| {
        let [a, b] = pair();
        let _first = Serving::on(&b, shared().with_advertise_port(8001));
        let mut killed = serving_process(&b, 8002);
        let _third = serving_process(&b, 8003);
        assert_eq!(
            ports(&search(&a, one_probe(Family::V4))),
            [8001, 8002, 8003]
        );
        killed.signal(Signal::SIGKILL);
        assert!(!killed.wait(SOON).success());
        assert_eq!(ports(&search(&a, one_probe(Family::V4))), [8001, 8003]);
        // The source port decides which server a request by unicast reaches, and none is lost.
        for _ in 0..16 {
            let (answer, _) = Asker::at(&a, "10.77.1.1:0").ask("10.77.1.2:9999");
            assert!(
                ["8001", "8003"].iter().any(|port| answer.ends_with(port)),
                "{answer}"
            );
        }
    });
}

fn assert_taken(host: &Host, config: Config) {
    let error = host.run(|| Server::bind(config)).unwrap_err();
    assert!(
        matches!(error, BindError::PortInUse { port: 9999, .. }),
        "{error}"
    );
}

/// FAULTS R49
#[test]
fn a_port_is_not_shared_with_a_server_or_process_that_did_not_choose_so() {
    lab::run(|| {
        let [_, b] = pair();
        let alone = Serving::on(&b, Config::default());
        assert_taken(&b, shared());
        alone.stop();
        let sharing = Serving::on(&b, shared());
        assert_taken(&b, Config::default());
        let unshared = BINDERS.iter().filter(|how| !how.starts_with("reuseport"));
        for how in unshared.clone() {
            binder(&b, how).wait_for_line("refused", SOON);
        }
        sharing.stop();
        for how in unshared {
            let mut process = binder(&b, how);
            process.wait_for_line("bound", SOON);
            assert_taken(&b, shared());
            process.close_stdin();
            assert!(process.wait(SOON).success());
        }
    });
}

/// FAULTS R49
#[test]
fn a_port_is_shared_by_ipv6_only_with_a_process_that_chose_so() {
    if !have_ipv6() {
        return;
    }
    lab::run(|| {
        let [_, b] = with_ipv6(pair());
        let sharing = Serving::on(&b, shared());
        for how in IPV6_BINDERS {
            let expected = if how.starts_with("reuseport") {
                "bound"
            } else {
                "refused"
            };
            binder(&b, how).wait_for_line(expected, SOON);
        }
        sharing.stop();
        for how in IPV6_BINDERS {
            let mut process = binder(&b, how);
            process.wait_for_line("bound", SOON);
            if how.starts_with("reuseport") {
                Serving::on(&b, shared()).stop();
            } else {
                assert_taken(&b, shared());
            }
            assert_taken(&b, Config::default());
            process.close_stdin();
            assert!(process.wait(SOON).success());
        }
    });
}

/// FAULTS R49
#[test]
fn a_port_is_not_shared_with_another_user() {
    lab::run(|| {
        let [_, b] = pair();
        // In the laboratory of an unprivileged user there is no other user. CI runs the tests as root too.
        if Command::new("true").uid(OTHER_USER).status().is_err() {
            println!("skipped: only root can run a process as another user");
            return;
        }
        let other = || {
            let mut command = binder_command("reuseport 0.0.0.0:9999");
            command.uid(OTHER_USER).gid(OTHER_USER);
            b.spawn(command)
        };
        let sharing = Serving::on(&b, shared());
        other().wait_for_line("refused", SOON);
        sharing.stop();
        let mut process = other();
        process.wait_for_line("bound", SOON);
        assert_taken(&b, shared());
        process.close_stdin();
        wait_until("the port is free", || {
            b.run(|| Server::bind(shared())).is_ok()
        });
    });
}
