//! The events of a server as lines of a log.

use std::fmt::Write as _;
use std::time::Instant;

use tracing::{Level, debug, info, warn};
use udp_discovery_server::{DropReason, Event};

use crate::limit::Limiter;

/// Writes events to the log: at most one line a minute of each kind, with the number of those left
/// out. At the level DEBUG every answer is written.
#[derive(Debug)]
pub(crate) struct EventLog {
    limiter: Limiter<Kind>,
}

/// Events that are limited together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Answered,
    Dropped(DropReason),
    SendFailed,
    ReceiveFailed,
    InterfacesChanged,
    InterfacesUnavailable,
    KernelFilterUnavailable,
    ChangesUnavailable,
    Other,
}

impl EventLog {
    pub(crate) fn new() -> Self {
        Self {
            limiter: Limiter::new(),
        }
    }

    /// Writes a line for `event`, unless its kind is over the limit.
    pub(crate) fn write(&mut self, now: Instant, event: &Event<'_>) {
        let kind = Kind::of(event);
        if kind == Kind::Answered && tracing::enabled!(Level::DEBUG) {
            debug!("{event}");
        } else if let Some(line) = self.line(now, event) {
            match kind {
                Kind::Answered | Kind::InterfacesChanged => info!("{line}"),
                _ => warn!("{line}"),
            }
        }
    }

    /// The line for `event`, unless its kind is over the limit.
    fn line(&mut self, now: Instant, event: &Event<'_>) -> Option<String> {
        let left_out = self.limiter.admit(now, Kind::of(event))?;
        let mut line = event.to_string();
        if left_out > 0 {
            let _ = write!(
                line,
                " ({left_out} more of this kind since the last such line)"
            );
        }
        Some(line)
    }
}

impl Kind {
    fn of(event: &Event<'_>) -> Self {
        match event {
            Event::Answered { .. } | Event::DetailsAnswered { .. } => Self::Answered,
            Event::Dropped { reason, .. } => Self::Dropped(*reason),
            Event::SendFailed { .. } => Self::SendFailed,
            Event::ReceiveFailed { .. } => Self::ReceiveFailed,
            Event::InterfacesChanged => Self::InterfacesChanged,
            Event::InterfacesUnavailable { .. } => Self::InterfacesUnavailable,
            Event::KernelFilterUnavailable { .. } => Self::KernelFilterUnavailable,
            Event::ChangesUnavailable { .. } => Self::ChangesUnavailable,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn junk(payload: &[u8]) -> Event<'_> {
        Event::Dropped {
            source: Some("192.168.1.9:4000".parse().unwrap()),
            reason: DropReason::NotRequest,
            payload,
        }
    }

    #[test]
    fn a_flood_of_junk_is_one_line_a_minute() {
        let mut log = EventLog::new();
        let start = Instant::now();
        assert_eq!(
            log.line(start, &junk(b"hello\n")).as_deref(),
            Some(r#"dropped "hello\n" from 192.168.1.9:4000: not the request"#)
        );
        for _ in 0..250_000 {
            assert_eq!(log.line(start, &junk(b"hello\n")), None);
        }
        let minute = start + Duration::from_secs(60);
        let line = log.line(minute, &junk(&[0xff; 200])).unwrap();
        assert!(line.contains("(200 bytes)"), "{line}");
        assert!(line.contains("(250000 more of this kind"), "{line}");
    }

    #[test]
    fn each_reason_is_a_kind_of_its_own() {
        let mut log = EventLog::new();
        let now = Instant::now();
        for reason in DropReason::ALL {
            let event = Event::Dropped {
                source: None,
                reason: *reason,
                payload: b"",
            };
            let line = log.line(now, &event).unwrap();
            assert!(line.ends_with(&format!(": {reason}")), "{line}");
            assert_eq!(log.line(now, &event), None);
        }
    }
}
