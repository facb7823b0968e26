//! Reads and writes messages with a discovery message and a response prefix.

use bytes::BytesMut;
use thiserror::Error;

use super::error::DecodeError;
use super::request::Request;
use super::response::Response;
use super::word::Word;
use super::{DEFAULT_MESSAGE, DEFAULT_RESPONSE_PREFIX, MAX_DATAGRAM_LEN};

/// A message of the wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(
    clippy::exhaustive_enums,
    reason = "the wire format has only these two"
)]
pub enum Message {
    /// From a client, to find servers.
    Request(Request),
    /// From a server, with its address.
    Response(Response),
}

/// Reads and writes datagrams with a discovery message and a response prefix.
///
/// ```
/// use bytes::BytesMut;
/// use udp_discovery_protocol::{Codec, Message, Request, Response};
///
/// let codec = Codec::default();
/// assert_eq!(codec.decode(b"DISCOVER_SERVER")?, Message::Request(Request));
///
/// let response = Message::Response(Response::new("192.168.1.7".parse()?, None));
/// let mut datagram = BytesMut::new();
/// codec.encode(response, &mut datagram);
/// assert_eq!(&datagram[..], b"SERVER_IP:192.168.1.7");
/// assert_eq!(codec.decode(&datagram)?, response);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Codec {
    message: Word,
    prefix: Word,
}

/// The discovery message starts with the response prefix, or the reverse.
///
/// A response could be mistaken for a request, and two servers could answer each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("neither the discovery message nor the response prefix may start with the other")]
#[non_exhaustive]
pub struct WordsConflict;

impl Codec {
    /// Creates a codec for `message` and `prefix`.
    ///
    /// # Errors
    /// [`WordsConflict`], if one of them starts with the other.
    pub fn new(message: Word, prefix: Word) -> Result<Self, WordsConflict> {
        let (a, b) = (message.as_str(), prefix.as_str());
        if a.starts_with(b) || b.starts_with(a) {
            return Err(WordsConflict);
        }
        Ok(Self { message, prefix })
    }

    /// The discovery message, which is a whole request.
    pub fn message(&self) -> &Word {
        &self.message
    }

    /// The response prefix, which every response starts with.
    pub fn prefix(&self) -> &Word {
        &self.prefix
    }

    /// Decodes one datagram. It does not allocate.
    ///
    /// A request must equal the discovery message. A response may have spaces and tabs around its
    /// address and its port, and a line end after them, as the Python client allows.
    ///
    /// # Errors
    /// [`DecodeError`], if `datagram` is not a message.
    #[doc(alias = "parse_response")]
    pub fn decode(&self, datagram: &[u8]) -> Result<Message, DecodeError> {
        if let Some(request) = Request::parse(&self.message, datagram) {
            return Ok(Message::Request(request));
        }
        if datagram.is_empty() {
            return Err(DecodeError::Empty);
        }
        if datagram.len() > MAX_DATAGRAM_LEN {
            return Err(DecodeError::TooLong {
                len: datagram.len(),
            });
        }
        Response::parse(&self.prefix, datagram).map(Message::Response)
    }

    /// Appends the canonical form of `message` to `out`. It allocates only if `out` has less capacity
    /// left than [`encoded_len`](Self::encoded_len).
    pub fn encode(&self, message: Message, out: &mut BytesMut) {
        match message {
            Message::Request(Request) => Request::emit(&self.message, out),
            Message::Response(response) => response.emit(&self.prefix, out),
        }
    }

    /// How many bytes [`encode`](Self::encode) writes for `message`.
    pub fn encoded_len(&self, message: Message) -> usize {
        match message {
            Message::Request(Request) => Request::len(&self.message),
            Message::Response(response) => response.len(&self.prefix),
        }
    }
}

/// [`DEFAULT_MESSAGE`] and [`DEFAULT_RESPONSE_PREFIX`].
impl Default for Codec {
    fn default() -> Self {
        let word = |text| Word::new(text).expect("the defaults are words");
        Self {
            message: word(DEFAULT_MESSAGE),
            prefix: word(DEFAULT_RESPONSE_PREFIX),
        }
    }
}
