//! The soak: a server for a chosen time on a host whose links and addresses come and go, among
//! clients that search, and attackers.
//!
//! All of it happens in a [laboratory](crate::lab). The server is a process of its own, so that
//! its memory, descriptors and threads are known; every answer that comes to a client is checked
//! against the addresses that the server's host held at the time.

mod args;
mod asker;
mod attack;
mod churn;
mod client;
mod crew;
mod flap;
mod ledger;
mod links;
mod plot;
mod report;
mod run;
mod sample;
mod server;
mod tally;
mod verdict;
mod world;

use std::process::ExitCode;

use clap::Parser as _;

use crate::lab::{is_inside, run_program};
use args::Args;

/// The program `soak`. Its exit code is 0 if all went well, 1 if anything was found wrong or
/// could not be done, and 2 if the command line is wrong.
pub fn main() -> ExitCode {
    // It serves on every network that it can reach, which must not be the machine's.
    if is_inside() && server::is_wanted() {
        return server::serve();
    }
    let args = Args::parse();
    run_program(|stop| run::run(&args, &stop))
}
