//! A host that sends junk, requests with forged sources, and floods.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::counts::{Count, Counters};
use super::topology::{
    FORGED, NETWORKS, PORT, Topology, absent_address, at, broadcast_address, forged_address,
    interface, server_address,
};
use crate::lab::raw::{BROADCAST, Datagram, MAX_PAYLOAD_LEN, MacAddress, Sender};
use crate::lab::{Host, Stop};

const REQUEST: &[u8] = b"DISCOVER_SERVER";
/// The time between two hostile datagrams.
const PAUSE: Duration = Duration::from_millis(10);
/// The time between two floods.
const FLOOD_PAUSE: Duration = Duration::from_secs(2);
/// The datagrams of a flood.
const FLOOD: u16 = 2000;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Junk,
    AlmostRequest,
    Response,
    PortZero,
    NoHost,
    Loopback,
    ServerItself,
    OffLink,
    OnLink,
    Absent,
    WrongChecksum,
    TooLong,
    Fragmented,
    ClosedPort,
}

const SINGLE: [Kind; 14] = [
    Kind::Junk,
    Kind::AlmostRequest,
    Kind::Response,
    Kind::PortZero,
    Kind::NoHost,
    Kind::Loopback,
    Kind::ServerItself,
    Kind::OffLink,
    Kind::OnLink,
    Kind::Absent,
    Kind::WrongChecksum,
    Kind::TooLong,
    Kind::Fragmented,
    Kind::ClosedPort,
];

/// The kinds that come as floods.
const FLOODS: [Kind; 5] = [
    Kind::Junk,
    Kind::OnLink,
    Kind::OffLink,
    Kind::Absent,
    Kind::WrongChecksum,
];

/// An attacker on every network.
pub(super) struct Attacker {
    host: Host,
    senders: Vec<Sender>,
    victims: Vec<MacAddress>,
    rng: Rng,
}

impl Attacker {
    pub(super) fn new(topology: &Topology, rng: Rng) -> Self {
        let networks = 0..NETWORKS;
        let sender = |network| topology.attacker.raw(&interface(network));
        Self {
            host: topology.attacker.clone(),
            senders: networks.clone().map(sender).collect(),
            victims: networks
                .map(|network| topology.server_mac(network))
                .collect(),
            rng,
        }
    }

    /// Attacks until the end.
    pub(super) fn run(mut self, counters: &Counters, stop: &Stop) {
        let mut next_flood = Instant::now() + FLOOD_PAUSE;
        while !stop.wait(PAUSE) {
            let network = self.rng.usize(0..NETWORKS);
            if Instant::now() < next_flood {
                let kind = SINGLE[self.rng.usize(0..SINGLE.len())];
                self.send(kind, network);
                counters.count(Count::Hostile);
            } else {
                self.flood(network, stop);
                counters.add(Count::Hostile, u64::from(FLOOD));
                next_flood = Instant::now() + FLOOD_PAUSE;
            }
        }
    }

    /// Floods from one source or from many.
    fn flood(&mut self, network: usize, stop: &Stop) {
        let kind = FLOODS[self.rng.usize(0..FLOODS.len())];
        if self.rng.bool() {
            let frame = self
                .datagram(kind, network)
                .frame(self.senders[network].mac());
            (0..FLOOD).for_each(|_| self.senders[network].send_frame(&frame));
        } else {
            for _ in 0..FLOOD {
                if stop.is_stopped() {
                    return;
                }
                self.send(kind, network);
            }
        }
    }

    fn send(&mut self, kind: Kind, network: usize) {
        match kind {
            // From a socket: the system splits it into fragments.
            Kind::Fragmented => {
                let len = self.rng.usize(MAX_PAYLOAD_LEN + 1..=65_507);
                self.send_by_socket(network, &REQUEST.repeat(len.div_ceil(REQUEST.len()))[..len]);
            }
            Kind::ClosedPort => self.send_by_socket(network, REQUEST),
            _ => {
                let datagram = self.datagram(kind, network);
                self.senders[network].send(&datagram);
            }
        }
    }

    /// Sends from a socket that is closed at once: an answer causes an ICMP message.
    fn send_by_socket(&self, network: usize, payload: &[u8]) {
        self.host.run(|| {
            let socket = UdpSocket::bind("0.0.0.0:0").expect("a port is free");
            // This fails while the server doesn't have that address, which is no error.
            let _ = socket.send_to(payload, at(server_address(network)));
        });
    }

    fn datagram(&mut self, kind: Kind, network: usize) -> Datagram {
        let source = self.source(kind, network);
        let payload = self.payload(kind);
        let (destination, mac) = match self.rng.u8(0..3) {
            0 => (Ipv4Addr::BROADCAST, BROADCAST),
            1 => (broadcast_address(network), BROADCAST),
            _ => (server_address(network), self.victims[network]),
        };
        let datagram = Datagram::new(source, at(destination), &payload).with_mac(mac);
        match kind {
            Kind::WrongChecksum => datagram.with_wrong_checksum(),
            _ => datagram,
        }
    }

    fn source(&mut self, kind: Kind, network: usize) -> SocketAddrV4 {
        let rng = &mut self.rng;
        let ip = match kind {
            Kind::NoHost => {
                let no_hosts = [
                    Ipv4Addr::UNSPECIFIED,
                    Ipv4Addr::BROADCAST,
                    broadcast_address(network),
                    Ipv4Addr::new(224, 0, 0, 1),
                    Ipv4Addr::new(240, 0, 0, 1),
                ];
                no_hosts[rng.usize(0..no_hosts.len())]
            }
            Kind::Loopback => Ipv4Addr::LOCALHOST,
            Kind::ServerItself => server_address(rng.usize(0..NETWORKS)),
            Kind::OffLink => Ipv4Addr::new(203, 0, 113, rng.u8(1..255)),
            Kind::Absent => absent_address(network, rng.u8(1..=FORGED)),
            _ => forged_address(network, rng.u8(1..=FORGED)),
        };
        let port = match kind {
            Kind::PortZero => 0,
            Kind::ServerItself => PORT,
            _ => rng.u16(1024..),
        };
        SocketAddrV4::new(ip, port)
    }

    fn payload(&mut self, kind: Kind) -> Vec<u8> {
        let rng = &mut self.rng;
        match kind {
            Kind::Junk => (0..rng.usize(0..200)).map(|_| rng.u8(..)).collect(),
            Kind::AlmostRequest => {
                let tails: [&[u8]; 5] = [b"\n", b"\r\n", b"\0", b" ", REQUEST];
                match rng.usize(0..=tails.len()) {
                    it if it < tails.len() => [REQUEST, tails[it]].concat(),
                    _ => REQUEST[..rng.usize(0..REQUEST.len())].to_vec(),
                }
            }
            Kind::Response => b"SERVER_IP:192.0.2.1:8000".to_vec(),
            Kind::TooLong => REQUEST.repeat(rng.usize(2..=MAX_PAYLOAD_LEN / REQUEST.len())),
            _ => REQUEST.to_vec(),
        }
    }
}
