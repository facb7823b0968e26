//! The answer with details, parsed with nom.
//!
//! ```text
//! answer   = response LF nonce id run [ name ] *property [ sig ]
//! response = the canonical plain response
//! nonce    = "1 " 22base64url LF
//! id       = "id=" 43base64url LF
//! run      = "run=" 11base64url LF
//! name     = "name=" *63text LF
//! property = key "=" *text LF
//! sig      = "sig=" 86base64url LF
//! ```

use core::fmt;
use core::str;

use nom::bytes::complete::{tag, take_while};
use nom::character::complete::char;
use nom::combinator::map_opt;
use nom::sequence::{delimited, terminated};
use nom::{IResult, Parser as _};
use thiserror::Error;

use super::ids::{Nonce, RunId, ServerId, decode};
use super::offer::Details;
use super::request::DETAILS_LEN;
use super::{MAX_NAME_LEN, is_key, is_reserved, is_text};
use crate::wire::codec::Codec;
use crate::wire::response::Response;

/// An answer with details. It borrows from the datagram.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DetailsAnswer<'a> {
    /// The first line: the plain response.
    pub response: Response,
    /// The nonce of the request that it answers.
    pub nonce: Nonce,
    /// The identity of the server.
    pub id: ServerId,
    /// Which start of the server it is.
    pub run: RunId,
    /// The name for people.
    pub name: Option<&'a str>,
    /// The properties.
    pub properties: Properties<'a>,
    /// The Ed25519 signature. It was not verified.
    pub signature: Option<[u8; 64]>,
    /// What the signature signs besides the request: the answer up to its last line, if it has one.
    #[cfg_attr(
        not(feature = "signed"),
        allow(dead_code, reason = "only signatures need it")
    )]
    pub(super) signed: &'a [u8],
}

/// Why a datagram is not an answer with details.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DetailsError {
    /// It has more than 512 bytes.
    #[error("an answer with details of {len} bytes, more than 512")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// Its first line is not a plain response in its canonical form, with a line end.
    #[error("an answer with details without a plain response")]
    MalformedResponse,
    /// Its second line does not begin with `1` and a space.
    #[error("an answer with details of an unknown version")]
    UnknownVersion,
    /// Its nonce is not 22 characters of canonical base64url.
    #[error("an answer with details with a malformed nonce")]
    MalformedNonce,
    /// The line of the identity is missing or malformed.
    #[error("an answer with details without an id")]
    MalformedId,
    /// The line of the start is missing or malformed.
    #[error("an answer with details without a run")]
    MalformedRun,
    /// The name is longer than 63 bytes, or not UTF-8 without control characters.
    #[error("an answer with details with a malformed name")]
    MalformedName,
    /// A line is not a property, or the last one has no line end.
    #[error("an answer with details with a malformed property")]
    MalformedProperty,
    /// A reserved name stands twice, out of order, or in another case.
    #[error("an answer with details with a reserved key")]
    ReservedKey,
    /// The signature is not 86 characters of canonical base64url, or not the last line.
    #[error("an answer with details with a malformed signature")]
    MalformedSignature,
}

impl DetailsAnswer<'_> {
    /// The details as a value of their own. Of properties with the same key, the first remains.
    pub fn details(&self) -> Details {
        Details::parsed(self.id, self.run, self.name, self.properties.clone())
    }
}

/// The properties of an answer: an iterator over keys and values, in their order. A key may stand
/// twice.
#[derive(Clone, Debug)]
pub struct Properties<'a>(&'a [u8]);

impl<'a> Iterator for Properties<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let (rest, line) = line(self.0).ok()?;
        self.0 = rest;
        property(line).ok()
    }
}

