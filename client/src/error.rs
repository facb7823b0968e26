//! Why a search could not be made.

use std::io;
use std::num::NonZeroU16;
#[cfg(feature = "signed")]
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use crate::report::Skipped;
use crate::target::Target;

/// Why a search could not be made.
///
/// That nobody answered is not an error, and neither is anything that comes from the network.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum DiscoverError {
    /// The system did not list its network interfaces.
    #[error("cannot list the network interfaces")]
    ListInterfaces {
        /// The system's error.
        source: Arc<io::Error>,
    },
    /// No interface matches [`Config::interfaces`](crate::Config::interfaces).
    #[error("no network interface has one of the given names; there are: {}", available.join(", "))]
    NoSuchInterface {
        /// The names of all interfaces.
        available: Vec<String>,
    },
    /// No interface can be used.
    #[error("no network interface can be used{}", Reasons(skipped))]
    NoUsableInterface {
        /// All interfaces, each with the reason why it cannot be used.
        skipped: Vec<Skipped>,
    },
    /// [`Settings::port`](udp_discovery_protocol::Settings::port) or
    /// [`Config::default_port`](crate::Config::default_port) is 0.
    #[error("the port and the default port of a client cannot be 0")]
    PortZero,
    /// A name in [`Config::targets`](crate::Config::targets) was not resolved, or not in time.
    #[error("cannot resolve the target `{target}`")]
    Resolve {
        /// The target.
        target: Target,
        /// The system's error.
        source: Arc<io::Error>,
    },
    /// A target is a network or broadcast address of a network of this host.
    #[error("the target `{target}` is a network or broadcast address, not a host")]
    NotAHost {
        /// The target.
        target: Target,
    },
    /// A target is a network of more addresses than the limit: 65,536 ([`SWEEP_LIMIT`]), or 16,777,216
    /// ([`LARGE_SWEEP_LIMIT`]), which [`Config::large_sweeps`](crate::Config::large_sweeps) does not
    /// lift.
    ///
    /// [`SWEEP_LIMIT`]: crate::SWEEP_LIMIT
    /// [`LARGE_SWEEP_LIMIT`]: crate::LARGE_SWEEP_LIMIT
    #[error("the target `{target}` has more than {limit} addresses")]
    NetworkTooLarge {
        /// The target.
        target: Target,
        /// The limit that it exceeds.
        limit: u32,
    },
    /// [`Config::broadcast`](crate::Config::broadcast) is off and there is no target that a route
    /// leads to.
    #[error("nothing to ask: broadcasts are off, and no route leads to a target")]
    NothingToAsk,
    /// [`Config::source_port`](crate::Config::source_port) is in use, such as by another search.
    #[error("the source port {port} is in use; two searches cannot use it at the same time")]
    SourcePortInUse {
        /// The port.
        port: NonZeroU16,
        /// The system's error.
        source: Arc<io::Error>,
    },
    /// The file of [known servers](crate::Config::known_servers) cannot be read or written, or is damaged.
    ///
    /// Without it the search cannot tell whom to trust. If it could not be written, servers were found,
    /// but those that are new are not known at the next search.
    #[cfg(feature = "signed")]
    #[cfg_attr(docsrs, doc(cfg(feature = "signed")))]
    #[error("cannot use the file of known servers `{}`", file.display())]
    KnownServers {
        /// The file.
        file: PathBuf,
        /// The system's error, or what is wrong with the file.
        source: Arc<io::Error>,
    },
    /// The search asked only other engines, and all of them failed.
    #[error("cannot look for `{service}`: {message}")]
    Engine {
        /// The service that the first of them looked for.
        service: String,
        /// What failed.
        message: String,
    },
    /// The system gave no random bytes for the requests for details.
    #[error("the system gave no random bytes, which requests for details need")]
    NoRandomBytes {
        /// The system's error.
        source: Arc<io::Error>,
    },
    /// No socket could be opened.
    #[error("cannot open a socket for the search")]
    OpenSocket {
        /// The system's error; the last one if there were several sockets to open.
        source: Arc<io::Error>,
    },
    /// No probe could be sent on any interface.
    #[error("cannot send a probe on any network interface")]
    NothingSent {
        /// The system's last error.
        source: Arc<io::Error>,
    },
}

/// A colon and the reasons, if there are any.
struct Reasons<'a>(&'a [Skipped]);

impl std::fmt::Display for Reasons<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, skipped) in self.0.iter().enumerate() {
            write!(f, "{} {skipped}", if at == 0 { ":" } else { ";" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;
    use crate::report::SkipReason;

    #[test]
    fn an_error_says_which_interfaces_there_are() {
        let error = DiscoverError::NoSuchInterface {
            available: vec!["lo".into(), "eth0".into()],
        };
        let text = error.to_string();
        assert!(text.ends_with("there are: lo, eth0"), "{text}");
    }

    #[test]
    fn an_error_says_why_no_interface_can_be_used() {
        let skipped = |interface: &str, reason| Skipped {
            interface: interface.into(),
            reason,
        };
        let error = DiscoverError::NoUsableInterface {
            skipped: vec![
                skipped("eth0", SkipReason::Down),
                skipped("lo", SkipReason::Excluded),
            ],
        };
        let text = error.to_string();
        assert!(text.ends_with("used: eth0: down; lo: excluded"), "{text}");
    }

    #[test]
    fn the_systems_reason_is_the_source() {
        let source = Arc::new(io::Error::from(io::ErrorKind::NetworkUnreachable));
        let error = DiscoverError::NothingSent { source };
        assert!(error.source().is_some());
    }
}
