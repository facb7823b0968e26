//! This project's watch, on a network of its own that loses every tenth packet each way.

use std::time::Duration;

use udp_discovery_client::{Client, Config, Family, WatchEvent, WatchInterval};
use udp_discovery_server::{Config as ServerConfig, Server};

use super::counts::{Count, Counters};
use super::topology::Topology;
use crate::lab::Stop;

/// How many servers are watched.
pub(super) const WATCHED: u8 = 16;
/// The loss each way, in percent.
pub(super) const LOSS: u8 = 10;

const SECOND: Duration = Duration::from_secs(1);

/// Watches servers that never stop. A round starts each second, so each second is a round of each server.
pub(super) fn watch(topology: &Topology, counters: &Counters, stop: &Stop) {
    let bind = || Server::bind(ServerConfig::default().with_advertise_port(8000));
    let servers: Vec<_> = topology
        .watched
        .iter()
        .map(|host| host.run(|| bind().expect("the port is free").spawn()))
        .collect();
    let interval = WatchInterval::new(SECOND, SECOND).expect("a second is not too short");
    let config = Config::default()
        .with_family(Family::V4)
        .with_interval(interval);
    let mut watch = Client::new(config).watch().expect("it has a port to ask");
    while !stop.is_stopped() {
        match watch.next_timeout(SECOND) {
            Some(WatchEvent::Gone(server)) => {
                counters.failure(Count::FalselyGone, || format!("{server} was called gone"));
            }
            Some(WatchEvent::Unavailable { error }) => panic!("the watch failed: {error}"),
            Some(_) => {}
            None => counters.add(Count::WatchedRounds, watch.servers().len() as u64),
        }
    }
    drop(servers);
}
