//! The network as the operating system shows it.

mod socket_error;

pub use socket_error::{ReceiveErrorKind, SendErrorKind};
