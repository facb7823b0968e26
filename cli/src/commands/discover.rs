//! `udp-discovery discover`: one search.

use std::env;
use std::io;
use std::process::ExitCode;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser};
use serde::Serialize;
use udp_discovery_client::{
    Client, Config, DiscoverError, DiscoveredServer, Report, Search, SweepReport, TimedOut,
};

use crate::diagnosis::{Diagnosis, alarms, estimate, explain};
use crate::failure::Failure;
use crate::options::{FileOption, SharedOptions, Verbosity};
use crate::output::{Format, Output};
use crate::progress::{Progress, TICK};
use crate::say::{self, OutputError};
use crate::settings::{self, Side};
use crate::stop;

/// The exit code if too few servers were found.
const NOT_FOUND: u8 = 1;
/// The exit code after Ctrl-C: 128 and the number of SIGINT, as in a shell.
const INTERRUPTED: u8 = 130;
/// The exit code if another id answered under the name of a known server, which did not answer.
const ALARM: u8 = 3;

const NOTES: &str = "\
Servers are told apart by address and port: a server on two networks may count twice, and two \
behind one forwarded address count once. With --details they are told apart by id, if they have one, \
and a server on two networks has two addresses.

--name, --where, --pin and --known-servers imply --details. Names and properties are claims of the \
server. ✓ marks one that signed its answer with the key that is its id. Anybody can make a key: only --pin \
and --known-servers tell whose it is.

Ctrl-C ends the search and prints what was found so far.

Exit codes: 0 found (with --expect: as many as expected), 1 not found, 2 error, 3 another server \
answered in the name of a known one, 130 interrupted.";

/// Find the servers on the networks of this host
#[derive(Debug, Args)]
#[command(visible_alias = "discover-servers", after_help = NOTES)]
pub(crate) struct DiscoverArgs {
    #[command(flatten)]
    settings: DiscoverSettings,

    /// How to print the servers
    #[arg(long, default_value = "table")]
    format: Format,

    #[command(flatten)]
    file: FileOption,

    #[command(flatten)]
    verbosity: Verbosity,
}

/// The options that are settings, by their keys.
#[derive(Debug, Args, Serialize)]
struct DiscoverSettings {
    #[command(flatten)]
    #[serde(flatten)]
    search: SearchOptions,

    /// Stop at the first server that answers
    #[arg(
        long,
        num_args = 0,
        default_missing_value = "true",
        conflicts_with = "expect"
    )]
    first: Option<String>,

    /// Stop as soon as N servers have answered; fewer are exit code 1
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    expect: Option<String>,

    /// Stop when no new server has answered for this long, after the last probe
    #[arg(long, value_name = "DURATION", allow_negative_numbers = true)]
    quiet_for: Option<String>,

    /// Keep the addresses that answer in this file, and ask them first the next time
    #[arg(long, value_name = "FILE")]
    remember: Option<String>,
}

/// The settings of a search, which those of a watch are too.
#[derive(Debug, Args, Serialize)]
pub(crate) struct SearchOptions {
    /// How long to wait for answers, such as 500ms or 2s; a bare number is seconds [default: 0.5]
    #[arg(long, value_name = "DURATION", allow_negative_numbers = true)]
    timeout: Option<String>,

    #[command(flatten)]
    #[serde(flatten)]
    shared: SharedOptions,

    /// Ask this host too, a name or an address, with or without a port; or every address of a network
    /// such as 10.15.0.0/18; or look a service up in the DNS, such as dns:_http._tcp.example.org. Repeatable
    #[arg(long = "target", value_name = "HOST[:PORT]|NETWORK|dns:SERVICE")]
    targets: Vec<String>,

    /// Look for this type of service by multicast DNS too, such as _http._tcp. Repeatable
    #[arg(long, value_name = "TYPE")]
    mdns: Vec<String>,

    /// How many addresses of networks to ask a second at most; on the link fewer [default: 2000]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pace: Option<String>,

    /// Ask networks of more than 65,536 addresses too
    #[arg(long = "force", num_args = 0, default_missing_value = "true")]
    large_sweeps: Option<String>,

    /// Ask who the servers are too: their ids, names and properties
    #[arg(long, num_args = 0, default_missing_value = "true")]
    details: Option<String>,

    /// Find only servers with this name, or with one that a pattern with * and ? matches
    #[arg(long = "name", value_name = "PATTERN")]
    wanted_name: Option<String>,

    /// Find only servers with this property. Repeatable
    #[arg(long = "where", value_name = "KEY=VALUE")]
    wanted_properties: Vec<String>,

    /// Find only servers that prove this id with a signature. Repeatable
    // One id in 64 begins with a hyphen.
    #[arg(long = "pin", value_name = "ID", allow_hyphen_values = true)]
    pinned_ids: Vec<String>,

