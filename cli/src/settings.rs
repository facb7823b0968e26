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
    #[error("unknown {what} `{name}`{place}; {advice}")]
    Unknown {
        what: &'static str,
        name: String,
        place: String,
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

/// Where values come from.
enum Source<'a> {
    /// A file, or a table of one.
    File(&'a str),
    /// An option or a variable, and its text.
    Text(&'static Setting, &'a str, &'a str),
}

/// The values of one source.
struct Layer<'a> {
    source: Source<'a>,
    values: Dict,
}

impl Provider for Layer<'_> {
    fn metadata(&self) -> Metadata {
        let (Source::File(name) | Source::Text(_, name, _)) = self.source;
        Metadata::named(name.to_owned())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

impl<'a> Layer<'a> {
    fn text(setting: &'static Setting, name: &'a str, text: &'a str) -> Self {
        Self {
            source: Source::Text(setting, name, text),
            values: Dict::from([(setting.key.into(), setting.kind.read(text))]),
        }
    }

    fn invalid(&self, key: &str, value: &Value) -> SettingsError {
        match self.source {
            Source::File(name) => SettingsError::Invalid {
                setting: format!("`{key}` in {name}"),
                value: text_of(value),
                allowed: Setting::of(key).map_or("a table", |setting| setting.allowed),
            },
            Source::Text(setting, name, text) => SettingsError::Invalid {
                setting: name.into(),
                value: quoted(text),
                allowed: setting.allowed,
            },
        }
    }
}

impl Layers {
    fn add_file<C: DeserializeOwned>(&mut self, path: &Path) -> Result<(), SettingsError> {
        let name = path.display().to_string();
        let mut shared = Layer {
            values: read_file(path)?,
            source: Source::File(&name),
        };
        let tables = TABLES.map(|(table, side)| (table, side, shared.values.remove(table)));
        check_keys(&shared, Side::Both)?;
        self.add::<C>(&shared)?;
        for (table, side, values) in tables {
            let Some(values) = values else { continue };
            let Value::Dict(_, values) = values else {
                return Err(shared.invalid(table, &values));
            };
            let name = format!("[{table}] of {name}");
            let source = Source::File(&name);
            let layer = Layer { source, values };
            check_keys(&layer, side)?;
            if side == self.side {
                self.add::<C>(&layer)?;
            }
        }
        Ok(())
    }

    fn add_environment<C: DeserializeOwned>(
        &mut self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<(), SettingsError> {
        // Names that are not text belong to other programs.
        let environment: Map<String, OsString> = environment
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .collect();
        let text_of = |name: &str| {
            let value: &OsString = environment.get(name)?;
            let invalid = || SettingsError::Invalid {
                setting: name.into(),
                value: quoted(&value.to_string_lossy()),
                allowed: "text in UTF-8",
            };
            Some(value.to_str().ok_or_else(invalid))
        };
        let mine = SETTINGS
            .iter()
            .filter(|setting| setting.side.includes(self.side));
        let variables: Vec<(&Setting, String)> = mine
            .flat_map(|setting| {
                setting
                    .variables(self.side)
                    .map(move |name| (setting, name))
            })
            .collect();
        for name in environment.keys() {
            self.check_name(name, &variables)?;
        }
        if self.side == Side::Client
            && let Some(text) = text_of(SUBNET_SCAN).transpose()?
            && table::Kind::Bool.read(text).to_bool().is_none()
        {
            return Err(SettingsError::Invalid {
                setting: SUBNET_SCAN.into(),
                value: quoted(text),
                allowed: table::BOOL,
            });
        }
        for (setting, name) in &variables {
            if let Some(text) = text_of(name).transpose()? {
                self.add::<C>(&Layer::text(setting, name, text))?;
            }
        }
        Ok(())
    }

    /// Refuses a variable that begins like those of this side and is none.
    fn check_name(
        &self,
        name: &str,
        variables: &[(&Setting, String)],
    ) -> Result<(), SettingsError> {
        let prefix = self.side.prefix();
        let Some(suffix) = name.strip_prefix(prefix) else {
            return Ok(());
        };
        if name == SUBNET_SCAN || variables.iter().any(|(_, known)| known == name) {
            return Ok(());
        }
        let known = variables.iter().map(|(_, name)| name.as_str());
        let known = known.map(|name| (name.strip_prefix(prefix).unwrap_or(name), name));
        Err(SettingsError::Unknown {
            what: "environment variable",
            name: name.into(),
            place: String::new(),
            advice: advice(suffix, known),
        })
    }

    fn add_options<C: DeserializeOwned>(&mut self, options: &Options) -> Result<(), SettingsError> {
        for (key, value) in options {
            let setting = Setting::of(key).expect("options that are settings have their names");
            let texts: Vec<&str> = match value {
                Value::Array(_, values) => values.iter().filter_map(Value::as_str).collect(),
                value => value.as_str().into_iter().collect(),
            };
            self.add::<C>(&Layer::text(setting, setting.option, &texts.join(",")))?;
        }
        Ok(())
    }

    /// Puts `layer` over those so far.
    fn add<C: DeserializeOwned>(&mut self, layer: &Layer<'_>) -> Result<(), SettingsError> {
        for (key, value) in &layer.values {
            if Setting::of(key).is_some_and(|setting| !setting.kind.permits(value)) {
                return Err(layer.invalid(key, value));
            }
        }
        self.figment = self.figment.clone().merge(layer);
        let Err(error) = self.figment.extract::<C>() else {
            return Ok(());
        };
        let key = error.path.first();
        match key.and_then(|key| layer.values.get_key_value(key)) {
            Some((key, value)) => Err(layer.invalid(key, value)),
            // The words are judged together when all are known.
            None => Ok(()),
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

fn read_file(path: &Path) -> Result<Dict, SettingsError> {
    let text = fs::read_to_string(path).map_err(|source| SettingsError::Unreadable {
        path: path.into(),
        source,
    })?;
    let table: toml::Table = toml::from_str(&text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        SettingsError::NotToml {
            path: path.into(),
            line: text[..start].matches('\n').count() + 1,
            message: error.message().trim().replace('\n', ", "),
        }
    })?;
    let value = Value::serialize(table).expect("TOML can be serialized");
    Ok(value.into_dict().expect("a file is a table"))
}

/// Refuses keys that are not among the settings of `side`.
fn check_keys(layer: &Layer<'_>, side: Side) -> Result<(), SettingsError> {
    let known = || {
        SETTINGS
            .iter()
            .filter(move |setting| setting.side.includes(side))
    };
    let Some(unknown) = layer
        .values
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
        place: format!(" in {}", layer.metadata().name),
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
