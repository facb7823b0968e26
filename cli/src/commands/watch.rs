//! `udp-discovery watch`: which servers come and go.

use std::env;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::{self, ExitCode};

use clap::Args;
use serde::Serialize;
use udp_discovery_client::{Client, Config, SWEEP_LIMIT, WatchError};

use super::discover::SearchOptions;
use crate::failure::Failure;
use crate::options::FileOption;
use crate::say::{self, OutputError};
use crate::settings::{self, Side};
use crate::stop;
use crate::watch_output::{Output, WatchFormat};

const NOTES: &str = "\
It asks in rounds, each of them a search of --timeout with --probes. A server that does not answer is \
asked seven more times, by broadcast and by unicast, before it is called gone. If its network is gone, \
it is called gone after ten seconds.

A change is one of: appeared, changed, restarted, gone, network-changed (it asks on other interface \
addresses), unavailable (it cannot ask at present, and keeps trying), alarm (another id answers under \
the name of a known server).

Ctrl-C ends it, and so does the next change after the reader of its output has gone away.

Exit codes: 0 ended so, 2 error.";

/// Watch which servers come and go
#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    settings: WatchSettings,

    /// How to print the changes
    #[arg(long, default_value = "table")]
    format: WatchFormat,

    #[command(flatten)]
    file: FileOption,

    /// Print only errors, and the changes
    #[arg(short, long)]
    quiet: bool,
}

/// The options that are settings, by their keys.
#[derive(Debug, Args, Serialize)]
struct WatchSettings {
    /// How often to ask: the shortest interval, after a change, and the longest, or one for both; from
    /// a second [default: 1s..5s]
    #[arg(
        long,
        value_name = "DURATION[..DURATION]",
        allow_negative_numbers = true
    )]
    interval: Option<String>,

    #[command(flatten)]
    #[serde(flatten)]
    search: SearchOptions,
}

pub(crate) fn run(args: &WatchArgs) -> Result<ExitCode, Failure> {
    let file = args.file.config.as_deref();
    let config: Config = settings::load(Side::Client, file, env::vars_os(), &args.settings)?;
    if !args.quiet {
        for unknown in settings::unknown_variables(env::vars_os()) {
            say::warn(format_args!("warning: {unknown}"));
        }
    }
    let limit = config.max_servers().get();
    let mut watch = Client::new(config).watch().map_err(explain)?;
    stop::on_interrupt(|| {
        // Not in the middle of a line.
        let mut out = io::stdout().lock();
        if out.is_terminal() {
            // It shows `^C`.
            let _ = writeln!(out);
        }
        process::exit(0);
    })?;
    let mut output = Output::new(args.format);
    output.start().map_err(OutputError::from)?;
    let mut was_full = false;
    while let Some(event) = watch.next() {
        output.add(&event, &mut watch).map_err(OutputError::from)?;
        let is_full = watch.servers().len() >= limit;
        if is_full && !was_full && !args.quiet {
            say::warn(format_args!(
                "warning: {limit} servers are there; others are left out (--max-servers)"
            ));
        }
        was_full |= is_full;
    }
    Ok(ExitCode::SUCCESS)
}

fn explain(error: WatchError) -> Failure {
    match &error {
        WatchError::NetworkTooLarge { limit, .. } if *limit == SWEEP_LIMIT => {
            Failure::from(error).with_hint("to ask all of them, add --force")
        }
        _ => error.into(),
    }
}
