//! Other engines than the search that find servers.

#[cfg(feature = "dns")]
mod dns;
mod instance;
