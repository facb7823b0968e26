//! `udp-discovery doctor`: why nothing is found.

use std::env;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Serialize;
use udp_discovery_client::{Config, Target};

use crate::doctor::{self, Severity};
use crate::failure::Failure;
use crate::options::{FileOption, SharedOptions};
use crate::output::terminal_width;
use crate::say;
use crate::settings::{self, Side};

/// The exit code if there is a problem.
const PROBLEM: u8 = 1;

/// How wide the text is if no terminal says.
const WIDTH: usize = 80;

const NOTES: &str = "\
It takes less than 3 s, and at most 10 s with --target. It searches as `discover` does, opens the port \
of the discovery for a moment, and with --target sends about 25 requests to that host and its network.

Exit codes: 0 no problem, 1 a problem, 2 error.";

/// Find out why no server is found
#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub(crate) struct DoctorArgs {
    /// A host on which a server should run, a name or an address, with or without a port
    #[arg(long, value_name = "HOST[:PORT]", value_parser = host)]
    target: Option<Target>,

    /// How to print what was found
    #[arg(long, default_value = "text")]
    format: Format,

    #[command(flatten)]
    settings: DoctorSettings,

    #[command(flatten)]
    file: FileOption,
}

/// The options that are settings, by their keys.
#[derive(Debug, Args, Serialize)]
struct DoctorSettings {
    #[command(flatten)]
    #[serde(flatten)]
    shared: SharedOptions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One object on one line
    Json,
}

fn host(text: &str) -> Result<Target, String> {
    if text.contains('/') {
        return Err("it is a network; expected a host".into());
    }
    text.parse::<Target>().map_err(|error| error.to_string())
}

pub(crate) fn run(args: &DoctorArgs) -> Result<ExitCode, Failure> {
    let file = args.file.config.as_deref();
    let config: Config = settings::load(Side::Client, file, env::vars_os(), &args.settings)?;
    for unknown in settings::unknown_variables(env::vars_os()) {
        say::warn(format_args!("warning: {unknown}"));
    }
    let seen = doctor::observe(&config, args.target.as_ref());
    let findings = doctor::findings(&seen);
    let text = match args.format {
        Format::Json => doctor::json(&seen, &findings) + "\n",
        Format::Text => doctor::text(&seen, &findings, terminal_width().unwrap_or(WIDTH)),
    };
    say::print(text.as_bytes())?;
    let is_problem = findings.iter().any(|it| it.severity == Severity::Problem);
    Ok(if is_problem {
        ExitCode::from(PROBLEM)
    } else {
        ExitCode::SUCCESS
    })
}
