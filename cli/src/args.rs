//! The command line: its commands and options, and what each of them may be.

use std::net::IpAddr;
use std::num::{NonZeroU8, NonZeroU16, NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::TypedValueParser;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, value_parser};
use udp_discovery_client::AddressPolicy;
use udp_discovery_protocol::{
    BufferSize, BufferSizeError, Codec, HostIp, IpNet, Settings, Word, WordsConflict,
};
use udp_discovery_server::{Allow, RateLimit};

use crate::duration::{parse_duration, parse_timeout};

/// Finds servers on the local network, and lets this host be found.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  udp-discovery demo
  udp-discovery serve --advertise-port 8000
  udp-discovery discover --timeout 2s
  udp-discovery discover --first --format plain

Settings come from the defaults, then --config FILE, then the environment (DISCOVERY_PORT,
DISCOVERY_MESSAGE, RESPONSE_PREFIX and so on), then the options; the last one wins.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Answers the clients that look for a server, until Ctrl-C or SIGTERM
    #[command(after_help = SERVE_HELP)]
    Serve(ServeArgs),
    /// Finds the servers on the networks that this host is on
    #[command(after_help = DISCOVER_HELP)]
    Discover(DiscoverArgs),
    /// Shows a server and a client on loopback alone: nothing leaves this host
    Demo,
}

const SERVE_HELP: &str = "\
It prints what it is set to, then `listening on ...`; at the end, and on SIGUSR1, its counters.
It never waits for whoever reads its output and its log: what they don't read in time is lost, and
counted in its place. A second Ctrl-C or SIGTERM ends it at once.
Exit codes: 0 stopped as told, 2 error.";

const DISCOVER_HELP: &str = "\
Exit codes: 0 found (with --expect: as many as expected), 1 not found, 2 error.";

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) shared: SharedArgs,

    /// Size of the buffer that one datagram is received into, in bytes, 257 to 65535 [default:
    /// 1024]
    #[arg(long, value_name = "BYTES", value_parser = parse_buffer_size)]
    pub(crate) buffer_size: Option<BufferSize>,

    /// Name this address to every client [default: the one on the network that the client asks by]
    #[arg(long, value_name = "IP")]
    pub(crate) advertise_ip: Option<HostIp>,

    /// Name this port to every client [default: none]
    #[arg(long, value_name = "PORT", value_parser = port())]
    pub(crate) advertise_port: Option<NonZeroU16>,

    /// Answer clients in this network too, besides those on the link; `any` for everybody.
    /// Repeatable
    #[arg(long, value_name = "NETWORK", value_parser = parse_allowed)]
    pub(crate) allow: Vec<Allowed>,

    /// Answer each client at most N times a second, and 5 times as often at once; or `off`
    /// [default: 100]
    #[arg(long, value_name = "N|off", value_parser = parse_limit)]
    pub(crate) rate_limit: Option<Limit>,

    /// Answer all clients together N times a second at the most; or `off`. A flood of forged
    /// requests then takes the answers away from the real ones [default: off]
    #[arg(long, value_name = "N|off", value_parser = parse_limit)]
    pub(crate) total_limit: Option<Limit>,

    /// Don't have the kernel drop what isn't the request: see, count and log it here (Linux alone)
    #[arg(long)]
    pub(crate) no_kernel_filter: bool,

    /// Stop after that long: seconds, or such as 2m, 1h30m, 1h30m15s [default: never]
    #[arg(long, allow_negative_numbers = true, value_parser = parse_duration)]
    pub(crate) duration: Option<Duration>,

    /// First stop the udp-discovery service of the same user that has the port, and no other
    /// program
    #[arg(long)]
    pub(crate) replace: bool,

    /// Take the UDP socket that systemd hands over instead of opening one; the port is that of the
    /// socket, whatever the settings say
    #[cfg(target_os = "linux")]
    #[arg(long, conflicts_with_all = ["port", "replace"])]
    pub(crate) socket_activation: bool,

    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}

#[derive(Debug, Args)]
pub(crate) struct DiscoverArgs {
    /// How long to wait for answers: seconds, or such as 500ms, 2s [default: 0.5]
    #[arg(long, allow_negative_numbers = true, value_parser = parse_timeout)]
    pub(crate) timeout: Option<Duration>,

    #[command(flatten)]
    pub(crate) shared: SharedArgs,

    /// Stop at the first server that answers
    #[arg(long, conflicts_with = "expect")]
    pub(crate) first: bool,

    /// Stop as soon as N servers have answered; fewer in the end are exit code 1
    #[arg(long, value_name = "N")]
    pub(crate) expect: Option<NonZeroUsize>,

    /// Ask on these interfaces alone: names, or patterns with * and ?. Repeatable [default: all
    /// that are up, but for loopback and the bridges of containers]
    #[arg(long, value_name = "NAME", num_args = 1..)]
    pub(crate) interface: Vec<String>,

    /// Don't ask on these interfaces: names, or patterns with * and ?. Repeatable
    #[arg(long, value_name = "NAME", num_args = 1..)]
    pub(crate) exclude_interface: Vec<String>,

    /// How often to ask, spread over the timeout, 1 to 255 [default: 3]
    #[arg(long, value_name = "N")]
    pub(crate) probes: Option<NonZeroU8>,

    /// How many servers to list at the most [default: 4096]
    #[arg(long, value_name = "N")]
    pub(crate) max_servers: Option<NonZeroUsize>,

    /// Which address of an answer to use
    #[arg(long, value_name = "POLICY", default_value = "auto")]
    pub(crate) address_policy: Policy,

    /// How to print the servers
    #[arg(long, default_value = "table")]
    pub(crate) format: Format,

    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}

