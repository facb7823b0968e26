//! The settings of a command: the defaults, then the file, then the environment, then the options.
//! The last one wins.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use serde::Serialize;
use serde::de::DeserializeOwned;
use strsim::jaro_winkler;
use thiserror::Error;

mod table;

use table::Kind;
pub(crate) use table::{SETTINGS, Setting, Side};

/// The tables of a file.
const TABLES: [(&str, Side); 2] = [("server", Side::Server), ("client", Side::Client)];

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
        "the message {message} and the prefix {prefix} cannot be used together: neither may start \
         with the other"
    )]
    Words { message: String, prefix: String },
}

/// Loads the configuration of `side` from its sources, as [`Sources::read`] reads them.
pub(crate) fn load<C: DeserializeOwned>(
    side: Side,
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    options: &impl Serialize,
) -> Result<C, SettingsError> {
    Sources::read(side, file, environment, options)?.load(side)
}

/// What the sources have, the ones that override others last.
pub(crate) struct Sources(Vec<Given>);

impl Sources {
    /// Reads the sources of `side`. `options` are the options of a command that are settings, by key:
    /// texts, or lists of texts.
    pub(crate) fn read(
        side: Side,
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        options: &impl Serialize,
    ) -> Result<Self, SettingsError> {
        let mut all = Vec::new();
        if let Some(path) = file {
            all = read_file(path, side)?;
        }
        all.extend(read_environment(side, environment)?);
        all.extend(read_options(side, options));
        Ok(Self(all))
    }

    /// The settings of [`Side::Details`], or the configuration with all others.
    ///
    /// Each value is checked, even if a later source overrides it.
    pub(crate) fn load<C: DeserializeOwned>(&self, side: Side) -> Result<C, SettingsError> {
        let is_of_side =
            |it: &&Given| (it.setting.side == Side::Details) == (side == Side::Details);
        let mut figment = Figment::new();
        for given in self.0.iter().filter(is_of_side) {
            if !given.setting.kind.permits(&given.value) {
                return Err(given.invalid());
            }
            figment = figment.merge(given);
            // Errors without a key are of the words, which are judged together when all are known.
            let is_of_key =
                |error: figment::Error| error.path.first() == Some(&given.setting.key.into());
            if figment.extract::<C>().is_err_and(is_of_key) {
                return Err(given.invalid());
            }
        }
        figment.extract().map_err(|_| words(&figment))
    }
}

/// What to say of variables whose names begin as those of both sides but are none. Those of one side
/// are errors.
pub(crate) fn unknown_variables(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Vec<String> {
    let names = [Side::Client, Side::Server].map(table::variables);
    let names: Vec<&String> = names.iter().flatten().map(|(_, name)| name).collect();
    let unknown = |(name, _): (OsString, OsString)| {
        let name = name.into_string().ok()?;
        let is_unknown = name.starts_with("DISCOVERY_") && !names.contains(&&name);
        let nearest = || nearest(&name, names.iter().map(|it| (it.as_str(), it.as_str())));
        is_unknown.then(|| match nearest() {
            Some((_, nearest)) => format!("the variable {name} is unknown; is {nearest} meant?"),
            None => format!("the variable {name} is unknown"),
        })
    };
    environment.into_iter().filter_map(unknown).collect()
}

/// The value of a setting from one source.
struct Given {
    setting: &'static Setting,
    value: Value,
    /// The value as its user wrote it.
    text: String,
    /// A file, a table of one, a variable or an option.
    source: String,
    is_in_file: bool,
}

impl Given {
    fn in_file(setting: &'static Setting, value: Value, source: &str) -> Self {
        Self {
            setting,
            text: text_of(&value),
            value,
            source: source.into(),
            is_in_file: true,
        }
    }

    /// The value of an option or a variable.
    fn as_text(setting: &'static Setting, text: &str, source: &str) -> Self {
        Self {
            setting,
            value: setting.kind.read(text),
            text: quoted(text),
            source: source.into(),
            is_in_file: false,
        }
    }

    /// The values of an option that was given several times, each as it is.
    fn as_texts(setting: &'static Setting, texts: Vec<&str>) -> Self {
        let value = texts.into();
        Self {
            setting,
            text: text_of(&value),
            value,
            source: setting.option.into(),
            is_in_file: false,
        }
    }

    fn invalid(&self) -> SettingsError {
        let Self {
            setting, source, ..
        } = self;
        SettingsError::Invalid {
            setting: if self.is_in_file {
                format!("`{}` in {source}", setting.key)
            } else {
                source.clone()
            },
            value: self.text.clone(),
            allowed: setting.allowed,
        }
    }
}

impl Provider for &Given {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.source.clone())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        // A setting without a key is checked and has no effect.
        let key = Some(self.setting.key).filter(|key| !key.is_empty());
        let values = key.map(|key| (key.to_owned(), self.value.clone()));
        Ok(Profile::Default.collect(values.into_iter().collect::<Dict>()))
    }
}

fn read_file(path: &Path, side: Side) -> Result<Vec<Given>, SettingsError> {
    let name = path.display().to_string();
    let mut shared = parse(path)?;
    let tables = TABLES.map(|(table, side)| (table, side, shared.remove(table)));
    let mut all = read_table(shared, Side::Both, &name)?;
    for (table, of, values) in tables {
        let values = match values {
            None => continue,
            Some(Value::Dict(_, values)) => values,
            Some(value) => {
                return Err(SettingsError::Invalid {
                    setting: format!("`{table}` in {name}"),
                    value: text_of(&value),
                    allowed: "a table",
                });
            }
        };
        let own = read_table(values, of, &format!("[{table}] of {name}"))?;
        if of == side {
            all.extend(own);
        }
    }
    Ok(all)
}

