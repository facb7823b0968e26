//! Measurements of the server, taken each second.

use std::time::Duration;

use procfs::process::Process;
use procfs::{ProcResult, ticks_per_second};

use super::counts::Counts;

/// All measurements at one time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    /// Since the start.
    pub(super) at: Duration,
    pub(super) process: ProcessSample,
    /// How many addresses the server's host has.
    pub(super) addresses: usize,
    /// The server's own counters.
    pub(super) server: Vec<u64>,
    pub(super) counts: Counts,
}

/// What the system reports about the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ProcessSample {
    /// Resident memory in KiB.
    pub(super) memory: u64,
    pub(super) descriptors: u64,
    pub(super) threads: u64,
    /// The processor time so far.
    pub(super) cpu: Duration,
}

impl ProcessSample {
    pub(super) fn of(id: u32) -> ProcResult<Self> {
        let id = i32::try_from(id).expect("a process id is positive");
        let process = Process::new(id)?;
        let (status, stat) = (process.status()?, process.stat()?);
        Ok(Self {
            memory: status.vmrss.unwrap_or(0),
            threads: status.threads,
            descriptors: process.fd_count()? as u64,
            cpu: Duration::from_millis((stat.utime + stat.stime) * 1000 / ticks_per_second()),
        })
    }
}
