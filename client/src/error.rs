//! Why a search could not be made.

use std::io;
use std::sync::Arc;

use thiserror::Error;

use crate::report::Skipped;

/// Why a search could not be made. That nobody answered is no error, nor is anything that comes
/// from the network.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum DiscoverError {
    /// The system didn't list its interfaces.
    #[error("the system's network interfaces can't be listed")]
    ListInterfaces {
        /// The system's reason.
        source: Arc<io::Error>,
    },
    /// None of the interfaces is one of
    /// [`Config::interfaces`](crate::Config::interfaces).
    #[error("no network interface has one of the names to use; there are: {}", available.join(", "))]
    NoSuchInterface {
        /// The names of the interfaces that there are.
        available: Vec<String>,
    },
    /// No interface is left to ask on.
    #[error("no network interface can be used{}", Reasons(skipped))]
    NoUsableInterface {
        /// The interfaces that there are, and why each can't be used.
        skipped: Vec<Skipped>,
    },
    /// The port to ask, or the default port of answers, is 0.
    #[error("port 0 cannot be asked, nor be the default port of an answer")]
    PortZero,
    /// No socket could be opened.
    #[error("no socket for the search can be opened")]
    OpenSocket {
        /// The system's reason, the last one if there were several sockets to open.
        source: Arc<io::Error>,
    },
    /// No probe could be sent on any interface.
    #[error("no probe could be sent on any network interface")]
    NothingSent {
        /// The system's last reason.
        source: Arc<io::Error>,
    },
}

/// The reasons behind a colon, if there are any.
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
