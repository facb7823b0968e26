//! How long a watch takes to notice a server that appears, and one that is gone.

use std::thread;
use std::time::{Duration, Instant};

use udp_discovery_client::{Client, Config, WatchEvent, WatchInterval, Watcher};
use udp_discovery_tests::lab::Lab;

use crate::bench::{Bench, CLIENT_CPU, Failure, SERVER_CPU, on, role, start};
use crate::results::{Goal, Results, Row, Unit, float};

/// The time between two rounds: the shortest.
const ROUND: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn measure(bench: &Bench, results: &mut Results) -> Result<(), Failure> {
    let lab = Lab::new();
    let (server, client) = (lab.host("server"), lab.host("client"));
    server.connect(&client, "eth0", ["10.77.4.2/24", "10.77.4.1/24"]);
    let (mut appeared, mut gone) = (Vec::new(), Vec::new());
    on(&client, CLIENT_CPU, || {
        let config = Config::default().with_interval(WatchInterval::new(ROUND, ROUND)?);
        let mut watch = Client::new(config).watch()?;
        let rounds = bench.either(5, 1);
        for round in 0..rounds {
            // At different times within a round of the watch.
            let phase = ROUND.mul_f64(float(round) / float(rounds));
            watch.next_timeout(Duration::from_millis(50) + phase);
            let words = ["server", "9999", "no limits"];
            let running = start(&server, role(SERVER_CPU, &words)?);
            appeared.push(until(&mut watch, |event| {
                matches!(event, WatchEvent::Appeared(_))
            })?);
            thread::sleep(phase);
            drop(running);
            gone.push(until(&mut watch, |event| {
                matches!(event, WatchEvent::Gone(_))
            })?);
        }
        Ok(())
    })?;
    let round = ROUND.as_secs_f64();
    for (name, what, times, goal) in [
        (
            "appeared",
            "from the start of a server to `appeared`, with a round each second",
            appeared,
            round,
        ),
        (
            "gone",
            "from the end of a server to `gone`",
            gone,
            2.0 * round + 2.0,
        ),
    ] {
        let id = format!("watch/time/{name}");
        let row = Row::new(&id, what, Unit::Seconds, times);
        results.rows.push(row.with_goal(Goal::AtMost(goal)));
    }
    Ok(())
}

/// The time until the watch reports such an event.
fn until(watch: &mut Watcher, is_it: impl Fn(&WatchEvent) -> bool) -> Result<f64, Failure> {
    let start = Instant::now();
    while let Some(rest) = PATIENCE.checked_sub(start.elapsed()) {
        if watch.next_timeout(rest).is_some_and(|event| is_it(&event)) {
            return Ok(start.elapsed().as_secs_f64());
        }
    }
    Err("the watch notices nothing".into())
}
