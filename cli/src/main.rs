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
mod lossy_writer;
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
use failure::Failure;
use say::OutputError;

/// What a command exits with when it couldn't do what it was told; clap uses it for arguments
/// that are wrong.
const ERROR: u8 = 2;

fn main() -> ExitCode {
    run().unwrap_or_else(|failure| {
        if failure.is_closed_output() {
            return ExitCode::SUCCESS;
        }
        say::warn(failure);
        ExitCode::from(ERROR)
    })
}

fn run() -> Result<ExitCode, Failure> {
    match Cli::try_parse() {
        Ok(cli) => match cli.command {
            Command::Serve(args) => serve::run(&args),
            Command::Discover(args) => discover::run(&args),
            Command::Demo => demo::run(),
        },
        Err(error) if error.use_stderr() => error.exit(),
        Err(help) => {
            let printed = help.print().and_then(|()| io::stdout().flush());
            printed.map_err(OutputError::from)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
