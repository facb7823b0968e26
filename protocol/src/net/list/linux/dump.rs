//! Requests a list from the kernel and reads the answer.

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

/// How long the kernel may take for all lists together. It usually answers in microseconds.
pub(super) const TIMEOUT: Duration = Duration::from_secs(TIMEOUT_SECONDS as u64);
const TIMEOUT_SECONDS: u32 = 1;

/// How often a list is requested if it changes while it is read. The last one is used as it is,
/// because the caller is notified of the change or lists again.
const ATTEMPTS: u32 = 4;

/// The kernel sends up to 32 KiB at once (netlink(7)). If a datagram is longer, the list is requested
/// again with a larger buffer.
const BUFFER_LEN: usize = 32 * 1024;

/// The content of a message.
pub(super) enum Entry {
    Link(Link),
    Address(AddressMessage),
    Route(RouteMessage),
    /// Another message, or a route that the library cannot parse.
    Other,
}

/// A network interface. The library's own type parses all attributes, including those of drivers,
/// and fails on unknown ones.
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) flags: LinkFlags,
    pub(super) name: String,
}

/// Why a list must be requested again.
enum Again {
    /// It changed while it was read. These are the entries.
    Changed(Vec<Entry>),
    /// The kernel dropped a part of it.
    Dropped,
    /// A datagram has this many bytes, more than the buffer.
    TooLong(usize),
}

/// Sends `request` to the kernel and reads the first `limit` entries of the list that it answers.
pub(super) fn dump(
    request: RouteNetlinkMessage,
    limit: usize,
    deadline: Instant,
) -> io::Result<Vec<Entry>> {
    let request = encode(request);
    read_whole(limit, deadline, || {
        let socket = Socket::new(NETLINK_ROUTE)?;
        setsockopt(
            &socket,
            sockopt::ReceiveTimeout,
            &TimeVal::seconds(TIMEOUT_SECONDS.into()),
        )?;
        // Makes the kernel filter routes. Kernels older than 4.20 do not support it.
        let _ = socket.set_netlink_get_strict_chk(true);
        socket.send_to(&request, &SocketAddr::new(0, 0), 0)?;
        Ok(move |buffer: &mut Vec<u8>| {
            let (len, sender) = socket.recv_from(buffer, MSG_TRUNC)?;
            Ok((len, sender.port_number()))
        })
    })
}

/// Reads a list, again if it changes while it is read. `ask` requests the list and returns a function
/// that receives: it appends one datagram to the buffer and returns its length and its sender.
///
/// Each attempt has its own socket, so that it cannot receive the answer to an earlier one. Closing
/// the socket aborts a list that is not read to its end.
fn read_whole<R>(
    limit: usize,
    deadline: Instant,
    ask: impl Fn() -> io::Result<R>,
) -> io::Result<Vec<Entry>>
where
    R: FnMut(&mut Vec<u8>) -> io::Result<(usize, u32)>,
{
    let mut buffer = Vec::with_capacity(BUFFER_LEN);
    let mut changed = None;
    for _ in 0..ATTEMPTS {
        match read_once(limit, deadline, ask()?, &mut buffer)? {
            Ok(entries) => return Ok(entries),
            Err(Again::Changed(entries)) => changed = Some(entries),
            Err(Again::Dropped) => {}
            Err(Again::TooLong(len)) => buffer = Vec::with_capacity(len),
        }
    }
    changed.ok_or_else(|| io::Error::from_raw_os_error(ENOBUFS))
}

