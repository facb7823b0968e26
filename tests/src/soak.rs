//! The soak: a server for a chosen time on a host whose links and addresses come and go, among
//! clients that search, and attackers.
//!
//! All of it happens in a [laboratory](crate::lab). The server is a process of its own, so that
//! its memory, descriptors and threads can be measured. Every answer that reaches a client is
//! checked against the addresses that the server's host had at the time.

mod addresses;
mod asker;
mod attacker;
mod checks;
mod counts;
mod links;
mod plot;
mod report;
mod run;
mod sample;
mod searcher;
mod server;
mod topology;
mod watcher;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::lab::{is_inside, run_program};

/// Runs a discovery server for a chosen time on a host whose links and addresses come and go,
/// among clients and attackers, in network namespaces of its own, and reports.
#[derive(Clone, Debug, Parser)]
#[command(name = "soak")]
struct Args {
    /// How long to run: 90s, 20m, 2h
    #[arg(value_parser = humantime::parse_duration)]
    length: Duration,
    /// Writes the report to this file, as Markdown; it is printed as well
    #[arg(long, value_name = "FILE.md")]
    report: Option<PathBuf>,
    /// Writes the plot to this file, as SVG
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Seed of the order of events [default: random]
    #[arg(long)]
    seed: Option<u64>,
    /// Leaves junk to the server, which then drops it itself and counts the reasons
    #[arg(long)]
    without_kernel_filter: bool,
}

/// The program `soak`. Its exit code is 0 if everything went well, 1 if anything went wrong or
/// could not be done, and 2 if the command line is wrong.
pub fn main() -> ExitCode {
    // The server uses every network that it can reach, which must not be the machine's.
    if is_inside() && server::is_wanted() {
        return server::serve();
    }
    let args = Args::parse();
    run_program(|stop| run::run(&args, &stop))
}
