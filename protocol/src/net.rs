//! Network interfaces and socket errors, as the operating system reports them.

mod interface;
#[cfg(feature = "interfaces")]
mod list;
mod multicast;
#[cfg(feature = "interfaces")]
mod socket_error;

pub use multicast::{MULTICAST_V4, MULTICAST_V6};

pub use interface::{Interface, InterfaceAddress, InterfaceFlags, InterfaceRoute};
#[cfg(feature = "interfaces")]
pub use socket_error::{ReceiveErrorKind, SendErrorKind};
