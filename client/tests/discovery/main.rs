//! The search without sockets, in virtual time.

mod answers;
mod datagrams;
mod deadline;
mod end;
mod family;
mod links;
mod probes;
mod properties;
mod sim;
mod sweep;
mod targets;
