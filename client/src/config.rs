//! What a client is told.

use std::num::{NonZeroU8, NonZeroU16, NonZeroUsize};
use std::time::Duration;

use udp_discovery_protocol::{ClientSettings, Settings};

use crate::address::AddressPolicy;

/// How often each server is asked, unless told otherwise: 3 times.
pub const DEFAULT_PROBES: NonZeroU8 = NonZeroU8::new(3).unwrap();

/// How many servers a search keeps, unless told otherwise: 4096.
pub const DEFAULT_MAX_SERVERS: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// What a [`Client`](crate::Client) is told: the shared [`Settings`], and what only a client needs.
///
/// ```
/// use std::time::Duration;
/// use udp_discovery_client::{AddressPolicy, Config};
///
/// let config = Config::default()
///     .with_timeout(Duration::from_secs(2))
///     .with_interfaces(["eth0", "wlan*"])
///     .with_address_policy(AddressPolicy::Match);
/// assert_eq!(config.settings().port().get(), 9999);
/// assert_eq!(config.probes().get(), 3);
/// ```
#[doc(alias = "ClientConfig")]
#[doc(alias = "load_config")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    settings: Settings,
    probes: NonZeroU8,
    interfaces: Vec<String>,
    excluded_interfaces: Vec<String>,
    loopback: bool,
    address_policy: AddressPolicy,
    any_source_port: bool,
    max_servers: NonZeroUsize,
}

impl Config {
    /// The settings shared with servers: port, words, timeout, buffer size.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How often each server is asked during one search. Default: [`DEFAULT_PROBES`].
    ///
    /// The probes of a search of `timeout` are `timeout / (probes + 1)` apart, so that the last
    /// one still has time for its answers.
    pub fn probes(&self) -> NonZeroU8 {
        self.probes
    }

    /// The interfaces to ask on: names, or globs with `*` and `?`. Default: none, which means
    /// every one that is up, except loopback and
    /// [container bridges](udp_discovery_protocol::Interface::is_container_bridge); if there is no
    /// other, the container bridges, and if there are none, loopback
    /// ([`Report::last_resort`](crate::Report::last_resort)).
    ///
    /// An interface that is named here is asked on whatever kind it is.
    pub fn interfaces(&self) -> &[String] {
        &self.interfaces
    }

    /// The interfaces to leave out, whatever [`interfaces`](Self::interfaces) says: names, or
    /// globs with `*` and `?`. Default: none.
    pub fn excluded_interfaces(&self) -> &[String] {
        &self.excluded_interfaces
    }

    /// Whether to ask on the loopback interface as well. Default: no; it is asked only if it is
    /// named in [`interfaces`](Self::interfaces), or if there is no other.
    pub fn loopback(&self) -> bool {
        self.loopback
    }

    /// Which address of an answer is the one to use. Default: [`AddressPolicy::Auto`].
    pub fn address_policy(&self) -> AddressPolicy {
        self.address_policy
    }

    /// Whether answers may come from another port than the one that was asked. Default: no, such
    /// answers are dropped and counted; a server answers from the port it listens on.
    pub fn any_source_port(&self) -> bool {
        self.any_source_port
    }

    /// How many servers one search keeps; more are counted and dropped. Default:
    /// [`DEFAULT_MAX_SERVERS`]. It bounds the memory of a search, whatever answers.
    pub fn max_servers(&self) -> NonZeroUsize {
        self.max_servers
    }

    /// Sets the [`settings`](Self::settings).
    pub fn with_settings(self, settings: Settings) -> Self {
        Self { settings, ..self }
    }

    /// Sets the port to ask, which is one of the [`settings`](Self::settings).
    pub fn with_port(self, port: NonZeroU16) -> Self {
        Self {
            settings: self.settings.with_port(port),
            ..self
        }
    }

    /// Sets how long a search lasts, which is one of the [`settings`](Self::settings).
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self {
            settings: self.settings.with_timeout(timeout),
            ..self
        }
    }

    /// Sets the number of [`probes`](Self::probes).
    pub fn with_probes(self, probes: NonZeroU8) -> Self {
        Self { probes, ..self }
    }

    /// Sets the [`interfaces`](Self::interfaces).
    pub fn with_interfaces<I>(self, interfaces: I) -> Self
    where
        I: IntoIterator<Item: Into<String>>,
    {
        Self {
            interfaces: interfaces.into_iter().map(Into::into).collect(),
            ..self
        }
    }

    /// Sets the [`excluded_interfaces`](Self::excluded_interfaces).
    pub fn with_excluded_interfaces<I>(self, interfaces: I) -> Self
    where
        I: IntoIterator<Item: Into<String>>,
    {
        Self {
            excluded_interfaces: interfaces.into_iter().map(Into::into).collect(),
            ..self
        }
    }

    /// Sets [`loopback`](Self::loopback).
    pub fn with_loopback(self, loopback: bool) -> Self {
        Self { loopback, ..self }
    }

    /// Sets the [`address_policy`](Self::address_policy).
    pub fn with_address_policy(self, address_policy: AddressPolicy) -> Self {
        Self {
            address_policy,
            ..self
        }
    }

    /// Sets [`any_source_port`](Self::any_source_port).
    pub fn with_any_source_port(self, any_source_port: bool) -> Self {
        Self {
            any_source_port,
            ..self
        }
    }

    /// Sets [`max_servers`](Self::max_servers).
    pub fn with_max_servers(self, max_servers: NonZeroUsize) -> Self {
        Self {
            max_servers,
            ..self
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            probes: DEFAULT_PROBES,
            interfaces: Vec::new(),
            excluded_interfaces: Vec::new(),
            loopback: false,
            address_policy: AddressPolicy::default(),
            any_source_port: false,
            max_servers: DEFAULT_MAX_SERVERS,
        }
    }
}

impl From<Settings> for Config {
    fn from(settings: Settings) -> Self {
        Self::default().with_settings(settings)
    }
}

/// The retries become probes, one more than they are and 255 at the most; the white list becomes
/// the interfaces to use, the black list those to leave out.
impl From<ClientSettings> for Config {
    fn from(settings: ClientSettings) -> Self {
        Self::from(settings.settings().clone())
            .with_probes(NonZeroU8::MIN.saturating_add(settings.retries()))
            .with_interfaces(settings.interfaces_whitelist())
            .with_excluded_interfaces(settings.interfaces_blacklist())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_of_a_client_become_its_configuration() {
        let settings = ClientSettings::default()
            .with_settings(Settings::default().with_timeout(Duration::from_secs(9)))
            .with_retries(4)
            .with_interfaces_whitelist(["eth0", "wlan*"])
            .with_interfaces_blacklist(["wlan1"]);
        let config = Config::from(settings);
        assert_eq!(config.settings().timeout(), Duration::from_secs(9));
        assert_eq!(config.probes().get(), 5);
        assert_eq!(config.interfaces(), ["eth0", "wlan*"]);
        assert_eq!(config.excluded_interfaces(), ["wlan1"]);
    }

    #[test]
    fn the_defaults_of_both_are_the_same() {
        assert_eq!(Config::from(ClientSettings::default()), Config::default());
    }

    #[test]
    fn there_are_255_probes_at_the_most() {
        let settings = ClientSettings::default().with_retries(255);
        assert_eq!(Config::from(settings).probes().get(), 255);
    }
}
