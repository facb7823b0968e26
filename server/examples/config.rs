//! The discovery settings as one table of the application's own configuration file.
//!
//! `cargo run -p udp-discovery-server --example config --features serde`

use std::error::Error;
use std::net::UdpSocket;

use serde::Deserialize;
use udp_discovery_server::{Config, Server};

const FILE: &str = r#"
name = "printer of the second floor"

[discovery]
port = 9999
timeout = "250ms"
advertise_port = 631
allow = ["10.15.0.0/16"]
rate_limit = 50
total_limit = { rate = 500, burst = 1000 }
"#;

#[derive(Deserialize)]
struct Application {
    name: String,
    #[serde(default)]
    discovery: Config,
}

fn main() -> Result<(), Box<dyn Error>> {
    let application: Application = toml::from_str(FILE)?;
    println!("{}", application.name);
    assert_eq!(application.discovery.advertise_port(), Some(631));

    // A misspelled key is an error that lists the valid ones.
    let error = toml::from_str::<Config>("advertise_prot = 631").unwrap_err();
    println!("{}", error.message());

    // Server::bind(application.discovery) listens on every address and port 9999.
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let server = Server::from_socket(socket, application.discovery)?.spawn()?;
    println!("{}", server.shutdown()?);
    Ok(())
}
