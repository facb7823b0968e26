//! Packets that are lost.

use std::collections::HashSet;

use udp_discovery_client::{Config as ClientConfig, Family, Target};
use udp_discovery_server::Config;
use udp_discovery_tests::lab::{self, Lab};

use crate::endpoints::{ENOUGH, Serving, lacks, lasting, search};
use crate::ipv6_search::give_ipv6;
use crate::targets::targets;

/// How many servers there are, and how many searches.
const COUNT: u8 = 20;

/// Asserts that searches with `config` find nearly all servers, with a tenth of all packets lost each
/// way. The servers have the addresses 10.77.1.2 to 10.77.1.21, and by IPv6 `fe80::2` to `fe80::21`.
fn find_despite_loss(config: &ClientConfig) {
    let lab = Lab::new();
    let network = lab.network("net0", "10.77.1.0/24");
    let host = |number: u8| {
        let host = lab.host(&format!("host{number}"));
        host.join(&network, "eth0", &format!("10.77.1.{number}/24"));
        give_ipv6(&host, "eth0", number.into());
        host
    };
    let client = host(1);
    let servers: Vec<_> = (2..2 + COUNT)
        .map(|number| {
            let host = host(number);
            // At the servers, so that each loses other packets.
            host.loss(10);
            Serving::on(&host, Config::default())
        })
        .collect();
    let searches: Vec<_> = (0..COUNT)
        .map(|_| {
            let (client, config) = (client.clone(), config.clone());
            std::thread::spawn(move || search(&client, config))
        })
        .collect();
    let mut found = 0;
    for search in searches {
        let texts = search.join().unwrap().texts();
        let distinct: HashSet<_> = texts.iter().collect();
        assert_eq!(
            distinct.len(),
            texts.len(),
            "a server is listed twice: {texts:?}"
        );
        found += texts.len();
    }
    // A search misses a server if all of its three probes fail, each with a probability
    // of 1 - 0.9² = 0.19: 0.7 % in all. Of 400, 2.7 are missed on average, and more than
    // 16 with a probability of 1e-8. `client/tests/discovery/probes.rs` counts with 20,000.
    let all = servers.len() * usize::from(COUNT);
    assert!(found * 100 >= all * 96, "{found} of {all}");
}

/// FAULTS 19
#[test]
fn with_a_tenth_of_all_packets_lost_each_way_96_of_100_servers_are_found() {
    if lacks(&["nft"]) {
        return;
    }
    lab::run(|| find_despite_loss(&lasting(2 * ENOUGH).with_family(Family::V4)));
}

/// FAULTS 19
#[test]
fn with_a_tenth_of_all_packets_lost_servers_are_found_by_ipv6() {
    if lacks(&["nft"]) {
        return;
    }
    lab::run(|| find_despite_loss(&lasting(2 * ENOUGH).with_family(Family::V6)));
}

/// FAULTS 19
#[test]
fn with_a_tenth_of_all_packets_lost_servers_are_found_as_targets_and_in_a_sweep() {
    if lacks(&["nft"]) {
        return;
    }
    lab::run(|| {
        let mut all = targets(["10.77.1.16/28"]).to_vec();
        all.extend((2..16).map(|number| format!("10.77.1.{number}").parse::<Target>().unwrap()));
        let config = lasting(2 * ENOUGH).with_targets(all);
        find_despite_loss(&config.with_broadcast(false));
    });
}
