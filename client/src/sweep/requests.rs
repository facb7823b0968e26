//! When addresses were asked, in order.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

/// The times of requests, in order. Of two to one address, the later one counts.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    times: HashMap<SocketAddr, Instant>,
    /// The same, with requests that were taken or repeated since.
    order: VecDeque<(Instant, SocketAddr)>,
}

impl Requests {
    pub(crate) fn insert(&mut self, now: Instant, address: SocketAddr) {
        let repeated = self.times.insert(address, now).is_some();
        self.order.push_back((now, address));
        if repeated {
            self.tidy();
        }
    }

    pub(crate) fn take(&mut self, address: SocketAddr) {
        self.times.remove(&address);
        self.tidy();
    }

    pub(crate) fn get(&self, address: SocketAddr) -> Option<Instant> {
        self.times.get(&address).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.times.len()
    }

    /// The time of the first.
    pub(crate) fn first(&self) -> Option<Instant> {
        self.order.front().map(|(at, _)| *at)
    }

    /// Forgets those at `time` and before.
    pub(crate) fn forget_before(&mut self, time: Option<Instant>) {
        while self.first().is_some_and(|first| Some(first) <= time) {
            if let Some((_, address)) = self.order.pop_front() {
                self.times.remove(&address);
            }
            self.tidy();
        }
    }

    /// Has the first entry of `order` be one that counts, and bounds the others.
    fn tidy(&mut self) {
        let Self { times, order } = self;
        let counts = |(at, address): &(Instant, SocketAddr)| times.get(address) == Some(at);
        while order.front().is_some_and(|first| !counts(first)) {
            order.pop_front();
        }
        if order.len() > 2 * times.len() + 64 {
            order.retain(counts);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_first_is_the_first_that_was_neither_taken_nor_repeated() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let address = |host: u8| SocketAddr::from(([10, 0, 0, host], 9999));
        let mut requests = Requests::default();
        for (ms, host) in [(0, 1), (1, 2), (2, 3), (3, 1)] {
            requests.insert(at(ms), address(host));
        }
        assert_eq!((requests.first(), requests.len()), (Some(at(1)), 3));
        requests.take(address(2));
        assert_eq!((requests.first(), requests.len()), (Some(at(2)), 2));
        requests.forget_before(Some(at(2)));
        assert_eq!((requests.first(), requests.len()), (Some(at(3)), 1));
        requests.forget_before(Some(at(3)));
        assert_eq!((requests.first(), requests.len()), (None, 0));
    }

    #[test]
    fn what_is_repeated_without_end_takes_no_more_memory() {
        let start = Instant::now();
        let mut requests = Requests::default();
        for ms in 0..10_000 {
            let now = start + Duration::from_millis(ms);
            requests.insert(now, SocketAddr::from(([10, 0, 0, (ms % 2) as u8], 9999)));
        }
        assert_eq!(requests.len(), 2);
        assert!(requests.order.len() < 100);
    }
}
