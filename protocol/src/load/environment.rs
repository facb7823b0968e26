//! Settings from environment variables.

use std::ffi::{OsStr, OsString};
use std::string::String;
use std::vec::Vec;

use super::Reader;
use super::draft::Draft;
use super::error::{LoadError, ValueError};
use super::key::{CLIENT, CLIENT_PREFIX, Key, SHARED};
use super::origin::Origin;
use super::raw::Raw;

/// The variables of an environment that are ours. The others may be anybody's secrets.
#[derive(Clone, Debug, Default)]
pub(super) struct Environment(Vec<(String, OsString)>);

impl Environment {
    pub(super) fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        Self(
            variables
                .into_iter()
                // What is lost here by a name that is not UTF-8 makes it no name of ours.
                .map(|(name, value)| (name.to_string_lossy().into_owned(), value))
                .filter(|(name, value)| is_ours(name) && !value.is_empty())
                .collect(),
        )
    }

    /// `draft` with what the variables set for `reader`.
    pub(super) fn apply(&self, draft: Draft, reader: Reader) -> Result<Draft, LoadError> {
        let draft = self.apply_keys(draft, &SHARED)?;
        match reader {
            Reader::Server => Ok(draft),
            Reader::Client => {
                self.refuse_unknown()?;
                self.apply_keys(draft, &CLIENT)
            }
        }
    }

    fn apply_keys(&self, draft: Draft, keys: &[Key]) -> Result<Draft, LoadError> {
        self.0.iter().try_fold(draft, |draft, (name, value)| {
            match keys.iter().find(|key| key.env == name) {
                Some(key) => set(draft, key, value),
                None => Ok(draft),
            }
        })
    }

    fn refuse_unknown(&self) -> Result<(), LoadError> {
        let unknown = self.0.iter().find(|(name, _)| {
            name.starts_with(CLIENT_PREFIX) && CLIENT.iter().all(|key| key.env != name)
        });
        match unknown {
            Some((name, _)) => Err(LoadError::UnknownKey {
                key: name.clone(),
                origin: Origin::Environment,
                allowed: CLIENT.iter().map(|key| key.env).collect(),
            }),
            None => Ok(()),
        }
    }
}

fn is_ours(name: &str) -> bool {
    name.starts_with(CLIENT_PREFIX) || SHARED.iter().any(|key| key.env == name)
}

fn set(draft: Draft, key: &Key, value: &OsStr) -> Result<Draft, LoadError> {
    value
        .to_str()
        .ok_or(ValueError::NotUnicode)
        .and_then(|text| draft.with(key.setting, Raw::Text(text), &Origin::Environment))
        .map_err(|source| LoadError::InvalidValue {
            key: key.env,
            value: value.to_string_lossy().into_owned(),
            origin: Origin::Environment,
            allowed: key.setting.allowed(),
            source,
        })
}
