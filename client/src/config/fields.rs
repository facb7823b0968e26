//! The configuration as serde reads and writes it.

use std::num::{NonZeroU8, NonZeroU16, NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
#[cfg(feature = "signed")]
use udp_discovery_protocol::ServerId;
#[cfg(feature = "mdns")]
use udp_discovery_protocol::ServiceType;
use udp_discovery_protocol::{BufferSize, Codec, Settings, Word, WordsConflict};

use super::{Config, Family};
use crate::address::AddressPolicy;
use crate::interval::WatchInterval;
use crate::target::Target;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, default, rename = "Config")]
#[allow(
    clippy::struct_excessive_bools,
    reason = "they are independent settings"
)]
pub(super) struct Fields {
    port: u16,
    message: Word,
    prefix: Word,
    #[serde(with = "udp_discovery_protocol::duration")]
    timeout: Duration,
    buffer_size: BufferSize,
    logging: bool,
    probes: NonZeroU8,
    interval: WatchInterval,
    interfaces: Vec<String>,
    excluded_interfaces: Vec<String>,
    loopback: bool,
    address_policy: AddressPolicy,
    any_source_port: bool,
    max_servers: NonZeroUsize,
    #[serde(skip_serializing_if = "Option::is_none")]
    default_port: Option<u16>,
    first: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    expect: Option<NonZeroUsize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quiet_for: Option<Text>,
    targets: Vec<Target>,
    broadcast: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_port: Option<NonZeroU16>,
    family: Family,
    multicast: bool,
    pace: NonZeroU32,
    large_sweeps: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    remember: Option<PathBuf>,
    details: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    wanted_name: Option<String>,
    wanted_properties: Vec<Pair>,
    #[cfg(feature = "signed")]
    pinned_ids: Vec<ServerId>,
    #[cfg(feature = "signed")]
    #[serde(skip_serializing_if = "Option::is_none")]
    known_servers: Option<PathBuf>,
    #[cfg(feature = "mdns")]
    mdns: Vec<ServiceType>,
}

