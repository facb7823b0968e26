//! When the probes of a search are due.

use std::num::NonZeroU8;
use std::time::{Duration, Instant};

/// Probes spaced evenly from the start of a search, with as much time after the last one as
/// between two.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    start: Instant,
    interval: Duration,
    probes: u32,
    /// How many were taken.
    taken: u32,
}

impl Schedule {
    pub(crate) fn new(start: Instant, timeout: Duration, probes: NonZeroU8) -> Self {
        let probes = u32::from(probes.get());
        Self {
            start,
            interval: timeout / (probes + 1),
            probes,
            taken: 0,
        }
    }

    /// When the next probe is due; none if all were taken.
    pub(crate) fn due(&self) -> Option<Instant> {
        (self.taken < self.probes).then(|| self.start + self.interval * self.taken)
    }

    /// Takes the probes that are due at `now`: whether there was one. Those that were missed are
    /// not made up for, since many at once are lost as easily as one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let before = self.taken;
        while self.due().is_some_and(|due| due <= now) {
            self.taken += 1;
        }
        self.taken > before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn schedule(start: Instant, timeout: Duration) -> Schedule {
        Schedule::new(start, timeout, NonZeroU8::new(3).unwrap())
    }

    #[test]
    fn the_last_probe_has_as_much_time_as_the_others() {
        let start = Instant::now();
        let mut schedule = schedule(start, 400 * MS);
        for due in [0, 100, 200] {
            let due = start + due * MS;
            assert_eq!(schedule.due(), Some(due));
            assert!(schedule.take(due));
            assert!(!schedule.take(due));
        }
        assert_eq!(schedule.due(), None);
        assert!(!schedule.take(start + 400 * MS));
    }

    #[test]
    fn missed_probes_are_one_probe() {
        let start = Instant::now();
        let mut schedule = schedule(start, 400 * MS);
        assert!(schedule.take(start + 150 * MS));
        assert_eq!(schedule.due(), Some(start + 200 * MS));
    }

    #[test]
    fn without_time_there_is_one_probe() {
        let start = Instant::now();
        let mut schedule = schedule(start, Duration::ZERO);
        assert!(schedule.take(start));
        assert_eq!(schedule.due(), None);
    }
}
