//! What users of the Python package django-udp-discovery look for, built on the crate's main API.
//!
//! | Python | here |
//! |---|---|
//! | `start_udp_service()` | [`start_udp_service`] |
//! | `stop_udp_service()` | [`stop_udp_service`] |
//! | `is_running()` | [`is_running`] |
//! | starting with the application | [`autostart`] |
//! | `get_server_ip()` | [`server_ip`] |
//! | `format_duration()` | [`format_duration`] |
//! | `is_port_in_use()`, `validate_port()`, `is_port_error()` | [`is_port_in_use`], [`validate_port`], [`is_port_error`] |
//! | settings by name, such as `DISCOVERY_PORT` | [`ByName::get`] |
//!
//! New programs use a [`Server`](crate::Server) and its [`Handle`](crate::Handle), which need no
//! state of the process.

mod by_name;
mod format_duration;
mod ports;
mod server_ip;
mod service;

pub use by_name::{ByName, UnknownName, Value};
pub use format_duration::format_duration;
pub use ports::{InvalidPort, is_port_error, is_port_in_use, validate_port};
pub use server_ip::server_ip;
pub use service::{
    Autostart, StartError, StopTimeout, autostart, is_running, start_udp_service,
    start_udp_service_with, stop_udp_service,
};
