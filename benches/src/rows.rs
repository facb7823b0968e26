//! The groups of rows, one file for each.

use crate::bench::{Bench, Failure};
use crate::results::Results;

mod allocations;
mod build;
mod crowd;
mod instructions;
mod lifecycle;
mod search;
mod services;
mod sweep;
mod throughput;
mod watch;

/// A group of rows that is measured together.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    /// Whether it is measured inside the laboratory.
    pub(crate) inside: bool,
    pub(crate) measure: Measure,
}

/// In the order in which they are measured.
pub(crate) const GROUPS: &[Group] = &[
    inside("throughput", throughput::measure),
    inside("allocations", allocations::measure),
    inside("search", search::measure),
    inside("crowd", crowd::measure),
    inside("sweep", sweep::measure),
    inside("services", services::measure),
    inside("lifecycle", lifecycle::measure),
    inside("watch", watch::measure),
    outside("instructions", instructions::measure),
    outside("build", build::measure),
];

type Measure = fn(&Bench, &mut Results) -> Result<(), Failure>;

const fn inside(name: &'static str, measure: Measure) -> Group {
    Group {
        name,
        inside: true,
        measure,
    }
}

const fn outside(name: &'static str, measure: Measure) -> Group {
    Group {
        name,
        inside: false,
        measure,
    }
}
