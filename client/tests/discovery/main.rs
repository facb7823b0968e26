//! The search without sockets, in virtual time.

mod answers;
mod deadline;
mod links;
mod probes;
mod properties;
mod sim;
