//! The command `udp-discovery`: lets this host be found (`serve`), finds servers (`discover`),
//! watches which of them come and go (`watch`), finds out why it finds none (`doctor`), and shows both
//! sides on loopback (`demo`).

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod commands;
mod diagnosis;
#[cfg(test)]
mod docs;
mod doctor;
mod escape;
mod event_log;
mod failure;
mod identity;
mod limit;
mod log;
mod lossy_writer;
mod offer;
mod options;
mod output;
mod port_holder;
mod progress;
mod replace;
mod say;
mod settings;
mod stop;
#[cfg(target_os = "linux")]
mod systemd;
mod table;
mod watch_output;

use commands::{completions, demo, discover, id, keygen, man, serve, watch};
use failure::Failure;
use say::OutputError;

/// The exit code for an error. clap uses it for wrong arguments.
const ERROR: u8 = 2;

const EXAMPLES: &str = "\
Examples:
  udp-discovery demo
  udp-discovery serve --advertise-port 8000
  udp-discovery discover --timeout 2s
  udp-discovery discover --first --format plain
  udp-discovery watch
  udp-discovery doctor

Settings come from the defaults, then --config FILE, then the environment (DISCOVERY_PORT and so \
on), then the options. Each overrides the one before.";

/// Lets programs on the local network find each other.
#[derive(Debug, Parser)]
#[command(name = "udp-discovery", version, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::ServeArgs>),
    Discover(Box<discover::DiscoverArgs>),
    Watch(Box<watch::WatchArgs>),
    Doctor(Box<commands::doctor::DoctorArgs>),
    Keygen(keygen::KeygenArgs),
    Id(id::IdArgs),
    /// Run a server and a client on loopback; nothing leaves this host
    Demo,
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

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
            Command::Watch(args) => watch::run(&args),
            Command::Doctor(args) => commands::doctor::run(&args),
            Command::Keygen(args) => keygen::run(&args),
            Command::Id(args) => id::run(&args),
            Command::Demo => demo::run(),
            Command::Completions(args) => completions::run(&args),
            Command::Man(args) => man::run(&args),
        },
        Err(error) if error.use_stderr() => error.exit(),
        Err(help) => {
            let printed = help.print().and_then(|()| io::stdout().flush());
            printed.map_err(OutputError::from)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
