//! The groups of rows, one file for each.

use crate::bench::{Bench, Failure};
use crate::results::Results;

mod throughput;

/// A group of rows that is measured together.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    /// Whether it is measured inside the laboratory.
    pub(crate) inside: bool,
    pub(crate) measure: fn(&Bench, &mut Results) -> Result<(), Failure>,
}

/// In the order in which they are measured.
pub(crate) const GROUPS: &[Group] = &[
    Group {
        name: "throughput",
        inside: true,
        measure: throughput::measure,
    },
];
