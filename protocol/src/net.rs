//! Network interfaces and socket errors, as the operating system reports them.

mod interface;
#[cfg(feature = "interfaces")]
mod list;
#[cfg(feature = "interfaces")]
mod socket_error;

pub use interface::{Interface, InterfaceAddress, InterfaceFlags, InterfaceRoute};
#[cfg(feature = "interfaces")]
pub use socket_error::{ReceiveErrorKind, SendErrorKind, is_family_unavailable};