fn read_once(
    limit: usize,
    deadline: Instant,
    mut receive: impl FnMut(&mut Vec<u8>) -> io::Result<(usize, u32)>,
    buffer: &mut Vec<u8>,
) -> io::Result<Result<Vec<Entry>, Again>> {
    let mut entries = Vec::new();
    let mut changed = false;
    loop {
        if Instant::now() >= deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        buffer.clear();
        let (len, sender) = match receive(buffer) {
            Err(error) if error.raw_os_error() == Some(EINTR) => continue,
            Err(error) if error.raw_os_error() == Some(ENOBUFS) => return Ok(Err(Again::Dropped)),
            received => received?,
        };
        if sender != 0 {
            continue; // from another program, not from the kernel
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

#[cfg(test)]
mod tests {
    use core::cell::Cell;

    use netlink_packet_core::{DoneMessage, ErrorMessage};
    use netlink_packet_route::link::{LinkAttribute, LinkMessage};
    use nix::libc::EBUSY;

    use super::*;

    type Datagram = io::Result<(Vec<u8>, u32)>;

    fn datagram(messages: &[NetlinkMessage<RouteNetlinkMessage>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for message in messages {
            let mut message = message.clone();
            message.finalize();
            let at = bytes.len();
            bytes.resize(at + message.buffer_len().next_multiple_of(4), 0);
            message.serialize(&mut bytes[at..]);
        }
        bytes
    }

    fn a_link(index: u32, name: &str) -> NetlinkMessage<RouteNetlinkMessage> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.attributes.push(LinkAttribute::IfName(name.into()));
        RouteNetlinkMessage::NewLink(link).into()
    }

    fn done(code: i32) -> NetlinkMessage<RouteNetlinkMessage> {
        let mut done = DoneMessage::default();
        done.code = code;
        NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::Done(done))
    }

    fn interrupted(
        mut message: NetlinkMessage<RouteNetlinkMessage>,
    ) -> NetlinkMessage<RouteNetlinkMessage> {
        message.header.flags |= NLM_F_DUMP_INTR;
        message
    }

    /// Reads a list from a kernel that answers the nth request with the datagrams `answer(n)`. Returns
    /// the names of the links, and how often the list was requested.
    fn read_from(
        limit: usize,
        answer: impl Fn(usize) -> Vec<Datagram>,
    ) -> (io::Result<Vec<String>>, usize) {
        let asked = Cell::new(0);
        let entries = read_whole(limit, Instant::now() + TIMEOUT, || {
            let mut datagrams = answer(asked.get()).into_iter();
            asked.set(asked.get() + 1);
            Ok(move |buffer: &mut Vec<u8>| {
                let (bytes, sender) = datagrams.next().expect("the list has an end")?;
                let room = buffer.capacity() - buffer.len();
                buffer.extend_from_slice(&bytes[..bytes.len().min(room)]);
                Ok((bytes.len(), sender))
            })
        });
        let name = |entry| match entry {
            Entry::Link(link) => link.name,
            _ => panic!("only links were sent"),
        };
        let names = entries.map(|entries| entries.into_iter().map(name).collect());
        (names, asked.get())
    }

    fn read(answer: impl Fn(usize) -> Vec<Datagram>) -> (Vec<String>, usize) {
        let (names, asked) = read_from(usize::MAX, answer);
        (names.unwrap(), asked)
    }

    fn errno(error: i32) -> Datagram {
        Err(io::Error::from_raw_os_error(error))
    }

    #[test]
    fn a_list_in_many_datagrams_is_read_to_its_end() {
        let (names, asked) = read(|_| {
            vec![
                Ok((datagram(&[a_link(1, "lo"), a_link(2, "eth0")]), 0)),
                Ok((datagram(&[a_link(3, "wlan0")]), 0)),
                Ok((datagram(&[done(0)]), 0)),
            ]
        });
        assert_eq!(names, ["lo", "eth0", "wlan0"]);
        assert_eq!(asked, 1);
    }

    #[test]
    fn a_list_that_changes_meanwhile_is_read_again() {
        let (names, asked) = read(|nth| match nth {
            0 => vec![
                Ok((datagram(&[a_link(1, "lo")]), 0)),
                Ok((datagram(&[interrupted(a_link(2, "eth0")), done(0)]), 0)),
            ],
            // The flag may be set on the last message.
            1 => vec![Ok((datagram(&[interrupted(done(0))]), 0))],
            _ => vec![Ok((datagram(&[a_link(1, "lo"), done(0)]), 0))],
        });
        assert_eq!(names, ["lo"]);
        assert_eq!(asked, 3);
    }

    #[test]
    fn a_list_that_changes_all_the_time_is_taken_at_last_as_it_is() {
        let (names, asked) = read(|nth| {
            let link = a_link(1, ["a", "b", "c", "d"][nth]);
            vec![Ok((datagram(&[interrupted(link), done(0)]), 0))]
        });
        assert_eq!(names, ["d"]);
        assert_eq!(asked, 4);
    }

    #[test]
    fn a_signal_loses_nothing() {
        let (names, asked) = read(|_| {
            vec![
                errno(EINTR),
                Ok((datagram(&[a_link(1, "lo")]), 0)),
                errno(EINTR),
                Ok((datagram(&[done(0)]), 0)),
            ]
        });
        assert_eq!(names, ["lo"]);
        assert_eq!(asked, 1);
    }

    #[test]
    fn a_list_that_the_kernel_had_no_room_for_is_asked_for_again_but_not_for_ever() {
        let (names, asked) = read(|nth| match nth {
            0 => vec![errno(ENOBUFS)],
            _ => vec![Ok((datagram(&[a_link(1, "lo"), done(0)]), 0))],
        });
        assert_eq!(names, ["lo"]);
        assert_eq!(asked, 2);

        let (names, asked) = read_from(usize::MAX, |_| vec![errno(ENOBUFS)]);
        assert_eq!(names.unwrap_err().raw_os_error(), Some(ENOBUFS));
        assert_eq!(asked, 4);
    }

    #[test]
    fn a_datagram_longer_than_the_buffer_is_asked_for_again_with_room_for_it() {
        let many: Vec<_> = (1..2_000).map(|index| a_link(index, "eth0")).collect();
        let (names, asked) =
            read(|_| vec![Ok((datagram(&many), 0)), Ok((datagram(&[done(0)]), 0))]);
        assert_eq!(names.len(), many.len());
        assert_eq!(asked, 2);
    }

    #[test]
    fn what_another_program_sends_is_no_answer() {
        let (names, _) = read(|_| {
            vec![
                Ok((datagram(&[a_link(9, "evil0"), done(0)]), 4242)),
                Ok((datagram(&[a_link(1, "lo"), done(0)]), 0)),
            ]
        });
        assert_eq!(names, ["lo"]);
    }

    #[test]
    fn no_more_entries_than_the_limit_are_read() {
        let (names, _) = read_from(2, |_| {
            let links = [a_link(1, "a"), a_link(2, "b"), a_link(3, "c")];
            vec![Ok((datagram(&links), 0))]
        });
        assert_eq!(names.unwrap(), ["a", "b"]);
    }

    #[test]
    fn an_error_of_the_kernel_ends_the_list() {
        let mut error = ErrorMessage::default();
        error.code = core::num::NonZeroI32::new(-EBUSY);
        let error = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::Error(error));
        for last in [error, done(-EBUSY)] {
            let (names, asked) = read_from(usize::MAX, |_| {
                vec![Ok((datagram(&[a_link(1, "lo"), last.clone()]), 0))]
            });
            assert_eq!(names.unwrap_err().raw_os_error(), Some(EBUSY));
            assert_eq!(asked, 1);
        }
    }

    #[test]
    fn a_list_without_an_end_ends_at_the_deadline() {
        let entries = read_whole(
            usize::MAX,
            Instant::now() + Duration::from_millis(5),
            || Ok(|_: &mut Vec<u8>| Err(io::Error::from_raw_os_error(EINTR))),
        );
        let error = entries.err().expect("it never ends");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn bytes_that_are_no_message_are_an_error() {
        let whole = datagram(&[a_link(1, "lo")]);
        for len in 1..whole.len() {
            let (names, _) = read_from(usize::MAX, |_| vec![Ok((whole[..len].to_vec(), 0))]);
            assert_eq!(names.unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn a_link_whose_name_is_not_utf_8_is_read() {
        let mut bytes = datagram(&[a_link(1, "lan"), done(0)]);
        let at = bytes.windows(3).position(|name| name == b"lan").unwrap();
        bytes[at] = 0xff;
        let (names, _) = read(|_| vec![Ok((bytes.clone(), 0))]);
        assert_eq!(names, ["\u{fffd}an"]);
    }
}
