//! `udp-discovery serve`: a server in the foreground.

use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tracing_subscriber::filter::LevelFilter;
use udp_discovery_protocol::Settings;
use udp_discovery_server::{
    Allow, BindError, Config, Control, Event, RateLimit, Server, format_duration,
};

use crate::args::{ServeArgs, allow};
use crate::event_log::EventLog;
use crate::failure::Failure;
use crate::lossy_writer::LossyWriter;
#[cfg(target_os = "linux")]
use crate::port_holder::mark::Mark;
use crate::port_holder::{Holders, PortTaken};
use crate::replace::{REPLACE_HINT, replace};
#[cfg(target_os = "linux")]
use crate::systemd;
use crate::{ERROR, log, stop};

/// How long the last lines may take to be read.
const LAST_LINES: Duration = Duration::from_millis(500);

/// Serves until it is stopped. Whoever reads its output and its log can't keep it from answering
/// or ending.
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
        Err(_) => ExitCode::from(ERROR),
    })
}

fn serve(args: &ServeArgs, output: &LossyWriter, log: &LossyWriter) -> Result<(), Failure> {
    let config = config(args)?;
    let level = log::start(args.verbosity, config.settings().logging(), log.clone());
    let port = config.settings().port();
    if args.replace {
        for pid in replace(port)? {
            output.line(format_args!("stopped the service with pid {pid}"));
        }
    }
    // Before it has the port, so that it is known for what it is as soon as it has. Without a mark
    // it can't be replaced, and serves all the same. A socket of systemd's is never to be replaced.
    #[cfg(target_os = "linux")]
    let _mark = (!args.socket_activation).then(|| Mark::new(port));
    let server = open(args, config.clone())?;
    let control = server.control();
    // Before anybody learns that there is a server to be stopped.
    let reports = output.clone();
    let report = move |control: &Control| reports.line(counters(control));
    stop::on_signals(control.clone(), report)?;

    for line in configuration(&config, level, &server) {
        output.line(line);
    }
    let address = server.local_addr();
    match args.duration.map(format_duration) {
        Some(duration) => output.line(format_args!("listening on {address} for {duration}")),
        None => output.line(format_args!("listening on {address}")),
    }
    if let Some(duration) = args.duration {
        stop::after(duration, control.clone())?;
    }

    let mut events = EventLog::new();
    let events = move |event: &Event<'_>| events.write(Instant::now(), event);
    #[cfg(target_os = "linux")]
    let ended = systemd::answer(server, config.settings().codec(), events);
    #[cfg(not(target_os = "linux"))]
    let ended = server.on_event(events).run().map_err(Failure::from);
    output.line(counters(&control));
    ended
}

#[cfg_attr(
    not(target_os = "linux"),
    allow(unused_variables, reason = "systemd is on Linux only")
)]
fn open(args: &ServeArgs, config: Config) -> Result<Server, Failure> {
    #[cfg(target_os = "linux")]
    if args.socket_activation {
        return Ok(Server::from_socket(systemd::handed_over()?, config)?);
    }
    Server::bind(config).map_err(|error| explain(error, args.replace))
}

fn config(args: &ServeArgs) -> Result<Config, Failure> {
    let settings = Settings::load(args.shared.config.as_deref())?;
    let buffer_size = args.buffer_size.unwrap_or(settings.buffer_size());
    let settings = args.shared.apply(settings)?.with_buffer_size(buffer_size);
    let mut config = Config::from(settings)
        .with_allow(allow(&args.allow))
        .with_kernel_filter(!args.no_kernel_filter);
    if let Some(limit) = args.rate_limit {
        config = config.with_rate_limit(limit.into());
    }
    if let Some(limit) = args.total_limit {
        config = config.with_total_limit(limit.into());
    }
    if let Some(ip) = args.advertise_ip {
        config = config.with_advertise_ip(ip.get())?;
    }
    if let Some(port) = args.advertise_port {
        config = config.with_advertise_port(port);
    }
    Ok(config)
}

/// What the server is set to, and which address it will name on each interface.
fn configuration(config: &Config, level: LevelFilter, server: &Server) -> Vec<String> {
    let settings = config.settings();
    let line = |name: &str, value: String| format!("{name:<12} {value}");
    let mut lines = vec![
        line("port", server.local_addr().port().to_string()),
        line("message", settings.codec().message().to_string()),
        line("prefix", settings.codec().prefix().to_string()),
        line(
            "buffer size",
            format!("{} bytes", settings.buffer_size().get()),
        ),
        line("logging", level.to_string()),
        line("answers", answers(config)),
    ];
    let responses = server.responses();
    for (interface, response) in &responses {
        let name = format!("on {}", interface.name);
        lines.push(line(&name, format!("names {response}")));
    }
    if responses.is_empty() {
        lines.push("no interface is up: it answers as soon as one is".into());
    }
    lines
}

/// Who is answered, and how much.
fn answers(config: &Config) -> String {
    let whom = match config.allow() {
        Allow::Networks(networks) => {
            let networks: Vec<String> = networks.iter().map(ToString::to_string).collect();
            format!("clients on the link and in {}", networks.join(", "))
        }
        Allow::Any => "everybody".into(),
        _ => "clients on the link".into(),
    };
    let limit = |limit: Option<RateLimit>, what: &str| {
        limit.map(|limit| format!(", {what} {} times a second", limit.rate()))
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

/// Who has the port, if that is what is wrong, and what to do. If it was to be `replaced`, whoever
/// has it now wasn't there then.
fn explain(error: BindError, replaced: bool) -> Failure {
    let port = match error {
        BindError::PortInUse { port, .. } => port,
        BindError::NotPermitted { .. } => {
            return Failure::from(error).with_hint("choose a port above 1023 with --port");
        }
        other => return other.into(),
    };
    let holders = Holders::of(port);
    if holders.ended {
        return Failure::from(PortTaken::Ended { port }).with_hint("start it again");
    }
    let hint = if holders.are_all_ours() {
        REPLACE_HINT
    } else {
        "choose another port with --port"
    };
    let error = if replaced {
        PortTaken::Meanwhile { port, holders }
    } else {
        PortTaken::Now { port, holders }
    };
    Failure::from(error).with_hint(hint)
}
