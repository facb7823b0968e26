//! What a client is told: the shared settings, and those that only a client has.

use alloc::string::String;
use alloc::vec::Vec;

use crate::defaults::DEFAULT_RETRIES;
use crate::settings::Settings;

/// The settings of a client.
///
/// ```
/// use udp_discovery_protocol::ClientSettings;
///
/// let settings = ClientSettings::default()
///     .with_retries(4)
///     .with_interfaces_blacklist(["wlan0"]);
/// assert_eq!(settings.probes(), 5);
/// assert_eq!(settings.settings().port().get(), 9999);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSettings {
    settings: Settings,
    retries: u8,
    interfaces_whitelist: Vec<String>,
    interfaces_blacklist: Vec<String>,
}

impl ClientSettings {
    /// The settings that servers and clients share. Default: [`Settings::default`].
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How many requests follow the first one, so that a lost packet doesn't lose a server.
    /// Default: [`DEFAULT_RETRIES`].
    pub fn retries(&self) -> u8 {
        self.retries
    }

    /// How many requests go out each way in all: the first one and the
    /// [`retries`](Self::retries).
    pub fn probes(&self) -> u16 {
        u16::from(self.retries) + 1
    }

    /// The interfaces to use, by name. Default: none are named, which means all.
    pub fn interfaces_whitelist(&self) -> &[String] {
        &self.interfaces_whitelist
    }

    /// The interfaces to leave out, by name. Default: none.
    pub fn interfaces_blacklist(&self) -> &[String] {
        &self.interfaces_blacklist
    }

    /// Sets the shared [`settings`](Self::settings).
    pub fn with_settings(self, settings: Settings) -> Self {
        Self { settings, ..self }
    }

    /// Sets the [`retries`](Self::retries).
    pub fn with_retries(self, retries: u8) -> Self {
        Self { retries, ..self }
    }

    /// Sets the [`interfaces_whitelist`](Self::interfaces_whitelist).
    pub fn with_interfaces_whitelist<T: Into<String>>(
        self,
        names: impl IntoIterator<Item = T>,
    ) -> Self {
        Self {
            interfaces_whitelist: names.into_iter().map(Into::into).collect(),
            ..self
        }
    }

    /// Sets the [`interfaces_blacklist`](Self::interfaces_blacklist).
    pub fn with_interfaces_blacklist<T: Into<String>>(
        self,
        names: impl IntoIterator<Item = T>,
    ) -> Self {
        Self {
            interfaces_blacklist: names.into_iter().map(Into::into).collect(),
            ..self
        }
    }
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            retries: DEFAULT_RETRIES,
            interfaces_whitelist: Vec::new(),
            interfaces_blacklist: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_probe_more_than_retries() {
        assert_eq!(ClientSettings::default().probes(), 3);
        assert_eq!(ClientSettings::default().with_retries(0).probes(), 1);
        assert_eq!(ClientSettings::default().with_retries(255).probes(), 256);
    }
}
