//! Addresses and links that come and go while a server runs.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use udp_discovery_server::{Config, Event, Server};
use udp_discovery_tests::lab::{self, Host, Lab};

use crate::endpoints::{Asker, REQUEST, Serving, answer_of, next, pair, wait_until};

/// How long a server may take to answer again when the link is up again.
const RECOVERY: Duration = Duration::from_secs(5);

/// A server that tells of each change of its addresses.
fn watched(host: &Host) -> (Serving, Receiver<()>) {
    let (sender, changes) = mpsc::channel();
    let server = host.run(|| Server::bind(Config::default())).unwrap();
    let server = server.on_event(move |event| {
        if matches!(event, Event::InterfacesChanged) {
            // The test may be over.
            let _ = sender.send(());
        }
    });
    (Serving::run(host, server), changes)
}

#[test]
fn an_address_that_comes_or_goes_is_noticed_without_a_request() {
    lab::run(|| {
        let [a, b] = pair();
        let (server, changes) = watched(&b);
        a.ip("address add 10.77.5.1/24 broadcast + dev eth0");
        let asker = Asker::at(&a, "10.77.5.1:0");

        b.ip("address add 10.77.5.2/24 broadcast + dev eth0");
        next(&changes);
        assert_eq!(server.stats().received(), 0);
        assert_eq!(asker.ask("10.77.5.255:9999"), answer_of("10.77.5.2"));

        b.ip("address del 10.77.5.2/24 dev eth0");
        next(&changes);
        b.ip("address add 10.77.5.3/24 broadcast + dev eth0");
        next(&changes);
        assert_eq!(asker.ask("10.77.5.255:9999"), answer_of("10.77.5.3"));
    });
}

#[test]
fn a_network_that_is_joined_later_is_served_too() {
    lab::run(|| {
        let lab = Lab::new();
        let network = lab.network("net0", "10.77.1.0/24");
        let (a, b) = (lab.host("a"), lab.host("b"));
        a.join(&network, "eth0", "10.77.1.1/24");
        // It starts on a host without any network, as at boot.
        let (_server, changes) = watched(&b);
        b.join(&network, "eth0", "10.77.1.2/24");
        next(&changes);
        let asker = Asker::at(&a, "10.77.1.1:0");
        let (answer, _) = asker.ask_until_answered("10.77.1.255:9999");
        assert_eq!(answer, answer_of("10.77.1.2"));
    });
}

/// FAULTS 29
#[test]
fn after_a_link_was_down_the_server_answers_again() {
    lab::run(|| {
        let [a, b] = pair();
        let server = Serving::on(&b, Config::default());
        let asker = Asker::at(&a, "10.77.1.1:0");
        assert_eq!(asker.ask("10.77.1.255:9999"), answer_of("10.77.1.2"));
        for _ in 0..2 {
            // A new socket: answers to repeated requests may still come to the last one.
            let asker = Asker::at(&a, "10.77.1.1:0");
            b.ip("link set eth0 down");
            asker.send(REQUEST, "10.77.1.255:9999");
            asker.hears_nothing();
            b.ip("link set eth0 up");
            let (answer, took) = asker.ask_until_answered("10.77.1.255:9999");
            assert_eq!(answer, answer_of("10.77.1.2"));
            assert!(took < RECOVERY, "{took:?}");
        }
        drop(server);
    });
}

/// FAULTS 29
#[test]
fn after_its_address_was_gone_the_server_answers_again_with_the_one_that_it_has() {
    lab::run(|| {
        let [a, b] = pair();
        let server = Serving::on(&b, Config::default());
        let asker = Asker::at(&a, "10.77.1.1:0");
        b.ip("address del 10.77.1.2/24 dev eth0");
        asker.send(REQUEST, "255.255.255.255:9999");
        asker.hears_nothing();
        b.ip("address add 10.77.1.3/24 broadcast + dev eth0");
        let (answer, took) = asker.ask_until_answered("10.77.1.255:9999");
        assert_eq!(answer, answer_of("10.77.1.3"));
        assert!(took < RECOVERY, "{took:?}");
        drop(server);
    });
}

/// FAULTS 29
#[test]
fn while_addresses_change_between_receive_and_send_no_answer_names_another_than_it_comes_from() {
    lab::run(|| {
        let [a, b] = pair();
        let unlimited = Config::default().with_rate_limit(None);
        let server = Serving::on(&b, unlimited);
        let asker = Asker::at(&a, "10.77.1.1:0");
        let asked_enough = AtomicBool::new(false);
        thread::scope(|scope| {
            let flaps = scope.spawn(|| {
                let mut flaps = 0;
                while flaps < 15 || !asked_enough.load(Ordering::Relaxed) {
                    for (old, new) in [("2", "3"), ("3", "2")] {
                        b.ip(&format!("address del 10.77.1.{old}/24 dev eth0"));
                        b.ip(&format!("address add 10.77.1.{new}/24 brd + dev eth0"));
                    }
                    flaps += 1;
                }
            });
            let mut answers = 0;
            while !flaps.is_finished() {
                let ((claim, source), _) = asker.ask_until_answered("10.77.1.255:9999");
                assert_eq!(claim, format!("SERVER_IP:{source}"));
                let held: [IpAddr; 2] = [[10, 77, 1, 2].into(), [10, 77, 1, 3].into()];
                assert!(held.contains(&source), "{source}");
                answers += 1;
                asked_enough.store(answers > 15, Ordering::Relaxed);
            }
        });
        wait_until("the last addresses", || {
            let ((claim, _), _) = asker.ask_until_answered("10.77.1.255:9999");
            claim == "SERVER_IP:10.77.1.2"
        });
        drop(server);
    });
}
