//! Settings while their sources are being merged.

use std::string::String;
use std::vec::Vec;

use super::error::{LoadError, ValueError};
use super::key::Setting;
use super::origin::Origin;
use super::raw::Raw;
use crate::client_settings::ClientSettings;
use crate::settings::Settings;
use crate::wire::Codec;
use crate::wire::Word;

/// Settings whose two words have not been judged together yet: each may come from another
/// source.
#[derive(Clone)]
pub(super) struct Draft {
    settings: Settings,
    message: (Word, Origin),
    prefix: (Word, Origin),
    retries: u8,
    interfaces_whitelist: Vec<String>,
    interfaces_blacklist: Vec<String>,
}

impl Draft {
    /// The defaults.
    pub(super) fn new() -> Self {
        let defaults = ClientSettings::default();
        let codec = defaults.settings().codec();
        Self {
            settings: defaults.settings().clone(),
            message: (codec.message().clone(), Origin::Default),
            prefix: (codec.prefix().clone(), Origin::Default),
            retries: defaults.retries(),
            interfaces_whitelist: defaults.interfaces_whitelist().to_vec(),
            interfaces_blacklist: defaults.interfaces_blacklist().to_vec(),
        }
    }

    /// Reads `value`, which is from `origin`, into `setting`.
    pub(super) fn with(
        mut self,
        setting: Setting,
        value: Raw<'_>,
        origin: &Origin,
    ) -> Result<Self, ValueError> {
        match setting {
            Setting::Port => self.settings = self.settings.with_port(value.port()?),
            Setting::Message => self.message = (value.word()?, origin.clone()),
            Setting::ResponsePrefix => self.prefix = (value.word()?, origin.clone()),
            Setting::Timeout => self.settings = self.settings.with_timeout(value.timeout()?),
            Setting::BufferSize => {
                self.settings = self.settings.with_buffer_size(value.buffer_size()?);
            }
            Setting::Logging => self.settings = self.settings.with_logging(value.boolean()?),
            Setting::Retries => self.retries = value.integer()?,
            // Reserved in the Python client as well: checked, and without effect.
            Setting::SubnetScan => _ = value.boolean()?,
            Setting::InterfacesWhitelist => self.interfaces_whitelist = value.names()?,
            Setting::InterfacesBlacklist => self.interfaces_blacklist = value.names()?,
        }
        Ok(self)
    }

    /// The settings, now that all sources are in.
    pub(super) fn finish(self) -> Result<ClientSettings, LoadError> {
        let (message, message_origin) = self.message;
        let (prefix, prefix_origin) = self.prefix;
        let codec = Codec::new(message.clone(), prefix.clone()).map_err(|source| {
            LoadError::WordsConflict {
                message,
                message_origin,
                prefix,
                prefix_origin,
                source,
            }
        })?;
        Ok(ClientSettings::default()
            .with_settings(self.settings.with_codec(codec))
            .with_retries(self.retries)
            .with_interfaces_whitelist(self.interfaces_whitelist)
            .with_interfaces_blacklist(self.interfaces_blacklist))
    }
}