    /// Trust servers on first use: keep their names and ids in this file, and refuse others with those
    /// names
    #[arg(long, value_name = "FILE")]
    known_servers: Option<String>,

    /// Ask only the targets, not the networks of this host
    #[arg(long = "no-broadcast", num_args = 0, default_missing_value = "false")]
    broadcast: Option<String>,

    /// Which IP versions to ask by [default: auto]
    #[arg(long, value_name = "FAMILY", value_parser = families())]
    family: Option<String>,

    /// Ask by IPv4 multicast too
    #[arg(long, num_args = 0, default_missing_value = "true")]
    multicast: Option<String>,

    /// Ask from this port, for firewalls that need a rule [default: a free one for each search]
    #[arg(long, value_name = "PORT", allow_negative_numbers = true)]
    source_port: Option<String>,

    /// Ask only on these interfaces: names, or patterns with * and ?. Repeatable [default: all that
    /// are up, except loopback and container bridges]
    #[arg(long = "interface", value_name = "NAME", num_args = 1.., alias = "interfaces-whitelist")]
    interfaces: Vec<String>,

    /// Don't ask on these interfaces: names, or patterns with * and ?. Repeatable
    #[arg(
        long = "exclude-interface",
        value_name = "NAME",
        num_args = 1..,
        alias = "interfaces-blacklist"
    )]
    excluded_interfaces: Vec<String>,

    /// Ask on loopback interfaces too
    #[arg(long, num_args = 0, default_missing_value = "true")]
    loopback: Option<String>,

    /// How often to ask, spread over the timeout, 1 to 255 [default: 3]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    probes: Option<String>,

    /// The port of servers that name none, such as 8000 for Python's [default: none]
    #[arg(long, value_name = "PORT", allow_negative_numbers = true)]
    default_port: Option<String>,

    /// How many servers to list at most [default: 4096]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    max_servers: Option<String>,

    /// Which address of an answer to use [default: auto]
    #[arg(long, value_name = "POLICY", value_parser = policies())]
    address_policy: Option<String>,

    /// Also take answers from a port other than the one asked
    #[arg(long, num_args = 0, default_missing_value = "true")]
    any_source_port: Option<String>,
}

fn families() -> PossibleValuesParser {
    PossibleValuesParser::new([
        PossibleValue::new("auto").help(
            "IPv4, and IPv6 on interfaces without IPv4, or where nothing has answered by IPv4",
        ),
        PossibleValue::new("4").help("Only IPv4"),
        PossibleValue::new("6").help("Only IPv6"),
        PossibleValue::new("both").help(
            "IPv4 and IPv6, which lists a server that has both twice; for networks where some \
             servers have only IPv6",
        ),
    ])
}

fn policies() -> PossibleValuesParser {
    PossibleValuesParser::new([
        PossibleValue::new("auto")
            .help("The address that the server names if this host can reach it, else the source"),
        PossibleValue::new("claim").help("The address that the server names"),
        PossibleValue::new("source").help("The address that the answer came from"),
        PossibleValue::new("match").help("The same, if both are equal; other answers are dropped"),
    ])
}

/// How a search went.
struct Outcome {
    found: usize,
    /// What it did; `None` if it was interrupted.
    over: Option<Over>,
}

/// How a search ended that was not interrupted.
struct Over {
    outcome: Result<(), DiscoverError>,
    report: Report,
    servers: Vec<DiscoveredServer>,
}

/// What the main thread waits for.
enum Message {
    Found(Box<DiscoveredServer>),
    /// How far a sweep is.
    Asked(SweepReport),
    Over(Box<Over>),
    Interrupted,
}

pub(crate) fn run(args: &DiscoverArgs) -> Result<ExitCode, Failure> {
    let config = config(args)?;
    if !args.verbosity.quiet {
        for unknown in settings::unknown_variables(env::vars_os()) {
            say::warn(format_args!("warning: {unknown}"));
        }
    }
    let search = Client::new(config.clone()).search().map_err(explain)?;
    if !args.verbosity.quiet
        && let Some(line) = estimate(&config, search.report())
    {
        say::warn(line);
    }
    let Outcome { found, over } = collect(args, &config, search)?;
    let expected = config.expect().map_or(1, usize::from);
    if !args.verbosity.quiet && found > 0 && found < expected {
        let how = if config.details() {
            ""
        } else {
            ", by address and port"
        };
        say::warn(format_args!(
            "found {found} of the {expected} servers expected{how}"
        ));
    }
    let Some(Over {
        outcome, report, ..
    }) = over
    else {
        if !args.verbosity.quiet {
            say::warn(format_args!("interrupted; found so far: {found}"));
        }
        return Ok(ExitCode::from(INTERRUPTED));
    };
    let alarms = alarms(&config, &report);
    alarms.iter().for_each(say::warn);
    match outcome.map_err(explain) {
        // An alarm is worse.
        Err(failure) if !alarms.is_empty() => say::warn(failure),
        outcome => outcome?,
    }
    if !args.verbosity.quiet {
        let diagnosis = Diagnosis {
            config: &config,
            found,
            report: &report,
        };
        diagnosis.lines(args.verbosity).iter().for_each(say::warn);
    }
    Ok(if !alarms.is_empty() {
        ExitCode::from(ALARM)
    } else if found < expected {
        ExitCode::from(NOT_FOUND)
    } else {
        ExitCode::SUCCESS
    })
}

