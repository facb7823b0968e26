//! The requests for details: what makes them unique, and when they were sent.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use udp_discovery_protocol::{Codec, DETAILS_LEN, Nonce};

/// The nonces of a search, and when the probes of its links were sent with them. The sweep keeps the
/// times of its own requests.
///
/// There are at most as many times as links, their unicast destinations and probes.
#[derive(Debug)]
pub(crate) struct Nonces {
    random: [u8; 15],
    sent: HashMap<Sent, Instant>,
}

/// A request for details: the link, the address of a unicast destination, and the number of the probe.
type Sent = (usize, Option<IpAddr>, u8);

impl Nonces {
    pub(crate) fn new(random: [u8; 15]) -> Self {
        Self {
            random,
            sent: HashMap::new(),
        }
    }

    /// The request with the number of a probe.
    pub(crate) fn request(&self, codec: &Codec, probe: u8) -> Bytes {
        let mut request = BytesMut::with_capacity(DETAILS_LEN);
        codec.encode_details_request(Nonce::new(self.random, probe), &mut request);
        request.freeze()
    }

    /// Whether a nonce is one of this search.
    pub(crate) fn contains(&self, nonce: Nonce) -> bool {
        nonce.random() == self.random
    }

    /// Keeps when a request was sent. Without an address it was a broadcast or multicast.
    pub(crate) fn sent(&mut self, now: Instant, request: Sent) {
        self.sent.insert(request, now);
    }

    /// Takes back that a request was sent.
    pub(crate) fn not_sent(&mut self, request: Sent) {
        self.sent.remove(&request);
    }

    /// When a probe was sent on a link to `source`, or to everybody.
    pub(crate) fn sent_at(&self, link: usize, source: IpAddr, probe: u8) -> Option<Instant> {
        let of = |ip| self.sent.get(&(link, ip, probe));
        of(Some(source)).or_else(|| of(None)).copied()
    }
}

/// The number of a probe, or of a pass of a sweep, in its nonce. There are at most 255.
pub(crate) fn probe_number(number: usize) -> u8 {
    u8::try_from(number).expect("there are at most 255 probes")
}
