//! How long a start and a stop take, and what a server costs while it is idle and under load.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::thread;
use std::time::{Duration, Instant};

use udp_discovery_server::{Config, Server};
use udp_discovery_tests::lab::{Host, Lab, Process};

use crate::bench::{Bench, CLIENT_CPU, Failure, SERVER_CPU, on, pinned};
use crate::load::{Load, Sources};
use crate::results::{Goal, Line, Results, Row, Unit, float};

const PORT: u16 = 9999;
/// How long the command takes at most until it listens.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take until it is quiet.
const SETTLE: Duration = Duration::from_secs(5);

pub(crate) fn measure(bench: &Bench, results: &mut Results) -> Result<(), Failure> {
    let lab = Lab::new();
    let (server, client) = (lab.host("server"), lab.host("client"));
    server.connect(&client, "eth0", ["10.77.0.2/16", "10.77.0.1/16"]);
    client.ip("route add local 10.77.128.0/18 dev lo");
    server.ip("route add 10.77.128.0/18 via 10.77.0.1");
    on(&server, SERVER_CPU, || start_and_stop(bench, results))?;
    let mut command = pinned(SERVER_CPU, &bench.command);
    command.args(["serve", "--port", &PORT.to_string()]);
    let process = server.spawn(command);
    process.wait_for_line("listening on", PATIENCE);
    idle(bench, &process, results)?;
    under_load(bench, &client, &process, results)
}

fn start_and_stop(bench: &Bench, results: &mut Results) -> Result<(), Failure> {
    let (mut starts, mut stops) = (Vec::new(), Vec::new());
    for _ in 0..bench.either(200, 30) {
        let start = Instant::now();
        let server = Server::bind(Config::default().with_port(PORT))?.spawn()?;
        starts.push(start.elapsed().as_secs_f64());
        let stop = Instant::now();
        server.shutdown()?;
        stops.push(stop.elapsed().as_secs_f64());
    }
    for (name, times) in [("start", starts), ("stop", stops)] {
        let id = format!("lifecycle/time/{name}");
        let row = Row::new(&id, name, Unit::Seconds, times);
        results.rows.push(row.with_goal(Goal::AtMost(0.2e-3)));
    }
    Ok(())
}

fn idle(bench: &Bench, process: &Process, results: &mut Results) -> Result<(), Failure> {
    let length = Duration::from_secs(bench.either(60, 10));
    thread::sleep(SETTLE);
    let before = wake_ups(process)?;
    thread::sleep(length);
    let number = wake_ups(process)? - before;
    let what = format!("wake-ups of `serve` in {} idle seconds", length.as_secs());
    let row = Row::new(
        "lifecycle/idle/wake-ups",
        what,
        Unit::Count,
        vec![float(number)],
    );
    results.rows.push(row.with_goal(Goal::AtMost(0.0)));
    let status = status(process)?;
    let private = status.rssanon.ok_or("a process has memory")?;
    let private = 1024.0 * float(usize::try_from(private)?);
    let what = "of that its own, not shared with the files of the program and the libraries";
    push_memory("idle", "memory of `serve`, idle", process, results)?;
    results.rows.push(Row::new(
        "lifecycle/memory/private",
        what,
        Unit::Bytes,
        vec![private],
    ));
    Ok(())
}

/// More and more sources, then one source without end.
fn under_load(
    bench: &Bench,
    client: &Host,
    process: &Process,
    results: &mut Results,
) -> Result<(), Failure> {
    let length = Duration::from_millis(bench.either(1000, 200));
    let mut points = vec![[1.0, memory(process)? / 1e6]];
    for sources in [10, 100, 1000, 4000, 8000, 16_000] {
        load(
            client,
            Sources::Many(Ipv4Addr::new(10, 77, 128, 0), sources),
            length,
        )?;
        points.push([f64::from(sources), memory(process)? / 1e6]);
    }
    let what = "memory of `serve`, after requests of 16,000 sources";
    push_memory("sources", what, process, results)?;
    load(client, Sources::One, 3 * length)?;
    let what = "memory of `serve`, after a flood of one source";
    push_memory("flood", what, process, results)?;
    let name = "the server, by sources that asked";
    results
        .lines
        .push(Line::new("lifecycle/memory", "memory", name, points));
    Ok(())
}

fn load(client: &Host, sources: Sources, length: Duration) -> Result<(), Failure> {
    let load = Load {
        server: SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 2), PORT),
        request: b"DISCOVER_SERVER".to_vec(),
        sources,
    };
    on(client, CLIENT_CPU, || Ok(load.run(length)?))?;
    Ok(())
}

fn push_memory(
    name: &str,
    what: &str,
    process: &Process,
    results: &mut Results,
) -> Result<(), Failure> {
    let id = format!("lifecycle/memory/{name}");
    let row = Row::new(&id, what, Unit::Bytes, vec![memory(process)?]);
    results.rows.push(row.with_goal(Goal::AtMost(4e6)));
    Ok(())
}

/// The resident memory of a process, in bytes.
fn memory(process: &Process) -> Result<f64, Failure> {
    let kibibytes = status(process)?.vmrss.ok_or("a process has memory")?;
    Ok(1024.0 * float(usize::try_from(kibibytes)?))
}

fn status(process: &Process) -> Result<procfs::process::Status, Failure> {
    let process = procfs::process::Process::new(i32::try_from(process.id())?)?;
    Ok(process.status()?)
}

/// How often the threads of a process gave up their processor to wait.
fn wake_ups(process: &Process) -> Result<usize, Failure> {
    let mut number = 0;
    for task in fs::read_dir(format!("/proc/{}/task", process.id()))? {
        let status = fs::read_to_string(task?.path().join("status"))?;
        let field = "voluntary_ctxt_switches:";
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        number += line
            .ok_or("a task counts its switches")?
            .trim()
            .parse::<usize>()?;
    }
    Ok(number)
}
