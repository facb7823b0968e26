//! `udp-discovery serve`: a server in the foreground.

use std::env;
use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use tracing::warn;
use tracing_subscriber::filter::LevelFilter;
use udp_discovery_protocol::duration;
use udp_discovery_server::mdns::{Announcement, Service};
use udp_discovery_server::{Allow, BindError, Config, Control, Event, RateLimit, Server};

use crate::event_log::EventLog;
use crate::failure::{Failure, with_causes};
use crate::lossy_writer::LossyWriter;
use crate::offer::Offer;
use crate::options::{FileOption, SharedOptions, Verbosity};
#[cfg(target_os = "linux")]
use crate::port_holder::mark::Mark;
use crate::port_holder::{Holders, PortTaken};
use crate::replace::replace;
use crate::settings::{self, Side, Sources};
#[cfg(target_os = "linux")]
use crate::systemd;
use crate::{ERROR, log, stop};

const NOTES: &str = "\
Prints its configuration, then `listening on ...`; at the end, and on SIGUSR1, its counters. Lines \
of output or log that nobody reads in time are dropped and counted.

A second Ctrl-C or SIGTERM ends the process at once.

Exit codes: 0 stopped, 2 error.";

/// Answer the clients that look for a server, until Ctrl-C, SIGTERM or SIGHUP
#[derive(Debug, Args)]
#[command(visible_alias = "start-discovery", after_help = NOTES)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    settings: ServeSettings,

    /// Stop after this time, such as 2m or 1h30m; a bare number is seconds [default: never]
    #[arg(long, allow_negative_numbers = true, value_parser = parse_duration)]
    duration: Option<Duration>,

    /// First stop the udp-discovery service of the same user that has the port; never another
    /// program
    #[arg(long)]
    replace: bool,

    /// Take the UDP sockets that systemd hands over, one for IPv4, one for IPv6 or both, instead of
    /// opening them. Their port and families are used, whatever the settings say
    #[cfg(target_os = "linux")]
    #[arg(long, conflicts_with_all = ["port", "replace", "shared_port"])]
    socket_activation: bool,

    #[command(flatten)]
    file: FileOption,

    #[command(flatten)]
    verbosity: Verbosity,
}

/// The options that are settings, by their keys.
#[derive(Debug, Args, Serialize)]
struct ServeSettings {
    #[command(flatten)]
    #[serde(flatten)]
    shared: SharedOptions,

    /// Size of the buffer that one datagram is received into, in bytes, 257 to 65535 [default:
    /// 1024]
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    buffer_size: Option<String>,

    /// Name this address in every answer [default: the address on the network of the request]
    #[arg(long, value_name = "IP")]
    advertise_ip: Option<String>,

    /// Name this port in every answer [default: none]
    #[arg(long, value_name = "PORT", allow_negative_numbers = true)]
    advertise_port: Option<String>,

    /// Also answer clients in this network, besides those on the link; `any` for every client.
    /// Repeatable
    #[arg(long, value_name = "NETWORK")]
    allow: Vec<String>,

    /// Answer each client at most N times a second, with bursts of 5 times as many; or `off`
    /// [default: 87, with bursts of 500]
    #[arg(long, value_name = "N|off", allow_negative_numbers = true)]
    rate_limit: Option<String>,

    /// Answer all clients together at most N times a second, with bursts of 5 times as many; or
    /// `off`. A flood of forged requests then takes the answers away from real ones [default: off]
    #[arg(long, value_name = "N|off", allow_negative_numbers = true)]
    total_limit: Option<String>,

