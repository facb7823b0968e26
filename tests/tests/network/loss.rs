//! Packets that are lost.

use std::collections::HashSet;

use udp_discovery_server::Config;
use udp_discovery_tests::lab::{self, Lab};

use crate::endpoints::{ENOUGH, Serving, lasting, search};

/// How many servers there are, and how many searches.
const COUNT: u8 = 20;

/// FAULTS 19
#[test]
fn with_a_tenth_of_all_packets_lost_each_way_96_of_100_servers_are_found() {
    if !lab::have("nft") {
        return lab::skip("`nft` is not installed");
    }
    lab::run(|| {
        let lab = Lab::new();
        let network = lab.network("net0", "10.77.1.0/24");
        let client = lab.host("client");
        client.join(&network, "eth0", "10.77.1.1/24");
        let servers: Vec<_> = (2..2 + COUNT)
            .map(|number| {
                let host = lab.host(&format!("server{number}"));
                host.join(&network, "eth0", &format!("10.77.1.{number}/24"));
                // At the servers, so that each loses other packets.
                host.loss(10);
                Serving::on(&host, Config::default())
            })
            .collect();
        let searches: Vec<_> = (0..COUNT)
            .map(|_| {
                let client = client.clone();
                std::thread::spawn(move || search(&client, lasting(2 * ENOUGH)))
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
    });
}
