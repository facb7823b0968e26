//! Network interfaces and socket errors, as the operating system reports them, and the multicast
//! groups.

mod interface;
#[cfg(feature = "interfaces")]
mod list;
mod multicast;
#[cfg(feature = "interfaces")]
mod socket_error;

pub use interface::{Interface, InterfaceAddress, InterfaceFlags, InterfaceRoute};
pub use multicast::{MULTICAST_V4, MULTICAST_V6};
#[cfg(feature = "interfaces")]
pub use socket_error::{ReceiveErrorKind, SendErrorKind, is_family_unavailable};
