//! Other engines that find servers: the DNS, and multicast DNS.
//!
//! An engine runs in threads of its own, and sends what it finds to the thread of the search.

mod instance;

#[cfg(any(feature = "dns", feature = "mdns"))]
mod engines;
#[cfg(any(feature = "dns", feature = "mdns"))]
pub(crate) use engines::{Engines, Event, Options};

#[cfg(feature = "dns")]
mod dns;
#[cfg(feature = "mdns")]
mod mdns;

pub(crate) use instance::{Instance, Service};