    /// Let the server, not the kernel, drop what isn't the request, to count and log it (Linux
    /// only)
    #[arg(
        long = "no-kernel-filter",
        num_args = 0,
        default_missing_value = "false"
    )]
    kernel_filter: Option<String>,

    /// Share the port with other servers of the same user that share it too. Each answers broadcasts
    /// and multicasts, so each needs an --advertise-port of its own; a request by unicast reaches only
    /// one of them (Linux only)
    #[arg(
        long = "share-port",
        num_args = 0,
        default_missing_value = "true",
        conflicts_with = "replace"
    )]
    shared_port: Option<String>,

    /// Answer only on IPv4
    #[arg(long = "no-ipv6", num_args = 0, default_missing_value = "false")]
    ipv6: Option<String>,

    /// Don't join the multicast groups
    #[arg(long = "no-multicast", num_args = 0, default_missing_value = "false")]
    multicast: Option<String>,

    /// Tell clients that ask this name, at most 63 bytes. It is for people and need not be unique
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Tell clients that ask this property. Everybody on the network can read it. Repeatable
    #[arg(long = "property", value_name = "KEY=VALUE")]
    properties: Vec<String>,

    /// Keep the id of this server in FILE, which is made if there is none; two servers must not have
    /// copies of one [default: a new id at each start]
    #[arg(long, value_name = "FILE")]
    id_file: Option<String>,

    /// Sign what clients that ask are told with the key in FILE, which `udp-discovery keygen` makes. Its
    /// public key is the id
    #[arg(long = "key", value_name = "FILE", conflicts_with = "id_file")]
    key_file: Option<String>,

    /// Announce the server by multicast DNS too, as a service of this type, such as _http._tcp, with the
    /// --name, or the name of this host, and the properties. Needs --advertise-port. Repeatable
    #[arg(long, value_name = "TYPE")]
    mdns: Vec<String>,

    /// Tell each client at most N times a second who this server is, with bursts of 5 times as many; or
    /// `off` [default: 20, with bursts of 40]
    #[arg(long, value_name = "N|off", allow_negative_numbers = true)]
    details_limit: Option<String>,

    /// Sign for all clients together at most N times a second, with bursts of 5 times as many; or `off`
    /// [default: 500, with bursts of 500]
    #[arg(long, value_name = "N|off", allow_negative_numbers = true)]
    signature_limit: Option<String>,
}

fn parse_duration(text: &str) -> Result<Duration, Box<dyn Error + Send + Sync>> {
    match duration::parse(text)? {
        Duration::ZERO => Err("it must be more than 0".into()),
        duration => Ok(duration),
    }
}

/// How long to wait until the last lines are read.
const LAST_LINES: Duration = Duration::from_millis(500);

/// Serves until it is stopped. A reader of its output or log that doesn't read cannot keep it from
/// answering or ending.
pub(crate) fn run(args: &ServeArgs) -> Result<ExitCode, Failure> {
    let output = LossyWriter::start("output", io::stdout())?;
    let log = LossyWriter::start("log", io::stderr())?;
    let ended = serve(args, &output, &log);
    if let Err(failure) = &ended {
        log.line(failure);
    }
    let deadline = Instant::now() + LAST_LINES;
    output.flush_until(deadline);
    log.flush_until(deadline);
    Ok(match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ERROR.into(),
    })
}

