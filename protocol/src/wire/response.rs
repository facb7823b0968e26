//! The response: the prefix, an IP address, optionally a colon and a port.
//!
//! ```text
//! 53 45 52 56 45 52 5f 49 50 3a | 31 30 2e 30 2e 30 2e 37 | 3a | 38 30 30 30
//! S  E  R  V  E  R  _  I  P  :  | 1  0  .  0  .  0  .  7  | :  | 8  0  0  0
//! response prefix               | IPv4, or [IPv6]         |    | port, 1 to 65535
//! ```

use core::fmt;
use core::net::IpAddr;
use core::num::NonZeroU16;

use super::error::DecodeError;
use super::grammar;
use super::host_ip::{HostIp, NotAHost};
use super::word::Word;
use bytes::BytesMut;

/// The answer of a server: its address, and optionally the port of its service.
///
/// It is a claim, because anybody on the network can send one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Response {
    ip: HostIp,
    port: Option<NonZeroU16>,
}

impl Response {
    /// Creates a response with the address `ip` and an optional port.
    pub fn new(ip: HostIp, port: Option<NonZeroU16>) -> Self {
        Self { ip, port }
    }

    /// The address of the server.
    pub fn ip(&self) -> IpAddr {
        self.ip.get()
    }

    /// The port of the service, if the response has one.
    pub fn port(&self) -> Option<NonZeroU16> {
        self.port
    }

    /// Parses `datagram`, which must start with `prefix`.
    pub(crate) fn parse(prefix: &Word, datagram: &[u8]) -> Result<Self, DecodeError> {
        let rest = datagram
            .strip_prefix(prefix.as_bytes())
            .ok_or(DecodeError::UnknownMessage)?;
        let (ip, port) = grammar::endpoint(rest)?;
        let ip = HostIp::new(ip).map_err(|NotAHost { ip }| DecodeError::NotAHost { ip })?;
        Ok(Self::new(ip, port))
    }

    pub(crate) fn emit(self, prefix: &Word, out: &mut BytesMut) {
        out.extend_from_slice(prefix.as_bytes());
        // Writing to a BytesMut cannot fail, because it grows.
        let _ = self.write(out);
    }

    pub(crate) fn len(self, prefix: &Word) -> usize {
        let mut counter = Counter(prefix.as_bytes().len());
        let _ = self.write(&mut counter);
        counter.0
    }
}

/// Writes the canonical form, as on the wire after the prefix: `10.0.0.7:8000`, `[fe80::1]`.
impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

impl Response {
    /// Writes the canonical form. An IPv4 address is written number by number, in a quarter of the
    /// time that its `Display` takes, because a server does this for each request.
    fn write(self, out: &mut impl fmt::Write) -> fmt::Result {
        let mut number = itoa::Buffer::new();
        match self.ip.get() {
            IpAddr::V4(ip) => {
                for (at, octet) in ip.octets().into_iter().enumerate() {
                    if at > 0 {
                        out.write_char('.')?;
                    }
                    out.write_str(number.format(octet))?;
                }
            }
            IpAddr::V6(ip) => write!(out, "[{ip}]")?,
        }
        if let Some(port) = self.port {
            out.write_char(':')?;
            out.write_str(number.format(port.get()))?;
        }
        Ok(())
    }
}

/// Counts the bytes written to it.
struct Counter(usize);

impl fmt::Write for Counter {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    const GOLDEN: [(&[u8], &str, Option<u16>); 4] = [
        (
            b"\x53\x45\x52\x56\x45\x52\x5f\x49\x50\x3a192.168.1.7",
            "192.168.1.7",
            None,
        ),
        (b"SERVER_IP:192.168.1.7:8000", "192.168.1.7", Some(8000)),
        (b"SERVER_IP:[fe80::1]:8000", "fe80::1", Some(8000)),
        (b"SERVER_IP:[2001:db8::7]", "2001:db8::7", None),
    ];

    fn prefix() -> Word {
        Word::new(crate::wire::DEFAULT_RESPONSE_PREFIX).unwrap()
    }

    fn response(ip: &str, port: Option<u16>) -> Response {
        let port = port.map(|port| NonZeroU16::new(port).unwrap());
        Response::new(ip.parse().unwrap(), port)
    }

    #[test]
    fn golden_bytes_are_read() {
        for (bytes, ip, port) in GOLDEN {
            assert_eq!(Response::parse(&prefix(), bytes), Ok(response(ip, port)));
        }
    }

    #[test]
    fn golden_bytes_are_written() {
        for (bytes, ip, port) in GOLDEN {
            let mut out = BytesMut::new();
            response(ip, port).emit(&prefix(), &mut out);
            assert_eq!(&out[..], bytes);
            assert_eq!(response(ip, port).len(&prefix()), bytes.len());
        }
    }

    #[test]
    fn it_is_displayed_in_its_canonical_form() {
        assert_eq!(response("10.0.0.7", None).to_string(), "10.0.0.7");
        assert_eq!(response("FE80:0::1", Some(1)).to_string(), "[fe80::1]:1");
    }
}
