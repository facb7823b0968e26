//! The command `udp-discovery`: finds the servers on the local network (`discover`), lets this
//! host be found (`serve`), and shows both on loopback (`demo`).

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

mod args;
mod demo;
mod discover;
mod duration;
mod escape;
mod event_log;
mod failure;
mod limit;
mod log;
mod output;
mod port_holder;
mod progress;
mod replace;
mod say;
mod serve;
mod stop;
#[cfg(target_os = "linux")]
mod systemd;
mod tried;

use args::{Cli, Command};

/// What a command exits with when it couldn't do what it was told; clap uses it for arguments
/// that are wrong.
const ERROR: u8 = 2;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(args) => serve::run(&args),
        Command::Discover(args) => discover::run(&args),
        Command::Demo => demo::run(),
    };
    result.unwrap_or_else(|failure| {
        // If nobody reads this, the exit code still tells.
        let _ = writeln!(io::stderr(), "{failure}");
        ExitCode::from(ERROR)
    })
}
