//! Other engines that find servers: the DNS, and multicast DNS.
//!
//! An engine runs in threads of its own, and sends what it finds to the thread of the search.

#[cfg(feature = "dns")]
mod dns;
mod engines;
mod instance;
#[cfg(feature = "mdns")]
mod mdns;

pub(crate) use engines::{Engines, Event, NOT_IN_TIME, Plan, Service};
pub use instance::Instance;
