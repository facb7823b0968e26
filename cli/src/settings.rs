//! The settings of a command: the defaults, then the file, then the environment, then the options.
//! The last one wins.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use figment::error::Kind as FigmentKind;
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

mod table;

pub(crate) use table::{SETTINGS, Setting, Side};

/// The tables of a file.
const TABLES: [(&str, Side); 2] = [("server", Side::Server), ("client", Side::Client)];

/// Environment variables that begin like this belong to this program.
const PREFIXES: [(&str, Side); 2] = [
    ("DISCOVERY_SERVER_", Side::Server),
    ("DISCOVERY_CLIENT_", Side::Client),
];

/// Known to the Python client, which reserves it. It is checked and has no effect.
const SUBNET_SCAN: &str = "DISCOVERY_CLIENT_ENABLE_SUBNET_SCAN";

/// Why the settings cannot be used.
#[derive(Debug, Error)]
pub(crate) enum SettingsError {
    #[error("cannot read {}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{}, line {line}: {message}", path.display())]
    NotToml {
        path: PathBuf,
        line: usize,
        message: String,
    },
    #[error("unknown {what} `{name}`{where_}; {advice}")]
    Unknown {
        what: &'static str,
        name: String,
        where_: String,
        advice: String,
    },
    #[error("invalid value {value} for {setting}: expected {allowed}")]
    Invalid {
        /// The option, the variable, or the key and where it stands.
        setting: String,
        value: String,
        allowed: &'static str,
    },
    #[error(
        "the message {message} ({from_message}) and the prefix {prefix} ({from_prefix}) cannot be \
         used together: neither may start with the other"
    )]
    Words {
        message: String,
        from_message: String,
        prefix: String,
        from_prefix: String,
    },
    #[error("invalid settings: {0}")]
    Other(Box<figment::Error>),
}

/// The options of a command that are settings, by key.
pub(crate) type Options = Dict;

/// What an option says, `None` or an empty list if it was not given.
pub(crate) fn options(options: impl Serialize) -> Options {
    let value = Value::serialize(options).expect("options are texts and lists of texts");
    let mut options = value.into_dict().expect("options have names");
    options.retain(|_, value| match value {
        Value::Empty(..) => false,
        Value::Array(_, values) => !values.is_empty(),
        _ => true,
    });
    options
}

/// Loads the configuration of `side` from its sources.
///
/// Each value is checked, even if a later source overrides it.
pub(crate) fn load<C: DeserializeOwned>(
    side: Side,
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    options: &Options,
) -> Result<C, SettingsError> {
    let mut layers = Layers {
        side,
        figment: Figment::new(),
    };
    if let Some(path) = file {
        layers.add_file::<C>(path)?;
    }
    layers.add_environment::<C>(environment)?;
    layers.add_options::<C>(options)?;
    layers.extract()
}

struct Layers {
    side: Side,
    figment: Figment,
}

/// Values from one place, which is named in errors.
struct Layer {
    place: String,
    values: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.place.clone())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

impl Layers {
    fn add_file<C: DeserializeOwned>(&mut self, path: &Path) -> Result<(), SettingsError> {
        let text = fs::read_to_string(path).map_err(|source| SettingsError::Unreadable {
            path: path.into(),
            source,
        })?;
        let table: toml::Table = toml::from_str(&text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            SettingsError::NotToml {
                path: path.into(),
                line: text[..start].lines().count().max(1),
                message: error.message().trim().replace('\n', ", "),
            }
        })?;
        let value = Value::serialize(table).expect("TOML can be serialized");
        let mut shared = value.into_dict().expect("a file is a table");
        let tables = TABLES.map(|(name, side)| (name, side, shared.remove(name)));

