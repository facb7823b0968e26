//! One run, from the first host to the report.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use udp_discovery_client::Family;

use super::addresses::Addresses;
use super::asker::Asker;
use super::attacker::Attacker;
use super::counts::{Count, Counters};
use super::links::Links;
use super::report::Report;
use super::sample::{ProcessSample, Sample};
use super::searcher::Searcher;
use super::server::ServerProcess;
use super::topology::{NETWORKS, Topology};
use super::{Args, checks, plot, watcher};
use crate::lab::{Host, Stop, have};

/// After how many samples progress is printed again.
const PROGRESS: usize = 10;

/// Runs the soak and returns the program's exit code.
pub(super) fn run(args: &Args, stop: &Stop) -> ExitCode {
    match try_to_run(args, stop) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the soak failed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything went well.
fn try_to_run(args: &Args, stop: &Stop) -> io::Result<bool> {
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("a soak of {:?}, seed {seed}", args.length);
    let topology = Topology::new();
    let mut server = ServerProcess::start(&topology.server, !args.without_kernel_filter)?;
    // The server writes its counters as soon as it runs.
    if server.next_counts().is_none() {
        return Err(io::Error::other("the server doesn't start"));
    }
    let shared = Shared::new();
    shared.addresses.add_link_local(&topology);
    let (samples, failed) = thread::scope(|scope| {
        let mut threads = Vec::new();
        for (name, host, task) in shared.tasks(&topology, &mut Rng::with_seed(seed), stop) {
            threads.push(scope.spawn(move || {
                let failed = catch_unwind(AssertUnwindSafe(|| host.run(task))).is_err();
                if failed {
                    stop.stop();
                }
                failed.then_some(name)
            }));
        }
        let samples = shared.watch(&mut server, args.length, stop);
        stop.stop();
        let failed = threads.into_iter().filter_map(|thread| thread.join().ok()?);
        (samples, failed.collect::<Vec<_>>())
    });
    let samples = samples?;
    let (status, last) = server.stop()?;

    let counts = shared.counters.counts();
    let mut findings = checks::findings(&samples, &counts);
    if !status.success() {
        findings.push(format!("the server ended with {status}"));
    }
    findings.extend(failed.iter().map(|name| format!("the {name} failed")));
    let report = Report {
        seed,
        args,
        samples: &samples,
        counts,
        server: last.unwrap_or_default(),
        failures: shared.counters.failures(),
        findings,
    };
    let text = report.to_string();
    println!("{text}");
    if let Some(path) = &args.report {
        fs::write(path, text)?;
    }
    if let Some(path) = &args.plot {
        let svg = plot::svg(&plot::panels(&samples)).map_err(io::Error::other)?;
        fs::write(path, svg)?;
    }
    Ok(report.findings.is_empty())
}

/// What all threads share.
pub(super) struct Shared {
    pub(super) addresses: Addresses,
    pub(super) links: Links,
    pub(super) counters: Counters,
}

/// A task that runs on a host until the end, and its name.
type Task<'a> = (&'static str, &'a Host, Box<dyn FnOnce() + Send + 'a>);

impl Shared {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            addresses: Addresses::new(),
            links: Links::new(now),
            counters: Counters::new(now),
        }
    }

    fn tasks<'a>(&'a self, topology: &'a Topology, rng: &mut Rng, stop: &'a Stop) -> Vec<Task<'a>> {
        let mut tasks: Vec<Task<'a>> = Vec::new();
        let searcher = |networks, family| Searcher {
            networks,
            family,
            shared: self,
        };
        for network in 0..NETWORKS {
            let host = &topology.clients[network];
            for family in [Family::V4, Family::V6] {
                let client = searcher(vec![network], family);
                tasks.push(("client", host, Box::new(move || client.run(stop))));
            }
            let asker = Asker {
                network,
                shared: self,
            };
            let (host, rng) = (&topology.askers[network], rng.fork());
            tasks.push(("asker", host, Box::new(move || asker.run(rng, stop))));
        }
        for family in [Family::V4, Family::V6] {
            let client = searcher((0..NETWORKS).collect(), family);
            let everywhere = Box::new(move || client.run(stop));
            tasks.push(("client on all networks", &topology.multi_homed, everywhere));
        }
        let (links_rng, addresses_rng) = (rng.fork(), rng.fork());
        let flap = move || self.links.flap(topology, links_rng, &self.counters, stop);
        tasks.push(("change of links", &topology.server, Box::new(flap)));
        let change = move || {
            let server = &topology.server;
            self.addresses
                .change(server, addresses_rng, &self.counters, stop);
        };
        tasks.push(("change of addresses", &topology.server, Box::new(change)));
        let watch = move || watcher::watch(topology, &self.counters, stop);
        // Without it nothing is lost, and the watch would prove little.
        if have("nft") {
            tasks.push(("watch", &topology.watcher, Box::new(watch)));
        }
        let attacker = Attacker::new(topology, rng.fork());
        let attack = move || attacker.run(&self.counters, stop);
        tasks.push(("attacker", &topology.attacker, Box::new(attack)));
        tasks
    }

    /// Takes a sample with each line of the server, until the time is over.
    fn watch(
        &self,
        server: &mut ServerProcess,
        length: Duration,
        stop: &Stop,
    ) -> io::Result<Vec<Sample>> {
        let start = Instant::now();
        let mut samples = Vec::new();
        while start.elapsed() < length && !stop.is_stopped() {
            let Some(counts) = server.next_counts() else {
                break;
            };
            let sample = Sample {
                at: start.elapsed(),
                process: ProcessSample::of(server.id()).map_err(io::Error::other)?,
                addresses: self.addresses.count(),
                server: counts,
                counts: self.counters.counts(),
            };
            if samples.len() % PROGRESS == 0 {
                print_progress(&sample);
            }
            samples.push(sample);
        }
        Ok(samples)
    }
}

fn print_progress(sample: &Sample) {
    let count = |count: Count| sample.counts[count as usize];
    println!(
        "{:>5} s: {} KiB, {} descriptors, {} threads, answers right {} and wrong {}, nothing \
         found {}",
        sample.at.as_secs(),
        sample.process.memory,
        sample.process.descriptors,
        sample.process.threads,
        count(Count::Right),
        count(Count::Wrong),
        count(Count::NothingFound),
    );
}
