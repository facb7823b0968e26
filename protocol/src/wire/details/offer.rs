//! What a server tells of itself.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::{BufMut as _, Bytes, BytesMut};
use thiserror::Error;

use super::ids::{Nonce, RunId, ServerId};
use super::request::DETAILS_LEN;
use super::{MAX_NAME_LEN, VERSION, is_key, is_reserved, is_text};
use crate::wire::codec::Codec;
use crate::wire::response::Response;

/// The longest address and port of a response: an IPv6 address in brackets, a colon and 5 digits.
const MAX_ENDPOINT_LEN: usize = 41 + 6;

/// The length of the line of a signature.
pub(super) const SIGNATURE_LINE_LEN: usize = "sig=".len() + 86 + 1;

/// Who a server is: its identity, which start of it this is, and optionally a name and properties.
///
/// ```
/// use udp_discovery_protocol::{Details, RunId, ServerId};
///
/// let details = Details::new(ServerId::new([7; 32]), RunId::new([1; 8]))
///     .with_name("Printer, 2nd floor")?
///     .with_property("version", "1.2")?;
/// assert_eq!(details.property("Version"), Some("1.2"));
/// # Ok::<(), udp_discovery_protocol::InvalidDetails>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Details {
    id: ServerId,
    run: RunId,
    name: Option<String>,
    properties: Vec<(String, String)>,
}

/// Why a name or a property cannot be part of [`Details`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidDetails {
    /// The name has more than 63 bytes.
    #[error("a name has at most 63 bytes, not {len}")]
    NameTooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// The name has control characters, such as a line end.
    #[error("a name cannot have control characters")]
    ControlInName,
    /// The key is empty or has other characters than printable ASCII without `=`.
    #[error("the key {key:?} of a property is not printable ASCII without `=`")]
    Key {
        /// The key.
        key: String,
    },
    /// The key is `id`, `run`, `name` or `sig`, in any case.
    #[error("the key {key:?} of a property is reserved")]
    ReservedKey {
        /// The key.
        key: String,
    },
    /// There is a property with this key, in any case.
    #[error("there are two properties with the key {key:?}")]
    RepeatedKey {
        /// The key.
        key: String,
    },
    /// The value has control characters, such as a line end.
    #[error("the value of the property {key:?} cannot have control characters")]
    ControlInValue {
        /// The key.
        key: String,
    },
}

/// The details do not fit into an answer with the longest address and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the name and the properties have {excess} bytes too many: an answer would have {len} of 512"
)]
#[non_exhaustive]
pub struct DetailsTooLong {
    /// The length of the longest answer in bytes.
    pub len: usize,
    /// How many bytes must go.
    pub excess: usize,
}

impl Details {
    /// Creates details without a name and properties.
    pub fn new(id: ServerId, run: RunId) -> Self {
        Self {
            id,
            run,
            name: None,
            properties: Vec::new(),
        }
    }

    /// The details of an answer, whose parts were checked. Of properties with the same key, the first
    /// remains.
    pub(super) fn parsed<'a>(
        id: ServerId,
        run: RunId,
        name: Option<&str>,
        properties: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let mut details = Self::new(id, run);
        details.name = name.map(ToOwned::to_owned);
        for (key, value) in properties {
            if details.property(key).is_none() {
                details.properties.push((key.to_owned(), value.to_owned()));
            }
        }
        details
    }

    /// Sets the [`name`](Self::name).
    ///
    /// # Errors
    /// [`InvalidDetails`], if it is longer than 63 bytes or has control characters.
    pub fn with_name(self, name: &str) -> Result<Self, InvalidDetails> {
        if name.len() > MAX_NAME_LEN {
            return Err(InvalidDetails::NameTooLong { len: name.len() });
        }
        if !is_text(name) {
            return Err(InvalidDetails::ControlInName);
        }
        let name = Some(name.to_owned());
        Ok(Self { name, ..self })
    }

    /// Adds a property. The key is printable ASCII without `=`, the value any text without control
    /// characters (RFC 6763, section 6.4).
    ///
    /// # Errors
    /// [`InvalidDetails`], if one of them cannot be used, or there is a property with the key.
    pub fn with_property(mut self, key: &str, value: &str) -> Result<Self, InvalidDetails> {
        let named = || key.to_owned();
        if !is_key(key) {
            return Err(InvalidDetails::Key { key: named() });
        }
        if is_reserved(key) {
            return Err(InvalidDetails::ReservedKey { key: named() });
        }
        if self.property(key).is_some() {
            return Err(InvalidDetails::RepeatedKey { key: named() });
        }
        if !is_text(value) {
            return Err(InvalidDetails::ControlInValue { key: named() });
        }
        self.properties.push((named(), value.to_owned()));
        Ok(self)
    }

    /// Replaces the [`id`](Self::id).
    pub fn with_id(self, id: ServerId) -> Self {
        Self { id, ..self }
    }

    /// Replaces the [`run`](Self::run).
    pub fn with_run(self, run: RunId) -> Self {
        Self { run, ..self }
    }

    /// The identity of the server.
    pub fn id(&self) -> ServerId {
        self.id
    }

    /// Which start of the server it is.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// The name for people. At most 63 bytes. It need not be unique.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The keys and values, in their order.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &str)> {
        let properties = self.properties.iter();
        properties.map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The value of a property. The case of `key` does not matter.
    pub fn property(&self, key: &str) -> Option<&str> {
        let mut properties = self.properties();
        properties
            .find(|(other, _)| other.eq_ignore_ascii_case(key))
            .map(|(_, value)| value)
    }
}