        let place = format!(" in {}", path.display());
        check_keys(&shared, Side::Both, &place)?;
        self.add::<C>(shared, &place, |key| format!("`{key}`{place}"))?;
        for (name, side, table) in tables {
            let place = format!(" in [{name}] of {}", path.display());
            let values = match table {
                None => continue,
                Some(Value::Dict(_, values)) => values,
                Some(value) => {
                    return Err(SettingsError::Invalid {
                        setting: format!("`{name}` in {}", path.display()),
                        value: text_of(&value),
                        allowed: "a table",
                    });
                }
            };
            check_keys(&values, side, &place)?;
            if side == self.side {
                self.add::<C>(values, &place, |key| format!("`{key}`{place}"))?;
            }
        }
        Ok(())
    }

    fn add_environment<C: DeserializeOwned>(
        &mut self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<(), SettingsError> {
        let environment: Map<String, String> = environment
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| {
                let text = |it: OsString| it.to_string_lossy().into_owned();
                (text(name), text(value))
            })
            .collect();
        let variables: Vec<(&Setting, String)> = SETTINGS
            .iter()
            .filter(|setting| setting.side.includes(self.side))
            .flat_map(|setting| {
                setting
                    .variables(self.side)
                    .map(move |name| (setting, name))
            })
            .collect();
        self.check_variables(&environment, &variables)?;
        for (setting, name) in variables {
            if let Some(text) = environment.get(&name) {
                let values = Dict::from([(setting.key.into(), setting.kind.read(text))]);
                self.check_layer::<C>(values, &name, Some((setting, text)), |_| name.clone())?;
            }
        }
        Ok(())
    }

    /// Refuses variables that begin like those of this side and are none.
    fn check_variables(
        &self,
        environment: &Map<String, String>,
        variables: &[(&Setting, String)],
    ) -> Result<(), SettingsError> {
        for (prefix, side) in PREFIXES {
            for (name, value) in environment {
                if side != self.side || !name.starts_with(prefix) {
                    continue;
                }
                if name == SUBNET_SCAN {
                    if table::Kind::Bool.read(value).to_bool().is_none() {
                        return Err(SettingsError::Invalid {
                            setting: name.clone(),
                            value: quoted(value),
                            allowed: table::BOOL,
                        });
                    }
                } else if !variables.iter().any(|(_, known)| known == name) {
                    let suffix = &name[prefix.len()..];
                    let known = variables.iter().map(|(_, name)| {
                        (name.strip_prefix(prefix).unwrap_or(name), name.as_str())
                    });
                    return Err(SettingsError::Unknown {
                        what: "environment variable",
                        name: name.clone(),
                        where_: String::new(),
                        advice: advice(suffix, known),
                    });
                }
            }
        }
        Ok(())
    }

    fn add_options<C: DeserializeOwned>(&mut self, options: &Options) -> Result<(), SettingsError> {
        for (key, value) in options {
            let setting = Setting::of(key).expect("options that are settings have their names");
            let texts: Vec<&str> = match value {
                Value::Array(_, values) => values.iter().filter_map(Value::as_str).collect(),
                value => value.as_str().into_iter().collect(),
            };
            let text = texts.join(",");
            let values = Dict::from([(key.clone(), setting.kind.read(&text))]);
            self.check_layer::<C>(values, setting.option, Some((setting, &text)), |_| {
                setting.option.into()
            })?;
        }
        Ok(())
    }

    fn add<C: DeserializeOwned>(
        &mut self,
        values: Dict,
        place: &str,
        name: impl Fn(&str) -> String,
    ) -> Result<(), SettingsError> {
        self.check_layer::<C>(values, place.trim_start_matches(" in "), None, name)
    }

    /// Puts `values` over those so far. `name` names a key of them in errors, `text` is what the
    /// user wrote if that isn't the value.
    fn check_layer<C: DeserializeOwned>(
        &mut self,
        values: Dict,
        place: &str,
        text: Option<(&Setting, &str)>,
        name: impl Fn(&str) -> String,
    ) -> Result<(), SettingsError> {
        let invalid = |key: &str, value: &Value| SettingsError::Invalid {
            setting: name(key),
            value: text.map_or_else(|| text_of(value), |(_, text)| quoted(text)),
            allowed: text.map_or_else(
                || Setting::of(key).map_or("another value", |setting| setting.allowed),
                |(setting, _)| setting.allowed,
            ),
        };
        for (key, value) in &values {
            if Setting::of(key).is_some_and(|setting| !setting.kind.permits(value)) {
                return Err(invalid(key, value));
            }
        }
        let place = place.to_owned();
        let layer = Layer {
            place,
            values: values.clone(),
        };
        self.figment = self.figment.clone().merge(layer);
        match self.figment.extract::<C>() {
            Ok(_) => Ok(()),
            Err(error) => match error.path.first().and_then(|key| values.get_key_value(key)) {
                Some((key, value)) => Err(invalid(key, value)),
                // The words are judged together when all are known.
                None => Ok(()),
            },
        }
    }

    fn extract<C: DeserializeOwned>(&self) -> Result<C, SettingsError> {
        self.figment.extract().map_err(|error| match error.kind {
            FigmentKind::Message(_) if error.path.is_empty() => self.words(),
            _ => SettingsError::Other(Box::new(error)),
        })
    }

    fn words(&self) -> SettingsError {
        let word = |key: &str, default: &str| {
            let value = self.figment.find_value(key);
            let place = self.figment.find_metadata(key);
            (
                value.map_or_else(|_| quoted(default), |value| text_of(&value)),
                place.map_or("default".into(), |place| place.name.to_string()),
            )
        };
        let (message, from_message) = word("message", udp_discovery_protocol::DEFAULT_MESSAGE);
        let (prefix, from_prefix) = word("prefix", udp_discovery_protocol::DEFAULT_RESPONSE_PREFIX);
        SettingsError::Words {
            message,
            from_message,
            prefix,
            from_prefix,
        }
    }
}