fn serve(args: &ServeArgs, output: &LossyWriter, log: &LossyWriter) -> Result<(), Failure> {
    let file = args.file.config.as_deref();
    let sources = Sources::read(Side::Server, file, env::vars_os(), &args.settings)?;
    let offer: Offer = sources.load(Side::Details)?;
    let config = offer.add_to(sources.load(Side::Server)?)?;
    // systemd's sockets are never shared.
    #[cfg(target_os = "linux")]
    let config = if args.socket_activation {
        config.with_shared_port(false)
    } else {
        config
    };
    let level = log::start(args.verbosity, config.settings().logging(), log.clone());
    let port = config.settings().port();
    for unknown in settings::unknown_variables(env::vars_os()) {
        warn!("{unknown}");
    }
    if let Some(ip) = config.advertise_ip().filter(|it| it.get().is_loopback()) {
        warn!("every answer names {ip}, which only clients on this host reach (--advertise-ip)");
    }
    let print = |line: String| {
        if !args.verbosity.quiet {
            output.line(line);
        }
    };
    if args.replace {
        for pid in replace(port)? {
            print(format!("stopped the service with pid {pid}"));
        }
    }
    // Before it has the port, so that it is recognized from the start. Without a mark it serves
    // too, but cannot be replaced. With a socket of systemd's it never is.
    #[cfg(target_os = "linux")]
    let _mark = (!args.socket_activation).then(|| Mark::new(port));
    let services = offer.services(&config)?;
    let server = open(args, config.clone())?;
    let control = server.control();
    // Before anything says that there is a server to stop.
    let reports = output.clone();
    let report = move |control: &Control| reports.line(counters(control));
    stop::on_signals(control.clone(), report)?;

    configuration(&config, level, &server)
        .into_iter()
        .for_each(print);
    if offer.has_new_id() {
        print("the id is new at each start; --id-file or --key keeps one".into());
    }
    // Until the end.
    let announcements = announce(services);
    for (text, _) in &announcements {
        print(text.clone());
    }
    let limit = args.duration.map(duration::format);
    let limit = limit.map_or(String::new(), |duration| format!(" for {duration}"));
    let addresses: Vec<String> = server
        .local_addrs()
        .iter()
        .map(ToString::to_string)
        .collect();
    print(format!("listening on {}{limit}", addresses.join(" and ")));
    if let Some(duration) = args.duration {
        stop::after(duration, control.clone())?;
    }

    let mut events = EventLog::new();
    let events = move |event: &Event<'_>| events.write(Instant::now(), event);
    #[cfg(target_os = "linux")]
    let ended = systemd::answer(server, config.settings().codec(), events);
    #[cfg(not(target_os = "linux"))]
    let ended = server.on_event(events).run().map_err(Failure::from);
    print(counters(&control));
    ended
}

/// Announces the services by multicast DNS. The server answers without it.
fn announce(services: Vec<Service>) -> Vec<(String, Announcement)> {
    let announce = |service: Service| {
        let text = format!(
            "{:<12} {} by multicast DNS",
            "announces",
            service.full_name()
        );
        match service.announce(|event| warn!("{event}")) {
            Ok(announcement) => Some((text, announcement)),
            Err(error) => {
                warn!("cannot announce {text}: {}", with_causes(&error));
                None
            }
        }
    };
    services.into_iter().filter_map(announce).collect()
}

fn open(args: &ServeArgs, config: Config) -> Result<Server, Failure> {
    #[cfg(target_os = "linux")]
    if args.socket_activation {
        return Server::from_sockets(systemd::handed_over()?, config).map_err(explain);
    }
    bind(config, args.replace)
}

/// Binds the server. If the port was in use and nobody has it any longer, it tries again: of several
/// that start at once, each may have been kept from it by another that failed too.
fn bind(config: Config, replaced: bool) -> Result<Server, Failure> {
    /// Without /proc nobody ever seems to have it.
    const ATTEMPTS: u32 = 16;
    let mut attempts = 0;
    loop {
        attempts += 1;
        let port = match Server::bind(config.clone()) {
            Err(BindError::PortInUse { port, .. }) => port,
            result => return result.map_err(explain),
        };
        let holders = Holders::of(port);
        if !holders.ended {
            return Err(in_use(port, holders, config, replaced));
        }
        if attempts == ATTEMPTS {
            return Err(Failure::from(PortTaken::Ended { port }).with_hint("start it again"));
        }
    }
}

