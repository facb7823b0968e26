//! A process is held by a descriptor (`pidfd_open(2)`) before it is looked at and until it is
//! signalled, so that the signal reaches it or nobody, even if its pid is used again meanwhile.

use std::num::NonZeroU16;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use thiserror::Error;

use crate::failure::Failure;
use crate::port_holder::linux::is_our_service_on;
use crate::port_holder::{Holders, PortTaken};

/// How long a service may take to end. On a machine that isn't busy, ours end at once.
const LIMIT: Duration = Duration::from_secs(10);

/// Why a service of ours couldn't be stopped.
#[derive(Debug, Error)]
enum ReplaceError {
    #[error("the service with pid {pid} can't be stopped")]
    Signal { pid: i32, source: Errno },
    #[error("the service with pid {pid} didn't stop within {LIMIT:?}")]
    Timeout { pid: i32 },
}

/// A service of ours that is known to have the port.
struct Service {
    pid: i32,
    process: OwnedFd,
}

pub(super) fn replace(port: NonZeroU16) -> Result<Vec<i32>, Failure> {
    let holders = Holders::of(port);
    let are_others = !holders.seen.iter().all(|holder| holder.is_ours);
    if are_others || holders.more {
        return Err(Failure::from(PortTaken::Now { port, holders }).with_hint(
            "--replace stops only udp-discovery services of this user; nothing was stopped. \
             Choose another port with --port",
        ));
    }
    // Those that have ended since are left out.
    let pids = holders.seen.iter().map(|holder| holder.pid);
    let services: Vec<Service> = pids.filter_map(|pid| Service::on(port, pid)).collect();
    for service in &services {
        service.terminate()?;
    }
    let deadline = Instant::now() + LIMIT;
    for service in &services {
        service.wait(deadline)?;
    }
    Ok(services.iter().map(|service| service.pid).collect())
}

impl Service {
    /// The service of ours with `pid` that has `port`, if it is one.
    fn on(port: NonZeroU16, pid: i32) -> Option<Self> {
        let process = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        // Only now: what is looked at is the process held, or that has ended.
        is_our_service_on(port, pid).then_some(Self { pid, process })
    }

    fn terminate(&self) -> Result<(), ReplaceError> {
        match pidfd_send_signal(&self.process, Signal::TERM) {
            Ok(()) | Err(Errno::SRCH) => Ok(()), // or it has ended by itself
            Err(source) => Err(self.failed(source)),
        }
    }

    /// Waits for its end: its descriptor becomes readable then.
    fn wait(&self, deadline: Instant) -> Result<(), ReplaceError> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec {
                tv_sec: left.as_secs().cast_signed(),
                tv_nsec: left.subsec_nanos().into(),
            };
            let mut ended = [PollFd::new(&self.process, PollFlags::IN)];
            match poll(&mut ended, Some(&timeout)) {
                Ok(0) => return Err(ReplaceError::Timeout { pid: self.pid }),
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(source) => return Err(self.failed(source)),
            }
        }
    }

    fn failed(&self, source: Errno) -> ReplaceError {
        ReplaceError::Signal {
            pid: self.pid,
            source,
        }
    }
}
