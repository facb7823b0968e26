//! One server for the whole process.

use std::env;
use std::ffi::OsStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;

use crate::config::Config;
use crate::error::{BindError, SpawnError};
use crate::event::Event;
use crate::server::{Handle, Server};

/// How long stopping may take: 2 s. It takes longer only if the event handler does not return.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// The service while it runs, and after that until the next start.
static SERVICE: Mutex<Option<Arc<Handle>>> = Mutex::new(None);

/// Why the service did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The port could not be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The thread could not be started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// The last service was stopped and has not ended.
    #[error(transparent)]
    Stopping(#[from] StopTimeout),
    /// The service's own event handler stopped it and now starts the next. The service keeps its
    /// port until the handler returns: start the next from another thread, which waits for that.
    #[error(
        "the service's own event handler cannot start the next one; start it from another thread"
    )]
    OwnHandler,
}

/// The service did not stop within two seconds because its event handler does not return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the service did not stop within 2 s")]
#[non_exhaustive]
pub struct StopTimeout;

/// Starts the process's service. Returns false, and does nothing, if it runs already.
///
/// The service's own event handler can stop the service but not start the next one, since the
/// service keeps its port until the handler returns.
///
/// # Errors
/// [`StartError`]. The next call tries again.
///
/// ```no_run
/// use udp_discovery_server::Config;
/// use udp_discovery_server::compat::{is_running, start_udp_service, stop_udp_service};
///
/// assert!(start_udp_service(Config::default())?);
/// assert!(is_running());
/// stop_udp_service()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn start_udp_service(config: Config) -> Result<bool, StartError> {
    Ok(start(|| Server::bind(config))?.is_some())
}

/// Starts the process's service as [`start_udp_service`] does, with an
/// [event handler](Server::on_event).
///
/// # Errors
/// [`StartError`]. The next call tries again.
pub fn start_udp_service_with(
    config: Config,
    handler: impl FnMut(&Event<'_>) + Send + 'static,
) -> Result<bool, StartError> {
    Ok(start(|| Ok(Server::bind(config)?.on_event(handler)))?.is_some())
}

/// Stops the process's service and waits until its port is free. Returns whether it ran.
///
/// Called by the service's own event handler, it does not wait.
///
/// # Errors
/// [`StopTimeout`], if it takes more than two seconds. The service stops as soon as it can.
pub fn stop_udp_service() -> Result<bool, StopTimeout> {
    let Some(handle) = service().clone() else {
        return Ok(false);
    };
    stop(&handle)
}

/// Stops `handle` and, once it has ended, forgets it.
fn stop(handle: &Arc<Handle>) -> Result<bool, StopTimeout> {
    let ran = handle.is_running();
    stop_and_wait(handle)?;
    // A handler that stops its own service still has the port: the next start waits for it.
    if !handle.is_running() {
        forget(&mut service(), handle);
    }
    Ok(ran)
}

/// Stops `handle` and waits until it has ended. On its own thread it does not wait.
fn stop_and_wait(handle: &Handle) -> Result<(), StopTimeout> {
    handle.stop();
    if handle.is_own_thread() || handle.control().wait(STOP_LIMIT) {
        Ok(())
    } else {
        Err(StopTimeout)
    }
}

/// Whether the process's service runs.
pub fn is_running() -> bool {
    service().as_ref().is_some_and(|handle| handle.is_running())
}

/// Stops the service that [`autostart`] started when it is dropped. It does not stop a service that
/// ran before, or one that was started after this one had been stopped.
#[derive(Debug)]
#[must_use = "dropping it stops the service"]
pub struct Autostart {
    started: Option<Arc<Handle>>,
}

impl Autostart {
    /// Whether the service was started: false in a test, and if it ran already.
    pub fn started(&self) -> bool {
        self.started.is_some()
    }
}

impl Drop for Autostart {
    fn drop(&mut self) {
        if let Some(handle) = &self.started {
            // There is no caller to return the error to.
            let _ = stop(handle);
        }
    }
}

/// Starts the process's service with the application, and stops it when the returned guard is
/// dropped.
///
/// It does nothing in a test: if the environment variable `TESTING` is set, and not to `0`,
/// `false`, `no` or `off`, or under cargo-nextest, which sets `NEXTEST`. `cargo test` sets
/// neither.
///
/// # Errors
/// [`StartError`], as [`start_udp_service`].
pub fn autostart(config: Config) -> Result<Autostart, StartError> {
    let started = if in_test(|name| env::var_os(name)) {
        None
    } else {
        start(|| Server::bind(config))?
    };
    Ok(Autostart { started })
}

fn in_test<V: AsRef<OsStr>>(variable: impl Fn(&str) -> Option<V>) -> bool {
    const NO: [&str; 5] = ["", "0", "false", "no", "off"];
    let testing = variable("TESTING").is_some_and(|value| {
        let value = value.as_ref().to_ascii_lowercase();
        !NO.iter().any(|no| value == OsStr::new(no))
    });
    testing || variable("NEXTEST").is_some()
}

/// Starts the service and returns it, unless it runs already.
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
        // It has ended, or is about to. Other threads may use the service while this one waits.
        drop(service);
        stop_and_wait(&handle)?;
        service = self::service();
        forget(&mut service, &handle);
    }
    let handle = Arc::new(bind()?.spawn()?);
    *service = Some(Arc::clone(&handle));
    Ok(Some(handle))
}

/// Forgets `handle`, unless another service has taken its place.
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
    fn a_test_is_recognized_by_its_environment() {
        let with = |set: (&'static str, &'static str)| {
            in_test(move |name| (name == set.0).then_some(set.1))
        };
        for yes in [("TESTING", "1"), ("TESTING", "True"), ("NEXTEST", "1")] {
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
