//! Forged datagrams: whole Ethernet frames with any source, in IPv4 and UDP.
//!
//! ```no_run
//! # use udp_discovery_tests::lab::{Lab, raw::Datagram};
//! # let lab = Lab::new();
//! # let attacker = lab.host("attacker");
//! let source = "0.0.0.0:0".parse().unwrap();
//! let destination = "255.255.255.255:9999".parse().unwrap();
//! let sender = attacker.raw("eth0");
//! sender.send(&Datagram::new(source, destination, b"DISCOVER_SERVER"));
//! ```
//!
//! A frame leaves past the sending host's routes, firewall and neighbour table, through packet(7).

use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, bind, send, socket};

/// An Ethernet address.
pub type MacAddress = [u8; 6];

/// The Ethernet address of everybody on a network.
pub const EVERYBODY: MacAddress = [0xff; 6];

/// The longest payload of a datagram in one frame, in bytes.
pub const MAX_PAYLOAD_LEN: usize = 1500 - IP_LEN - UDP_LEN;

const IP_LEN: usize = 20;
const UDP_LEN: usize = 8;
const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const PROTOCOL_UDP: u8 = 17;
/// In the first byte of the fragment's offset.
const MORE_FRAGMENTS: u8 = 0x20;

/// A UDP datagram over IPv4 that claims whatever it is told to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    source: SocketAddrV4,
    destination: SocketAddrV4,
    payload: Vec<u8>,
    mac: MacAddress,
    wrong_checksum: bool,
}

/// Sends forged datagrams from an interface of a host; see [`Host::raw`](super::Host::raw).
#[derive(Debug)]
pub struct Sender {
    socket: OwnedFd,
    mac: MacAddress,
}

impl Datagram {
    /// A datagram to [`EVERYBODY`] on the link, with correct checksums.
    ///
    /// # Panics
    /// If the payload is longer than [`MAX_PAYLOAD_LEN`].
    pub fn new(source: SocketAddrV4, destination: SocketAddrV4, payload: &[u8]) -> Self {
        assert!(
            payload.len() <= MAX_PAYLOAD_LEN,
            "a frame takes {MAX_PAYLOAD_LEN} bytes of payload at the most"
        );
        Self {
            source,
            destination,
            payload: payload.to_vec(),
            mac: EVERYBODY,
            wrong_checksum: false,
        }
    }

    /// The Ethernet address that it goes to. A host takes a unicast IP address in a frame to
    /// everybody, but notes that it came as a broadcast.
    pub fn with_mac(mut self, mac: MacAddress) -> Self {
        self.mac = mac;
        self
    }

    /// Makes the UDP checksum wrong: the receiving kernel finds out only when it copies the
    /// payload to the program, after it has woken it.
    pub fn with_wrong_checksum(mut self) -> Self {
        self.wrong_checksum = true;
        self
    }

    /// The frame that carries it, without the frame check sequence.
    pub fn frame(&self, source_mac: MacAddress) -> Vec<u8> {
        let mut frame = Vec::with_capacity(14 + IP_LEN + UDP_LEN + self.payload.len());
        frame.extend(self.mac);
        frame.extend(source_mac);
        frame.extend(ETHERTYPE_IPV4);
        frame.extend(self.ip_header(UDP_LEN + self.payload.len(), 0, [0, 0]));
        frame.extend(self.udp());
        frame
    }

    /// The frames that carry it in fragments of `len` bytes, the last one shorter (RFC 791,
    /// section 2.3). The fragments of each datagram have an `id` of their own.
    ///
    /// # Panics
    /// If `len` isn't a multiple of 8 from 8 on.
    pub fn fragments(&self, source_mac: MacAddress, id: u16, len: usize) -> Vec<Vec<u8>> {
        assert!(
            len > 0 && len.is_multiple_of(8),
            "fragments are multiples of 8 bytes"
        );
        let udp = self.udp();
        let count = udp.len().div_ceil(len);
        let fragment = |(nth, bytes): (usize, &[u8])| {
            let [high, low] = length(nth * len / 8);
            let more = if nth + 1 < count { MORE_FRAGMENTS } else { 0 };
            let mut frame = Vec::with_capacity(14 + IP_LEN + bytes.len());
            frame.extend(self.mac);
            frame.extend(source_mac);
            frame.extend(ETHERTYPE_IPV4);
            frame.extend(self.ip_header(bytes.len(), id, [high | more, low]));
            frame.extend(bytes);
            frame
        };
        udp.chunks(len).enumerate().map(fragment).collect()
    }