/// Refuses keys that are not among the settings of `side`.
fn check_keys(values: &Dict, side: Side, place: &str) -> Result<(), SettingsError> {
    let known = || {
        SETTINGS
            .iter()
            .filter(move |setting| setting.side.includes(side))
    };
    let Some(unknown) = values
        .keys()
        .find(|key| !known().any(|setting| setting.key == key.as_str()))
    else {
        return Ok(());
    };
    let tables = TABLES.map(|(name, _)| (name, name));
    let tables = tables.into_iter().filter(|_| side == Side::Both);
    let elsewhere = Setting::of(unknown).and_then(|setting| {
        let (table, _) = TABLES.iter().find(|(_, side)| *side == setting.side)?;
        Some(format!("it belongs in the table [{table}]"))
    });
    // Keys are found by the names of the Python packages too.
    let candidates = known().flat_map(|setting| {
        let names = [setting.key, setting.variable].into_iter();
        let suffixes = setting.suffixes.iter().copied();
        names.chain(suffixes).map(|name| (name, setting.key))
    });
    Err(SettingsError::Unknown {
        what: "key",
        name: unknown.clone(),
        where_: place.into(),
        advice: elsewhere.unwrap_or_else(|| advice(unknown, candidates.chain(tables))),
    })
}

/// The name that is most like `unknown`, or all of them. Each candidate is a spelling and the name
/// it stands for.
fn advice<'a>(unknown: &str, candidates: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    const ALIKE: f64 = 0.8;
    let unknown = unknown.to_lowercase();
    let likeness = |name: &str| strsim::jaro_winkler(&unknown, &name.to_lowercase());
    let candidates: Vec<(f64, &str)> = candidates
        .filter(|(spelling, _)| !spelling.is_empty())
        .map(|(spelling, name)| (likeness(spelling), name))
        .collect();
    let best = candidates
        .iter()
        .max_by(|one, other| one.0.total_cmp(&other.0));
    match best {
        Some((likeness, name)) if *likeness >= ALIKE => format!("did you mean `{name}`?"),
        _ => {
            let mut names: Vec<String> = candidates
                .iter()
                .map(|(_, name)| format!("`{name}`"))
                .collect();
            names.dedup();
            format!("expected one of {}", names.join(", "))
        }
    }
}

/// A value as its user wrote it.
fn text_of(value: &Value) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn quoted(text: &str) -> String {
    text_of(&text.into())
}

#[cfg(test)]
mod tests;
