//! `udp-discovery discover`: one search.

use std::io;
use std::process::ExitCode;

use udp_discovery_client::{Client, Config, DiscoverError, Search};
use udp_discovery_protocol::ClientSettings;

use crate::args::DiscoverArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::progress::Progress;
use crate::say::{self, OutputError};
use crate::tried::tried;

/// What it exits with when too few servers were found.
const NOT_FOUND: u8 = 1;

pub(crate) fn run(args: &DiscoverArgs) -> Result<ExitCode, Failure> {
    let config = config(args)?;
    let mut search = Client::new(config.clone()).search().map_err(explain)?;
    let mut output = Output::new(args.format, io::stdout());
    let found = collect(args, &config, &mut search, &mut output)?;
    search.outcome().map_err(explain)?;

    let expected = args.expect.map_or(1, usize::from);
    let enough = found >= expected;
    if !args.verbosity.quiet {
        if search.report().capped() {
            say::warn(format_args!(
                "warning: more than {found} servers answered; the others are left out \
                 (--max-servers)"
            ));
        }
        if !enough && found > 0 {
            say::warn(format_args!(
                "found {found} of the {expected} servers expected"
            ));
        }
        for link in &search.report().links {
            let error = link.given_up.as_ref().or(link.last_send_error.as_ref());
            if let Some(error) = error.filter(|_| found > 0 && args.verbosity.verbose == 0) {
                say::warn(format_args!(
                    "warning: {} ({}) could not be asked each time: {error}",
                    link.interface, link.local
                ));
            }
        }
        if found == 0 || args.verbosity.verbose > 0 {
            say::warn(tried(&config, found, search.report()));
        }
    }
    Ok(if enough {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NOT_FOUND)
    })
}

/// Prints the servers as they answer; how many it were.
fn collect(
    args: &DiscoverArgs,
    config: &Config,
    search: &mut Search,
    output: &mut Output<io::Stdout>,
) -> Result<usize, OutputError> {
    let wanted = if args.first {
        1
    } else {
        args.expect.map_or(usize::MAX, usize::from)
    };
    let mut progress = Progress::start(args.format, args.verbosity, config.settings().timeout());
    let mut found = 0;
    for server in search {
        found += 1;
        output.add(server)?;
        progress.show(found);
        if found >= wanted {
            break;
        }
    }
    progress.erase();
    output.finish()?;
    Ok(found)
}

fn config(args: &DiscoverArgs) -> Result<Config, Failure> {
    let client = ClientSettings::load(args.shared.config.as_deref())?;
    let settings = args.shared.apply(client.settings().clone())?;
    let mut config = Config::from(client)
        .with_settings(settings)
        .with_address_policy(args.address_policy.into());
    if let Some(timeout) = args.timeout {
        config = config.with_timeout(timeout);
    }
    if let Some(probes) = args.probes {
        config = config.with_probes(probes);
    }
    let most = args.max_servers.unwrap_or(config.max_servers());
    // Whoever expects more wants to see more.
    let expected = args.expect.unwrap_or(most);
    config = config.with_max_servers(args.max_servers.unwrap_or(most.max(expected)));
    if !args.interface.is_empty() {
        config = config.with_interfaces(&args.interface);
    }
    if !args.exclude_interface.is_empty() {
        config = config.with_excluded_interfaces(&args.exclude_interface);
    }
    Ok(config)
}

/// Why there was no search, and what to do.
fn explain(error: DiscoverError) -> Failure {
    let hint = match error {
        DiscoverError::NoSuchInterface { .. } => "name one of these with --interface",
        DiscoverError::NoUsableInterface { .. } => {
            "switch an interface on, or name another with --interface"
        }
        DiscoverError::NothingSent { .. } => {
            "is a network connected? Name the interface to ask on with --interface"
        }
        other => return other.into(),
    };
    Failure::from(error).with_hint(hint)
}