    /// RFC 791, section 3.1: the header of a packet with `len` bytes of payload, whose
    /// identification, flags and offset say which fragment of what it is.
    fn ip_header(&self, len: usize, id: u16, fragment: [u8; 2]) -> [u8; IP_LEN] {
        let mut header = [0; IP_LEN];
        header[0] = 0x45; // version 4, 5 words of header
        header[2..4].copy_from_slice(&length(IP_LEN + len));
        header[4..6].copy_from_slice(&id.to_be_bytes());
        header[6..8].copy_from_slice(&fragment);
        header[8] = 64; // time to live
        header[9] = PROTOCOL_UDP;
        header[12..16].copy_from_slice(&self.source.ip().octets());
        header[16..20].copy_from_slice(&self.destination.ip().octets());
        let checksum = checksum(&header);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        header
    }

    /// RFC 768: header and payload.
    fn udp(&self) -> Vec<u8> {
        let len = length(UDP_LEN + self.payload.len());
        let mut udp = Vec::with_capacity(UDP_LEN + self.payload.len());
        udp.extend(self.source.port().to_be_bytes());
        udp.extend(self.destination.port().to_be_bytes());
        udp.extend(len);
        udp.extend([0, 0]);
        udp.extend(&self.payload);

        let mut summed = Vec::with_capacity(12 + udp.len());
        summed.extend(self.source.ip().octets());
        summed.extend(self.destination.ip().octets());
        summed.extend([0, PROTOCOL_UDP]);
        summed.extend(len);
        summed.extend(&udp);
        let mut checksum = checksum(&summed);
        if self.wrong_checksum {
            checksum ^= 1;
        }
        if checksum == 0 {
            checksum = 0xffff; // the same sum: 0 would say that there is no checksum
        }
        udp[6..8].copy_from_slice(&checksum.to_be_bytes());
        udp
    }
}

impl Sender {
    /// Opens a sender in the namespace of the calling thread.
    pub(super) fn open(interface: &str) -> Self {
        let link = getifaddrs()
            .expect("the interfaces can be listed")
            .filter(|entry| entry.interface_name == interface)
            .find_map(|entry| entry.address?.as_link_addr().copied())
            .unwrap_or_else(|| panic!("there is no interface {interface}"));
        // Without a protocol: it sends, and receives nothing.
        let socket = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            None,
        )
        .expect("the laboratory may open packet sockets");
        bind(socket.as_raw_fd(), &link).expect("a packet socket binds to an interface");
        Self {
            socket,
            mac: link.addr().expect("Ethernet has addresses"),
        }
    }

    /// The Ethernet address of its interface: where others send frames for this host to.
    pub fn mac(&self) -> MacAddress {
        self.mac
    }

    /// Sends it, with the interface's own Ethernet address as the source.
    ///
    /// # Panics
    /// If the interface is down or the system refuses it.
    pub fn send(&self, datagram: &Datagram) {
        self.send_frame(&datagram.frame(self.mac));
    }

    /// Sends a whole Ethernet frame as it is: for floods, and for what is no datagram.
    ///
    /// # Panics
    /// If the interface is down or the system refuses it.
    pub fn send_frame(&self, frame: &[u8]) {
        let sent = send(self.socket.as_raw_fd(), frame, MsgFlags::empty());
        assert_eq!(sent, Ok(frame.len()), "the frame can be sent");
    }
}

/// A length as both headers have it.
fn length(len: usize) -> [u8; 2] {
    u16::try_from(len)
        .expect("a frame is shorter")
        .to_be_bytes()
}

/// The Internet checksum (RFC 1071): the complement of the one's complement sum.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        let low = pair.get(1).copied().unwrap_or(0);
        sum += u32::from(u16::from_be_bytes([pair[0], low]));
    }
    while let carry @ 1.. = sum >> 16 {
        sum = (sum & 0xffff) + carry;
    }
    !u16::try_from(sum).expect("the carries are added")
}