fn parse(path: &Path) -> Result<Dict, SettingsError> {
    let text = fs::read_to_string(path).map_err(|source| SettingsError::Unreadable {
        path: path.into(),
        source,
    })?;
    toml::from_str(&text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        SettingsError::NotToml {
            path: path.into(),
            line: text[..start].matches('\n').count() + 1,
            message: error.message().trim().replace('\n', ", "),
        }
    })
}

/// The values of a table, if all its keys are settings of `side`.
fn read_table(values: Dict, side: Side, place: &str) -> Result<Vec<Given>, SettingsError> {
    let read = |(key, value): (String, Value)| match Setting::of(&key, side) {
        Some(setting) if setting.side.includes(side) => Ok(Given::in_file(setting, value, place)),
        other => Err(SettingsError::Unknown {
            what: "key",
            place: format!(" in {place}"),
            advice: advice_for_key(&key, other, side),
            name: key,
        }),
    };
    values.into_iter().map(read).collect()
}

fn advice_for_key(key: &str, setting: Option<&Setting>, side: Side) -> String {
    let of_setting = |(_, side): &&(&str, Side)| setting.is_some_and(|it| it.side.includes(*side));
    if let Some((table, _)) = TABLES.iter().find(of_setting) {
        return format!("it belongs in the table [{table}]");
    }
    let known = SETTINGS.iter().filter(|it| it.side.includes(side));
    // Keys are found by the names of the Python packages too.
    let names = known.flat_map(|setting| {
        let spellings = [setting.key, setting.variable].into_iter();
        let spellings = spellings.chain(setting.suffixes.iter().copied());
        spellings.map(|spelling| (spelling, setting.key))
    });
    let tables = TABLES.map(|(name, _)| (name, name)).into_iter();
    advice(key, names.chain(tables.filter(|_| side == Side::Both)))
}

fn read_environment(
    side: Side,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Vec<Given>, SettingsError> {
    // Names that are not text belong to other programs.
    let environment: Map<String, OsString> = environment
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .collect();
    let known = table::variables(side);
    let names = || known.iter().map(|(_, name)| name.as_str());
    let prefix = side.prefix();
    for name in environment.keys() {
        let Some(suffix) = name.strip_prefix(prefix) else {
            continue;
        };
        if !names().any(|known| known == name) {
            let candidates = names().map(|name| (name.strip_prefix(prefix).unwrap_or(name), name));
            return Err(SettingsError::Unknown {
                what: "environment variable",
                name: name.into(),
                place: String::new(),
                advice: advice(suffix, candidates),
            });
        }
    }
    let read = |(setting, name): &(&'static Setting, String)| {
        let value = environment.get(name)?;
        let invalid = || SettingsError::Invalid {
            setting: name.into(),
            value: quoted(&value.to_string_lossy()),
            allowed: "text in UTF-8",
        };
        let text = value.to_str().ok_or_else(invalid);
        Some(text.map(|text| Given::as_text(setting, text, name)))
    };
    known.iter().filter_map(read).collect()
}

/// The options that were given.
fn read_options(side: Side, options: &impl Serialize) -> Vec<Given> {
    let options = Value::serialize(options).ok().and_then(Value::into_dict);
    let options = options.expect("options have names");
    let read = |(key, value): (String, Value)| {
        let setting = Setting::of(&key, side).expect("options that are settings have their names");
        let text = match value {
            Value::String(_, text) => text,
            Value::Array(_, texts) if !texts.is_empty() => {
                let texts: Vec<&str> = texts.iter().filter_map(Value::as_str).collect();
                if setting.kind == Kind::Properties {
                    return Some(Given::as_texts(setting, texts));
                }
                texts.join(",")
            }
            _ => return None,
        };
        Some(Given::as_text(setting, &text, setting.option))
    };
    options.into_iter().filter_map(read).collect()
}

/// The words are the only settings that can be wrong together.
fn words(figment: &Figment) -> SettingsError {
    let word = |key: &str, default: &str| {
        let value = figment.find_value(key);
        let text = value.map_or_else(|_| quoted(default), |value| text_of(&value));
        let source = figment.find_metadata(key);
        let source = source.map_or("default", |metadata| &metadata.name);
        format!("{text} ({source})")
    };
    SettingsError::Words {
        message: word("message", udp_discovery_protocol::DEFAULT_MESSAGE),
        prefix: word("prefix", udp_discovery_protocol::DEFAULT_RESPONSE_PREFIX),
    }
}

/// The name that is most like `unknown`, or all of them. Each candidate is a spelling and the name
/// it stands for.
fn advice<'a>(unknown: &str, candidates: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    const ALIKE: f64 = 0.8;
    let candidates: Vec<(&str, &str)> = candidates.collect();
    if let Some((likeness, name)) = nearest(unknown, candidates.iter().copied())
        && likeness >= ALIKE
    {
        return format!("did you mean `{name}`?");
    }
    let mut names: Vec<String> = candidates
        .iter()
        .map(|(_, name)| format!("`{name}`"))
        .collect();
    names.dedup();
    format!("expected one of {}", names.join(", "))
}

/// The name of the candidate that is most like `unknown`, and how much, from 0 to 1.
fn nearest<'a>(
    unknown: &str,
    candidates: impl Iterator<Item = (&'a str, &'a str)>,
) -> Option<(f64, &'a str)> {
    let unknown = unknown.to_lowercase();
    candidates
        .map(|(spelling, name)| (jaro_winkler(&unknown, &spelling.to_lowercase()), name))
        .max_by(|one, other| one.0.total_cmp(&other.0))
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
