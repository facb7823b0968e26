//! Answered requests a second, beside a bare loop in C.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::Command;
use std::time::Duration;

use bytes::BytesMut;
use udp_discovery_protocol::{Codec, Nonce};
use udp_discovery_tests::lab::{Host, Lab, Process};
use udp_discovery_tests::python;

use crate::bench::{Bench, CLIENT_CPU, Failure, SERVER_CPU, cpu_time, on, pinned, role, start};
use crate::load::{Load, Sources};
use crate::results::{Goal, Line, Results, Row, Unit, float};
use crate::roles::NAME;

const REQUEST: &str = "DISCOVER_SERVER";
const ANSWER: &str = "SERVER_IP:10.77.0.2:8000";
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// The first of the many sources, and how many there are. At no machine's rate is one of them over the
/// default limit of 87 answers a second.
const MANY: Sources = Sources::Many(Ipv4Addr::new(10, 77, 128, 0), 8192);
/// The yardstick, and the same again as the control.
const YARDSTICK: u16 = 10_000;
/// The yardstick for requests for details.
const DETAILS_YARDSTICK: u16 = 9_000;

/// A server that is measured beside the yardstick.
struct Contestant {
    id: &'static str,
    what: &'static str,
    port: u16,
    request: Request,
    /// Of the ratio, and of the rate.
    goals: [Option<Goal>; 2],
    process: Process,
}

/// What is asked.
#[derive(Clone, Copy)]
enum Request {
    Plain(Sources),
    Details,
}

impl Request {
    fn sources(self) -> Sources {
        match self {
            Self::Plain(sources) => sources,
            Self::Details => Sources::One,
        }
    }

    /// The yardstick for it.
    fn yardstick(self) -> u16 {
        match self {
            Self::Plain(_) => YARDSTICK,
            Self::Details => DETAILS_YARDSTICK,
        }
    }

    fn bytes(self) -> BytesMut {
        let mut request = BytesMut::from(REQUEST);
        if let Self::Details = self {
            request.clear();
            Codec::default().encode_details_request(Nonce::new([7; 15], 0), &mut request);
        }
        request
    }
}

/// What one run of a load measured.
#[derive(Clone, Copy)]
struct Measured {
    per_second: f64,
    cpu_for_an_answer: f64,
}

pub(crate) fn measure(bench: &Bench, results: &mut Results) -> Result<(), Failure> {
    let site = Site::new();
    let yardsticks = [
        site.limit(bench, "batched", YARDSTICK, Request::Plain(Sources::One)),
        site.limit(bench, "batched", DETAILS_YARDSTICK, Request::Details),
    ];
    let contestants = contestants(bench, &site)?;
    let length = Duration::from_millis(bench.either(350, 100));
    // The first answers fill caches and resolve addresses.
    for contestant in &contestants {
        site.load(
            contestant.port,
            contestant.request,
            length / 2,
            &contestant.process,
        )?;
    }
    for contestant in &contestants {
        let request = contestant.request;
        let yardstick = match request {
            Request::Plain(_) => &yardsticks[0],
            Request::Details => &yardsticks[1],
        };
        let limit = || site.load(request.yardstick(), request, length, yardstick);
        let rival = || site.load(contestant.port, request, length, &contestant.process);
        let (mut ratios, mut rates) = (Vec::new(), Vec::new());
        let (mut cpu, mut cpu_ratios) = (Vec::new(), Vec::new());
        for round in 0..bench.rounds() {
            // In turn first and second, so that a trend of the machine favours neither.
            let (limit, rival) = if round % 2 == 0 {
                let limit = limit()?;
                (limit, rival()?)
            } else {
                let rival = rival()?;
                (limit()?, rival)
            };
            ratios.push(rival.per_second / limit.per_second);
            rates.push(rival.per_second);
            cpu.push(rival.cpu_for_an_answer);
            cpu_ratios.push(limit.cpu_for_an_answer / rival.cpu_for_an_answer);
        }
        let Contestant { id, what, .. } = *contestant;
        results.lines.push(Line::new(
            &format!("throughput/{id}"),
            "throughput",
            what,
            rates.iter().map(|rate| [0.0, *rate]).collect(),
        ));
        let mut ratio = Row::new(&format!("throughput/ratio/{id}"), what, Unit::Ratio, ratios);
        ratio.goal = contestant.goals[0];
        results.rows.push(ratio);
        let id_of_rate = format!("throughput/rate/{id}");
        let mut rate = Row::new(&id_of_rate, what, Unit::PerSecond, rates);
        rate.goal = contestant.goals[1];
        results.rows.push(rate);
        let cpu = Row::new(&format!("throughput/cpu/{id}"), what, Unit::Seconds, cpu);
        results.rows.push(cpu);
        let id = format!("throughput/cpu-ratio/{id}");
        results
            .rows
            .push(Row::new(&id, what, Unit::Ratio, cpu_ratios));
    }
    if let Err(why) = &bench.python {
        let id = "throughput/ratio/python";
        results
            .rows
            .push(Row::missing(id, "the Python server", why));
    }
    junk(bench, &site, results)
}

