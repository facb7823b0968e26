//! Configuration files: values are within the documented limits, and survive a round trip.
//!
//! The input is TOML, read as the shared settings, as a server's configuration and as a client's.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use udp_discovery_client::Config as ClientConfig;
use udp_discovery_protocol::Settings;
use udp_discovery_server::Config as ServerConfig;

use crate::wire;

/// Checks the rules for one input.
///
/// # Panics
/// If one is broken.
pub fn check(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let settings: Option<Settings> = read(text);
    let server: Option<ServerConfig> = read(text);
    let client: Option<ClientConfig> = read(text);

    if let Some(settings) = &settings {
        // The shared keys mean the same in each.
        let in_server = server.as_ref().map(ServerConfig::settings);
        let in_client = client.as_ref().map(ClientConfig::settings);
        assert_eq!((in_server, in_client), (Some(settings), Some(settings)));
        check_settings(settings);
    }
    if let Some(config) = &server {
        check_settings(config.settings());
        assert!(
            config
                .advertise_ip()
                .is_none_or(|ip| wire::is_host(ip.get()))
        );
    }
    if let Some(config) = &client {
        check_settings(config.settings());
    }
}

/// Reads `text`. The value must survive being written and read again.
fn read<T: DeserializeOwned + Serialize + PartialEq + Debug>(text: &str) -> Option<T> {
    let value: T = toml::from_str(text).ok()?;
    // TOML's integers have 63 bits and a sign.
    if let Ok(written) = toml::to_string(&value) {
        assert_eq!(toml::from_str::<T>(&written).as_ref(), Ok(&value));
    }
    Some(value)
}

fn check_settings(settings: &Settings) {
    let codec = settings.codec();
    let (message, prefix) = (codec.message().as_str(), codec.prefix().as_str());
    assert!(wire::is_word(message) && wire::is_word(prefix));
    assert!(wire::go_together(message, prefix));
    assert!((257..=65_535).contains(&settings.buffer_size().get()));
}
