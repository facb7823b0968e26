//! The server and the client on networks of the laboratory, with real packets.
//!
//! A test names its row in docs/faults.md.

#![cfg(target_os = "linux")]

mod addresses;
mod changes;
mod details;
mod details_search;
mod dns;
mod endpoints;
mod ipv6;
mod ipv6_search;
mod kernel;
mod limits;
mod links;
mod loss;
mod mdns;
mod mounts;
mod multicast;
mod peers;
mod ports;
mod recipes;
mod requests;
mod routes;
mod search;
mod shared_port;
mod source_port;
mod sources;
mod sweep;
mod targets;
