//! What else this program is: the servers and searches that are measured, each in a process of its own.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc::{in_addr, in_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg,
    setsockopt, sockopt,
};
use serde::{Deserialize, Serialize};
use udp_discovery_client::{Client, Config};
use udp_discovery_protocol::{Details, RunId, ServerId, SigningKey};
use udp_discovery_server::{self as server, Allow, Server};

use crate::bench::Failure;
use crate::results::float;
use crate::services;

/// Plays the role that the words name.
pub(crate) fn play(words: &[String]) -> Result<(), Failure> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["server", port, how] => serve(port.parse()?, how),
        ["search", port, timeout, most, source_port] => search(
            &Config::default()
                .with_port(port.parse()?)
                .with_timeout(Duration::from_millis(timeout.parse()?))
                .with_max_servers(most.parse()?)
                .with_source_port(source_port.parse()?),
        ),
        ["loop", port] => bare_loop(port.parse()?),
        ["servers", count] => services::serve(count.parse()?),
        ["mdns-publish", count] => services::publish(count.parse()?),
        ["mdns-browse", count, limit] => {
            services::browse(count.parse()?, Duration::from_secs(limit.parse()?))
        }
        _ => Err(format!("unknown role {words:?}").into()),
    }
}

/// The name in details.
pub(crate) const NAME: &str = "a server";

/// This project's server: with the default limits, without limits, without and for any client, and
/// without but with details, unsigned or signed.
fn serve(port: u16, how: &str) -> Result<(), Failure> {
    let limits = server::Config::default()
        .with_port(port)
        .with_advertise_port(8000);
    let config = match how {
        "limits" => limits,
        "no limits" => limits.with_rate_limit(None),
        "details" => limits
            .with_rate_limit(None)
            .with_details(details(ServerId::new([7; 32]))?)
            .with_details_limit(None),
        "signed" => {
            let key = SigningKey::from_bytes(&[9; 32]);
            limits
                .with_rate_limit(None)
                .with_details(details(key.id())?)
                .with_signing_key(key)
                .with_details_limit(None)
                .with_signature_limit(None)
        }
        "any" => limits.with_rate_limit(None).with_allow(Allow::Any),
        _ => return Err(format!("unknown server {how}").into()),
    };
    let server = Server::bind(config)?;
    println!("ready");
    server.run()?;
    Ok(())
}

fn details(id: ServerId) -> Result<Details, Failure> {
    Ok(Details::new(id, RunId::new([1; 8])).with_name(NAME)?)
}

/// What a search found, and when.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Found {
    pub(crate) servers: usize,
    /// Until the first and the last server was found, in seconds.
    pub(crate) first: f64,
    pub(crate) last: f64,
    /// Until it was over.
    pub(crate) end: f64,
    /// The most memory that the process ever had, in bytes.
    pub(crate) memory: f64,
}

/// One search of this project.
fn search(config: &Config) -> Result<(), Failure> {
    let start = Instant::now();
    let now = || start.elapsed().as_secs_f64();
    let mut search = Client::new(config.clone()).search()?;
    let (mut servers, mut first, mut last) = (0, 0.0, 0.0);
    while search.next().is_some() {
        servers += 1;
        last = now();
        if servers == 1 {
            first = last;
        }
    }
    let end = now();
    let peak = procfs::process::Process::myself()?.status()?.vmhwm;
    let memory = 1024.0 * float(usize::try_from(peak.unwrap_or(0))?);
    Found {
        servers,
        first,
        last,
        end,
        memory,
    }
    .print()
}

impl Found {
    pub(crate) fn print(&self) -> Result<(), Failure> {
        println!("{}", serde_json::to_string(self)?);
        Ok(())
    }
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
