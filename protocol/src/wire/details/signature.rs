//! Ed25519 signatures of answers (RFC 8032).

use alloc::string::String;

use bytes::{BufMut as _, BytesMut};
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, KeypairBytes};
use ed25519_dalek::{Signature, Signer as _, VerifyingKey};
use thiserror::Error;

use super::answer::DetailsAnswer;
use super::ids::{ServerId, Text};
use super::request::DETAILS_LEN;

/// What every signed message begins with, so that a key that signs other things too signs nothing that
/// could be taken for an answer.
const CONTEXT: &[u8] = b"udp-discovery/1\0";

/// The longest signed message: the context, the length of the request, the request and the answer.
const MAX_LEN: usize = CONTEXT.len() + 2 + 2 * DETAILS_LEN;

/// The Ed25519 key of a server, whose public key is its [`ServerId`]. It is overwritten when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey(ed25519_dalek::SigningKey);

/// A text is not an Ed25519 key in a PEM file (PKCS #8, RFC 8410).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not an Ed25519 private key in PEM (PKCS #8)")]
#[non_exhaustive]
pub struct KeyError;

/// Why the signature of an answer does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// It has none.
    #[error("the answer is not signed")]
    Unsigned,
    /// Its id is not an Ed25519 public key.
    #[error("the id of the answer is not a public key")]
    NotAKey,
    /// It is not that of the id over this request and answer.
    #[error("the signature of the answer is wrong")]
    Wrong,
}

impl SigningKey {
    /// Creates a key of 32 random bytes. Whoever knows them can sign.
    pub fn from_bytes(random: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(random))
    }

    /// Reads a key from the text of a PEM file.
    ///
    /// # Errors
    /// [`KeyError`], if there is none.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let key = ed25519_dalek::SigningKey::from_pkcs8_pem(text);
        key.map(Self).map_err(|_| KeyError)
    }

    /// The text of a PEM file with the key.
    #[allow(clippy::missing_panics_doc, reason = "every key can be encoded")]
    pub fn to_pem(&self) -> String {
        // Without the public key, which version 1 of the format does not have: others, such as OpenSSL,
        // read only that one.
        let key = KeypairBytes {
            secret_key: self.0.to_bytes(),
            public_key: None,
        };
        let text = key.to_pkcs8_pem(LineEnding::LF);
        text.expect("every key can be encoded").as_str().into()
    }

    /// The identity: the public key.
    pub fn id(&self) -> ServerId {
        ServerId::new(self.0.verifying_key().to_bytes())
    }

    /// Appends a signature to `answer`, an encoded answer to `request`. With capacity for 91 bytes left
    /// in `answer`, it does not allocate.
    pub fn sign(&self, request: &[u8], answer: &mut BytesMut) {
        let (message, len) = message(request, answer);
        let signature = self.0.sign(&message[..len]).to_bytes();
        answer.extend_from_slice(b"sig=");
        answer.extend_from_slice(Text::<86>::new(&signature).as_bytes());
        answer.put_u8(b'\n');
    }
}

/// Without the key.
impl core::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("SigningKey").field(&self.id()).finish()
    }
}

impl DetailsAnswer<'_> {
    /// Verifies strictly that the owner of the [`id`](Self::id) signed this answer to `request`.
    ///
    /// It says who answered. It does not authenticate a later connection to the address in the answer.
    ///
    /// # Errors
    /// [`VerifyError`], if it is not signed, or not by the key that is its id.
    pub fn verify(&self, request: &[u8]) -> Result<(), VerifyError> {
        let signature = self.signature.ok_or(VerifyError::Unsigned)?;
        let key = VerifyingKey::from_bytes(self.id.as_bytes()).map_err(|_| VerifyError::NotAKey)?;
        let (message, len) = message(request, self.signed);
        let signature = Signature::from_bytes(&signature);
        key.verify_strict(&message[..len], &signature)
            .map_err(|_| VerifyError::Wrong)
    }
}

/// What is signed, and its length. Of what is longer than an answer may be, only the beginning.
fn message(request: &[u8], answer: &[u8]) -> ([u8; MAX_LEN], usize) {
    let mut message = [0; MAX_LEN];
    let request = &request[..request.len().min(DETAILS_LEN)];
    let answer = &answer[..answer.len().min(DETAILS_LEN)];
    let len = u16::try_from(request.len()).expect("it is at most 512");
    let mut end = 0;
    for part in [CONTEXT, &len.to_be_bytes(), request, answer] {
        message[end..end + part.len()].copy_from_slice(part);
        end += part.len();
    }
    (message, end)
}
