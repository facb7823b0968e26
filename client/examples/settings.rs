//! Reads the client's configuration from a table of the application's own TOML file.

use serde::Deserialize;
use udp_discovery_client::{Client, Config};

mod loopback;

/// The application's settings.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AppSettings {
    title: String,
    #[serde(default)]
    discovery: Config,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = loopback::start_server()?.settings().port();
    let file = format!(
        r#"
        title = "dashboard"

        [discovery]
        port = {port}
        timeout = "300ms"
        interfaces = ["lo*", "Loopback*"]
        "#
    );

    let settings: AppSettings = toml::from_str(&file)?;
    for server in Client::new(settings.discovery).discover()? {
        println!("{}: {}", settings.title, server);
        println!("{}", serde_json::to_string(&server)?);
    }
    Ok(())
}