fn contestants(bench: &Bench, site: &Site) -> Result<Vec<Contestant>, Failure> {
    let mut all: Vec<Contestant> = Vec::new();
    let mut add = |id, what, request, goals, start: &dyn Fn(u16) -> Result<Process, Failure>| {
        let port = YARDSTICK + 1 + u16::try_from(all.len())?;
        let process = start(port)?;
        all.push(Contestant {
            id,
            what,
            port,
            request,
            goals,
            process,
        });
        Ok::<(), Failure>(())
    };
    let one = Request::Plain(Sources::One);
    for (id, what, request, goals, how) in [
        (
            "ours",
            "this project, limits off",
            one,
            [Some(0.95), None],
            "no limits",
        ),
        (
            "limits",
            "this project, default limits, 8,192 sources",
            Request::Plain(MANY),
            [Some(0.92), None],
            "limits",
        ),
        (
            "unsigned",
            "this project, details, unsigned",
            Request::Details,
            [Some(0.85), None],
            "details",
        ),
        (
            "signed",
            "this project, details, signed",
            Request::Details,
            [None, Some(15_000.0)],
            "signed",
        ),
    ] {
        let goals = goals.map(|goal| goal.map(Goal::AtLeast));
        add(id, what, request, goals, &|port| {
            site.role(&["server", &port.to_string(), how])
        })?;
    }
    let none = [None, None];
    add("plain", "recvfrom and sendto in C", one, none, &|port| {
        Ok(site.limit(bench, "plain", port, one))
    })?;
    let what = "recvmmsg and sendmmsg in safe Rust (nix)";
    add("nix", what, one, none, &|port| {
        site.role(&["loop", &port.to_string()])
    })?;
    if let Ok(python) = &bench.python {
        add("python", "the Python server", one, none, &|port| {
            let settings = format!(r#"{{"DISCOVERY_PORT": {port}, "ENABLE_LOGGING": false}}"#);
            Ok(site.python(&python::server(python, &settings)))
        })?;
    }
    add("control", "the yardstick again", one, none, &|port| {
        Ok(site.limit(bench, "batched", port, one))
    })?;
    Ok(all)
}

/// The processor time for a datagram that is no request, over that for a request.
fn junk(bench: &Bench, site: &Site, results: &mut Results) -> Result<(), Failure> {
    let port = 9999;
    let server = site.role(&["server", &port.to_string(), "no limits"])?;
    let count = bench.either(100_000, 20_000);
    let mut ratios = Vec::new();
    for _ in 0..bench.rounds() {
        let request = site.load(
            port,
            Request::Plain(Sources::One),
            Duration::from_millis(50),
            &server,
        )?;
        let before = cpu_time(server.id())?;
        on(&site.client, CLIENT_CPU, || {
            let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
            socket.connect((SERVER, port))?;
            for _ in 0..count {
                socket.send(b"DISCOVER_SERVEX")?;
            }
            Ok(())
        })?;
        let used = (cpu_time(server.id())? - before) / float(count);
        ratios.push(used / request.cpu_for_an_answer);
    }
    results.rows.push(
        Row::new(
            "throughput/junk/ratio",
            "the server's processor time for a junk datagram, over that for a request",
            Unit::Ratio,
            ratios,
        )
        .with_goal(Goal::AtMost(0.1)),
    );
    Ok(())
}

/// Two hosts, joined by a pair of virtual Ethernet interfaces.
struct Site {
    server: Host,
    client: Host,
}

impl Site {
    fn new() -> Self {
        let lab = Lab::new();
        let (server, client) = (lab.host("server"), lab.host("client"));
        server.connect(&client, "eth0", [&format!("{SERVER}/16"), "10.77.0.1/16"]);
        // The client holds all the sources. The server sends their answers to the client's own
        // address, because the neighbor table has no room for so many.
        client.ip("route add local 10.77.128.0/19 dev lo");
        server.ip("route add 10.77.128.0/19 via 10.77.0.1");
        Self { server, client }
    }

    fn limit(&self, bench: &Bench, how: &str, port: u16, request: Request) -> Process {
        let length = request.bytes().len().to_string();
        let answer = match request {
            Request::Plain(_) => ANSWER.to_owned(),
            // As long as the unsigned answer.
            Request::Details => {
                let [nonce, id, run] = [22, 43, 11].map(|length| "A".repeat(length));
                format!("{ANSWER}\n1 {nonce}\nid={id}\nrun={run}\nname={NAME}\n")
            }
        };
        let mut command = pinned(SERVER_CPU, &bench.limit);
        command.args([how, &port.to_string(), &length, &answer]);
        start(&self.server, command)
    }

    fn role(&self, words: &[&str]) -> Result<Process, Failure> {
        Ok(start(&self.server, role(SERVER_CPU, words)?))
    }

    fn python(&self, command: &Command) -> Process {
        let mut on_its_processor = pinned(SERVER_CPU, command.get_program());
        on_its_processor.args(command.get_args());
        start(&self.server, on_its_processor)
    }

    fn load(
        &self,
        port: u16,
        request: Request,
        length: Duration,
        server: &Process,
    ) -> Result<Measured, Failure> {
        let load = Load {
            server: SocketAddrV4::new(SERVER, port),
            request: request.bytes().to_vec(),
            sources: request.sources(),
        };
        let before = cpu_time(server.id())?;
        let answered = on(&self.client, CLIENT_CPU, || Ok(load.run(length)?))?;
        let used = cpu_time(server.id())? - before;
        if answered.answers == 0 {
            return Err(format!("port {port} never answers").into());
        }
        Ok(Measured {
            per_second: answered.per_second(),
            cpu_for_an_answer: used / float(answered.answers),
        })
    }
}
