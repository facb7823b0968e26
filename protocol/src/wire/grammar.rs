//! The grammar of a response after its prefix, parsed with nom.
//!
//! ```text
//! endpoint = blank ip blank [ ":" blank port blank ] [ [ CR ] LF ]
//! ip       = octet "." octet "." octet "." octet / "[" ipv6 "]"
//! octet    = 0 to 255 in decimal, no leading zero, no sign
//! port     = 1 to 65535 in decimal, no leading zero, no sign
//! blank    = *( space / tab )
//! ```
//!
//! The Python client ignores this white space. The encoder writes none.

use core::net::{IpAddr, Ipv6Addr};
use core::num::NonZeroU16;
use core::str;

use nom::bytes::complete::{tag, take_while1};
use nom::character::complete::char;
use nom::combinator::map_opt;
use nom::sequence::delimited;
use nom::{IResult, Parser as _};

use super::error::DecodeError;

/// What a parser returns. Where it failed does not matter.
type Parsed<'a, T> = IResult<&'a [u8], T, ()>;

/// Parses `input` completely.
pub(crate) fn endpoint(input: &[u8]) -> Result<(IpAddr, Option<NonZeroU16>), DecodeError> {
    let (rest, ip) = padded(ip, input).map_err(|_| DecodeError::MalformedAddress)?;
    let (rest, port) = match rest {
        [b':', rest @ ..] => {
            let (rest, port) = padded(port, rest).map_err(|_| DecodeError::MalformedPort)?;
            (rest, Some(port))
        }
        _ => (rest, None),
    };
    match rest {
        b"" | b"\n" | b"\r\n" => Ok((ip, port)),
        _ => Err(DecodeError::TrailingBytes),
    }
}

fn padded<'a, T>(inner: impl Fn(&'a [u8]) -> Parsed<'a, T>, input: &'a [u8]) -> Parsed<'a, T> {
    let (rest, value) = inner(skip_blank(input))?;
    Ok((skip_blank(rest), value))
}

fn skip_blank(mut input: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = input {
        input = rest;
    }
    input
}

fn ip(input: &[u8]) -> Parsed<'_, IpAddr> {
    match input {
        [b'[', ..] => bracketed_ipv6(input),
        _ => ipv4(input),
    }
}

fn ipv4(input: &[u8]) -> Parsed<'_, IpAddr> {
    let mut octets = [0; 4];
    let mut rest = input;
    for (at, octet) in octets.iter_mut().enumerate() {
        if at > 0 {
            (rest, _) = char('.')(rest)?;
        }
        (rest, *octet) = number(rest)?;
    }
    Ok((rest, octets.into()))
}

fn port(input: &[u8]) -> Parsed<'_, NonZeroU16> {
    map_opt(number, NonZeroU16::new).parse(input)
}

/// A decimal number without leading zeros. With nom's parser of numbers, reading an answer takes a
/// quarter more instructions.
fn number<T: TryFrom<u32>>(input: &[u8]) -> Parsed<'_, T> {
    let mut number = 0;
    let mut len = 0;
    // No valid number has six digits.
    for byte in input.iter().take(6).take_while(|it| it.is_ascii_digit()) {
        number = number * 10 + u32::from(byte - b'0');
        len += 1;
    }
    let canonical = len == 1 || (len > 1 && input[0] != b'0');
    match T::try_from(number) {
        Ok(number) if canonical => Ok((&input[len..], number)),
        _ => Err(nom::Err::Error(())),
    }
}

fn bracketed_ipv6(input: &[u8]) -> Parsed<'_, IpAddr> {
    let text = take_while1(|byte: u8| byte.is_ascii_hexdigit() || byte == b':' || byte == b'.');
    delimited(tag(&b"["[..]), map_opt(text, ipv6), tag(&b"]"[..])).parse(input)
}

fn ipv6(text: &[u8]) -> Option<IpAddr> {
    let address: Ipv6Addr = str::from_utf8(text).ok()?.parse().ok()?;
    Some(IpAddr::V6(address))
}
