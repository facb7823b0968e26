//! The search without sockets, in virtual time.

mod answers;
mod datagrams;
mod deadline;
mod details;
mod end;
mod engines;
mod family;
mod links;
mod offer;
mod probes;
mod properties;
mod sim;
mod sweep;
mod targets;
#[cfg(feature = "signed")]
mod trust;
