//! What a server tells clients that ask who it is.

use std::num::NonZeroU16;
use std::path::PathBuf;

use serde::Deserialize;
use thiserror::Error;
use udp_discovery_protocol::{Details, InvalidDetails, RunId, ServerId};
use udp_discovery_server::Config;
use udp_discovery_server::mdns::{Service, ServiceType};

use crate::failure::Failure;
use crate::identity;

/// The settings of [`Side::Details`](crate::settings::Side::Details).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Offer {
    name: Option<Name>,
    properties: Properties,
    id_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    mdns: Vec<ServiceType>,
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Name(String);

/// Keys and values that can be part of [`Details`].
#[derive(Debug, Default, Deserialize)]
#[serde(try_from = "PropertiesForm")]
struct Properties(Vec<(String, String)>);

/// A list of `KEY=VALUE`, or a table.
#[derive(Deserialize)]
#[serde(untagged)]
enum PropertiesForm {
    List(Vec<String>),
    Table(std::collections::BTreeMap<String, String>),
}

#[derive(Debug, Error)]
enum InvalidProperties {
    #[error("the property {0:?} is not a key, `=` and a value")]
    NotAPair(String),
    #[error(transparent)]
    Invalid(#[from] InvalidDetails),
}

#[derive(Debug, Error)]
#[error("multicast DNS needs the port of the service")]
struct NoPort;

#[derive(Debug, Error)]
#[error("a key file and an id file cannot be used together")]
struct KeyAndId;

impl Offer {
    /// Adds what is offered to the configuration of a server: nothing, if nothing is set.
    pub(crate) fn add_to(&self, config: Config) -> Result<Config, Failure> {
        let (id, key) = match (&self.key_file, &self.id_file) {
            (Some(_), Some(_)) => {
                let hint = "leave out the id file: the id of a key is its public key";
                return Err(Failure::from(KeyAndId).with_hint(hint));
            }
            (Some(file), None) => {
                let key = identity::read_key(file)?;
                (key.id(), Some(key))
            }
            (None, Some(file)) => (identity::read_or_create_id(file)?, None),
            (None, None) if self.has_new_id() => (identity::new_id()?, None),
            (None, None) => return Ok(config),
        };
        let config = config.with_details(self.details(id)?);
        Ok(match key {
            Some(key) => config.with_signing_key(key),
            None => config,
        })
    }

    /// Whether the server has another id each time that it starts.
    pub(crate) fn has_new_id(&self) -> bool {
        let is_offered = self.name.is_some() || !self.properties.0.is_empty();
        is_offered && self.key_file.is_none() && self.id_file.is_none()
    }

    /// What is announced by multicast DNS.
    pub(crate) fn services(&self, config: &Config) -> Result<Vec<Service>, Failure> {
        if self.mdns.is_empty() {
            return Ok(Vec::new());
        }
        let port = config.advertise_port().and_then(NonZeroU16::new);
        let port = port.ok_or_else(|| {
            Failure::from(NoPort).with_hint("name the port of the service with --advertise-port")
        })?;
        let name = self.name.as_ref().map(|Name(name)| name.clone());
        let name = name.filter(|it| !it.is_empty()).unwrap_or_else(host_name);
        let service = |kind: &ServiceType| {
            let service = Service::new(kind.clone(), name.clone(), port);
            let properties = self.properties.0.iter();
            properties.fold(service, |service, (key, value)| {
                service.with_property(key, value)
            })
        };
        Ok(self.mdns.iter().map(service).collect())
    }

    fn details(&self, id: ServerId) -> Result<Details, InvalidDetails> {
        let mut details = details(id, &self.properties.0)?;
        if let Some(Name(name)) = &self.name {
            details = details.with_name(name)?;
        }
        Ok(details)
    }
}

/// The name of this host, without its domain, at most 63 bytes of it.
fn host_name() -> String {
    #[cfg(unix)]
    let name = rustix::system::uname();
    #[cfg(unix)]
    let name = name.nodename().to_string_lossy();
    #[cfg(not(unix))]
    let name = std::env::var("COMPUTERNAME").unwrap_or_default();
    let name = name.split('.').next().unwrap_or_default();
    let name: String = name
        .chars()
        .filter(|it| !it.is_control())
        .take(15)
        .collect();
    if name.is_empty() {
        "udp-discovery".to_owned()
    } else {
        name
    }
}

/// The server draws the run.
fn details(id: ServerId, properties: &[(String, String)]) -> Result<Details, InvalidDetails> {
    let details = Details::new(id, RunId::new([0; 8]));
    let add = |details: Details, (key, value): &(String, String)| details.with_property(key, value);
    properties.iter().try_fold(details, add)
}

impl TryFrom<String> for Name {
    type Error = InvalidDetails;

