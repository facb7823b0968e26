//! One run, from the first host to the report.

use std::fs;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::args::Args;
use super::asker::Asker;
use super::attack::Attacker;
use super::churn::Churn;
use super::client::Searcher;
use super::crew::Crew;
use super::flap::Flapper;
use super::ledger::Ledger;
use super::links::Links;
use super::report::Report;
use super::sample::{ProcessSample, Sample};
use super::server::ServerProcess;
use super::tally::{Count, Tally};
use super::world::{NETWORKS, World};
use super::{plot, verdict};
use crate::lab::Stop;

/// How often something is printed while it runs.
const PROGRESS: usize = 10;

/// Runs the soak; the program's exit code.
pub(super) fn run(args: &Args, stop: &Stop) -> ExitCode {
    match try_to_run(args, stop) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the soak can't be made: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all went well.
fn try_to_run(args: &Args, stop: &Stop) -> io::Result<bool> {
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("a soak of {:?}, seed {seed}", args.length);
    let world = World::new();
    let filter = !args.without_kernel_filter;
    let mut server = ServerProcess::start(&world.server, filter)?;
    // It tells its counts as soon as it serves.
    if server.next_counts().is_none() {
        return Err(io::Error::other("the server doesn't start"));
    }
    let shared = Shared::new();
    let crew = shared.start(&world, &mut Rng::with_seed(seed), stop);
    let samples = shared.watch(&mut server, args.length, stop)?;
    // It was told to stop, has run for long enough, or the server has ended.
    stop.stop();
    let failed = crew.join();
    let (status, last) = server.stop()?;

    let counts = shared.tally.counts();
    let mut findings = verdict::findings(&samples, &counts);
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
        faults: shared.tally.faults(),
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

/// What all threads look at.
struct Shared {
    ledger: Arc<Ledger>,
    links: Arc<Links>,
    tally: Arc<Tally>,
}

impl Shared {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            ledger: Arc::default(),
            links: Arc::new(Links::new(now)),
            tally: Arc::new(Tally::new(now)),
        }
    }

    fn start(&self, world: &World, rng: &mut Rng, stop: &Stop) -> Crew {
        let mut crew = Crew::new(stop);
        // Before anybody asks: it knows the first addresses.
        let churn = Churn::new(&world.server, &self.ledger, rng.fork());
        for network in 0..NETWORKS {
            let client = self.searcher(vec![network]);
            crew.spawn("client", &world.clients[network], move |stop| {
                client.run(stop);
            });
            let asker = Asker {
                network,
                ledger: Arc::clone(&self.ledger),
                tally: Arc::clone(&self.tally),
            };
            let rng = rng.fork();
            crew.spawn("asker", &world.askers[network], move |stop| {
                asker.run(rng, stop);
            });
        }
        let wanderer = self.searcher((0..NETWORKS).collect());
        crew.spawn("client on all networks", &world.wanderer, move |stop| {
            wanderer.run(stop);
        });
        let (flapper, links) = (Flapper::new(world, rng.fork()), Arc::clone(&self.links));
        let tally = Arc::clone(&self.tally);
        crew.spawn("flapper", &world.server, move |stop| {
            flapper.run(&links, &tally, stop);
        });
        let (ledger, tally) = (Arc::clone(&self.ledger), Arc::clone(&self.tally));
        crew.spawn("churn", &world.server, move |stop| {
            churn.run(&ledger, &tally, stop);
        });
        let attacker = Attacker::new(world, rng.fork());
        let tally = Arc::clone(&self.tally);
        crew.spawn("attacker", &world.attacker, move |stop| {
            attacker.run(&tally, stop);
        });
        crew
    }

    fn searcher(&self, networks: Vec<usize>) -> Searcher {
        Searcher {
            networks,
            ledger: Arc::clone(&self.ledger),
            links: Arc::clone(&self.links),
            tally: Arc::clone(&self.tally),
        }
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
                process: ProcessSample::of(server.id())?,
                addresses: self.ledger.held(),
                server: counts,
                tally: self.tally.counts(),
            };
            if samples.len() % PROGRESS == PROGRESS - 1 {
                print_progress(&sample);
            }
            samples.push(sample);
        }
        Ok(samples)
    }
}

fn print_progress(sample: &Sample) {
    let count = |count: Count| sample.tally[count as usize];
    println!(
        "{:>5} s: {} KiB, {} descriptors, {} threads, answers right {} and wrong {}, silent {}",
        sample.at.as_secs(),
        sample.process.memory,
        sample.process.descriptors,
        sample.process.threads,
        count(Count::Right),
        count(Count::Wrong),
        count(Count::Silent),
    );
}
