//! The server and the client on networks of the laboratory, with real packets.
//!
//! A test names the row of the list of faults that it holds.

#![cfg(target_os = "linux")]

mod addresses;
mod changes;
mod endpoints;
mod ipv6;
mod kernel;
mod limits;
mod links;
mod loss;
mod peers;
mod ports;
mod requests;
mod routes;
mod search;
mod source_port;
mod sources;
mod targets;
