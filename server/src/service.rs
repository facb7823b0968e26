//! One server for the whole process, for hosts that embed one and have nowhere to keep it.

use std::env;
use std::ffi::OsStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;

use crate::config::Config;
use crate::error::{BindError, SpawnError};
use crate::event::Event;
use crate::server::{Handle, Server};

/// How long stopping may take: 2 s. It takes longer only while the event handler doesn't return.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// The service, as long as it runs, and after that until the next start.
static SERVICE: Mutex<Option<Arc<Handle>>> = Mutex::new(None);

/// Why the service didn't start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The port can't be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// There is no thread to be had.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// The last one was told to stop and hasn't yet.
    #[error(transparent)]
    Stopping(#[from] StopTimeout),
    /// The service's own event handler stopped it and now starts the next. The service keeps its
    /// port until the handler returns: start the next from another thread, which waits for that.
    #[error("the service's own event handler can't start the next; start it from another thread")]
    OwnHandler,
}

/// The service was told to stop but hadn't after two seconds: its event handler doesn't return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the service has not stopped within 2 s")]
#[non_exhaustive]
pub struct StopTimeout;

/// Starts the process's service. Returns whether it was this call that started it: if it runs
/// already, nothing is done, whatever `config` says.
///
/// The service's own event handler can stop the service but not start the next one
/// ([`StartError::OwnHandler`]), since the service keeps its port until the handler returns. To
/// restart from there, start from another thread, which waits for the port.
///
/// # Errors
/// [`StartError`]. The next call tries anew.
///
/// ```no_run
/// use udp_discovery_server::{Config, is_running, start_udp_service, stop_udp_service};
///
/// assert!(start_udp_service(Config::default())?);
/// assert!(is_running());
/// stop_udp_service()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn start_udp_service(config: Config) -> Result<bool, StartError> {
    Ok(start(|| Server::bind(config))?.is_some())
}

/// Starts the process's service as [`start_udp_service`] does, and has `handler` told of all that
/// happens, as by [`Server::on_event`]: to log it, say.
///
/// # Errors
/// [`StartError`]. The next call tries anew.
pub fn start_udp_service_with(
    config: Config,
    handler: impl FnMut(&Event<'_>) + Send + 'static,
) -> Result<bool, StartError> {
    Ok(start(|| Ok(Server::bind(config)?.on_event(handler)))?.is_some())
}

/// Stops the process's service and waits until its port is free. Returns whether it ran. Called
/// by the service's own event handler, it doesn't wait.
///
/// # Errors
/// [`StopTimeout`], if that takes more than two seconds. It will stop when it can.
pub fn stop_udp_service() -> Result<bool, StopTimeout> {
    let Some(handle) = service().clone() else {
        return Ok(false);
    };
    stop(&handle)
}

/// Stops the service that `handle` is.
fn stop(handle: &Arc<Handle>) -> Result<bool, StopTimeout> {
    let ran = handle.is_running();
    if !handle.stop_within(STOP_LIMIT) {
        return Err(StopTimeout);
    }
    // The handler that stops its own service still has its port: whoever starts the next waits.
    if !handle.is_running() {
        forget(&mut service(), handle);
    }
    Ok(ran)
}

/// Whether the process's service runs.
pub fn is_running() -> bool {
    service().as_ref().is_some_and(|handle| handle.is_running())
}

/// Stops the service that [`autostart`] started when it is dropped, and no other: not one that ran
/// before, nor one that was started after this one had been stopped.
#[derive(Debug)]
#[must_use = "dropping it stops the service"]
pub struct Autostart {
    started: Option<Arc<Handle>>,
}

impl Autostart {
    /// Whether the service was started, and not left alone because of a test or because it ran.
    pub fn started(&self) -> bool {
        self.started.is_some()
    }
}

impl Drop for Autostart {
    fn drop(&mut self) {
        if let Some(handle) = &self.started {
            // Nobody is left to tell; the process is about to end.
            let _ = stop(handle);
        }
    }
}

/// Starts the process's service as part of the host's start-up, and stops it when what is
/// returned is dropped.
///
/// Under test it does nothing: if the environment variable `TESTING` is set, and not to `0`,
/// `false`, `no` or `off`, or one that a test runner sets (`NEXTEST`, `PYTEST_CURRENT_TEST`,
/// `VITEST`, `JEST_WORKER_ID`). Plain `cargo test` sets none.
///
/// # Errors
/// [`StartError`], as [`start_udp_service`].
pub fn autostart(config: Config) -> Result<Autostart, StartError> {
    let started = if under_test(|name| env::var_os(name)) {
        None
    } else {
        start(|| Server::bind(config))?
    };
    Ok(Autostart { started })
}

fn under_test<V: AsRef<OsStr>>(variable: impl Fn(&str) -> Option<V>) -> bool {
    const RUNNERS: [&str; 4] = ["NEXTEST", "PYTEST_CURRENT_TEST", "VITEST", "JEST_WORKER_ID"];
    const NO: [&str; 5] = ["", "0", "false", "no", "off"];
    let testing = variable("TESTING").is_some_and(|value| {
        let value = value.as_ref().to_ascii_lowercase();
        !NO.iter().any(|no| value == OsStr::new(no))
    });
    testing || RUNNERS.iter().any(|name| variable(name).is_some())
}

/// Starts the service, and returns it, unless it runs already.
fn start(
    bind: impl FnOnce() -> Result<Server, BindError>,
) -> Result<Option<Arc<Handle>>, StartError> {
    let mut service = service();
    while let Some(handle) = service.clone() {
        if handle.is_running() && !handle.control().stop_requested() {
            return Ok(None);
        }
        if handle.is_running() && handle.is_own_thread() {
            return Err(StartError::OwnHandler);
        }
        // It ended by itself, or somebody stops it. Others may ask how it is while we wait.
        drop(service);
        if !handle.stop_within(STOP_LIMIT) {
            return Err(StopTimeout.into());
        }
        service = self::service();
        forget(&mut service, &handle);
    }
    let handle = Arc::new(bind()?.spawn()?);
    *service = Some(Arc::clone(&handle));
    Ok(Some(handle))
}

/// Lets go of `handle`, unless another has taken its place.
fn forget(service: &mut Option<Arc<Handle>>, handle: &Arc<Handle>) {
    if service.as_ref().is_some_and(|it| Arc::ptr_eq(it, handle)) {
        *service = None;
    }
}

fn service() -> MutexGuard<'static, Option<Arc<Handle>>> {
    SERVICE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_runner_is_known_by_its_environment() {
        let with = |set: (&'static str, &'static str)| {
            under_test(move |name| (name == set.0).then_some(set.1))
        };
        for yes in [
            ("TESTING", "1"),
            ("TESTING", "True"),
            ("NEXTEST", "1"),
            ("PYTEST_CURRENT_TEST", "x"),
            ("VITEST", "true"),
            ("JEST_WORKER_ID", "1"),
        ] {
            assert!(with(yes), "{yes:?}");
        }
        for no in [
            ("TESTING", ""),
            ("TESTING", "0"),
            ("TESTING", "False"),
            ("TESTING", "off"),
            ("PATH", "/bin"),
        ] {
            assert!(!with(no), "{no:?}");
        }
    }
}
