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
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
    use signal_hook::iterator::Signals;

    end_at_second_signal()?;
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGUSR1])?;
    // It never counts as the second: when a session ends, it often comes with another signal.
    if may_hang_up() {
        signals.add_signal(SIGHUP)?;
    }
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for signal in signals.forever() {
                if signal == SIGUSR1 {
                    report(&control);
                } else {
                    control.stop();
                }
            }
        })?;
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

/// From now on Ctrl-C and closing the console stop the server; the second time they end the process
/// at once. There is no signal that asks for a report.
#[cfg(not(unix))]
pub(crate) fn on_signals(
    control: Control,
    _report: impl Fn(&Control) + Send + 'static,
) -> io::Result<()> {
    let handler = move || {
        if control.stop_requested() {
            std::process::exit(crate::ERROR.into());
        }
        control.stop();
    };
    ctrlc::set_handler(handler).map_err(io::Error::other)
}

/// From now on Ctrl-C and SIGTERM call `interrupted`; the second time they end the process at once.
#[cfg(unix)]
pub(crate) fn on_interrupt(interrupted: impl Fn() + Send + 'static) -> io::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    end_at_second_signal()?;
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || signals.forever().for_each(|_| interrupted()))?;
    Ok(())
}

/// As on Unix, for Ctrl-C.
#[cfg(not(unix))]
pub(crate) fn on_interrupt(interrupted: impl Fn() + Send + 'static) -> io::Result<()> {
    ctrlc::set_handler(interrupted).map_err(io::Error::other)
}

/// From the second on, SIGINT and SIGTERM end the process as they do by default.
#[cfg(unix)]
fn end_at_second_signal() -> io::Result<()> {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::flag;

    let stops = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag unset.
        flag::register_conditional_default(signal, Arc::clone(&stops))?;
        flag::register(signal, Arc::clone(&stops))?;
    }
    Ok(())
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