    fn try_from(name: String) -> Result<Self, InvalidDetails> {
        details(ServerId::new([0; 32]), &[])?.with_name(&name)?;
        Ok(Self(name))
    }
}

impl TryFrom<PropertiesForm> for Properties {
    type Error = InvalidProperties;

    fn try_from(form: PropertiesForm) -> Result<Self, InvalidProperties> {
        let pair = |text: String| match text.split_once('=') {
            Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
            None => Err(InvalidProperties::NotAPair(text)),
        };
        let properties = match form {
            PropertiesForm::List(list) => list.into_iter().map(pair).collect::<Result<_, _>>()?,
            PropertiesForm::Table(table) => table.into_iter().collect::<Vec<_>>(),
        };
        details(ServerId::new([0; 32]), &properties)?;
        Ok(Self(properties))
    }
}

#[cfg(test)]
mod tests {
    use figment::value::{Dict, Value};

    use udp_discovery_protocol::SigningKey;

    use super::*;
    use crate::settings::{Side, Sources};

    /// What is offered with these variables and options.
    fn offered(
        variables: &[(&str, &str)],
        options: &[(&str, Value)],
    ) -> Result<Option<Details>, String> {
        let variables = variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()));
        let options = options
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()));
        let options: Dict = options.collect();
        let sources = Sources::read(Side::Server, None, variables, &options).unwrap();
        let offer: Offer = sources
            .load(Side::Details)
            .map_err(|error| error.to_string())?;
        let config = offer.add_to(Config::default()).unwrap();
        Ok(config.details().cloned())
    }

    fn properties(details: &Details) -> Vec<(&str, &str)> {
        details.properties().collect()
    }

    #[test]
    fn details_are_offered_only_if_one_of_them_is_set() {
        assert_eq!(offered(&[], &[]), Ok(None));
        let only_name = offered(&[("DISCOVERY_SERVER_NAME", "Bob's")], &[]);
        let details = only_name.unwrap().unwrap();
        assert_eq!(details.name(), Some("Bob's"));
        assert_eq!(properties(&details), []);
    }

    #[test]
    fn a_comma_is_part_of_a_property_unless_it_is_in_a_variable() {
        let of_options = ["note=a, b", "room=3"].to_vec().into();
        let details = offered(&[], &[("properties", of_options)]).unwrap();
        let expected = [("note", "a, b"), ("room", "3")];
        assert_eq!(properties(&details.unwrap()), expected);
        let variable = ("DISCOVERY_SERVER_PROPERTIES", "version=1=2, room=");
        let details = offered(&[variable], &[]).unwrap();
        let expected = [("version", "1=2"), ("room", "")];
        assert_eq!(properties(&details.unwrap()), expected);
    }

    #[test]
    fn a_key_is_never_written_with_the_configuration() {
        let key = SigningKey::from_bytes(&[77; 32]);
        let pem = key.to_pem();
        let secret = pem.lines().nth(1).unwrap();
        let config = Config::default().with_signing_key(key);
        let json = serde_json::to_string(&config).unwrap();
        for text in [json, format!("{config:?}")] {
            for part in [secret, "77, 77", &"M".repeat(8), "4d4d"] {
                assert!(!text.contains(part), "{part}: {text}");
            }
        }
    }

    #[test]
    fn what_cannot_be_told_is_refused_with_what_is_allowed() {
        let long = "x".repeat(64);
        for (key, value, setting) in [
            ("name", Value::from(long.as_str()), "--name"),
            ("name", "two\nlines".into(), "--name"),
            ("properties", vec!["no equals sign"].into(), "--property"),
            ("properties", vec!["ID=3"].into(), "--property"),
            ("properties", vec!["a=1", "A=2"].into(), "--property"),
            ("properties", vec!["a=\u{85}"].into(), "--property"),
            ("properties", vec!["=1"].into(), "--property"),
        ] {
            let error = offered(&[], &[(key, value)]).unwrap_err();
            assert!(
                error.contains(&format!("for {setting}: expected ")),
                "{error}"
            );
        }
    }
}
