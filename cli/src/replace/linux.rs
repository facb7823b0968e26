//! A descriptor (`pidfd_open(2)`) holds a process before it is inspected and until it is signalled,
//! so that the signal reaches this process or none, even if its pid is reused in the meantime.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use thiserror::Error;

use crate::failure::Failure;
use crate::port_holder::linux::is_our_service_on;
use crate::port_holder::{Holders, PortTaken};

/// How long a service may take to end. On a machine that isn't busy it ends at once.
const LIMIT: Duration = Duration::from_secs(10);

/// Why a service could not be stopped.
#[derive(Debug, Error)]
enum ReplaceError {
    #[error("the service with pid {pid} cannot be stopped")]
    Signal { pid: i32, source: Errno },
    #[error("the service with pid {pid} didn't stop within {LIMIT:?}")]
    Timeout { pid: i32 },
}

/// A service that has the port.
struct Service {
    pid: i32,
    process: OwnedFd,
}

/// Stops the udp-discovery services of the same user that have `port`, waits until they have ended,
/// and returns their pids. If any other program has the port, nothing is stopped.
pub(crate) fn replace(port: u16) -> Result<Vec<i32>, Failure> {
    let holders = Holders::of(port);
    let are_others = !holders.seen.iter().all(|holder| holder.is_ours);
    if are_others || holders.more {
        return Err(Failure::from(PortTaken::Now { port, holders }).with_hint(
            "--replace stops only udp-discovery services of this user; nothing was stopped. \
             Choose another port with --port",
        ));
    }
    // Processes that have ended since are skipped.
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
    /// The process `pid`, if it is a service that has `port`.
    fn on(port: u16, pid: i32) -> Option<Self> {
        let process = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        // Only now, so that this inspects the process that is held, or finds that it has ended.
        is_our_service_on(port, pid).then_some(Self { pid, process })
    }

    fn terminate(&self) -> Result<(), ReplaceError> {
        match pidfd_send_signal(&self.process, Signal::TERM) {
            Ok(()) | Err(Errno::SRCH) => Ok(()), // or it has ended by itself
            Err(source) => Err(self.failed(source)),
        }
    }

    /// Waits until it has ended, which makes its descriptor readable.
    fn wait(&self, deadline: Instant) -> Result<(), ReplaceError> {
        let ended = retry_on_intr(|| {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).expect("the limit is short");
            let process = PollFd::new(&self.process, PollFlags::IN);
            poll(&mut [process], Some(&timeout))
        });
        match ended {
            Ok(0) => Err(ReplaceError::Timeout { pid: self.pid }),
            Ok(_) => Ok(()),
            Err(source) => Err(self.failed(source)),
        }
    }

    fn failed(&self, source: Errno) -> ReplaceError {
        ReplaceError::Signal {
            pid: self.pid,
            source,
        }
    }
}
