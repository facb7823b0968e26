//! Values made from a fuzzer's bytes.
//!
//! Bytes are read in order, and zeros follow the last one. So a corpus file means the same in every
//! version, and a dictionary's words appear where the fuzzer puts them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::num::NonZeroU16;

/// What is left of a fuzzer's bytes.
#[derive(Clone, Debug)]
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// All of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether only zeros follow.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    /// The lowest bit of one byte.
    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Two bytes, the high one first.
    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.array())
    }

    /// Four bytes, the highest first.
    pub fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.array())
    }

    /// One of `choices`, by one byte.
    ///
    /// # Panics
    /// If there is none.
    pub fn choose<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.byte()) % choices.len()]
    }

    /// One byte with a length, and that many bytes.
    pub fn bytes(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(len);
        self.0 = rest;
        bytes
    }

    /// A port, or `None` for 0.
    pub fn port(&mut self) -> Option<NonZeroU16> {
        NonZeroU16::new(self.u16())
    }

    /// An address: a byte, then four bytes, or sixteen if the first is odd.
    pub fn ip(&mut self) -> IpAddr {
        if self.flag() {
            Ipv6Addr::from(self.array::<16>()).into()
        } else {
            Ipv4Addr::from(self.array::<4>()).into()
        }
    }

    /// One of `known`, or any address after the byte 255.
    ///
    /// # Panics
    /// If one of `known` is no address.
    pub fn ip_among(&mut self, known: &[&str]) -> IpAddr {
        match self.byte() {
            255 => self.ip(),
            at => known[usize::from(at) % known.len()]
                .parse()
                .expect("it is an address"),
        }
    }

    /// One of `known` or any address, with any scope if it is link-local, and one of `ports` or,
    /// after the byte 255, any port.
    pub fn socket_address(&mut self, known: &[&str], ports: &[u16]) -> SocketAddr {
        let ip = self.ip_among(known);
        let port = match self.byte() {
            255 => self.u16(),
            at => ports[usize::from(at) % ports.len()],
        };
        match ip {
            // As the system reports it: with the index of the interface.
            IpAddr::V6(ip) if ip.is_unicast_link_local() => {
                SocketAddrV6::new(ip, port, 0, self.byte().into()).into()
            }
            ip => SocketAddr::new(ip, port),
        }
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let len = N.min(self.0.len());
        let (bytes, rest) = self.0.split_at(len);
        array[..len].copy_from_slice(bytes);
        self.0 = rest;
        array
    }
}
