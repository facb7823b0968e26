//! The multicast groups that servers join.

use core::net::{Ipv4Addr, Ipv6Addr};

/// The IPv4 multicast group that servers join on every interface: `239.255.39.15`.
///
/// It is in the local scope of the administratively scoped addresses (RFC 2365, section 6.1), which
/// routers at the border of a site do not forward. The last two bytes are the default port, 9999.
pub const MULTICAST_V4: Ipv4Addr = Ipv4Addr::new(239, 255, 39, 15);

/// The IPv6 multicast group that servers join on every interface: `ff12::8000:270f`.
///
/// It is a transient group of link-local scope (RFC 4291, section 2.7), with a group ID from the range
/// for dynamic assignment (RFC 3307, section 4.3). The last two bytes are the default port, 9999.
/// No router forwards it.
pub const MULTICAST_V6: Ipv6Addr = Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0, 0x8000, 0x270f);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DEFAULT_PORT;

    #[test]
    fn the_groups_are_multicast_addresses_that_end_with_the_default_port() {
        assert!(MULTICAST_V4.is_multicast() && MULTICAST_V6.is_multicast());
        assert_eq!(MULTICAST_V4.octets()[2..], DEFAULT_PORT.to_be_bytes());
        assert_eq!(MULTICAST_V6.segments()[7], DEFAULT_PORT);
    }
}
