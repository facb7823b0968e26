//! Encoded answers, from the moment they are written until they are sent.

use std::fmt;
use std::ops::Deref;

use bytes::{Bytes, BytesMut};
use udp_discovery_protocol::DETAILS_LEN;

use crate::sys::BATCH;

/// The longest answers of one batch, in bytes.
const ROOM: usize = BATCH * DETAILS_LEN;

/// An encoded answer, which dereferences to its bytes. It shares the memory of other answers, so it is
/// small and needs no allocation of its own.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(Bytes);

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.escape_ascii())
    }
}

/// Where answers are written, one after the other. Once all answers are dropped, the next one starts from
/// the beginning. It allocates only when answers that are kept have left it full.
#[derive(Debug)]
pub(crate) struct Payloads(BytesMut);

impl Payloads {
    pub(crate) fn new() -> Self {
        let mut buffer = BytesMut::with_capacity(ROOM);
        // The first part of a buffer allocates its counter of references.
        drop(buffer.split());
        Self(buffer)
    }

    /// The answer that `write` appends to the buffer.
    pub(crate) fn write(&mut self, write: impl FnOnce(&mut BytesMut)) -> Payload {
        // Without success there are still answers, and the rest of the buffer serves.
        let _ = self.0.try_reclaim(ROOM);
        write(&mut self.0);
        Payload(self.0.split().freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_stays_as_it_is_until_it_is_dropped() {
        let mut payloads = Payloads::new();
        let mut write = |text: &[u8]| payloads.write(|out| out.extend_from_slice(text));
        let kept: Vec<Payload> = (0..2 * ROOM).map(|_| write(b"kept")).collect();
        drop(write(b"dropped"));
        assert!(kept.iter().all(|it| &it[..] == b"kept"));
        assert_eq!(format!("{:?}", write(b"a\n")), r#""a\n""#);
    }
}
