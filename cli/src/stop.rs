//! What stops a command from outside: signals, and the end of its time.

use std::io;
use std::thread;
use std::time::Duration;

use udp_discovery_server::Control;

/// From now on SIGINT (Ctrl-C), SIGTERM and SIGHUP stop the server, and SIGUSR1 calls `report`,
/// which must not block. A second SIGINT or SIGTERM ends the process at once, whatever keeps it
/// from stopping.
#[cfg(unix)]
pub(crate) fn on_signals(
    control: Control,
    report: impl Fn(&Control) + Send + 'static,
) -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGUSR1};

    // SIGHUP never counts as the second: when a session ends, it often comes with another signal.
    let hang_up = may_hang_up().then_some(SIGHUP);
    handle([SIGUSR1].into_iter().chain(hang_up), move |signal| {
        if signal == SIGUSR1 {
            report(&control);
        } else {
            control.stop();
        }
    })
}

/// There is no signal that asks for a report.
#[cfg(not(unix))]
pub(crate) fn on_signals(
    control: Control,
    _report: impl Fn(&Control) + Send + 'static,
) -> io::Result<()> {
    on_interrupt(move || control.stop())
}

/// From now on Ctrl-C and SIGTERM call `interrupted`; the second time they end the process at once.
#[cfg(unix)]
pub(crate) fn on_interrupt(interrupted: impl Fn() + Send + 'static) -> io::Result<()> {
    handle([], move |_| interrupted())
}

/// From now on Ctrl-C and closing the console call `interrupted`; the second time they end the
/// process at once.
#[cfg(not(unix))]
pub(crate) fn on_interrupt(interrupted: impl Fn() + Send + 'static) -> io::Result<()> {
    let mut is_second = false;
    let handler = move || {
        if std::mem::replace(&mut is_second, true) {
            std::process::exit(crate::ERROR.into());
        }
        interrupted();
    };
    ctrlc::set_handler(handler).map_err(io::Error::other)
}

/// Passes SIGINT, SIGTERM and the signals `more` to `handler` from now on. From the second on,
/// SIGINT and SIGTERM end the process as they do by default.
#[cfg(unix)]
fn handle(
    more: impl IntoIterator<Item = i32>,
    handler: impl Fn(i32) + Send + 'static,
) -> io::Result<()> {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::flag;
    use signal_hook::iterator::Signals;

    let is_second = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag unset.
        flag::register_conditional_default(signal, Arc::clone(&is_second))?;
        flag::register(signal, Arc::clone(&is_second))?;
    }
    let mut signals = Signals::new([SIGINT, SIGTERM].into_iter().chain(more))?;
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || signals.forever().for_each(handler))?;
    Ok(())
}

/// Whether SIGHUP is not ignored. Under nohup(1) it is, and has to stay so.
#[cfg(target_os = "linux")]
fn may_hang_up() -> bool {
    use procfs::process::Process;
    use signal_hook::consts::SIGHUP;

    let status = Process::myself().and_then(|process| process.status());
    status.is_ok_and(|status| status.sigign & (1 << (SIGHUP - 1)) == 0)
}

/// Without `unsafe` only Linux reports whether SIGHUP is ignored. Elsewhere it keeps its effect.
#[cfg(all(unix, not(target_os = "linux")))]
fn may_hang_up() -> bool {
    false
}

/// Stops the server when `duration` has passed.
pub(crate) fn after(duration: Duration, control: Control) -> io::Result<()> {
    thread::Builder::new()
        .name("duration".into())
        .spawn(move || {
            thread::sleep(duration);
            control.stop();
        })?;
    Ok(())
}
