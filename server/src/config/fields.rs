//! The configuration as serde reads and writes it.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::de::{self, Deserializer, SeqAccess, Unexpected, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use udp_discovery_protocol::{BufferSize, Codec, HostIp, IpNet, Settings, Word, WordsConflict};

use super::{Allow, Config};
use crate::rate_limit::RateLimit;

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
    #[serde(skip_serializing_if = "Option::is_none")]
    advertise_ip: Option<HostIp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    advertise_port: Option<u16>,
    allow: Allow,
    rate_limit: Limit,
    total_limit: Limit,
    kernel_filter: bool,
    ipv6: bool,
    multicast: bool,
    shared_port: bool,
    details_limit: Limit,
    #[cfg(feature = "signed")]
    signature_limit: Limit,
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
            advertise_ip: config.advertise_ip,
            advertise_port: config.advertise_port,
            allow: config.allow,
            rate_limit: Limit(config.rate_limit),
            total_limit: Limit(config.total_limit),
            kernel_filter: config.kernel_filter,
            ipv6: config.ipv6,
            multicast: config.multicast,
            shared_port: config.shared_port,
            details_limit: Limit(config.details_limit),
            #[cfg(feature = "signed")]
            signature_limit: Limit(config.signature_limit),
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
            advertise_ip: fields.advertise_ip,
            advertise_port: fields.advertise_port,
            allow: fields.allow,
            rate_limit: fields.rate_limit.0,
            total_limit: fields.total_limit.0,
            kernel_filter: fields.kernel_filter,
            ipv6: fields.ipv6,
            multicast: fields.multicast,
            shared_port: fields.shared_port,
            details: None,
            #[cfg(feature = "signed")]
            signing_key: None,
            details_limit: fields.details_limit.0,
            #[cfg(feature = "signed")]
            signature_limit: fields.signature_limit.0,
        })
    }
}

/// A number of answers a second, `"off"`, or a table with `rate` and `burst`.
struct Limit(Option<RateLimit>);

#[derive(Deserialize, Serialize)]
#[serde(
    untagged,
    expecting = "expected a number of answers a second, \"off\", or a table with \
                               `rate` and `burst`"
)]
enum LimitForm {
    PerSecond(NonZeroU32),
    Off(Off),
    RateAndBurst { rate: NonZeroU32, burst: NonZeroU32 },
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Off {
    Off,
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match LimitForm::deserialize(deserializer)? {
            LimitForm::PerSecond(rate) => Some(RateLimit::per_second(rate)),
            LimitForm::Off(Off::Off) => None,
            LimitForm::RateAndBurst { rate, burst } => {
                Some(RateLimit::per_second(rate).with_burst(burst))
            }
        }))
    }
}

impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            None => LimitForm::Off(Off::Off),
            Some(limit) if limit == RateLimit::per_second(limit.rate()) => {
                LimitForm::PerSecond(limit.rate())
            }
            Some(limit) => LimitForm::RateAndBurst {
                rate: limit.rate(),
                burst: limit.burst(),
            },
        }
        .serialize(serializer)
    }
}

const ANY: &str = "any";

impl Serialize for Allow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Any => serializer.serialize_str(ANY),
            Self::OnLink => serializer.collect_seq([""; 0]),
            Self::Networks(networks) => {
                serializer.collect_seq(networks.iter().map(ToString::to_string))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Allow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AllowVisitor)
    }
}

struct AllowVisitor;

impl<'de> Visitor<'de> for AllowVisitor {
    type Value = Allow;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("\"any\", or a list of networks such as \"10.15.0.0/16\" and addresses")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Allow, E> {
        if text == ANY {
            return Ok(Allow::Any);
        }
        let network = network(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self));
        Ok(Allow::Networks(vec![network?]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Allow, A::Error> {
        let mut networks = Vec::new();
        let mut any = false;
        while let Some(text) = seq.next_element::<String>()? {
            if text == ANY {
                any = true;
                continue;
            }
            networks.push(
                network(&text)
                    .ok_or_else(|| de::Error::invalid_value(Unexpected::Str(&text), &self))?,
            );
        }
        Ok(if any {
            Allow::Any
        } else if networks.is_empty() {
            Allow::OnLink
        } else {
            Allow::Networks(networks)
        })
    }
}

/// A network, or one address as the network of that address.
fn network(text: &str) -> Option<IpNet> {
    let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
    text.parse().ok().or_else(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    fn rate(rate: u32) -> RateLimit {
        RateLimit::per_second(NonZeroU32::new(rate).unwrap())
    }

    #[test]
    fn a_configuration_is_read_from_a_file_and_missing_keys_have_their_defaults() {
        let config = read(
            "port = 0\nadvertise_ip = \"10.0.0.7\"\nadvertise_port = 8000\n\
             allow = [\"10.15.0.0/16\", \"10.1.2.3\"]\nrate_limit = 10\n\
             total_limit = { rate = 100, burst = 300 }\nkernel_filter = false\nipv6 = false\n\
             multicast = false\nshared_port = true\ndetails_limit = 7",
        );
        let networks = ["10.15.0.0/16", "10.1.2.3/32"].map(|text| text.parse().unwrap());
        let expected = Config::default()
            .with_port(0)
            .with_advertise_ip([10, 0, 0, 7].into())
            .unwrap()
            .with_advertise_port(8000)
            .with_allow(Allow::Networks(networks.to_vec()))
            .with_rate_limit(Some(rate(10)))
            .with_total_limit(Some(rate(100).with_burst(NonZeroU32::new(300).unwrap())))
            .with_kernel_filter(false)
            .with_ipv6(false)
            .with_multicast(false)
            .with_shared_port(true)
            .with_details_limit(Some(rate(7)));
        assert_eq!(config, Ok(expected.clone()));
        assert_eq!(read(""), Ok(Config::default()));

        let written = toml::to_string(&expected).unwrap();
        assert_eq!(read(&written), Ok(expected));
    }

    #[test]
    fn a_limit_can_be_off_and_everybody_allowed() {
        for text in ["allow = \"any\"", "allow = [\"10.0.0.0/8\", \"any\"]"] {
            assert_eq!(read(text).unwrap().allow(), &Allow::Any);
        }
        let config = read("rate_limit = \"off\"").unwrap();
        assert_eq!(config.rate_limit(), None);
        let written = toml::to_string(&config).unwrap();
        assert_eq!(read(&written), Ok(config));
    }

    #[test]
    #[cfg(feature = "signed")]
    fn what_is_of_one_instance_is_not_written() {
        use udp_discovery_protocol::SigningKey;

        let plain = read("signature_limit = \"off\"").unwrap();
        assert_eq!(plain.signature_limit(), None);
        let key = SigningKey::from_bytes(&[9; 32]);
        let written = toml::to_string(&plain.clone().with_signing_key(key)).unwrap();
        assert_eq!(read(&written), Ok(plain));
    }

    #[test]
    fn an_error_says_what_is_allowed() {
        for (text, expected) in [
            (
                "advertise_prot = 1",
                "unknown field `advertise_prot`, expected one of",
            ),
            (
                "advertise_ip = \"0.0.0.0\"",
                "cannot be the address of a host",
            ),
            ("allow = [\"10.0.0.0/33\"]", "a list of networks"),
            ("allow = [\"any\", \"10.0.0.0/33\"]", "a list of networks"),
            ("allow = \"everybody\"", "a list of networks"),
            ("rate_limit = 0", "a number of answers a second"),
            ("rate_limit = \"fast\"", "a number of answers a second"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
