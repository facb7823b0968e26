//! The commands, one file each.

pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod discover;
pub(crate) mod doctor;
pub(crate) mod id;
pub(crate) mod keygen;
pub(crate) mod man;
pub(crate) mod serve;
pub(crate) mod watch;
