//! Lists the interfaces of this host.

use std::io;
use std::vec::Vec;

use crate::net::interface::Interface;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(windows, target_os = "ios"))]
mod portable;
#[cfg(all(unix, not(target_os = "ios")))]
mod unix;

impl Interface {
    /// Lists the interfaces of this host, including those that are down or have no address.
    ///
    /// | system | source | not listed |
    /// |---|---|---|
    /// | Linux | rtnetlink(7); getifaddrs(3) if that fails | IPv6 addresses that are tentative or failed duplicate address detection (RFC 4862, section 5.4) |
    /// | other Unix, Android | getifaddrs(3) | [routes](Interface::routes) |
    /// | iOS | getifaddrs(3) | routes, interfaces without an address |
    /// | Windows | `GetAdaptersAddresses` | routes |
    ///
    /// On Linux the routes are those of the main table. At most 16,384 routes of each family are
    /// read, for example on a router with the full routing table of the internet.
    ///
    /// It takes about 100 µs, and at most about a second.
    ///
    /// # Errors
    /// The system's error, if it cannot list the interfaces.
    #[doc(alias = "get_interfaces")]
    pub fn list() -> io::Result<Vec<Self>> {
        #[cfg(target_os = "linux")]
        return linux::list().or_else(|_| unix::list());
        #[cfg(all(unix, not(any(target_os = "linux", target_os = "ios"))))]
        return unix::list();
        #[cfg(any(windows, target_os = "ios"))]
        return portable::list();
        #[cfg(not(any(unix, windows)))]
        return Err(io::ErrorKind::Unsupported.into());
    }
}

/// Returns the interface called `name`. Adds it with `index()` if it is new.
#[cfg(any(unix, windows))]
fn named<'a>(
    interfaces: &'a mut Vec<Interface>,
    name: &str,
    index: impl FnOnce() -> u32,
) -> &'a mut Interface {
    let at = interfaces
        .iter()
        .position(|interface| interface.name == name)
        .unwrap_or_else(|| {
            interfaces.push(Interface::new(name, index()));
            interfaces.len() - 1
        });
    &mut interfaces[at]
}

#[cfg(all(test, any(unix, windows)))]
mod tests {
    use super::*;

    fn assert_lists_loopback(interfaces: &[Interface]) {
        let loopback = interfaces
            .iter()
            .find(|interface| interface.flags.loopback)
            .expect("every host has a loopback interface");
        assert!(loopback.holds("127.0.0.1".parse().unwrap()));
        assert!(loopback.is_on_link("127.9.9.9".parse().unwrap()));
        // Wine reports no index.
        #[cfg(unix)]
        assert_ne!(loopback.index, 0);
    }

    #[test]
    fn the_loopback_interface_is_listed_with_its_address() {
        assert_lists_loopback(&Interface::list().unwrap());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn netlink_and_its_fallback_list_the_loopback_interface() {
        assert_lists_loopback(&linux::list().unwrap());
        assert_lists_loopback(&unix::list().unwrap());
    }
}
