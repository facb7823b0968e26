//! How long a search takes: until the first answer, and until it has asked.

use std::net::{SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use udp_discovery_client::{Client, Config};
use udp_discovery_tests::lab::{Host, Lab};

use crate::bench::{Bench, CLIENT_CPU, Failure, SERVER_CPU, on, role, start};
use crate::results::{Goal, Line, Results, Row, Summary, Unit, float, quantile};

const PORT: u16 = 9999;
const CLIENT: &str = "10.77.1.1:0";
const BROADCAST: &str = "10.77.1.255:9999";
/// No longer than this anybody waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) fn measure(bench: &Bench, results: &mut Results) -> Result<(), Failure> {
    let lab = Lab::new();
    let (server, client) = (lab.host("server"), lab.host("client"));
    server.connect(&client, "eth0", ["10.77.1.2/24", "10.77.1.1/24"]);
    let _server = start(&server, role(SERVER_CPU, &["server", "9999", "no limits"])?);
    on(&client, CLIENT_CPU, || first_answer(bench, results))?;
    set_up(bench, &client, 1, 0.3e-3, results)?;
    set_up(bench, &many_links(&lab), 8, 1e-3, results)
}

/// The times of one bare exchange, or of one search, in seconds.
struct Times {
    /// Until the request is sent.
    asked: f64,
    /// From then on, until there is an answer.
    answered: f64,
}

fn first_answer(bench: &Bench, results: &mut Results) -> Result<(), Failure> {
    let bare = bare_socket()?;
    let client = Client::new(config());
    let exchanges = bench.either(100, 20);
    let (mut ratios, mut bare_all, mut ours_all) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.rounds() {
        let (mut bare_round, mut ours_round) = (Vec::new(), Vec::new());
        for _ in 0..exchanges {
            let limit = exchange(&bare)?;
            let search = discover_one(&client)?;
            bare_round.push(limit.asked + limit.answered);
            // `search` opens the sockets and sends. That it sends no faster than the bare socket is
            // the only assumption here.
            ours_round.push(limit.asked + search.answered);
            bare_all.push(limit.asked + limit.answered);
            ours_all.push(search.asked + search.answered);
        }
        let median = |times: &[f64]| Summary::of(times).map_or(0.0, |it| it.median);
        ratios.push(median(&ours_round) / median(&bare_round));
    }
    for (id, name, times) in [
        ("ours", "`discover_one`, with all of its set-up", &ours_all),
        ("bare", "a bare send and receive", &bare_all),
    ] {
        let mut sorted = times.clone();
        sorted.sort_by(f64::total_cmp);
        let points =
            (0..100).map(|percent| [1e6 * quantile(&sorted, percent, 100), float(percent)]);
        // A chart has no typeface for code.
        let label = name.replace('`', "");
        let line = Line::new(&format!("search/{id}"), "latency", &label, points.collect());
        results.lines.push(line);
        let row = Row::new(
            &format!("search/time/{id}"),
            name,
            Unit::Seconds,
            times.clone(),
        );
        results.rows.push(row);
    }
    results.rows.push(
        Row::new(
            "search/ratio/discover_one",
            "`discover_one` after its sockets are open, over a bare send and receive",
            Unit::Ratio,
            ratios,
        )
        .with_goal(Goal::AtMost(1.2)),
    );
    Ok(())
}

fn config() -> Config {
    Config::default().with_port(PORT).with_timeout(PATIENCE)
}

fn bare_socket() -> Result<UdpSocket, Failure> {
    let socket = UdpSocket::bind(CLIENT)?;
    socket.set_broadcast(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

fn exchange(socket: &UdpSocket) -> Result<Times, Failure> {
    let everyone: SocketAddrV4 = BROADCAST.parse()?;
    let start = Instant::now();
    socket.send_to(b"DISCOVER_SERVER", everyone)?;
    let asked = Instant::now();
    socket.recv_from(&mut [0; 64])?;
    Ok(Times {
        asked: (asked - start).as_secs_f64(),
        answered: asked.elapsed().as_secs_f64(),
    })
}

fn discover_one(client: &Client) -> Result<Times, Failure> {
    let start = Instant::now();
    let mut search = client.search()?;
    let asked = Instant::now();
    let server = search.next();
    let answered = asked.elapsed().as_secs_f64();
    server.ok_or("nobody answers")?;
    Ok(Times {
        asked: (asked - start).as_secs_f64(),
        answered,
    })
}

/// How long it takes to list the interfaces, open the sockets, and send the first probes.
fn set_up(
    bench: &Bench,
    host: &Host,
    links: usize,
    goal: f64,
    results: &mut Results,
) -> Result<(), Failure> {
    let searches = bench.either(200, 30);
    let times = on(host, CLIENT_CPU, || {
        // Nobody listens on this port.
        let client = Client::new(config().with_port(PORT - 1));
        (0..searches)
            .map(|_| {
                let start = Instant::now();
                let search = client.search()?;
                let time = start.elapsed().as_secs_f64();
                let asked = search.report().links.len();
                if asked < links {
                    return Err(format!("asks on {asked} links").into());
                }
                Ok(time)
            })
            .collect::<Result<Vec<_>, Failure>>()
    })?;
    let id = format!("search/set-up/{links}");
    let what = format!("set-up of a search, interfaces: {links}");
    results
        .rows
        .push(Row::new(&id, what, Unit::Seconds, times).with_goal(Goal::AtMost(goal)));
    Ok(())
}

/// A host on eight networks.
fn many_links(lab: &Lab) -> Host {
    let host = lab.host("many links");
    for number in 0..8 {
        let subnet = format!("10.77.{}.0/24", 10 + number);
        let network = lab.network(&format!("links{number}"), &subnet);
        host.join(
            &network,
            &format!("eth{number}"),
            &format!("10.77.{}.1/24", 10 + number),
        );
    }
    host
}
