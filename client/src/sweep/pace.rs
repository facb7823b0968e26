//! How fast a sweep may send.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// The longest burst, by its share of the pace. A caller that waits in milliseconds needs one.
const BURST: Duration = Duration::from_millis(10);

const SECOND: Duration = Duration::from_secs(1);

/// A limit on datagrams a second, spread evenly (the generic cell rate algorithm). In no second are
/// there more, bursts included.
#[derive(Debug)]
pub(crate) struct Pace {
    interval: Duration,
    burst: Duration,
    /// When the next datagram would be due if all were spread evenly.
    next: Instant,
}

impl Pace {
    pub(crate) fn new(now: Instant, per_second: NonZeroU32) -> Self {
        let even = SECOND / per_second.get();
        // A burst takes its share of the rest of the second.
        let burst = if even < BURST { BURST } else { Duration::ZERO };
        // Rounded up, so that no second has one too many.
        let nanoseconds = (SECOND + burst)
            .as_nanos()
            .div_ceil(per_second.get().into());
        let interval = Duration::from_nanos(nanoseconds.try_into().unwrap_or(u64::MAX));
        Self {
            interval,
            burst,
            next: now,
        }
    }

    /// When the next datagram may be sent.
    pub(crate) fn ready(&self) -> Instant {
        // An instant before the system's epoch cannot be represented, nor is it needed.
        self.next.checked_sub(self.burst).unwrap_or(self.next)
    }

    /// Counts a datagram that is sent at `now`.
    pub(crate) fn take(&mut self, now: Instant) {
        self.next = self.next.max(now) + self.interval;
    }

    /// How long this many datagrams take.
    pub(crate) fn time_for(&self, datagrams: u64) -> Duration {
        let datagrams = u32::try_from(datagrams).unwrap_or(u32::MAX);
        self.interval
            .saturating_mul(datagrams)
            .saturating_sub(self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When datagrams are sent by a caller that comes every `every`.
    fn sent(per_second: u32, every: Duration, calls: u32) -> Vec<Duration> {
        let start = Instant::now();
        let mut pace = Pace::new(start, NonZeroU32::new(per_second).unwrap());
        let mut sent = Vec::new();
        for call in 0..calls {
            let now = start + every * call;
            while pace.ready() <= now {
                pace.take(now);
                sent.push(now - start);
            }
        }
        sent
    }

    #[test]
    fn in_no_second_there_are_more_datagrams_than_the_pace() {
        for (pace, every) in [
            (1, 7),
            (50, 7),
            (99, 1),
            (101, 3),
            (2000, 1),
            (2000, 900),
            (9999, 5),
        ] {
            let sent = sent(pace, Duration::from_millis(every), 3000);
            // Those that are `pace` apart are a second apart.
            for (first, after) in sent.iter().zip(sent.iter().skip(pace as usize)) {
                assert!(*after >= *first + SECOND, "{pace} {every}");
            }
        }
    }

    #[test]
    fn the_pace_is_nearly_reached() {
        for (pace, least) in [(1, 10), (50, 500), (2000, 19_800), (100_000, 990_000)] {
            let sent = sent(pace, Duration::from_millis(1), 10_000);
            assert!(sent.len() >= least, "{pace}: {}", sent.len());
        }
    }

    #[test]
    fn the_time_is_foretold() {
        let pace = Pace::new(Instant::now(), NonZeroU32::new(2000).unwrap());
        let time = pace.time_for(65_534).as_secs_f64();
        assert!((33.0..33.2).contains(&time), "{time}");
        assert_eq!(pace.time_for(0), Duration::ZERO);
    }
}
