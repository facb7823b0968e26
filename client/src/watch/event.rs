//! What a watch notices.

use std::error::Error;
use std::fmt;
use std::net::IpAddr;

use crate::error::DiscoverError;
#[cfg(feature = "signed")]
use crate::report::Alarm;
use crate::server::DiscoveredServer;

/// A change that a watch noticed.
///
/// It is displayed as a line for people: `appeared: 192.168.1.7:8000 on eth0`.
///
/// With the feature `serde` it implements `Serialize`: the key `event` has the kind (`appeared`,
/// `changed`, `restarted`, `gone`, `network-changed`, `unavailable`,
/// `alarm`), and beside it are the keys of the
/// server, `links`, the text of the `error`, or those of the alarm.
#[derive(Clone, Debug)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(tag = "event", rename_all = "kebab-case")
)]
#[non_exhaustive]
#[allow(
    clippy::large_enum_variant,
    reason = "events are rare, and most have a server"
)]
pub enum WatchEvent {
    /// A new server answered.
    Appeared(DiscoveredServer),
    /// Something about a known server changed. The event has the server as it is now.
    Changed(DiscoveredServer),
    /// A known server was started again. The event has the server as it is now.
    Restarted(DiscoveredServer),
    /// A known server is gone. The event has the server as it was last seen.
    ///
    /// It did not answer at least seven requests over at least a second, each by broadcast and by
    /// unicast; or for ten seconds there was no network to ask it on.
    Gone(DiscoveredServer),
    /// The watch asks on other interface addresses than before, or asks again after an
    /// [`Unavailable`](Self::Unavailable).
    NetworkChanged {
        /// The interface addresses that it asks from now.
        links: Vec<WatchLink>,
    },
    /// No round can be made at present, for example because this host has no network. The watch keeps
    /// trying. The event comes once for each kind of error, until a round succeeds.
    Unavailable {
        /// Why.
        #[cfg_attr(feature = "serde", serde(serialize_with = "text"))]
        error: DiscoverError,
    },
    /// Another id answered under the name of a [known server](crate::Config::known_servers). The event
    /// comes again if a round without it came between.
    #[cfg(feature = "signed")]
    #[cfg_attr(docsrs, doc(cfg(feature = "signed")))]
    Alarm(Alarm),
}

impl WatchEvent {
    /// The server of the event, if it is about one.
    pub fn server(&self) -> Option<&DiscoveredServer> {
        match self {
            Self::Appeared(server)
            | Self::Changed(server)
            | Self::Restarted(server)
            | Self::Gone(server) => Some(server),
            Self::NetworkChanged { .. } | Self::Unavailable { .. } => None,
            #[cfg(feature = "signed")]
            Self::Alarm(_) => None,
        }
    }
}

impl fmt::Display for WatchEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut about = |what: &str, server: &DiscoveredServer| {
            write!(f, "{what}: {server}")?;
            if server.interface.is_empty() {
                return Ok(());
            }
            write!(f, " on {}", server.interface)
        };
        match self {
            Self::Appeared(server) => about("appeared", server),
            Self::Changed(server) => about("changed", server),
            Self::Restarted(server) => about("restarted", server),
            Self::Gone(server) => about("gone", server),
            Self::NetworkChanged { links } => {
                f.write_str("network changed:")?;
                if links.is_empty() {
                    f.write_str(" only targets are asked")?;
                }
                for (at, link) in links.iter().enumerate() {
                    write!(f, "{} {link}", if at == 0 { "" } else { "," })?;
                }
                Ok(())
            }
            Self::Unavailable { error } => write!(f, "unavailable: {}", with_causes(error)),
            #[cfg(feature = "signed")]
            Self::Alarm(alarm) => {
                let (name, source) = (alarm.name.escape_debug(), alarm.source);
                write!(
                    f,
                    "alarm: {source} answers as \"{name}\" with another id: {}",
                    alarm.id
                )
            }
        }
    }
}

/// An interface address that a watch asks from. It is displayed as `eth0 192.168.1.2`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct WatchLink {
    /// The name of the interface.
    pub interface: String,
    /// The address.
    pub ip: IpAddr,
}

impl WatchLink {
    pub(super) fn new(interface: &str, ip: IpAddr) -> Self {
        let interface = interface.to_owned();
        Self { interface, ip }
    }
}

impl fmt::Display for WatchLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.interface, self.ip)
    }
}

#[cfg(feature = "serde")]
fn text<S: serde::Serializer>(error: &DiscoverError, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&with_causes(error))
}

/// An error and its causes as text.
fn with_causes(error: &DiscoverError) -> String {
    let causes = std::iter::successors(Some(error as &dyn Error), |&error| error.source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> DiscoveredServer {
        DiscoveredServer::new([192, 168, 1, 7], 8000).with_interface("eth0")
    }

    #[test]
    fn an_event_is_a_line_for_people() {
        let gone = WatchEvent::Gone(server());
        assert_eq!(gone.to_string(), "gone: 192.168.1.7:8000 on eth0");
        let link = |interface| WatchLink::new(interface, [10, 0, 0, 1].into());
        let links = vec![link("eth0"), link("wlan0")];
        let changed = WatchEvent::NetworkChanged { links };
        let text = "network changed: eth0 10.0.0.1, wlan0 10.0.0.1";
        assert_eq!(changed.to_string(), text);
        let error = DiscoverError::NothingToAsk;
        let text = WatchEvent::Unavailable { error }.to_string();
        assert!(text.starts_with("unavailable: nothing to ask"), "{text}");
    }

    #[cfg(feature = "serde")]
    #[test]
    fn an_event_is_serialized_with_its_kind_and_the_keys_of_the_server() {
        let json = serde_json::to_value(WatchEvent::Appeared(server())).unwrap();
        assert_eq!(json["event"], "appeared");
        assert_eq!(json["ip"], "192.168.1.7");
        assert_eq!(json["rtt_ms"], 0.0);
        let links = vec![WatchLink::new("eth0", [10, 0, 0, 1].into())];
        let json = serde_json::to_string(&WatchEvent::NetworkChanged { links }).unwrap();
        assert_eq!(
            json,
            r#"{"event":"network-changed","links":[{"interface":"eth0","ip":"10.0.0.1"}]}"#
        );
        let error = DiscoverError::PortZero;
        let json = serde_json::to_value(WatchEvent::Unavailable { error }).unwrap();
        assert_eq!(json["event"], "unavailable");
        assert!(json["error"].as_str().unwrap().contains("cannot be 0"));
    }
}