/// The configuration, and the address that the server names on each interface.
fn configuration(config: &Config, level: LevelFilter, server: &Server) -> Vec<String> {
    let settings = config.settings();
    let line = |name: &str, value: String| format!("{name:<12} {value}");
    let shared = if config.shared_port() {
        ", shared: a request by unicast reaches only one of its servers"
    } else {
        ""
    };
    let mut lines = vec![
        line("port", format!("{}{shared}", server.local_addr().port())),
        line("message", settings.codec().message().to_string()),
        line("prefix", settings.codec().prefix().to_string()),
        line(
            "buffer size",
            format!("{} bytes", settings.buffer_size().get()),
        ),
        line("logging", level.to_string()),
        line("answers", answers(config)),
    ];
    lines.extend(details(config).map(|(name, value)| line(name, value)));
    let responses = server.responses();
    for (interface, response) in &responses {
        let names = line(
            &format!("on {}", interface.name),
            format!("names {response}"),
        );
        // With --advertise-ip all addresses of an interface are the same.
        if !lines.contains(&names) {
            lines.push(names);
        }
    }
    if responses.is_empty() {
        lines.push("no interface is up; it answers as soon as one is".into());
    }
    lines
}

/// What clients that ask are told, if anything.
fn details(config: &Config) -> impl Iterator<Item = (&'static str, String)> {
    let signed = config.signing_key().map_or("", |_| ", signed");
    let details = config.details().into_iter();
    details.flat_map(move |details| {
        let name = details.name().map(|name| ("name", name.to_owned()));
        let properties = details.properties();
        let properties = properties.map(|(key, value)| ("property", format!("{key}={value}")));
        let id = ("id", format!("{}{signed}", details.id()));
        [id].into_iter().chain(name).chain(properties)
    })
}

/// Which clients are answered, and how often.
fn answers(config: &Config) -> String {
    let whom = match config.allow() {
        Allow::Networks(networks) => {
            let networks: Vec<String> = networks.iter().map(ToString::to_string).collect();
            format!("clients on the link and in {}", networks.join(", "))
        }
        Allow::Any => "every client".into(),
        _ => "clients on the link".into(),
    };
    let limit = |limit: Option<RateLimit>, what: &str| {
        limit.map(|limit| match limit.rate().get() {
            1 => format!(", {what} once a second"),
            rate => format!(", {what} {rate} times a second"),
        })
    };
    let each = limit(config.rate_limit(), "each");
    let total = limit(config.total_limit(), "together");
    format!(
        "{whom}{}{}",
        each.unwrap_or_default(),
        total.unwrap_or_default()
    )
}

fn counters(control: &Control) -> String {
    format!("counters: {}", control.stats())
}

/// Adds what to do.
fn explain(error: BindError) -> Failure {
    let hint = match error {
        BindError::Details { .. } => "shorten the name or the properties",
        BindError::NotPermitted { .. } => "choose a port above 1023 with --port",
        other => return other.into(),
    };
    Failure::from(error).with_hint(hint)
}

/// Says who has the port and what to do. If it was `replaced`, its holder has taken it since.
fn in_use(port: u16, holders: Holders, config: Config, replaced: bool) -> Failure {
    if replaced {
        return Failure::from(PortTaken::Meanwhile { port, holders })
            .with_hint("start it again, or choose another port with --port");
    }
    let hint = match (holders.are_all_ours(), config.shared_port()) {
        (true, true) => {
            "it is a udp-discovery service of this user that does not share the port: start it with \
             --share-port too, or choose another port with --port"
        }
        (true, false) if is_shareable(config) => {
            "it is a udp-discovery service of this user that shares the port: stop it with --replace, \
             share the port with --share-port, or choose another port with --port"
        }
        (true, false) => {
            "it is a udp-discovery service of this user: stop it with --replace, or choose another \
             port with --port"
        }
        (false, _) => "choose another port with --port",
    };
    Failure::from(PortTaken::Now { port, holders }).with_hint(hint)
}

/// Whether those that have the port share it with this user. Only the system knows, so a server is
/// bound for a moment.
fn is_shareable(config: Config) -> bool {
    Server::bind(config.with_shared_port(true)).is_ok()
}
