//! Settings from a TOML file.

use std::format;
use std::path::PathBuf;
use std::string::String;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Reader;
use super::draft::Draft;
use super::error::{LoadError, ValueError};
use super::key::{CLIENT, CLIENT_TABLE, Key, SHARED};
use super::origin::Origin;
use super::raw::Raw;

/// A settings file: where it is, and what it says.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

impl File {
    /// `draft` with what the file sets. All of the file is checked, whoever reads it.
    pub(super) fn apply(&self, mut draft: Draft, reader: Reader) -> Result<Draft, LoadError> {
        let table = DeTable::parse(&self.text)
            .map_err(|source| LoadError::Syntax {
                path: self.path.clone(),
                source,
            })?
            .into_inner();
        let mut client = None;
        for (name, value) in &table {
            if name.get_ref() == CLIENT_TABLE {
                client = Some(value);
            } else {
                draft = self.set(draft, &SHARED, name.get_ref().clone().into_owned(), value)?;
            }
        }
        // Last, for it wins over the rest of the file.
        let Some(client) = client else {
            return Ok(draft);
        };
        let for_client = self.apply_client(draft.clone(), client)?;
        Ok(match reader {
            Reader::Server => draft,
            Reader::Client => for_client,
        })
    }

    fn apply_client(
        &self,
        draft: Draft,
        client: &Spanned<DeValue<'_>>,
    ) -> Result<Draft, LoadError> {
        let Some(table) = client.get_ref().as_table() else {
            let source = ValueError::WrongType {
                found: client.get_ref().type_str(),
            };
            return Err(self.invalid(CLIENT_TABLE, client, "a table", source));
        };
        table.iter().try_fold(draft, |draft, (name, value)| {
            let name = format!("{CLIENT_TABLE}.{}", name.get_ref());
            self.set(draft, &CLIENT, name, value)
        })
    }

    /// `draft` with `value` under the one of `keys` that is called `name`.
    fn set(
        &self,
        draft: Draft,
        keys: &[Key],
        name: String,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Draft, LoadError> {
        let found = keys
            .iter()
            .find_map(|key| Some((key.file?, key.setting)).filter(|(file, _)| *file == name));
        let Some((key, setting)) = found else {
            return Err(LoadError::UnknownKey {
                key: name,
                origin: self.origin(),
                allowed: SHARED
                    .iter()
                    .chain(&CLIENT)
                    .filter_map(|key| key.file)
                    .collect(),
            });
        };
        draft
            .with(setting, Raw::Toml(value.get_ref()), &self.origin())
            .map_err(|source| self.invalid(key, value, setting.allowed(), source))
    }

    fn invalid(
        &self,
        key: &'static str,
        value: &Spanned<DeValue<'_>>,
        allowed: &'static str,
        source: ValueError,
    ) -> LoadError {
        LoadError::InvalidValue {
            key,
            // As the file has it, quotes included.
            value: self.text.get(value.span()).unwrap_or_default().into(),
            origin: self.origin(),
            allowed,
            source,
        }
    }

    fn origin(&self) -> Origin {
        Origin::File(self.path.clone())
    }
}
