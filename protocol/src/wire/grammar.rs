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

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::num::NonZeroU16;
use core::str;

use nom::bytes::complete::{tag, take_while, take_while1};
use nom::character::complete::{char, digit1};
use nom::combinator::{map_opt, opt};
use nom::sequence::{delimited, terminated};
use nom::{IResult, Parser as _};

use super::error::DecodeError;

/// Parses `input` completely.
pub(crate) fn endpoint(input: &[u8]) -> Result<(IpAddr, Option<NonZeroU16>), DecodeError> {
    let (rest, ip) = padded(ip, input).map_err(|_| DecodeError::MalformedAddress)?;
    let (rest, port) = match rest.first() {
        Some(b':') => padded(port, &rest[1..])
            .map(|(rest, port)| (rest, Some(port)))
            .map_err(|_| DecodeError::MalformedPort)?,
        _ => (rest, None),
    };
    match line_end(rest) {
        Ok(([], ())) => Ok((ip, port)),
        _ => Err(DecodeError::TrailingBytes),
    }
}

fn padded<'a, T>(
    inner: fn(&'a [u8]) -> IResult<&'a [u8], T>,
    input: &'a [u8],
) -> IResult<&'a [u8], T> {
    delimited(blank, inner, blank).parse(input)
}

fn blank(input: &[u8]) -> IResult<&[u8], &[u8]> {
    take_while(|byte| byte == b' ' || byte == b'\t').parse(input)
}

fn line_end(input: &[u8]) -> IResult<&[u8], ()> {
    opt((opt(char('\r')), char('\n'))).map(|_| ()).parse(input)
}

fn ip(input: &[u8]) -> IResult<&[u8], IpAddr> {
    match input.first() {
        Some(b'[') => bracketed_ipv6(input),
        _ => ipv4(input),
    }
}

fn ipv4(input: &[u8]) -> IResult<&[u8], IpAddr> {
    (
        terminated(octet, char('.')),
        terminated(octet, char('.')),
        terminated(octet, char('.')),
        octet,
    )
        .map(|(a, b, c, d)| IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
        .parse(input)
}

fn octet(input: &[u8]) -> IResult<&[u8], u8> {
    map_opt(digit1, decimal).parse(input)
}

fn port(input: &[u8]) -> IResult<&[u8], NonZeroU16> {
    map_opt(digit1, |digits| decimal(digits).and_then(NonZeroU16::new)).parse(input)
}

fn bracketed_ipv6(input: &[u8]) -> IResult<&[u8], IpAddr> {
    let text = take_while1(|byte: u8| byte.is_ascii_hexdigit() || byte == b':' || byte == b'.');
    delimited(tag(&b"["[..]), map_opt(text, ipv6), tag(&b"]"[..])).parse(input)
}

fn ipv6(text: &[u8]) -> Option<IpAddr> {
    let address: Ipv6Addr = str::from_utf8(text).ok()?.parse().ok()?;
    Some(IpAddr::V6(address))
}

/// The number that `digits` represent, if they are its canonical form.
fn decimal<T: TryFrom<u32>>(digits: &[u8]) -> Option<T> {
    // No valid number has more digits, and more could overflow.
    if digits.len() > 5 || (digits.len() > 1 && digits[0] == b'0') {
        return None;
    }
    let append = |number, digit: &u8| number * 10 + u32::from(digit - b'0');
    T::try_from(digits.iter().fold(0, append)).ok()
}
