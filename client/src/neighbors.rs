//! How much of the system's neighbor tables a sweep may take.

use std::fs;
use std::num::NonZeroUsize;

use crate::host::DEFAULT_MAX_SILENT;

/// How many addresses may be silent, however large the table is. Their datagrams wait in the send buffer
/// of the socket, of which Linux grants 416 KiB if `net.core.wmem_max` was not changed, 832 bytes each.
pub(crate) const MOST: usize = 500;

/// The same if a request for details, which takes 1,280 bytes, follows each request.
const MOST_WITH_DETAILS: usize = 200;

/// A third of what the tables hold, for IPv4 and IPv6, and at most what the socket holds. A network
/// namespace cannot read the limit of its host, and other systems have none to read, so that the default
/// holds there.
pub(crate) fn limits(details: bool) -> [NonZeroUsize; 2] {
    let most = if details { MOST_WITH_DETAILS } else { MOST };
    ["ipv4", "ipv6"].map(|family| {
        let file = format!("/proc/sys/net/{family}/neigh/default/gc_thresh3");
        let text = fs::read_to_string(file).ok();
        let third = text.and_then(|text| third(&text));
        let limit = third.unwrap_or(DEFAULT_MAX_SILENT).get().min(most);
        NonZeroUsize::new(limit).unwrap_or(NonZeroUsize::MIN)
    })
}

/// A third of the number, at least 1.
fn third(text: &str) -> Option<NonZeroUsize> {
    let entries: usize = text.trim().parse().ok()?;
    NonZeroUsize::new((entries / 3).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_takes_a_third_of_the_table_and_at_least_one_entry() {
        let of = |text| third(text).map(NonZeroUsize::get);
        assert_eq!(of("1024\n"), Some(DEFAULT_MAX_SILENT.get()));
        assert_eq!(of("1200\n"), Some(400));
        assert_eq!(of("8192\n"), Some(2730));
        assert_eq!(of("0\n"), Some(1));
        assert_eq!(of("-1\n"), None);
        assert_eq!(of(""), None);
    }

    /// As much as the system grants if nobody changed it.
    #[test]
    fn a_sweep_takes_no_more_than_the_socket_holds() {
        for (details, bytes) in [(false, 832), (true, 832 + 1280)] {
            for limit in limits(details) {
                assert!(limit.get() * bytes <= 416 << 10);
            }
        }
    }
}
