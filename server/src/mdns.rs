//! Announcements by multicast DNS (DNS-SD, RFC 6762 and RFC 6763), for programs that search so.
//!
//! It is independent of the discovery: the engine is the crate
//! [mdns-sd](https://docs.rs/mdns-sd), which has threads and sockets of its own. It does not notice (0.21) that
//! another host has the same name if the name has a dot.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::num::NonZeroU16;
use std::thread;
use std::time::Duration;

use mdns_sd::{DaemonEvent, ServiceDaemon, ServiceInfo};
use thiserror::Error;
use udp_discovery_protocol::check_mdns_port;
pub use udp_discovery_protocol::{InvalidServiceType, ServiceType};

/// How long dropping an announcement waits for the engine to take it back.
const GOODBYE: Duration = Duration::from_millis(500);

/// A service that is to be announced.
///
/// ```no_run
/// use std::num::NonZeroU16;
/// use udp_discovery_server::mdns::Service;
///
/// let port = NonZeroU16::new(8000).expect("it is not 0");
/// let announcement = Service::new("_http._tcp".parse()?, "Printer, 2nd floor", port)
///     .with_property("version", "1.2")
///     .announce(|event| eprintln!("{event}"))?;
/// // ... serve ...
/// drop(announcement);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Service {
    kind: ServiceType,
    name: String,
    port: NonZeroU16,
    properties: Vec<(String, String)>,
}

/// A service that is announced on every network of this host. Dropping it takes the announcement back,
/// for which it waits for at most 0.5 s.
#[must_use = "dropping it takes the announcement back"]
pub struct Announcement {
    daemon: ServiceDaemon,
    /// The name, the type and the domain.
    full_name: String,
}

/// Something that happened to an [`Announcement`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnnouncementEvent {
    /// Another host has the name, so the service has a new one (RFC 6762, section 9).
    Renamed {
        /// The name that the other host has, with the type.
        old: String,
        /// The name of the service from now on, with the type.
        new: String,
    },
    /// The engine reports an error. It goes on.
    Failed {
        /// The error.
        message: String,
    },
}

/// Why a service cannot be announced.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AnnounceError {
    /// Another program has the port of multicast DNS, 5353, for itself.
    #[error("UDP port 5353, which programs share for multicast DNS, cannot be shared")]
    Port {
        /// The system's error.
        source: io::Error,
    },
    /// The name is empty or has more than 63 bytes (RFC 6763, section 4.1.1).
    #[error("the name of a service has 1 to 63 bytes, not {len}")]
    Name {
        /// Its length in bytes.
        len: usize,
    },
    /// The engine refuses the service, such as for a property with more than 255 bytes, or cannot start.
    #[error("the service cannot be announced")]
    Engine {
        /// The engine's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Service {
    /// A service at `port` of this host. `name` is for people: up to 63 bytes of any text.
    pub fn new(kind: ServiceType, name: impl Into<String>, port: NonZeroU16) -> Self {
        Self {
            kind,
            name: name.into(),
            port,
            properties: Vec::new(),
        }
    }

    /// Adds a property (RFC 6763, section 6.4).
    pub fn with_property(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.push((key.into(), value.into()));
        self
    }

    /// The name and the type, such as `Printer._http._tcp`.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.name, self.kind)
    }

    /// Announces the service. `handler` is called on another thread.
    ///
    /// It has a host name of its own, drawn at random, so that it does not compete with other programs
    /// for this host's name.
    ///
    /// # Errors
    /// [`AnnounceError`], if it cannot be announced.
    pub fn announce(
        self,
        mut handler: impl FnMut(AnnouncementEvent) + Send + 'static,
    ) -> Result<Announcement, AnnounceError> {
        check_mdns_port().map_err(|source| AnnounceError::Port { source })?;
        if !(1..=63).contains(&self.name.len()) {
            return Err(AnnounceError::Name {
                len: self.name.len(),
            });
        }
        let service = self.info().map_err(engine_error)?;
        let full_name = service.get_fullname().to_owned();
        let daemon = ServiceDaemon::new().map_err(engine_error)?;
        let announcement = Announcement { daemon, full_name };
        let events = announcement.register(service).map_err(engine_error)?;
        thread::spawn(move || {
            // It ends with the engine.
            for event in events {
                match event {
                    DaemonEvent::NameChange(change) => handler(AnnouncementEvent::Renamed {
                        old: change.original,
                        new: change.new_name,
                    }),
                    DaemonEvent::Error(error) => handler(AnnouncementEvent::Failed {
                        message: error.to_string(),
                    }),
                    _ => {}
                }
            }
        });
        Ok(announcement)
    }

    fn info(&self) -> mdns_sd::Result<ServiceInfo> {
        let host = format!(
            "udp-discovery-{:016x}.local.",
            RandomState::new().hash_one(0)
        );
        let properties: HashMap<String, String> = self.properties.iter().cloned().collect();
        let service = ServiceInfo::new(
            &format!("{}.local.", self.kind),
            &self.name,
            &host,
            "",
            self.port.get(),
            properties,
        )?;
        Ok(service.enable_addr_auto())
    }
}

fn engine_error(error: mdns_sd::Error) -> AnnounceError {
    AnnounceError::Engine {
        source: error.into(),
    }
}

impl fmt::Display for AnnouncementEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Renamed { old, new } => {
                write!(
                    f,
                    "another host has the name {old:?}: it is announced as {new:?}"
                )
            }
            Self::Failed { message } => write!(f, "multicast DNS: {}", message.escape_debug()),
        }
    }
}

impl Announcement {
    fn register(&self, service: ServiceInfo) -> mdns_sd::Result<mdns_sd::Receiver<DaemonEvent>> {
        let events = self.daemon.monitor()?;
        self.daemon.register(service)?;
        Ok(events)
    }
}

impl fmt::Debug for Announcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Announcement")
            .field("full_name", &self.full_name)
            .finish_non_exhaustive()
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        // If it cannot be told, it has ended.
        if let Ok(done) = self.daemon.unregister(&self.full_name) {
            let _ = done.recv_timeout(GOODBYE);
        }
        let _ = self.daemon.shutdown();
    }
}
