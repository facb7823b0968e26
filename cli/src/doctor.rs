//! What keeps this host from finding servers, or from being found.
//!
//! [`observe()`] looks and sends, [`judge`] decides, [`show`] prints.

mod experiments;
mod finding;
mod judge;
mod observations;
mod observe;
mod show;
mod surroundings;

#[cfg(test)]
pub(crate) use finding::Code;
pub(crate) use finding::Severity;
pub(crate) use judge::findings;
pub(crate) use observe::observe;
pub(crate) use show::{json, text};
