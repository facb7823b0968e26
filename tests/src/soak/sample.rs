//! What is known of the server each second: what the system says of its process (proc(5)), what
//! it says of itself, and what the others count.

use std::fs;
use std::io;
use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};

use super::tally::Counts;

/// One look at everything.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    /// Since the beginning.
    pub(super) at: Duration,
    pub(super) process: ProcessSample,
    /// How many addresses the server's host holds.
    pub(super) addresses: usize,
    /// The server's own counts.
    pub(super) server: Vec<u64>,
    pub(super) tally: Counts,
}

/// What the system says of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ProcessSample {
    /// Resident memory in KiB.
    pub(super) memory: u64,
    pub(super) descriptors: u64,
    pub(super) threads: u64,
    /// The time on a processor so far.
    pub(super) cpu: Duration,
}

impl ProcessSample {
    pub(super) fn of(id: u32) -> io::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{id}/status"))?;
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse().ok()
        };
        let missing = || io::Error::from(io::ErrorKind::InvalidData);
        Ok(Self {
            memory: field("VmRSS:").ok_or_else(missing)?,
            threads: field("Threads:").ok_or_else(missing)?,
            descriptors: fs::read_dir(format!("/proc/{id}/fd"))?.count() as u64,
            cpu: cpu(&fs::read_to_string(format!("/proc/{id}/stat"))?).ok_or_else(missing)?,
        })
    }
}

/// From `stat`: the 14th and 15th field, in clock ticks. The second, in parentheses, may have
/// spaces.
fn cpu(stat: &str) -> Option<Duration> {
    let ticks_per_second = u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis(
        (user + system) * 1000 / ticks_per_second,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_and_a_thread_more_are_seen() {
        let before = ProcessSample::of(std::process::id()).unwrap();
        assert!(before.memory > 0);
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || receiver.recv());
        let files: Vec<_> = (0..100)
            .map(|_| fs::File::open("/dev/null").unwrap())
            .collect();
        let after = ProcessSample::of(std::process::id()).unwrap();
        // Other tests run at the same time, and may end.
        assert!(after.descriptors >= before.descriptors + 50);
        assert!(after.threads >= 2);
        drop((files, sender));
        assert!(thread.join().unwrap().is_err());
    }

    #[test]
    fn the_processor_time_is_that_of_the_user_and_the_system() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 2 0 1 1 1";
        let per_second = sysconf(SysconfVar::CLK_TCK).unwrap().unwrap();
        let expected = Duration::from_millis(200_000 / u64::try_from(per_second).unwrap());
        assert_eq!(cpu(stat), Some(expected));
    }
}
