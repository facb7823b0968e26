//! The last requests, to measure round-trip times.

use std::time::Instant;

/// How many are remembered. At the default pace they are those of 4 s, longer than Linux looks for a
/// neighbor.
const KEPT: usize = 1 << 13;

/// The times of the last requests, which are known by numbers that count up.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    /// Each is at its number modulo their count.
    requests: Vec<Option<(u64, Instant)>>,
    forgets: bool,
}

impl Recent {
    pub(crate) fn insert(&mut self, now: Instant, number: u64) {
        if self.requests.is_empty() {
            self.requests = vec![None; KEPT];
        }
        let before = self.requests[place(number)].replace((number, now));
        self.forgets |= before.is_some_and(|(before, _)| before != number);
    }

    /// Forgets a request that was not sent.
    pub(crate) fn take(&mut self, number: u64) {
        if self.get(number).is_some() {
            self.requests[place(number)] = None;
        }
    }

    pub(crate) fn get(&self, number: u64) -> Option<Instant> {
        let (kept, at) = (*self.requests.get(place(number))?)?;
        (kept == number).then_some(at)
    }

    /// Whether any request was forgotten because of another.
    pub(crate) fn forgets(&self) -> bool {
        self.forgets
    }
}

/// The place of the request with this number.
#[allow(clippy::cast_possible_truncation, reason = "it is less than `KEPT`")]
fn place(number: u64) -> usize {
    (number % KEPT as u64) as usize
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_last_requests_are_remembered() {
        let start = Instant::now();
        let at = |number| start + Duration::from_millis(number);
        let kept = KEPT as u64;
        let mut recent = Recent::default();
        assert_eq!(recent.get(0), None);
        for number in 0..2 * kept {
            recent.insert(at(number), number);
            let first = (number + 1).saturating_sub(kept);
            assert_eq!(recent.get(first), Some(at(first)));
            assert_eq!(recent.get(number), Some(at(number)));
            assert_eq!(recent.forgets(), number >= kept);
        }
        assert_eq!(recent.get(kept - 1), None);
    }

    #[test]
    fn the_later_of_two_counts_and_what_was_not_sent_does_not() {
        let start = Instant::now();
        let later = start + Duration::from_millis(1);
        let mut recent = Recent::default();
        recent.insert(start, 1);
        recent.insert(later, 1);
        assert_eq!(recent.get(1), Some(later));
        assert!(!recent.forgets());
        recent.take(KEPT as u64 + 1);
        assert_eq!(recent.get(1), Some(later));
        recent.take(1);
        assert_eq!(recent.get(1), None);
    }
}
