//! The multicast groups of the discovery.

use core::net::{Ipv4Addr, Ipv6Addr};

/// The IPv4 group that servers join: 239.255.39.15, of the local scope (RFC 2365, section 6.1).
pub const MULTICAST_V4: Ipv4Addr = Ipv4Addr::new(239, 255, 39, 15);

/// The IPv6 group that servers join: `ff12::8000:270f`, transient and of link-local scope (RFC 4291,
/// section 2.7). Its group identifier is in the range for dynamic use (RFC 3307, section 4.3).
pub const MULTICAST_V6: Ipv6Addr = Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0, 0x8000, 0x270f);
