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
//! A packet(7) socket sends each frame past the host's routes, firewall and neighbour table.

use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd, OwnedFd};

use etherparse::{EtherType, Ethernet2Header, IpFragOffset, IpNumber, Ipv4Header, UdpHeader};
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, bind, send, socket};

/// An Ethernet address.
pub type MacAddress = [u8; 6];

/// The Ethernet broadcast address.
pub const BROADCAST: MacAddress = [0xff; 6];

/// The longest payload of a datagram in one frame, in bytes.
pub const MAX_PAYLOAD_LEN: usize = 1500 - Ipv4Header::MIN_LEN - UdpHeader::LEN;

const TIME_TO_LIVE: u8 = 64;

/// A UDP datagram over IPv4 with any source and destination.
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
    /// A datagram to [`BROADCAST`], with correct checksums.
    ///
    /// # Panics
    /// If the payload is longer than [`MAX_PAYLOAD_LEN`].
    pub fn new(source: SocketAddrV4, destination: SocketAddrV4, payload: &[u8]) -> Self {
        assert!(
            payload.len() <= MAX_PAYLOAD_LEN,
            "a frame takes at most {MAX_PAYLOAD_LEN} bytes of payload"
        );
        Self {
            source,
            destination,
            payload: payload.to_vec(),
            mac: BROADCAST,
            wrong_checksum: false,
        }
    }

    /// Sets the destination Ethernet address. A host accepts a unicast IP address in a broadcast
    /// frame, but records that it came as a broadcast.
    pub fn with_mac(mut self, mac: MacAddress) -> Self {
        self.mac = mac;
        self
    }

    /// Makes the UDP checksum wrong: the receiving kernel checks it only when it copies the
    /// payload to the program, after it has woken it.
    pub fn with_wrong_checksum(mut self) -> Self {
        self.wrong_checksum = true;
        self
    }

    /// The Ethernet frame that carries it, without the frame check sequence.
    pub fn frame(&self, source_mac: MacAddress) -> Vec<u8> {
        let udp = self.udp();
        self.frame_with(source_mac, &self.ip_header(udp.len()), &udp)
    }

    /// The frames that carry it in fragments of `len` bytes, the last one shorter (RFC 791,
    /// section 2.3). The fragments of each datagram have an `id` of their own.
    ///
    /// # Panics
    /// If `len` isn't a positive multiple of 8.
    pub fn fragments(&self, source_mac: MacAddress, id: u16, len: usize) -> Vec<Vec<u8>> {
        assert!(
            len > 0 && len.is_multiple_of(8),
            "fragments are multiples of 8 bytes"
        );
        let udp = self.udp();
        let fragment = |(nth, bytes): (usize, &[u8])| {
            let mut header = self.ip_header(bytes.len());
            let offset = u16::try_from(nth * len / 8).expect("a frame is shorter");
            header.identification = id;
            header.fragment_offset = IpFragOffset::try_new(offset).expect("a frame is shorter");
            header.more_fragments = (nth + 1) * len < udp.len();
            self.frame_with(source_mac, &header, bytes)
        };
        udp.chunks(len).enumerate().map(fragment).collect()
    }

    fn frame_with(&self, source_mac: MacAddress, ip: &Ipv4Header, payload: &[u8]) -> Vec<u8> {
        let ethernet = Ethernet2Header {
            source: source_mac,
            destination: self.mac,
            ether_type: EtherType::IPV4,
        };
        let mut ip = ip.clone();
        ip.header_checksum = ip.calc_header_checksum();
        [&ethernet.to_bytes()[..], &ip.to_bytes(), payload].concat()
    }

    fn ip_header(&self, payload_len: usize) -> Ipv4Header {
        let len = u16::try_from(payload_len).expect("a frame is shorter");
        let [source, destination] = [self.source, self.destination].map(|it| it.ip().octets());
        Ipv4Header::new(len, TIME_TO_LIVE, IpNumber::UDP, source, destination)
            .expect("a frame is shorter")
    }

    /// The UDP header and the payload.
    fn udp(&self) -> Vec<u8> {
        let (from, to) = (self.source.port(), self.destination.port());
        let ip = self.ip_header(UdpHeader::LEN + self.payload.len());
        let mut header = UdpHeader::with_ipv4_checksum(from, to, &ip, &self.payload)
            .expect("a frame is shorter");
        if self.wrong_checksum {
            // Never 0, which would say that there is no checksum.
            header.checksum = if header.checksum == 1 {
                2
            } else {
                header.checksum ^ 1
            };
        }
        [&header.to_bytes()[..], &self.payload].concat()
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
        // Without a protocol it only sends.
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

    /// The Ethernet address of its interface.
    pub fn mac(&self) -> MacAddress {
        self.mac
    }

    /// Sends a datagram, with the interface's own Ethernet address as the source.
    ///
    /// # Panics
    /// If the interface is down or the system refuses it.
    pub fn send(&self, datagram: &Datagram) {
        self.send_frame(&datagram.frame(self.mac));
    }

    /// Sends a whole Ethernet frame as it is: for floods, and for fragments.
    ///
    /// # Panics
    /// If the interface is down or the system refuses it.
    pub fn send_frame(&self, frame: &[u8]) {
        let sent = send(self.socket.as_raw_fd(), frame, MsgFlags::empty());
        assert_eq!(sent, Ok(frame.len()), "the frame can be sent");
    }
}
