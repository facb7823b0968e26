//! The interfaces of this host, as the system lists them.

use std::io;
use std::vec::Vec;

use crate::interface::Interface;

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

impl Interface {
    /// Asks the system for the interfaces of this host, those that are down and those without
    /// addresses included.
    ///
    /// # Errors
    /// The system's, if it can't say: on Unix those of getifaddrs(3), on Windows those of
    /// `GetAdaptersAddresses`.
    pub fn list() -> io::Result<Vec<Self>> {
        #[cfg(unix)]
        return unix::list();
        #[cfg(windows)]
        return windows::list();
        #[cfg(not(any(unix, windows)))]
        return Err(io::ErrorKind::Unsupported.into());
    }
}

/// The interface called `name` among `interfaces`, added with `index()` if it is new.
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

    #[test]
    fn the_loopback_interface_is_listed_with_its_address() {
        let interfaces = Interface::list().unwrap();
        let loopback = interfaces
            .iter()
            .find(|interface| interface.flags.loopback)
            .expect("every host has a loopback interface");
        assert!(loopback.holds("127.0.0.1".parse().unwrap()));
        assert!(loopback.is_on_link("127.9.9.9".parse().unwrap()));
        // Wine tells none.
        #[cfg(unix)]
        assert_ne!(loopback.index, 0);
    }
}
