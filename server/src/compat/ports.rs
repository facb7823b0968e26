//! Which ports are valid, and which are in use.

use std::io;
use std::net::{IpAddr, UdpSocket};

use thiserror::Error;

use crate::error;

/// The number is not a port from 1 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{number} is not a port from 1 to 65535")]
#[non_exhaustive]
pub struct InvalidPort {
    /// The number.
    pub number: i64,
}

/// Checks that `number` is a port from 1 to 65535, and returns it.
///
/// # Errors
/// [`InvalidPort`], if it is not from 1 to 65535.
///
/// ```
/// use udp_discovery_server::compat::validate_port;
///
/// assert_eq!(validate_port(9999)?, 9999);
/// assert!(validate_port(0).is_err() && validate_port(65_536).is_err());
/// # Ok::<(), udp_discovery_server::compat::InvalidPort>(())
/// ```
pub fn validate_port(number: i64) -> Result<u16, InvalidPort> {
    match u16::try_from(number) {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(InvalidPort { number }),
    }
}

/// Whether a UDP socket on this host has `port` on the address `host`. With 0.0.0.0 or ::, whether
/// one has it on any address of that family.
///
/// It binds a socket and closes it at once. Another program may take the port afterwards: to
/// reserve a port, [bind](crate::Server::bind) it.
///
/// # Errors
/// Any other error of binding, for example if `host` is not an address of this host.
///
/// ```
/// use std::net::UdpSocket;
/// use udp_discovery_server::compat::is_port_in_use;
///
/// let socket = UdpSocket::bind("127.0.0.1:0")?;
/// let port = socket.local_addr()?.port();
/// assert!(is_port_in_use(port, [127, 0, 0, 1].into())?);
/// drop(socket);
/// assert!(!is_port_in_use(port, [127, 0, 0, 1].into())?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn is_port_in_use(port: u16, host: IpAddr) -> io::Result<bool> {
    match UdpSocket::bind((host, port)) {
        Ok(_) => Ok(false),
        Err(error) if is_port_error(&error) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Whether `error`, from binding a socket, means that another socket has the port.
///
/// ```
/// use std::net::UdpSocket;
/// use udp_discovery_server::compat::is_port_error;
///
/// let first = UdpSocket::bind("127.0.0.1:0")?;
/// let error = UdpSocket::bind(first.local_addr()?).unwrap_err();
/// assert!(is_port_error(&error));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn is_port_error(error: &io::Error) -> bool {
    error::is_port_in_use(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_from_1_to_65535() {
        for number in [1, 80, 9999, 65_535] {
            assert_eq!(i64::from(validate_port(number).unwrap()), number);
        }
        for number in [0, -1, 65_536, i64::MAX, i64::MIN] {
            assert_eq!(validate_port(number), Err(InvalidPort { number }));
        }
    }

    // Wine binds sockets to addresses of other hosts.
    #[test]
    #[cfg(unix)]
    fn an_address_of_another_host_is_an_error() {
        let nobody = IpAddr::from([203, 0, 113, 1]);
        assert!(is_port_in_use(9, nobody).is_err());
    }
}
