//! An address of this host to display.

use std::io;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use udp_discovery_protocol::Interface;

/// The IPv4 address of this host, to display: that of the default route; without one, the first of
/// an interface that is up and not loopback; otherwise 127.0.0.1.
///
/// It sends nothing. On a host with several networks, no single address is right for all clients. A
/// [`Server`](crate::Server) names its address on the network that each request arrives from.
///
/// # Errors
/// The system's error, if there is no default route and the system cannot list the interfaces.
///
/// ```
/// let ip = udp_discovery_server::compat::server_ip()?;
/// assert!(!ip.is_unspecified());
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "get_server_ip")]
pub fn server_ip() -> io::Result<IpAddr> {
    if let Some(ip) = default_route_ip() {
        return Ok(ip.into());
    }
    Ok(of_interfaces(&Interface::list()?).into())
}

/// The address that the system would send from to a distant host. Connecting a UDP socket chooses
/// it and sends nothing (udp(7)).
fn default_route_ip() -> Option<Ipv4Addr> {
    /// In TEST-NET-3 (RFC 5737), which has no hosts.
    const FAR_AWAY: (Ipv4Addr, u16) = (Ipv4Addr::new(203, 0, 113, 1), 9);
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(FAR_AWAY).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(ip) if !ip.is_loopback() && !ip.is_unspecified() => Some(ip),
        _ => None,
    }
}

fn of_interfaces(interfaces: &[Interface]) -> Ipv4Addr {
    let real = |interface: &&Interface| interface.flags.up && !interface.flags.loopback;
    let addresses = |bridges: bool| {
        interfaces
            .iter()
            .filter(real)
            .filter(move |interface| interface.is_container_bridge() == bridges)
            .flat_map(Interface::ipv4_addresses)
    };
    addresses(false)
        .chain(addresses(true))
        .next()
        .unwrap_or(Ipv4Addr::LOCALHOST)
}

#[cfg(test)]
mod tests {
    use udp_discovery_protocol::InterfaceAddress;

    use super::*;

    fn interface(name: &str, up: bool, loopback: bool, ip: &str) -> Interface {
        let mut interface = Interface::new(name, 1);
        interface.flags.up = up;
        interface.flags.loopback = loopback;
        let address = InterfaceAddress::new(ip.parse().unwrap(), 24).unwrap();
        interface.addresses.push(address);
        interface
    }

    #[test]
    fn loopback_is_named_only_if_no_real_interface_is_up() {
        let lo = interface("lo", true, true, "127.0.0.1");
        let down = interface("eth0", false, false, "10.0.0.1");
        let bridge = interface("docker0", true, false, "172.17.0.1");
        let eth1 = interface("eth1", true, false, "10.1.0.1");

        let only = [lo.clone(), down.clone()];
        assert_eq!(of_interfaces(&only), Ipv4Addr::LOCALHOST);
        let with_bridge = [lo, down, bridge, eth1];
        assert_eq!(of_interfaces(&with_bridge), Ipv4Addr::new(10, 1, 0, 1));
        assert_eq!(
            of_interfaces(&with_bridge[..3]),
            Ipv4Addr::new(172, 17, 0, 1)
        );
    }
}
