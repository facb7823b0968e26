//! Keeps a log from growing with what others send: one line a minute of each kind.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// How long after a line the next of its kind may be written.
const INTERVAL: Duration = Duration::from_secs(60);

/// Decides which lines to write. It remembers one line of each kind, so the kinds must be few.
#[derive(Debug)]
pub(crate) struct Limiter<K> {
    kinds: HashMap<K, Kind>,
}

#[derive(Debug)]
struct Kind {
    written: Instant,
    left_out: u64,
}

impl<K: Hash + Eq> Limiter<K> {
    pub(crate) fn new() -> Self {
        Self {
            kinds: HashMap::new(),
        }
    }

    /// How many lines of `kind` were left out since the last one, or `None` if this one is to be
    /// left out too.
    pub(crate) fn admit(&mut self, now: Instant, kind: K) -> Option<u64> {
        let Some(last) = self.kinds.get_mut(&kind) else {
            let first = Kind {
                written: now,
                left_out: 0,
            };
            self.kinds.insert(kind, first);
            return Some(0);
        };
        if now.saturating_duration_since(last.written) < INTERVAL {
            last.left_out += 1;
            return None;
        }
        last.written = now;
        Some(std::mem::take(&mut last.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_one_line_a_minute_with_the_number_left_out() {
        let mut limiter = Limiter::new();
        let start = Instant::now();
        assert_eq!(limiter.admit(start, "junk"), Some(0));
        for millisecond in 0..60_000 {
            let now = start + Duration::from_millis(millisecond);
            assert_eq!(limiter.admit(now, "junk"), None);
        }
        assert_eq!(limiter.admit(start, "empty"), Some(0));
        let minute = start + Duration::from_secs(60);
        assert_eq!(limiter.admit(minute, "junk"), Some(60_000));
        assert_eq!(limiter.admit(minute, "junk"), None);
        let later = minute + Duration::from_secs(61);
        assert_eq!(limiter.admit(later, "junk"), Some(1));
        assert_eq!(limiter.admit(later + INTERVAL, "junk"), Some(0));
    }
}
