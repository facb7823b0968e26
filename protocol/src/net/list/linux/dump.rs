//! One request for a list to the kernel, and what it answers.

use std::io;
use std::string::String;
use std::time::{Duration, Instant};
use std::vec;
use std::vec::Vec;

use netlink_packet_core::{
    DecodeError, Emitable, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkDeserializable,
    NetlinkHeader, NetlinkMessage, NetlinkPayload, NlasIterator, Parseable,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::{LinkFlags, LinkHeader};
use netlink_packet_route::route::RouteMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::libc::{EINTR, ENOBUFS, IFLA_IFNAME, MSG_TRUNC, RTM_NEWADDR, RTM_NEWLINK, RTM_NEWROUTE};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

/// How long the kernel has for all lists together. It answers in microseconds.
pub(super) const TIMEOUT: Duration = Duration::from_secs(TIMEOUT_SECONDS as u64);
const TIMEOUT_SECONDS: u32 = 1;

/// How often a list is asked for that changes while it is read. The last one is taken as it is:
/// whoever lists hears of the change, or lists again.
const ATTEMPTS: u32 = 4;

/// The kernel fills up to 32 KiB at once (netlink(7)); a message that is longer is asked for again
/// with room for it.
const BUFFER_LEN: usize = 32 * 1024;

/// What is read of a message.
pub(super) enum Entry {
    Link(Link),
    Address(AddressMessage),
    Route(RouteMessage),
    /// Another message, or a route that the library can't read.
    Other,
}

/// A network interface. The library would read all attributes of it, of which drivers have many
/// of their own, and fail if it doesn't know one.
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) flags: LinkFlags,
    pub(super) name: String,
}

/// Why a list has to be asked for again.
enum Again {
    /// It changed meanwhile; this is what was read of it.
    Changed(Vec<Entry>),
    /// The kernel had no room for it.
    Dropped,
    /// A message has so many bytes.
    TooLong(usize),
}

/// What the kernel answers `request`, a request for a list, of which the first `limit` entries
/// are read.
pub(super) fn dump(
    request: RouteNetlinkMessage,
    limit: usize,
    deadline: Instant,
) -> io::Result<Vec<Entry>> {
    let request = encode(request);
    let mut buffer = Vec::with_capacity(BUFFER_LEN);
    let mut changed = None;
    for _ in 0..ATTEMPTS {
        match attempt(&request, limit, deadline, &mut buffer)? {
            Ok(entries) => return Ok(entries),
            Err(Again::Changed(entries)) => changed = Some(entries),
            Err(Again::Dropped) => {}
            Err(Again::TooLong(len)) => buffer = Vec::with_capacity(len),
        }
    }
    changed.ok_or_else(|| io::Error::from_raw_os_error(ENOBUFS))
}

/// A socket for each attempt: no answer to an earlier one can be taken for one to this, and
/// closing it ends a list that isn't read to its end.
fn attempt(
    request: &[u8],
    limit: usize,
    deadline: Instant,
    buffer: &mut Vec<u8>,
) -> io::Result<Result<Vec<Entry>, Again>> {
    let socket = Socket::new(NETLINK_ROUTE)?;
    setsockopt(
        &socket,
        sockopt::ReceiveTimeout,
        &TimeVal::seconds(TIMEOUT_SECONDS.into()),
    )?;
    // Has the kernel filter routes. One that is older than 4.20 doesn't know it.
    let _ = socket.set_netlink_get_strict_chk(true);
    socket.send_to(request, &SocketAddr::new(0, 0), 0)?;

    let mut entries = Vec::new();
    let mut changed = false;
    loop {
        if Instant::now() >= deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        buffer.clear();
        let (len, sender) = match socket.recv_from(buffer, MSG_TRUNC) {
            Err(error) if error.raw_os_error() == Some(EINTR) => continue,
            Err(error) if error.raw_os_error() == Some(ENOBUFS) => return Ok(Err(Again::Dropped)),
            received => received?,
        };
        if sender.port_number() != 0 {
            continue; // another program, not the kernel
        }
        if len > buffer.len() {
            return Ok(Err(Again::TooLong(len)));
        }
        let mut messages = buffer.as_slice();
        while !messages.is_empty() {
            let message = NetlinkMessage::<Entry>::deserialize(messages).map_err(invalid)?;
            let message_len = message.header.length as usize;
            messages = messages
                .get(message_len.next_multiple_of(4)..)
                .unwrap_or_default();
            changed |= message.header.flags & NLM_F_DUMP_INTR != 0;
            match message.payload {
                NetlinkPayload::InnerMessage(entry) => entries.push(entry),
                NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
                NetlinkPayload::Done(done) if done.code < 0 => {
                    return Err(io::Error::from_raw_os_error(-done.code));
                }
                NetlinkPayload::Done(_) if changed => return Ok(Err(Again::Changed(entries))),
                NetlinkPayload::Done(_) => return Ok(Ok(entries)),
                NetlinkPayload::Overrun(_) => return Ok(Err(Again::Dropped)),
                _ => {}
            }
            if entries.len() >= limit {
                return Ok(Ok(entries));
            }
        }
    }
}

fn encode(request: RouteNetlinkMessage) -> Vec<u8> {
    let mut message = NetlinkMessage::from(request);
    message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

impl NetlinkDeserializable for Entry {
    type Error = DecodeError;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, DecodeError> {
        Ok(match header.message_type {
            RTM_NEWLINK => Self::Link(link(payload)?),
            RTM_NEWADDR => Self::Address(AddressMessage::parse(payload)?),
            RTM_NEWROUTE => RouteMessage::parse(payload).map_or(Self::Other, Self::Route),
            _ => Self::Other,
        })
    }
}

fn link(payload: &[u8]) -> Result<Link, DecodeError> {
    let header = LinkHeader::parse(payload)?;
    let mut name = String::new();
    for attribute in NlasIterator::new(&payload[header.buffer_len()..]) {
        let attribute = attribute?;
        if attribute.kind() == IFLA_IFNAME {
            let bytes = attribute.value();
            let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
            name = String::from_utf8_lossy(bytes).into_owned();
        }
    }
    Ok(Link {
        index: header.index,
        flags: header.flags,
        name,
    })
}

fn invalid(error: DecodeError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
