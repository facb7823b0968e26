//! What stops a server from outside: signals, and the end of its time.

use std::io;
#[cfg(unix)]
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use udp_discovery_server::Control;

/// From now on SIGINT (Ctrl-C) and SIGTERM stop the server, and SIGUSR1 has `report` called.
#[cfg(unix)]
pub(crate) fn on_signals(
    control: Control,
    report: impl Fn(&Control) + Send + 'static,
) -> io::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
    use signal_hook::iterator::Signals;

    let mut signals = Signals::new([SIGINT, SIGTERM, SIGUSR1])?;
    // On a thread of its own: nobody may be reading what it prints, and a signal to stop is not
    // to wait for that.
    let (asked, requests) = mpsc::sync_channel(1);
    let reported = control.clone();
    thread::Builder::new()
        .name("reports".into())
        .spawn(move || {
            for () in requests {
                report(&reported);
            }
        })?;
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for signal in signals.forever() {
                if signal == SIGUSR1 {
                    // One that has not been printed yet will do for both.
                    let _ = asked.try_send(());
                } else {
                    control.stop();
                }
            }
        })?;
    Ok(())
}

/// From now on Ctrl-C and the closing of the console stop the server. There is no signal to ask
/// for a report by.
#[cfg(not(unix))]
pub(crate) fn on_signals(
    control: Control,
    _report: impl Fn(&Control) + Send + 'static,
) -> io::Result<()> {
    ctrlc::set_handler(move || control.stop()).map_err(io::Error::other)
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
