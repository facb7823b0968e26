//! Several servers on one port of a host.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use udp_discovery_client::{Config as ClientConfig, Family};
use udp_discovery_server::{BindError, Config, Server};
use udp_discovery_tests::lab::{self, Host};

use crate::endpoints::{ENOUGH, SOON, Serving, lasting, pair, search, wait_until};
use crate::ipv6_search::with_ipv6;
use crate::ports::{BINDERS, binder, binder_command};

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

/// FAULTS R49
#[test]
fn each_of_16_servers_that_share_a_port_answers_a_broadcast_and_a_multicast_once() {
    lab::run(|| {
        let [a, b] = with_ipv6(pair());
        let servers = servers(&b);
        for (family, answered) in [(Family::V4, 1), (Family::V6, 2)] {
            let found = search(&a, one_probe(family));
            let mut ports: Vec<u16> = found
                .servers
                .iter()
                .map(|it| it.port.unwrap().get())
                .collect();
            ports.sort_unstable();
            assert_eq!(
                ports,
                (8001..=8000 + COUNT).collect::<Vec<_>>(),
                "{family:?}"
            );
            assert_eq!(found.report.counts.duplicates, 0, "{family:?}");
            for server in &servers {
                assert_eq!(server.stats().answered(), answered);
            }
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
