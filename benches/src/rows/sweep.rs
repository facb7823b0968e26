//! The sweep of whole networks, with the pace lifted, beside a bare loop of sendmmsg(2).

use std::net::Ipv4Addr;
use std::num::{NonZeroU8, NonZeroU32, NonZeroUsize};
use std::time::{Duration, Instant};

use udp_discovery_client::{Client, Config};
use udp_discovery_tests::lab::{Host, Lab};

use crate::bench::{Bench, CLIENT_CPU, Failure, SERVER_CPU, on, output, pinned, role, start};
use crate::results::{Goal, Line, Results, Row, Unit, float};

const PORT: u16 = 9999;
const PATIENCE: Duration = Duration::from_secs(20);
/// The prefix lengths of the networks. Each is the beginning of a /16 of its own.
const PREFIXES: [u8; 5] = [24, 22, 20, 18, 16];

/// A network whose last address is a server, and the others are silent.
#[derive(Clone, Copy)]
struct Swept {
    first: Ipv4Addr,
    prefix: u8,
}

impl Swept {
    fn all() -> impl Iterator<Item = Self> {
        (15..).zip(PREFIXES).map(|(second, prefix)| Self {
            first: Ipv4Addr::new(10, second, 0, 0),
            prefix,
        })
    }

    fn address(self, number: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.first.to_bits() + number)
    }

    /// How many addresses hosts can have.
    fn hosts(self) -> u32 {
        (1 << (32 - self.prefix)) - 2
    }
}

pub(crate) fn measure(bench: &Bench, results: &mut Results) -> Result<(), Failure> {
    let lab = Lab::new();
    let (client, far) = (lab.host("client"), lab.host("far"));
    client.connect(&far, "eth0", ["10.77.2.1/24", "10.77.2.2/24"]);
    for swept in Swept::all() {
        let first = swept.first;
        client.ip(&format!("route add {first}/16 via 10.77.2.2"));
        far.ip(&format!("route add blackhole {first}/16"));
        far.ip(&format!(
            "address add {}/32 dev lo",
            swept.address(swept.hosts())
        ));
    }
    let _server = start(
        &far,
        role(SERVER_CPU, &["server", &PORT.to_string(), "any"])?,
    );
    let (mut ours_line, mut bare_line) = (Vec::new(), Vec::new());
    for swept in Swept::all() {
        let is_goal = swept.prefix == 16;
        let rounds = if is_goal { bench.rounds() } else { 3 };
        let (mut ratios, mut ours_times) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            let bare = || bare(bench, &client, swept);
            let ours = || on(&client, CLIENT_CPU, || ours(swept));
            let (bare, ours) = if round % 2 == 0 {
                let bare = bare()?;
                (bare, ours()?)
            } else {
                let ours = ours()?;
                (bare()?, ours)
            };
            ratios.push(bare / ours);
            ours_times.push(ours);
            let size = float(usize::try_from(swept.hosts())?);
            ours_line.push([size, 1e3 * ours]);
            bare_line.push([size, 1e3 * bare]);
        }
        let prefix = swept.prefix;
        if is_goal {
            results.rows.push(
                Row::new(
                    "sweep/ratio/16",
                    "addresses a second in a sweep of a /16, over a bare loop of sendmmsg",
                    Unit::Ratio,
                    ratios,
                )
                .with_goal(Goal::AtLeast(0.8)),
            );
        }
        let id = format!("sweep/time/{prefix}");
        let what = format!("sweep of a /{prefix}, until its last address is found");
        results
            .rows
            .push(Row::new(&id, what, Unit::Seconds, ours_times));
    }
    let line = |id, name: &str, points| Line::new(id, "sweep", name, points);
    results
        .lines
        .push(line("sweep/ours", "this project", ours_line));
    results
        .lines
        .push(line("sweep/bare", "a bare loop of sendmmsg", bare_line));
    Ok(())
}

/// The time until the last address is found.
fn ours(swept: Swept) -> Result<f64, Failure> {
    let target = format!("{}/{}", swept.first, swept.prefix);
    let config = Config::default()
        .with_port(PORT)
        .with_targets([target.parse()?])
        .with_broadcast(false)
        .with_timeout(PATIENCE)
        .with_probes(NonZeroU8::MIN)
        .with_pace(NonZeroU32::MAX)
        .with_expect(NonZeroUsize::MIN);
    let start = Instant::now();
    let found = Client::new(config).discover()?;
    let time = start.elapsed().as_secs_f64();
    match &found[..] {
        [server] if server.ip == swept.address(swept.hosts()) => Ok(time),
        _ => Err(format!("the sweep of {target} found {found:?}").into()),
    }
}

fn bare(bench: &Bench, client: &Host, swept: Swept) -> Result<f64, Failure> {
    let mut command = pinned(CLIENT_CPU, &bench.limit);
    command
        .arg("sweep")
        .arg(swept.address(1).to_string())
        .arg(swept.address(swept.hosts()).to_string())
        .arg(PORT.to_string());
    Ok(output(client, command)?.parse()?)
}