/// [`Details`] as they are in every answer of a server.
#[derive(Clone, Debug)]
pub struct EncodedDetails {
    /// Everything after the line of the nonce, but the signature.
    lines: Bytes,
}

impl EncodedDetails {
    /// Encodes `details` for the answers of a server with the words of `codec`.
    ///
    /// # Errors
    /// [`DetailsTooLong`], if an answer with the longest address and port, and the signature if the
    /// answers are `signed`, would have more than 512 bytes.
    pub fn new(details: &Details, codec: &Codec, signed: bool) -> Result<Self, DetailsTooLong> {
        let mut lines = BytesMut::new();
        let mut line = |key: &[u8], value: &[u8]| {
            lines.extend_from_slice(key);
            lines.put_u8(b'=');
            lines.extend_from_slice(value);
            lines.put_u8(b'\n');
        };
        line(b"id", details.id.text().as_bytes());
        line(b"run", details.run.text().as_bytes());
        if let Some(name) = &details.name {
            line(b"name", name.as_bytes());
        }
        for (key, value) in details.properties() {
            line(key.as_bytes(), value.as_bytes());
        }
        let first_line = codec.prefix().as_bytes().len() + MAX_ENDPOINT_LEN + 1;
        let nonce_line = VERSION.len() + Nonce::TEXT_LEN + 1;
        let signature = if signed { SIGNATURE_LINE_LEN } else { 0 };
        let len = first_line + nonce_line + lines.len() + signature;
        match len.checked_sub(DETAILS_LEN) {
            None | Some(0) => Ok(Self {
                lines: lines.freeze(),
            }),
            Some(excess) => Err(DetailsTooLong { len, excess }),
        }
    }
}

impl Codec {
    /// Appends an answer without a signature to `out`. With capacity for 512 bytes left in `out`, it
    /// does not allocate.
    pub fn encode_details(
        &self,
        response: Response,
        nonce: Nonce,
        details: &EncodedDetails,
        out: &mut BytesMut,
    ) {
        response.emit(self.prefix(), out);
        out.put_u8(b'\n');
        out.extend_from_slice(VERSION);
        out.extend_from_slice(nonce.text().as_bytes());
        out.put_u8(b'\n');
        out.extend_from_slice(&details.lines);
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;
    use crate::Word;

    fn details() -> Details {
        Details::new(ServerId::new([7; 32]), RunId::new([1; 8]))
    }

    #[test]
    fn what_an_answer_cannot_have_is_refused_where_it_is_made() {
        assert!(details().with_name(&"n".repeat(63)).is_ok());
        let too_long = details().with_name(&"n".repeat(64));
        assert_eq!(too_long, Err(InvalidDetails::NameTooLong { len: 64 }));
        for name in ["a\nb", "\u{7f}", "\u{85}", "\0"] {
            let error = details().with_name(name);
            assert_eq!(error, Err(InvalidDetails::ControlInName), "{name:?}");
        }
        let property = |key: &str, value: &str| details().with_property(key, value).unwrap_err();
        for key in ["", "a=b", "=", "é", "a\tb", "\u{7f}"] {
            assert!(
                matches!(property(key, ""), InvalidDetails::Key { .. }),
                "{key:?}"
            );
        }
        for key in ["id", "RUN", "Name", "sig"] {
            let error = property(key, "");
            assert!(matches!(error, InvalidDetails::ReservedKey { .. }), "{key}");
        }
        let error = property("a", "1\n2");
        assert!(matches!(error, InvalidDetails::ControlInValue { .. }));
        let twice = details()
            .with_property("a b", "")
            .unwrap()
            .with_property("A B", "1");
        assert!(matches!(twice, Err(InvalidDetails::RepeatedKey { .. })));
    }

    #[test]
    fn the_longest_answer_has_512_bytes() {
        for (prefix, signed, room) in [
            ("P", false, 375),
            ("P", true, 284),
            ("SERVER_IP:", true, 275),
        ] {
            let message = Word::new("M").unwrap();
            let codec = Codec::new(message, Word::new(prefix).unwrap()).unwrap();
            // Of the room, `v`, `=` and the line end take three bytes.
            let with = |len: usize| {
                let details = details().with_property("v", &"x".repeat(len - 3)).unwrap();
                EncodedDetails::new(&details, &codec, signed)
            };
            let fitting = with(room).unwrap();
            let longest = "1111:2222:3333:4444:5555:6666:7777:8888".parse().unwrap();
            let response = Response::new(longest, core::num::NonZeroU16::new(65_535));
            let mut out = BytesMut::with_capacity(DETAILS_LEN);
            codec.encode_details(response, Nonce::new([0; 15], 0), &fitting, &mut out);
            let signature = if signed { SIGNATURE_LINE_LEN } else { 0 };
            assert_eq!(out.len() + signature, DETAILS_LEN, "{prefix}");
            let error = with(room + 5).unwrap_err();
            assert_eq!((error.len, error.excess), (517, 5));
            assert!(error.to_string().contains("5 bytes too many"));
        }
    }

    #[test]
    fn with_the_longest_prefix_there_is_room_for_properties() {
        let codec =
            Codec::new(Word::new("M").unwrap(), Word::new(&"P".repeat(64)).unwrap()).unwrap();
        let named = details().with_name(&"n".repeat(63)).unwrap();
        let value = "x".repeat(130);
        let full = named.with_property("v", &value).unwrap();
        assert!(EncodedDetails::new(&full, &codec, true).is_ok());
    }
}
