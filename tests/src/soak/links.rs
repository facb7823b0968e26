//! Which of the server's links are up, and since when.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::world::NETWORKS;

/// How long a link must have been up for a search on it to have to find the server.
pub(super) const RECOVERY: Duration = Duration::from_secs(5);

/// Who writes here says that a link is down before it is, and up after it is.
#[derive(Debug)]
pub(super) struct Links(Mutex<[Option<Instant>; NETWORKS]>);

impl Links {
    pub(super) fn new(now: Instant) -> Self {
        Self(Mutex::new([Some(now); NETWORKS]))
    }

    /// The link is about to go down.
    pub(super) fn goes_down(&self, network: usize) {
        self.lock()[network] = None;
    }

    /// The link was put up.
    pub(super) fn is_up(&self, now: Instant, network: usize) {
        self.lock()[network] = Some(now);
    }

    /// Since when the link has been up, if it was for long enough at `begin`.
    ///
    /// A search that began then and sees the same value at its end had to find the server.
    pub(super) fn settled(&self, begin: Instant, network: usize) -> Option<Instant> {
        self.lock()[network].filter(|&up| begin.saturating_duration_since(up) >= RECOVERY)
    }

    fn lock(&self) -> MutexGuard<'_, [Option<Instant>; NETWORKS]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_settled_when_it_was_up_for_long_enough() {
        let start = Instant::now();
        let links = Links::new(start);
        assert_eq!(links.settled(start, 0), None);
        let later = start + RECOVERY;
        assert_eq!(links.settled(later, 0), Some(start));
        links.goes_down(0);
        assert_eq!(links.settled(later, 0), None);
        assert_eq!(links.settled(later, 1), Some(start));
        links.is_up(later, 0);
        assert_eq!(links.settled(later, 0), None);
        assert_eq!(links.settled(later + RECOVERY, 0), Some(later));
    }
}
