//! The request for details: exactly 512 bytes.

use bytes::{BufMut as _, BytesMut};
use thiserror::Error;

use super::VERSION;
use super::ids::Nonce;
use crate::wire::codec::Codec;

/// The length of a request for details, and of the longest answer, in bytes. An answer is never longer
/// than its request, and both fit every known buffer of the peers.
pub const DETAILS_LEN: usize = 512;

/// At least as many spaces as a request has. Looking at each byte takes 9 % of the time that a server needs
/// for a request, comparing with these hardly any.
static SPACES: [u8; DETAILS_LEN] = [b' '; DETAILS_LEN];

/// Why a datagram is not a request for details.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DetailsRequestError {
    /// It does not begin with the discovery message and a line end.
    #[error("not a request for details")]
    NotDetails,
    /// It does not have exactly 512 bytes.
    #[error("a request for details of {len} bytes, not 512")]
    Length {
        /// Its length in bytes.
        len: usize,
    },
    /// Its second line does not begin with `1` and a space.
    #[error("a request for details of an unknown version")]
    UnknownVersion,
    /// Its nonce is not 22 characters of canonical base64url and a line end.
    #[error("a request for details with a malformed nonce")]
    MalformedNonce,
    /// Something other than spaces follows the nonce.
    #[error("a request for details with other padding than spaces")]
    Padding,
}

impl Codec {
    /// Appends a request for details to `out`: 512 bytes.
    ///
    /// ```
    /// use bytes::BytesMut;
    /// use udp_discovery_protocol::{Codec, DETAILS_LEN, Nonce};
    ///
    /// let (codec, mut request) = (Codec::default(), BytesMut::new());
    /// let nonce = Nonce::new(*b"15 random bytes", 0);
    /// codec.encode_details_request(nonce, &mut request);
    /// assert_eq!(request.len(), DETAILS_LEN);
    /// assert!(request.starts_with(b"DISCOVER_SERVER\n1 MTUgcmFuZG9tIGJ5dGVzAA\n  "));
    /// assert_eq!(codec.decode_details_request(&request), Ok(nonce));
    /// ```
    pub fn encode_details_request(&self, nonce: Nonce, out: &mut BytesMut) {
        let start = out.len();
        out.extend_from_slice(self.message().as_bytes());
        out.put_u8(b'\n');
        out.extend_from_slice(VERSION);
        out.extend_from_slice(nonce.text().as_bytes());
        out.put_u8(b'\n');
        out.resize(start + DETAILS_LEN, b' ');
    }

    /// Decodes a request for details. It does not allocate.
    ///
    /// # Errors
    /// [`DetailsRequestError`], if `datagram` is not one.
    pub fn decode_details_request(&self, datagram: &[u8]) -> Result<Nonce, DetailsRequestError> {
        let rest = datagram
            .strip_prefix(self.message().as_bytes())
            .and_then(|rest| rest.strip_prefix(b"\n"))
            .ok_or(DetailsRequestError::NotDetails)?;
        if datagram.len() != DETAILS_LEN {
            return Err(DetailsRequestError::Length {
                len: datagram.len(),
            });
        }
        let rest = rest
            .strip_prefix(VERSION)
            .ok_or(DetailsRequestError::UnknownVersion)?;
        let (nonce, rest) = rest.split_at(Nonce::TEXT_LEN);
        let nonce = Nonce::parse(nonce).ok_or(DetailsRequestError::MalformedNonce)?;
        let padding = rest
            .strip_prefix(b"\n")
            .ok_or(DetailsRequestError::MalformedNonce)?;
        if !SPACES.starts_with(padding) {
            return Err(DetailsRequestError::Padding);
        }
        Ok(nonce)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn nonce() -> Nonce {
        Nonce::new(*b"abcdefghijklmno", 200)
    }

    fn request(codec: &Codec) -> Vec<u8> {
        let mut request = BytesMut::new();
        codec.encode_details_request(nonce(), &mut request);
        request.to_vec()
    }

    #[test]
    fn a_request_has_512_bytes_with_any_words() {
        let longest = Codec::new(
            crate::Word::new(&"M".repeat(64)).unwrap(),
            crate::Word::new("P").unwrap(),
        );
        for codec in [Codec::default(), longest.unwrap()] {
            let request = request(&codec);
            assert_eq!(request.len(), DETAILS_LEN);
            assert_eq!(codec.decode_details_request(&request), Ok(nonce()));
            assert!(codec.decode(&request).is_err(), "it is no plain request");
        }
    }

    /// Every other datagram that differs in one byte, or is longer or shorter.
    #[test]
    fn fault_57_what_is_not_exactly_a_request_is_refused() {
        use DetailsRequestError::{Length, MalformedNonce, NotDetails, Padding, UnknownVersion};
        let codec = Codec::default();
        let request = request(&codec);
        for (at, &byte) in request.iter().enumerate() {
            for other in [byte ^ 1, byte ^ 0x20, b'\n', b'=', 0, 0xff] {
                if other == byte {
                    continue;
                }
                let mut changed = request.clone();
                changed[at] = other;
                let error = codec.decode_details_request(&changed);
                match at {
                    0..16 => assert_eq!(error, Err(NotDetails)),
                    16..18 => assert_eq!(error, Err(UnknownVersion)),
                    // Another nonce may be one too.
                    18..40 => assert!(matches!(error, Ok(_) | Err(MalformedNonce))),
                    40 => assert_eq!(error, Err(MalformedNonce)),
                    _ => assert_eq!(error, Err(Padding)),
                }
            }
        }
        for len in (0..DETAILS_LEN).chain([DETAILS_LEN + 1, 4096]) {
            let mut changed = request.clone();
            changed.resize(len, b' ');
            let expected = if len < 16 { NotDetails } else { Length { len } };
            assert_eq!(codec.decode_details_request(&changed), Err(expected));
        }
    }
}
