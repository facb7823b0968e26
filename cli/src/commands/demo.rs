//! `udp-discovery demo`: a server and a client on loopback, in one process.

use std::net::{Ipv4Addr, UdpSocket};
use std::process::ExitCode;
use std::time::Duration;

use thiserror::Error;
use udp_discovery_client::{Client, Config as ClientConfig};
use udp_discovery_protocol::Interface;
use udp_discovery_server::{Config as ServerConfig, Server};

use crate::failure::Failure;
use crate::say::say;

/// The port that the server names, of a web service that isn't there.
const ADVERTISED: u16 = 8000;

/// How long the client waits. The answer takes less than a millisecond.
const TIMEOUT: Duration = Duration::from_secs(2);

const HINT: &str = "is the loopback interface up?";

#[derive(Debug, Error)]
#[error("the server on loopback was not found within {TIMEOUT:?}")]
struct NotFound;

pub(crate) fn run() -> Result<ExitCode, Failure> {
    let server = start_server()?;
    let address = server.local_addr();
    say(format_args!(
        "server: listening on {address}, for a service on port {ADVERTISED}"
    ))?;

    let config = ClientConfig::default()
        .with_port(address.port())
        .with_timeout(TIMEOUT)
        .with_interfaces(loopback_names()?);
    let request = config.settings().codec().message().clone();
    say(format_args!("client: asking {address}: {request}"))?;
    let found = Client::new(config)
        .discover_one()
        .map_err(|error| Failure::from(error).with_hint(HINT))?
        .ok_or(NotFound)?;

    say(format_args!(
        "server: answered \"{}\"",
        found.raw.as_deref().unwrap_or_default().escape_ascii()
    ))?;
    say(format_args!(
        "client: found {found} on {} in {:.2} ms",
        found.interface,
        found.rtt.unwrap_or_default().as_secs_f64() * 1e3
    ))?;
    server.shutdown()?;
    Ok(ExitCode::SUCCESS)
}

fn start_server() -> Result<udp_discovery_server::Handle, Failure> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .map_err(|error| Failure::from(error).with_hint(HINT))?;
    let config = ServerConfig::default().with_advertise_port(ADVERTISED);
    Ok(Server::from_socket(socket, config)?.spawn()?)
}

fn loopback_names() -> Result<Vec<String>, Failure> {
    let interfaces = Interface::list()?;
    let loopback = interfaces.into_iter().filter(|it| it.flags.loopback);
    Ok(loopback.map(|interface| interface.name).collect())
}