/// A duration that is written as text.
#[derive(Deserialize, Serialize)]
#[serde(transparent)]
struct Text(#[serde(with = "udp_discovery_protocol::duration")] Duration);

/// A key and a value that are written as `KEY=VALUE`.
#[derive(Clone, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
struct Pair(String, String);

/// A text without `=`.
#[derive(Debug, thiserror::Error)]
#[error("the property {0:?} is not a key, `=` and a value")]
struct NotAPair(String);

impl TryFrom<String> for Pair {
    type Error = NotAPair;

    fn try_from(text: String) -> Result<Self, NotAPair> {
        match text.split_once('=') {
            Some((key, value)) => Ok(Self(key.to_owned(), value.to_owned())),
            None => Err(NotAPair(text)),
        }
    }
}

impl From<Pair> for String {
    fn from(Pair(key, value): Pair) -> Self {
        format!("{key}={value}")
    }
}

impl Default for Fields {
    fn default() -> Self {
        Config::default().into()
    }
}

impl From<Config> for Fields {
    fn from(config: Config) -> Self {
        let settings = config.settings;
        Self {
            port: settings.port(),
            message: settings.codec().message().clone(),
            prefix: settings.codec().prefix().clone(),
            timeout: settings.timeout(),
            buffer_size: settings.buffer_size(),
            logging: settings.logging(),
            probes: config.probes,
            interval: config.interval,
            interfaces: config.interfaces,
            excluded_interfaces: config.excluded_interfaces,
            loopback: config.loopback,
            address_policy: config.address_policy,
            any_source_port: config.any_source_port,
            max_servers: config.max_servers,
            default_port: config.default_port,
            first: config.first,
            expect: config.expect,
            quiet_for: config.quiet_for.map(Text),
            targets: config.targets,
            broadcast: config.broadcast,
            source_port: config.source_port,
            family: config.family,
            multicast: config.multicast,
            pace: config.pace,
            large_sweeps: config.large_sweeps,
            remember: config.remember,
            details: config.details,
            wanted_name: config.wanted_name,
            wanted_properties: config
                .wanted_properties
                .into_iter()
                .map(|(key, value)| Pair(key, value))
                .collect(),
            #[cfg(feature = "signed")]
            pinned_ids: config.pinned_ids,
            #[cfg(feature = "signed")]
            known_servers: config.known_servers,
            #[cfg(feature = "mdns")]
            mdns: config.mdns,
        }
    }
}

impl TryFrom<Fields> for Config {
    type Error = WordsConflict;

    fn try_from(fields: Fields) -> Result<Self, WordsConflict> {
        Ok(Self {
            settings: Settings::default()
                .with_port(fields.port)
                .with_codec(Codec::new(fields.message, fields.prefix)?)
                .with_timeout(fields.timeout)
                .with_buffer_size(fields.buffer_size)
                .with_logging(fields.logging),
            probes: fields.probes,
            interval: fields.interval,
            interfaces: fields.interfaces,
            excluded_interfaces: fields.excluded_interfaces,
            loopback: fields.loopback,
            address_policy: fields.address_policy,
            any_source_port: fields.any_source_port,
            max_servers: fields.max_servers,
            default_port: fields.default_port,
            first: fields.first,
            expect: fields.expect,
            quiet_for: fields.quiet_for.map(|Text(duration)| duration),
            targets: fields.targets,
            broadcast: fields.broadcast,
            source_port: fields.source_port,
            family: fields.family,
            multicast: fields.multicast,
            pace: fields.pace,
            large_sweeps: fields.large_sweeps,
            remember: fields.remember,
            details: fields.details,
            wanted_name: fields.wanted_name,
            wanted_properties: fields
                .wanted_properties
                .into_iter()
                .map(|Pair(key, value)| (key, value))
                .collect(),
            #[cfg(feature = "signed")]
            pinned_ids: fields.pinned_ids,
            #[cfg(feature = "signed")]
            known_servers: fields.known_servers,
            #[cfg(feature = "mdns")]
            mdns: fields.mdns,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn a_configuration_is_read_from_a_file_and_missing_keys_have_their_defaults() {
        let config = read(
            "port = 7777\ntimeout = \"2s\"\nprobes = 5\ninterval = \"2s..1m\"\ninterfaces = [\"eth0\", \"wlan*\"]\n\
             excluded_interfaces = [\"wlan1\"]\nloopback = true\naddress_policy = \"match\"\n\
             any_source_port = true\nmax_servers = 10\ndefault_port = 8000\n\
             first = true\nexpect = 3\nquiet_for = \"200ms\"\n\
             targets = [\"printer.example\", \"10.15.0.7:7777\"]\nbroadcast = false\n\
             source_port = 40000\nfamily = \"6\"\nmulticast = true\n\
             pace = 500\nlarge_sweeps = true\nremember = \"known\"",
        );
        let (shortest, longest) = (Duration::from_secs(2), Duration::from_secs(60));
        let interval = WatchInterval::new(shortest, longest).unwrap();
        let expected = Config::default()
            .with_port(7777)
            .with_timeout(Duration::from_secs(2))
            .with_probes(NonZeroU8::new(5).unwrap())
            .with_interval(interval)
            .with_interfaces(["eth0", "wlan*"])
            .with_excluded_interfaces(["wlan1"])
            .with_loopback(true)
            .with_address_policy(AddressPolicy::Match)
            .with_any_source_port(true)
            .with_max_servers(NonZeroUsize::new(10).unwrap())
            .with_default_port(8000)
            .with_first(true)
            .with_expect(NonZeroUsize::new(3).unwrap())
            .with_quiet_for(Duration::from_millis(200))
            .with_targets([
                "printer.example".parse().unwrap(),
                "10.15.0.7:7777".parse().unwrap(),
            ])
            .with_broadcast(false)
            .with_source_port(40000)
            .with_family(Family::V6)
            .with_multicast(true)
            .with_pace(NonZeroU32::new(500).unwrap())
            .with_large_sweeps(true)
            .with_remember("known");
        assert_eq!(config, Ok(expected.clone()));
        assert_eq!(read(""), Ok(Config::default()));

        let written = toml::to_string(&expected).unwrap();
        assert_eq!(read(&written), Ok(expected));
    }

    #[cfg(feature = "signed")]
    #[test]
    fn what_asks_for_details_is_read_and_implies_them() {
        let id = ServerId::new([7; 32]);
        for (text, expected) in [
            ("details = true", Config::default().with_details(true)),
            (
                "wanted_name = \"printer*\"",
                Config::default().with_wanted_name("printer*"),
            ),
            (
                "wanted_properties = [\"path=/a=b\", \"x=\"]",
                Config::default().with_wanted_properties([("path", "/a=b"), ("x", "")]),
            ),
            (
                &format!("pinned_ids = [\"{id}\"]"),
                Config::default().with_pinned_ids([id]),
            ),
            (
                "known_servers = \"known\"",
                Config::default().with_known_servers("known"),
            ),
        ] {
            assert_eq!(read(text), Ok(expected.clone()));
            assert!(expected.details() && !Config::default().details());
            assert_eq!(read(&toml::to_string(&expected).unwrap()), Ok(expected));
        }
    }

    #[test]
    fn an_error_says_what_is_allowed() {
        for (text, expected) in [
            ("probe = 1", "unknown field `probe`, expected one of"),
            ("probes = 0", "expected a nonzero u8"),
            ("interval = \"5s..1s\"", "such as 1s..5s"),
            (
                "address_policy = \"mine\"",
                "expected one of `auto`, `claim`",
            ),
            ("message = \"SERVER_IP:?\"", "start with the other"),
            (
                "wanted_properties = [\"x\"]",
                "the property \"x\" is not a key, `=` and a value",
            ),
            ("family = \"5\"", "expected one of `auto`, `4`, `6`, `both`"),
            ("targets = [\"a:0\"]", "the port of the target `a:0`"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
