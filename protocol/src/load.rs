//! Settings from a TOML file and from environment variables.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::string::String;

use crate::client_settings::ClientSettings;
use crate::settings::Settings;

mod draft;
mod environment;
mod error;
mod file;
mod key;
mod origin;
mod raw;
#[cfg(test)]
mod tests;

use draft::Draft;
use environment::Environment;
pub use error::{LoadError, ValueError};
use file::File;
pub use origin::Origin;

/// What settings are loaded from: a TOML file, if there is one, and environment variables.
///
/// ```
/// use udp_discovery_protocol::{ClientSettings, Settings, Sources};
///
/// let sources = Sources::new()
///     .with_file("discovery.toml", "discovery_port = 7777\n[client]\nretries = 4")
///     .with_environment([("DISCOVERY_CLIENT_PORT".into(), "8888".into())]);
///
/// assert_eq!(Settings::load_from(&sources)?.port().get(), 7777);
/// let client = ClientSettings::load_from(&sources)?;
/// assert_eq!(client.settings().port().get(), 8888);
/// assert_eq!(client.retries(), 4);
/// # Ok::<(), udp_discovery_protocol::LoadError>(())
/// ```
#[doc = include_str!("load/settings.md")]
#[derive(Clone, Debug, Default)]
pub struct Sources {
    file: Option<File>,
    environment: Environment,
}

impl Sources {
    /// No file and no variables.
    pub fn new() -> Self {
        Self::default()
    }

    /// The file at the path `file`, if there is one, and the environment of this process.
    ///
    /// # Errors
    /// [`LoadError::Unreadable`], if the file can't be read.
    pub fn of_process(file: Option<&Path>) -> Result<Self, LoadError> {
        let sources = Self::new().with_environment(env::vars_os());
        let Some(path) = file else {
            return Ok(sources);
        };
        match fs::read_to_string(path) {
            Ok(text) => Ok(sources.with_file(path, text)),
            Err(source) => Err(LoadError::Unreadable {
                path: path.into(),
                source,
            }),
        }
    }

    /// Sets the file: its path, which errors name, and its text. It is not read from disk.
    pub fn with_file(self, path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self {
            file: Some(File {
                path: path.into(),
                text: text.into(),
            }),
            ..self
        }
    }

    /// Sets the environment variables, by name and value. Only those of ours are kept.
    pub fn with_environment(
        self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Self {
        Self {
            environment: Environment::new(variables),
            ..self
        }
    }

    fn load(&self, reader: Reader) -> Result<ClientSettings, LoadError> {
        let mut draft = Draft::new();
        if let Some(file) = &self.file {
            draft = file.apply(draft, reader)?;
        }
        self.environment.apply(draft, reader)?.finish()
    }
}

impl Settings {
    /// The defaults, then what `file` sets, then what the environment of this process sets.
    /// [`Sources`] has the names. A client's own settings are not used: in the file they are
    /// checked, in the environment they are not looked at.
    ///
    /// # Errors
    /// [`LoadError`], if the file can't be read, a value or a key of the file is wrong, or the
    /// two words don't go together.
    pub fn load(file: Option<&Path>) -> Result<Self, LoadError> {
        Self::load_from(&Sources::of_process(file)?)
    }

    /// As [`load`](Self::load), from `sources`.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_from(sources: &Sources) -> Result<Self, LoadError> {
        let loaded = sources.load(Reader::Server)?;
        Ok(loaded.settings().clone())
    }
}

impl ClientSettings {
    /// The defaults, then what `file` sets, then its table `client`, then what the environment of
    /// this process sets, then its names that start with `DISCOVERY_CLIENT_`. [`Sources`] has
    /// the names.
    ///
    /// # Errors
    /// [`LoadError`], if the file can't be read, a value or a key is wrong, or the two words
    /// don't go together.
    pub fn load(file: Option<&Path>) -> Result<Self, LoadError> {
        Self::load_from(&Sources::of_process(file)?)
    }

    /// As [`load`](Self::load), from `sources`.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_from(sources: &Sources) -> Result<Self, LoadError> {
        sources.load(Reader::Client)
    }
}

/// Whose settings are loaded.
#[derive(Clone, Copy)]
enum Reader {
    Server,
    Client,
}
