//! Settings by the names that the Python package gives them.

use std::fmt;
use std::time::Duration;

use thiserror::Error;
use udp_discovery_protocol::Settings;

/// Settings by the names of the Python package.
///
/// ```
/// use udp_discovery_server::Config;
/// use udp_discovery_server::compat::ByName as _;
///
/// let config = Config::default().with_port(7777);
/// assert_eq!(config.settings().get("DISCOVERY_PORT")?.to_string(), "7777");
/// assert!(config.settings().get("DISCOVERY_PROT").is_err());
/// # Ok::<(), udp_discovery_server::compat::UnknownName>(())
/// ```
pub trait ByName {
    /// The value of the setting `name`.
    ///
    /// # Errors
    /// [`UnknownName`], if no setting has that name.
    fn get(&self, name: &str) -> Result<Value<'_>, UnknownName>;
}

/// The value of a setting. It displays as in a configuration file: a duration in seconds, a switch
/// as `true` or `false`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// A number, such as a port.
    Number(usize),
    /// A text, such as the discovery message.
    Text(&'a str),
    /// A duration.
    Duration(Duration),
    /// A switch.
    Switch(bool),
}

/// No setting has this name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown setting `{name}`; expected one of {}", NAMES.join(", "))]
#[non_exhaustive]
pub struct UnknownName {
    /// The name.
    pub name: String,
}

const NAMES: [&str; 6] = [
    "DISCOVERY_PORT",
    "DISCOVERY_MESSAGE",
    "RESPONSE_PREFIX",
    "DISCOVERY_TIMEOUT",
    "DISCOVERY_BUFFER_SIZE",
    "ENABLE_LOGGING",
];

impl ByName for Settings {
    fn get(&self, name: &str) -> Result<Value<'_>, UnknownName> {
        Ok(match name {
            "DISCOVERY_PORT" => Value::Number(self.port().into()),
            "DISCOVERY_MESSAGE" => Value::Text(self.codec().message().as_str()),
            "RESPONSE_PREFIX" => Value::Text(self.codec().prefix().as_str()),
            "DISCOVERY_TIMEOUT" => Value::Duration(self.timeout()),
            "DISCOVERY_BUFFER_SIZE" => Value::Number(self.buffer_size().get()),
            "ENABLE_LOGGING" => Value::Switch(self.logging()),
            _ => return Err(UnknownName { name: name.into() }),
        })
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
            Self::Duration(duration) => duration.as_secs_f64().fmt(f),
            Self::Switch(switch) => switch.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_has_its_default() {
        let settings = Settings::default();
        let values = NAMES.map(|name| settings.get(name).unwrap().to_string());
        let expected = [
            "9999",
            "DISCOVER_SERVER",
            "SERVER_IP:",
            "0.5",
            "1024",
            "true",
        ];
        assert_eq!(values, expected);
    }

    #[test]
    fn an_unknown_name_is_an_error_that_lists_the_known_ones() {
        let error = Settings::default().get("DISCOVERY_PROT").unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("unknown setting `DISCOVERY_PROT`"),
            "{text}"
        );
        assert!(NAMES.iter().all(|name| text.contains(name)), "{text}");
    }
}
