//! What else this program is: the servers and searches that are measured, each in a process of its own.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc::{in_addr, in_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg,
    setsockopt, sockopt,
};
use udp_discovery_server::{Config, Server};

use crate::bench::Failure;

/// Plays the role that the words name.
pub(crate) fn play(words: &[String]) -> Result<(), Failure> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["server", port, limits] => serve(port.parse()?, limits == "limits"),
        ["loop", port] => bare_loop(port.parse()?),
        _ => Err(format!("unknown role {words:?}").into()),
    }
}

/// This project's server, with the default limits or without.
fn serve(port: u16, limits: bool) -> Result<(), Failure> {
    let mut config = Config::default().with_port(port).with_advertise_port(8000);
    if !limits {
        config = config.with_rate_limit(None);
    }
    let server = Server::bind(config)?;
    println!("ready");
    server.run()?;
    Ok(())
}

/// How many datagrams one system call receives or sends.
const BATCH: usize = 32;

/// The bare loop of `limit/limit.c` in safe Rust, for what nix costs.
fn bare_loop(port: u16) -> Result<(), Failure> {
    let socket = UdpSocket::bind(("0.0.0.0", port))?;
    setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
    setsockopt(&socket, sockopt::RcvBuf, &(4 << 20))?;
    let answer = [IoSlice::new(b"SERVER_IP:10.77.0.2:8000")];
    let mut send = MultiHeaders::preallocate(BATCH, Some(cmsg_space!(in_pktinfo)));
    println!("ready");
    loop {
        let mut buffers = [[0; 64]; BATCH];
        let mut slices = buffers.each_mut().map(|it| [IoSliceMut::new(it)]);
        // The kernel writes into the headers how much room it used, so they serve once.
        let mut receive =
            MultiHeaders::<SockaddrIn>::preallocate(BATCH, Some(cmsg_space!(in_pktinfo)));
        let received = recvmmsg(
            socket.as_raw_fd(),
            &mut receive,
            slices.iter_mut(),
            MsgFlags::MSG_WAITFORONE,
            None,
        );
        let received = match received {
            Ok(received) => received,
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(io::Error::from(errno).into()),
        };
        let mut destinations = [None; BATCH];
        let mut count = 0;
        let mut local = in_addr { s_addr: 0 };
        for message in received {
            if message.iovs().next() != Some(b"DISCOVER_SERVER".as_slice()) {
                continue;
            }
            if let Some(ControlMessageOwned::Ipv4PacketInfo(info)) = message.cmsgs()?.next() {
                local = info.ipi_spec_dst;
            }
            destinations[count] = message.address;
            count += 1;
        }
        let packet_info = in_pktinfo {
            ipi_ifindex: 0,
            ipi_spec_dst: local,
            ipi_addr: in_addr { s_addr: 0 },
        };
        // What is not sent counts as lost.
        let _ = sendmmsg(
            socket.as_raw_fd(),
            &mut send,
            &[answer; BATCH][..count],
            &destinations[..count],
            [ControlMessage::Ipv4PacketInfo(&packet_info)],
            MsgFlags::empty(),
        );
    }
}
