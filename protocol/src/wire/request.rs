//! The request: exactly the discovery message.
//!
//! ```text
//! 44 49 53 43 4f 56 45 52 5f 53 45 52 56 45 52
//! D  I  S  C  O  V  E  R  _  S  E  R  V  E  R
//! ```

use core::fmt;

use bytes::BytesMut;

use super::word::Word;

/// The message that a client sends to find servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[allow(clippy::exhaustive_structs, reason = "a request has no content")]
pub struct Request;

impl Request {
    /// Parses `datagram`, which must equal the discovery message.
    pub(crate) fn parse(message: &Word, datagram: &[u8]) -> Option<Self> {
        (datagram == message.as_bytes()).then_some(Self)
    }

    pub(crate) fn emit(message: &Word, out: &mut BytesMut) {
        out.extend_from_slice(message.as_bytes());
    }

    pub(crate) fn len(message: &Word) -> usize {
        message.as_bytes().len()
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("request")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &[u8] = b"\x44\x49\x53\x43\x4f\x56\x45\x52\x5f\x53\x45\x52\x56\x45\x52";

    fn message() -> Word {
        Word::new(crate::wire::DEFAULT_MESSAGE).unwrap()
    }

    #[test]
    fn golden_bytes_are_read() {
        assert_eq!(Request::parse(&message(), GOLDEN), Some(Request));
    }

    #[test]
    fn golden_bytes_are_written() {
        let mut out = BytesMut::new();
        Request::emit(&message(), &mut out);
        assert_eq!(&out[..], GOLDEN);
        assert_eq!(Request::len(&message()), GOLDEN.len());
    }
}
