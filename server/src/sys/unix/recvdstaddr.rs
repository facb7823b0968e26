//! `IP_RECVDSTADDR`, `IP_RECVIF` and `IP_SENDSRCADDR`, ip(4) of FreeBSD: one message reports the
//! destination, another one the interface.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;

use nix::libc::in_addr;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, setsockopt, sockopt};

use crate::responder::Arrival;
use crate::sys::packet_info::{address, index, ip};

pub(super) fn report_arrivals(socket: &impl AsFd) -> io::Result<()> {
    setsockopt(socket, sockopt::Ipv4RecvDstAddr, &true)?;
    setsockopt(socket, sockopt::Ipv4RecvIf, &true)?;
    Ok(())
}

/// Takes over what `message` reports.
pub(super) fn read(message: &ControlMessageOwned, arrival: &mut Option<Arrival>) {
    match message {
        ControlMessageOwned::Ipv4RecvDstAddr(destination) => {
            arrival.get_or_insert_default().destination = Some(ip(*destination));
        }
        ControlMessageOwned::Ipv4RecvIf(link) => {
            arrival.get_or_insert_default().interface = index(link.sdl_index);
        }
        _ => {}
    }
}

pub(super) fn source(local: Ipv4Addr) -> in_addr {
    address(local)
}

pub(super) fn send_from(source: &in_addr) -> ControlMessage<'_> {
    ControlMessage::Ipv4SendSrcAddr(source)
}
