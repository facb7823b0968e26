//! When the probes of a search are due, and their destinations.

use std::collections::VecDeque;
use std::num::NonZeroU8;
use std::time::{Duration, Instant};

use crate::report::{Destination, DestinationKind};

/// The times of the probes: evenly spaced from the start of a search, with as much time after the
/// last probe as between two.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    start: Instant,
    interval: Duration,
    probes: u32,
    /// How many probes were taken.
    taken: u32,
}

impl Schedule {
    /// `longest` is the longest interval between two probes.
    pub(crate) fn new(
        start: Instant,
        timeout: Duration,
        probes: NonZeroU8,
        longest: Duration,
    ) -> Self {
        let probes = u32::from(probes.get());
        Self {
            start,
            interval: (timeout / (probes + 1)).min(longest),
            probes,
            taken: 0,
        }
    }

    /// When the next probe is due. `None` if all were taken.
    pub(crate) fn due(&self) -> Option<Instant> {
        (self.taken < self.probes).then(|| self.start + self.interval * self.taken)
    }

    /// Takes all probes that are due at `now` as one. Returns whether there was one. Missed probes
    /// are not sent later, because several at once are lost as easily as one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let before = self.taken;
        while self.due().is_some_and(|due| due <= now) {
            self.taken += 1;
        }
        self.taken > before
    }
}

/// The destinations that one probe on one link has not been sent to, as indices into
/// [`Link::destinations`](crate::Link::destinations).
///
/// A probe goes to one broadcast or multicast address and to every unicast address. The former take
/// turns, because a host that receives both would answer twice. If the system refuses to send to
/// one, the probe goes to the next. Without a default route, for example, it refuses
/// 255.255.255.255.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    due: VecDeque<usize>,
    /// The other broadcast and multicast addresses.
    fallbacks: VecDeque<usize>,
}

impl Pending {
    /// The destinations of the probe with this number, counted from 0.
    pub(crate) fn new(probe: usize, destinations: &[Destination]) -> Self {
        let positions = |unicast: bool| {
            let all = destinations.iter().enumerate();
            all.filter(move |(_, it)| (it.kind == DestinationKind::Unicast) == unicast)
                .map(|(at, _)| at)
        };
        let mut fallbacks: VecDeque<usize> = positions(false).collect();
        if !fallbacks.is_empty() {
            fallbacks.rotate_left(probe % fallbacks.len());
        }
        let broadcast = fallbacks.pop_front().into_iter();
        Self {
            due: broadcast.chain(positions(true)).collect(),
            fallbacks,
        }
    }

    /// The next destination.
    pub(crate) fn next(&mut self) -> Option<usize> {
        self.due.pop_front()
    }

    /// Replaces a broadcast address that the system refused to send to.
    pub(crate) fn fall_back(&mut self) {
        if let Some(fallback) = self.fallbacks.pop_front() {
            self.due.push_front(fallback);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.due.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn schedule(start: Instant, timeout: Duration) -> Schedule {
        Schedule::new(start, timeout, NonZeroU8::new(3).unwrap(), Duration::MAX)
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

    fn destination(kind: DestinationKind) -> Destination {
        Destination::new([10, 0, 0, 255].into(), 9999, kind)
    }

    fn all(mut pending: Pending) -> Vec<usize> {
        std::iter::from_fn(|| pending.next()).collect()
    }

    #[test]
    fn broadcast_addresses_take_turns_and_unicast_ones_are_all_asked() {
        use DestinationKind::{Broadcast, Unicast};
        let destinations = [Unicast, Broadcast, Broadcast, Unicast].map(destination);
        let targets = |probe| all(Pending::new(probe, &destinations));
        assert_eq!(targets(0), [1, 0, 3]);
        assert_eq!(targets(1), [2, 0, 3]);
        assert_eq!(targets(2), [1, 0, 3]);
        assert_eq!(all(Pending::new(7, &destinations[..1])), [0]);
        assert_eq!(all(Pending::new(7, &destinations[1..2])), [0]);
    }

    #[test]
    fn a_probe_falls_back_to_each_other_broadcast_address_once() {
        let destinations = [DestinationKind::Broadcast; 2].map(destination);
        let mut pending = Pending::new(1, &destinations);
        assert!(!pending.is_empty());
        assert_eq!(pending.next(), Some(1));
        pending.fall_back();
        assert_eq!(pending.next(), Some(0));
        pending.fall_back();
        assert!(pending.is_empty());
    }
}