/// Prints the servers as they answer.
fn collect(args: &DiscoverArgs, config: &Config, search: Search) -> Result<Outcome, Failure> {
    let sweep = search.report().sweep;
    // What comes later may add to a server.
    let grows = config.details() || !search.report().engines.is_empty();
    let (sender, messages) = mpsc::channel();
    let interrupts = sender.clone();
    stop::on_interrupt(move || {
        let _ = interrupts.send(Message::Interrupted);
    })?;
    thread::Builder::new()
        .name("search".into())
        // Nobody listens any more after Ctrl-C.
        .spawn(move || run_search(search, &sender))?;

    let mut output = Output::new(args.format, grows, io::stdout());
    let progress = progress(args, config.settings().timeout(), sweep.as_ref());
    let mut found = 0;
    let over = loop {
        match messages.recv().expect("the search reports its end") {
            Message::Found(server) => {
                found += 1;
                progress.found(found);
                output.add(*server).map_err(OutputError::from)?;
            }
            Message::Asked(asked) => progress.asked(&asked),
            Message::Over(over) => break Some(*over),
            Message::Interrupted => break None,
        }
    };
    drop(progress);
    let servers = over.as_ref().map(|it| it.servers.clone());
    found = servers.as_ref().map_or(found, Vec::len);
    output.finish(servers).map_err(OutputError::from)?;
    Ok(Outcome { found, over })
}

/// Sends what happens until the end. Returns `None` before it if nobody listens.
fn run_search(mut search: Search, messages: &Sender<Message>) -> Option<()> {
    let mut told = Instant::now();
    loop {
        match search.next_timeout(TICK) {
            Ok(Some(server)) => messages.send(Message::Found(Box::new(server))).ok()?,
            Ok(None) => break,
            Err(TimedOut) => {}
        }
        if told.elapsed() >= TICK
            && let Some(sweep) = search.report().sweep
        {
            told = Instant::now();
            messages.send(Message::Asked(sweep)).ok()?;
        }
    }
    let over = Over {
        outcome: search.outcome(),
        report: search.report().clone(),
        servers: search.servers().cloned().collect(),
    };
    messages.send(Message::Over(Box::new(over))).ok()
}

/// The progress of a search with a table at its end.
fn progress(args: &DiscoverArgs, timeout: Duration, sweep: Option<&SweepReport>) -> Progress {
    /// A shorter search has nothing to show.
    const SHORTEST: Duration = Duration::from_secs(1);
    let shown = args.format == Format::Table && !args.verbosity.quiet && timeout >= SHORTEST;
    if shown {
        Progress::new(timeout, sweep)
    } else {
        Progress::hidden()
    }
}

fn config(args: &DiscoverArgs) -> Result<Config, Failure> {
    let file = args.file.config.as_deref();
    let config: Config = settings::load(Side::Client, file, env::vars_os(), &args.settings)?;
    let most = config.max_servers();
    Ok(match config.expect() {
        // Whoever expects more wants to see more.
        Some(expected) if args.settings.search.max_servers.is_none() => {
            config.with_max_servers(most.max(expected))
        }
        _ => config,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::{Cli, Command};

    #[test]
    fn a_flag_switches_its_setting_on() {
        let config = |arguments: &[&str]| {
            let command = ["udp-discovery", "discover"].iter().chain(arguments);
            let Command::Discover(args) = Cli::try_parse_from(command).unwrap().command else {
                unreachable!("it is `discover`");
            };
            settings::load::<Config>(Side::Client, None, [], &args.settings).unwrap()
        };
        let default = Config::default();
        assert_eq!(config(&[]), default);
        let loopback = default.clone().with_loopback(true);
        assert_eq!(config(&["--loopback"]), loopback);
        let any_source_port = default.with_any_source_port(true);
        assert_eq!(config(&["--any-source-port"]), any_source_port);
    }
}