/// What servers and clients must agree on.
#[derive(Debug, Args)]
pub(crate) struct SharedArgs {
    /// UDP port of the discovery [default: 9999]
    #[arg(long, value_parser = port())]
    pub(crate) port: Option<NonZeroU16>,

    /// What a client sends, 1 to 64 bytes [default: `DISCOVER_SERVER`]
    #[arg(long, value_name = "WORD")]
    pub(crate) message: Option<Word>,

    /// What every answer starts with, 1 to 64 bytes [default: `SERVER_IP:`]
    #[arg(long, value_name = "WORD")]
    pub(crate) prefix: Option<Word>,

    /// Read settings from this TOML file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

impl SharedArgs {
    /// `settings` with what the options say.
    pub(crate) fn apply(&self, settings: Settings) -> Result<Settings, WordsConflict> {
        let word =
            |option: &Option<Word>, setting: &Word| option.as_ref().unwrap_or(setting).clone();
        let codec = Codec::new(
            word(&self.message, settings.codec().message()),
            word(&self.prefix, settings.codec().prefix()),
        )?;
        let port = self.port.unwrap_or(settings.port());
        Ok(settings.with_codec(codec).with_port(port))
    }
}

/// How much to tell on standard error, besides what went wrong.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Verbosity {
    /// Tell more: `serve` logs every answer, `discover` says whom it asked
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Tell errors alone
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people, at the end
    Table,
    /// One object a line, as each answer comes
    Json,
    /// `ip` or `ip:port` a line, as each answer comes
    Plain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Policy {
    /// The one named, if it can be of use here; otherwise the one that the answer came from
    Auto,
    /// The one named
    Claim,
    /// The one that the answer came from
    Source,
    /// The one named; answers from another one are dropped
    Match,
}

impl From<Policy> for AddressPolicy {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Auto => Self::Auto,
            Policy::Claim => Self::Claim,
            Policy::Source => Self::Source,
            Policy::Match => Self::Match,
        }
    }
}

/// How many answers there may be in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    Off,
    PerSecond(NonZeroU32),
}

impl From<Limit> for Option<RateLimit> {
    fn from(limit: Limit) -> Self {
        match limit {
            Limit::Off => None,
            Limit::PerSecond(rate) => Some(RateLimit::per_second(rate)),
        }
    }
}

/// One value of `--allow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowed {
    Any,
    Network(IpNet),
}

/// What the values of `--allow` say together.
pub(crate) fn allow(values: &[Allowed]) -> Allow {
    let networks: Option<Vec<IpNet>> = values
        .iter()
        .map(|value| match value {
            Allowed::Any => None,
            Allowed::Network(network) => Some(*network),
        })
        .collect();
    match networks {
        None => Allow::Any,
        Some(networks) if networks.is_empty() => Allow::OnLink,
        Some(networks) => Allow::Networks(networks),
    }
}

fn port() -> impl TypedValueParser<Value = NonZeroU16> {
    value_parser!(u16).range(1..).try_map(NonZeroU16::try_from)
}

fn parse_buffer_size(text: &str) -> Result<BufferSize, BufferSizeFault> {
    Ok(BufferSize::new(text.parse()?)?)
}

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
enum BufferSizeFault {
    NotANumber(#[from] std::num::ParseIntError),
    NotASize(#[from] BufferSizeError),
}

fn parse_limit(text: &str) -> Result<Limit, LimitFault> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(Limit::Off);
    }
    text.parse().map(Limit::PerSecond).map_err(|_| LimitFault)
}

#[derive(Debug, thiserror::Error)]
#[error("it is neither a number from 1 to 4294967295 nor `off`")]
struct LimitFault;

fn parse_allowed(text: &str) -> Result<Allowed, AllowedFault> {
    if text.eq_ignore_ascii_case("any") {
        return Ok(Allowed::Any);
    }
    let network = text.parse::<IpNet>().ok();
    // One host is a network too.
    let host = || text.parse::<IpAddr>().ok().map(IpNet::from);
    network
        .or_else(host)
        .map(Allowed::Network)
        .ok_or(AllowedFault)
}

#[derive(Debug, thiserror::Error)]
#[error("it is neither a network such as 10.15.0.0/16, nor an address, nor `any`")]
struct AllowedFault;

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn allowed_are_networks_or_everybody() {
        let parsed = |texts: &[&str]| {
            let values: Result<Vec<_>, _> = texts.iter().map(|text| parse_allowed(text)).collect();
            allow(&values.unwrap())
        };
        let network = |text: &str| text.parse::<IpNet>().unwrap();
        assert_eq!(parsed(&[]), Allow::OnLink);
        assert_eq!(
            parsed(&["10.15.0.0/16", "10.1.2.3"]),
            Allow::Networks(vec![network("10.15.0.0/16"), network("10.1.2.3/32")])
        );
        assert_eq!(parsed(&["10.15.0.0/16", "any"]), Allow::Any);
        for wrong in ["", "10.15", "10.15.0.0/33", "everybody"] {
            assert!(parse_allowed(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn options_win_over_settings_and_leave_the_rest() {
        let Command::Discover(args) = Cli::parse_from([
            "udp-discovery",
            "discover",
            "--port=7777",
            "--prefix=PRINTER:",
        ])
        .command
        else {
            panic!("it is discover");
        };
        let codec = Codec::new("WHO".parse().unwrap(), "ME".parse().unwrap()).unwrap();
        let settings = args
            .shared
            .apply(Settings::default().with_codec(codec))
            .unwrap();
        assert_eq!(settings.port().get(), 7777);
        assert_eq!(settings.codec().message().as_str(), "WHO");
        assert_eq!(settings.codec().prefix().as_str(), "PRINTER:");
    }
}
