//! `IP_PKTINFO`, ip(7) of Linux, ip(4) of macOS: one message reports the interface and the destination.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;

use nix::libc::in_pktinfo;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, setsockopt, sockopt};

use crate::responder::Arrival;
use crate::sys::packet_info::{address, index, ip};

pub(super) fn report_arrivals(socket: &impl AsFd) -> io::Result<()> {
    Ok(setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?)
}

/// Takes over what `message` reports. macOS suggests no local address, so none is taken.
pub(super) fn read(message: &ControlMessageOwned, arrival: &mut Option<Arrival>) {
    if let ControlMessageOwned::Ipv4PacketInfo(info) = message
        && let Some(interface) = index(info.ipi_ifindex)
    {
        *arrival = Some(Arrival {
            interface: Some(interface),
            destination: Some(ip(info.ipi_addr)),
            local: None,
        });
    }
}

/// Without an interface: of the two, macOS takes the interface and ignores the address.
pub(super) fn source(local: Ipv4Addr) -> in_pktinfo {
    in_pktinfo {
        ipi_ifindex: 0,
        ipi_spec_dst: address(local),
        ipi_addr: address(Ipv4Addr::UNSPECIFIED),
    }
}

pub(super) fn send_from(source: &in_pktinfo) -> ControlMessage<'_> {
    ControlMessage::Ipv4PacketInfo(source)
}