impl Codec {
    /// Decodes an answer with details. It does not allocate.
    ///
    /// Whether it answers a request of this search, and whether its signature is right, the caller
    /// checks.
    ///
    /// # Errors
    /// [`DetailsError`], if `datagram` is not such an answer.
    pub fn decode_details<'a>(
        &self,
        datagram: &'a [u8],
    ) -> Result<DetailsAnswer<'a>, DetailsError> {
        if datagram.len() > DETAILS_LEN {
            return Err(DetailsError::TooLong {
                len: datagram.len(),
            });
        }
        let malformed = |error| move |_| error;
        let (rest, first) = line(datagram).map_err(malformed(DetailsError::MalformedResponse))?;
        let response = self.response(first)?;
        let (rest, _) = tag(&b"1 "[..])
            .parse(rest)
            .map_err(|_: nom::Err<()>| DetailsError::UnknownVersion)?;
        let (rest, nonce) = map_opt(line, Nonce::parse)
            .parse(rest)
            .map_err(malformed(DetailsError::MalformedNonce))?;
        let (rest, id) =
            keyed(b"id=", ServerId::parse, rest).map_err(malformed(DetailsError::MalformedId))?;
        let (mut rest, run) =
            keyed(b"run=", RunId::parse, rest).map_err(malformed(DetailsError::MalformedRun))?;
        let mut name = None;
        if rest.starts_with(b"name=") {
            let (after, text) = keyed(b"name=", parse_name, rest)
                .map_err(malformed(DetailsError::MalformedName))?;
            (rest, name) = (after, Some(text));
        }
        let (properties, last) = properties(rest)?;
        let signature = match last {
            [] => None,
            _ => Some(signature(last)?),
        };
        Ok(DetailsAnswer {
            response,
            nonce,
            id,
            run,
            name,
            properties: Properties(properties),
            signature,
            signed: &datagram[..datagram.len() - last.len()],
        })
    }

    /// The plain response that `line` is in its canonical form.
    fn response(&self, line: &[u8]) -> Result<Response, DetailsError> {
        let malformed = DetailsError::MalformedResponse;
        let response = Response::parse(self.prefix(), line).map_err(|_| malformed)?;
        let mut rest = Remaining(&line[self.prefix().as_bytes().len()..]);
        let is_canonical = fmt::write(&mut rest, format_args!("{response}")).is_ok();
        if is_canonical && rest.0.is_empty() {
            Ok(response)
        } else {
            Err(malformed)
        }
    }
}

/// What remains of a text after what is written to it, which must be the same.
struct Remaining<'a>(&'a [u8]);

impl fmt::Write for Remaining<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.strip_prefix(text.as_bytes()).ok_or(fmt::Error)?;
        Ok(())
    }
}

/// A line without its end.
fn line(input: &[u8]) -> IResult<&[u8], &[u8]> {
    terminated(take_while(|byte| byte != b'\n'), char('\n')).parse(input)
}

/// The value of the line with this key.
fn keyed<'a, T>(
    key: &'static [u8],
    parse: impl Fn(&'a [u8]) -> Option<T>,
    input: &'a [u8],
) -> IResult<&'a [u8], T> {
    let value = map_opt(take_while(|byte| byte != b'\n'), parse);
    delimited(tag(key), value, char('\n')).parse(input)
}

fn parse_name(value: &[u8]) -> Option<&str> {
    text(value).filter(|name| name.len() <= MAX_NAME_LEN)
}

fn text(value: &[u8]) -> Option<&str> {
    str::from_utf8(value).ok().filter(|text| is_text(text))
}

/// The lines of the properties, and the line of the signature with its end, if there is one.
fn properties(input: &[u8]) -> Result<(&[u8], &[u8]), DetailsError> {
    let mut rest = input;
    while !rest.is_empty() && !rest.starts_with(b"sig=") {
        let (after, line) = line(rest).map_err(|_| DetailsError::MalformedProperty)?;
        property(line)?;
        rest = after;
    }
    Ok(input.split_at(input.len() - rest.len()))
}

fn property(line: &[u8]) -> Result<(&str, &str), DetailsError> {
    let malformed = DetailsError::MalformedProperty;
    let line = text(line).ok_or(malformed)?;
    let (key, value) = line.split_once('=').ok_or(malformed)?;
    if is_reserved(key) {
        return Err(DetailsError::ReservedKey);
    }
    is_key(key).then_some((key, value)).ok_or(malformed)
}

/// The signature that is all of `input`.
fn signature(input: &[u8]) -> Result<[u8; 64], DetailsError> {
    match keyed(b"sig=", decode, input) {
        Ok(([], signature)) => Ok(signature),
        _ => Err(DetailsError::MalformedSignature),
    }
}
