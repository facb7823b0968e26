//! Which addresses the server's host holds on which network, and when it gave up the others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long after an address is gone an answer that names it may still arrive: it may have been
/// on its way.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// Who writes here says that an address is held before it is, and that it is gone after it is: an
/// answer is never found wrong for the moment of a change.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<HashMap<(usize, IpAddr), Held>>);

#[derive(Clone, Copy, Debug)]
enum Held {
    Now,
    Until(Instant),
}

impl Ledger {
    /// The address is about to be added on that network.
    pub(super) fn comes(&self, network: usize, ip: impl Into<IpAddr>) {
        self.lock().insert((network, ip.into()), Held::Now);
    }

    /// The address was removed.
    pub(super) fn is_gone(&self, now: Instant, network: usize, ip: impl Into<IpAddr>) {
        self.lock().insert((network, ip.into()), Held::Until(now));
    }

    /// Whether an answer that arrives now by that network may name the address.
    pub(super) fn permits(&self, now: Instant, network: usize, ip: IpAddr) -> bool {
        match self.lock().get(&(network, ip)) {
            Some(Held::Now) => true,
            Some(Held::Until(gone)) => now.saturating_duration_since(*gone) <= GRACE,
            None => false,
        }
    }

    /// How many addresses are held.
    pub(super) fn held(&self) -> usize {
        let held = |it: &&Held| matches!(it, Held::Now);
        self.lock().values().filter(held).count()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(usize, IpAddr), Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_permitted_on_its_network_until_a_moment_after_it_is_gone() {
        let ledger = Ledger::default();
        let ip: IpAddr = "10.77.16.1".parse().unwrap();
        let start = Instant::now();
        assert!(!ledger.permits(start, 0, ip));
        ledger.comes(0, ip);
        assert!(ledger.permits(start, 0, ip) && !ledger.permits(start, 1, ip));
        assert_eq!(ledger.held(), 1);

        ledger.is_gone(start, 0, ip);
        assert_eq!(ledger.held(), 0);
        assert!(ledger.permits(start + GRACE, 0, ip));
        let later = start + GRACE + Duration::from_millis(1);
        assert!(!ledger.permits(later, 0, ip));
        ledger.comes(0, ip);
        assert!(ledger.permits(later, 0, ip));
    }
}
