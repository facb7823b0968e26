//! Random bytes that name a request, a server and a start of it, as base64url without padding
//! (RFC 4648, section 5).

use core::fmt;
use core::str::{self, FromStr};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use thiserror::Error;

/// What makes a request for details unique: 15 random bytes of the search, and the number of the probe.
///
/// An answer repeats it, so that an old answer is recognized, and round-trip times can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nonce([u8; 16]);

impl Nonce {
    /// The length of its text.
    pub(super) const TEXT_LEN: usize = 22;

    /// Creates a nonce. `random` must be fresh for each search.
    pub fn new(random: [u8; 15], probe: u8) -> Self {
        let mut bytes = [probe; 16];
        bytes[..15].copy_from_slice(&random);
        Self(bytes)
    }

    /// The bytes of the search.
    pub fn random(&self) -> [u8; 15] {
        let mut random = [0; 15];
        random.copy_from_slice(&self.0[..15]);
        random
    }

    /// The number of the probe.
    pub fn probe(&self) -> u8 {
        self.0[15]
    }

    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        decode(text).map(Self)
    }

    pub(super) fn text(self) -> Text<{ Self::TEXT_LEN }> {
        Text::new(&self.0)
    }
}

/// The identity of a server, for as long as it lives: 32 random bytes, or its Ed25519 public key.
///
/// ```
/// use udp_discovery_protocol::ServerId;
///
/// let id = ServerId::new([7; 32]);
/// let text = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";
/// assert_eq!(id.to_string(), text);
/// assert_eq!(text.parse(), Ok(id));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId([u8; 32]);

impl ServerId {
    /// The length of its text.
    pub(super) const TEXT_LEN: usize = 43;

    /// Creates an identity of these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        decode(text).map(Self)
    }

    pub(super) fn text(self) -> Text<{ Self::TEXT_LEN }> {
        Text::new(&self.0)
    }
}

/// One start of a server: 8 bytes that it draws each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId([u8; 8]);

impl RunId {
    /// The length of its text.
    pub(super) const TEXT_LEN: usize = 11;

    /// Creates the name of a start from these bytes.
    pub fn new(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }

    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        decode(text).map(Self)
    }

    pub(super) fn text(self) -> Text<{ Self::TEXT_LEN }> {
        Text::new(&self.0)
    }
}

/// A text that is not the canonical base64url form of a [`ServerId`] (43 characters) or a [`RunId`]
/// (11 characters).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it is not {len} characters of base64url (A to Z, a to z, 0 to 9, - and _)")]
#[non_exhaustive]
pub struct ParseIdError {
    /// The length that it must have.
    pub len: usize,
}

impl FromStr for ServerId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let len = Self::TEXT_LEN;
        Self::parse(text.as_bytes()).ok_or(ParseIdError { len })
    }
}

impl FromStr for RunId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let len = Self::TEXT_LEN;
        Self::parse(text.as_bytes()).ok_or(ParseIdError { len })
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text().as_str())
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text().as_str())
    }
}

/// Base64url of fixed length.
pub(super) struct Text<const LEN: usize>([u8; LEN]);

impl<const LEN: usize> Text<LEN> {
    pub(super) fn new(bytes: &[u8]) -> Self {
        let mut text = [0; LEN];
        let encoded = Base64UrlUnpadded::encode(bytes, &mut text);
        encoded.expect("the length is that of these bytes");
        Self(text)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("base64url is ASCII")
    }
}

/// Exactly `LEN` bytes, from their canonical form.
pub(super) fn decode<const LEN: usize>(text: &[u8]) -> Option<[u8; LEN]> {
    let mut bytes = [0; LEN];
    let decoded = Base64UrlUnpadded::decode(text, &mut bytes).ok()?;
    (decoded.len() == LEN).then_some(())?;
    // Canonical: no unused bits.
    let mut again = [0; 86];
    let again = Base64UrlUnpadded::encode(&bytes, &mut again).ok()?;
    (again.as_bytes() == text).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_nonce_has_the_probe_last() {
        let nonce = Nonce::new(*b"abcdefghijklmno", 3);
        assert_eq!(nonce.text().as_bytes(), b"YWJjZGVmZ2hpamtsbW5vAw");
        assert_eq!(Nonce::parse(b"YWJjZGVmZ2hpamtsbW5vAw"), Some(nonce));
        assert_eq!((nonce.random(), nonce.probe()), (*b"abcdefghijklmno", 3));
    }

    #[test]
    fn an_id_is_parsed_as_it_is_displayed() {
        let id = ServerId::new(core::array::from_fn(|at| u8::try_from(at * 8 + 3).unwrap()));
        assert_eq!(id.to_string().parse(), Ok(id));
        let run = RunId::new([0xff; 8]);
        assert_eq!(run.to_string(), "__________8");
        assert_eq!("__________8".parse(), Ok(run));
    }

    #[test]
    fn what_is_not_canonical_is_refused() {
        for text in [
            "",
            "__________",
            "___________8",
            // Unused bits that are not zero.
            "__________9",
            "__________=",
            "+/////////8",
            "_________ 8",
            "_________\n8",
            "\u{e9}________8",
        ] {
            let error = text.parse::<RunId>().unwrap_err();
            assert_eq!(error.len, 11, "{text:?}");
        }
        let id = ServerId::new([7; 32]).to_string();
        for cut in 0..id.len() {
            assert!(id[..cut].parse::<ServerId>().is_err());
        }
    }
}
