//! The wire format, read in the obvious way.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;

/// The longest datagram that can be valid, in bytes.
pub const MAX_LEN: usize = 256;

/// What a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "nobody depends on this package, and every case is to be handled"
)]
pub enum Reading {
    /// No bytes.
    Empty,
    /// Longer than [`MAX_LEN`].
    TooLong,
    /// Neither the request nor anything that starts with the response prefix.
    Unknown,
    /// The response prefix with anything else than an endpoint after it.
    Malformed,
    /// A response with an address that no host can have.
    NotAHost(IpAddr),
    /// The request.
    Request,
    /// A response.
    Response(IpAddr, Option<NonZeroU16>),
}

/// Reads `datagram` where `message` and `prefix` are the two words.
pub fn read(message: &str, prefix: &str, datagram: &[u8]) -> Reading {
    if datagram.is_empty() {
        return Reading::Empty;
    }
    if datagram.len() > MAX_LEN {
        return Reading::TooLong;
    }
    if datagram == message.as_bytes() {
        return Reading::Request;
    }
    let Some(rest) = datagram.strip_prefix(prefix.as_bytes()) else {
        return Reading::Unknown;
    };
    match endpoint(rest) {
        Some((ip, port)) if is_host(ip) => Reading::Response(ip, port),
        Some((ip, _)) => Reading::NotAHost(ip),
        None => Reading::Malformed,
    }
}

/// Whether `text` can be one of the two words.
pub fn is_word(text: &str) -> bool {
    let is_control = |character: char| matches!(u32::from(character), 0..=0x1f | 0x7f..=0x9f);
    (1..=64).contains(&text.len()) && !text.chars().any(is_control)
}

/// Whether two words can be used together.
pub fn go_together(message: &str, prefix: &str) -> bool {
    let shorter = message.len().min(prefix.len());
    message.as_bytes()[..shorter] != prefix.as_bytes()[..shorter]
}

/// Whether `ip` can be that of a host.
pub fn is_host(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let bits = ip.to_bits();
            // 0/8, multicast and 240/4
            bits >> 24 != 0 && bits >> 29 != 0b111
        }
        IpAddr::V6(ip) => {
            let bits = ip.to_bits();
            bits != 0 && bits >> 120 != 0xff && bits >> 32 != 0xffff
        }
    }
}

/// Reads what follows the response prefix: an address, optionally a colon and a port, with blanks
/// around both, and optionally a line end.
fn endpoint(rest: &[u8]) -> Option<(IpAddr, Option<NonZeroU16>)> {
    let text = without_blanks(without_line_end(rest));
    if let Some(inner) = text.strip_prefix(b"[") {
        let end = inner.iter().position(|&byte| byte == b']')?;
        let ip = ipv6(&inner[..end])?;
        let behind = without_blanks(&inner[end + 1..]);
        return match behind.split_first() {
            None => Some((ip.into(), None)),
            Some((b':', digits)) => Some((ip.into(), Some(port(without_blanks(digits))?))),
            Some(_) => None,
        };
    }
    match text.iter().position(|&byte| byte == b':') {
        None => Some((ipv4(text)?.into(), None)),
        Some(colon) => {
            let ip = ipv4(without_blanks(&text[..colon]))?;
            let port = port(without_blanks(&text[colon + 1..]))?;
            Some((ip.into(), Some(port)))
        }
    }
}

fn without_line_end(text: &[u8]) -> &[u8] {
    match text.strip_suffix(b"\n") {
        Some(line) => line.strip_suffix(b"\r").unwrap_or(line),
        None => text,
    }
}

fn without_blanks(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

fn ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let octets: Vec<u8> = text
        .split(|&byte| byte == b'.')
        .map(|digits| u8::try_from(decimal(digits)?).ok())
        .collect::<Option<_>>()?;
    let octets: [u8; 4] = octets.try_into().ok()?;
    Some(octets.into())
}

fn port(text: &[u8]) -> Option<NonZeroU16> {
    NonZeroU16::new(u16::try_from(decimal(text)?).ok()?)
}

/// A number of one to five digits without leading zeros.
fn decimal(digits: &[u8]) -> Option<u32> {
    let leading_zero = digits.len() > 1 && digits[0] == b'0';
    if digits.is_empty() || digits.len() > 5 || leading_zero {
        return None;
    }
    digits.iter().try_fold(0, |number, digit| match digit {
        b'0'..=b'9' => Some(number * 10 + u32::from(digit - b'0')),
        _ => None,
    })
}

/// Reads the form of RFC 4291, section 2.2: eight groups, `::` for one or more zero groups, and
/// optionally the last two as an IPv4 address.
fn ipv6(text: &[u8]) -> Option<Ipv6Addr> {
    let double_colon = text.windows(2).position(|pair| pair == b"::");
    let groups = match double_colon {
        None => groups(text, true)?,
        Some(at) => {
            let mut head = groups(&text[..at], false)?;
            let tail = groups(&text[at + 2..], true)?;
            let zeros = 8_usize.checked_sub(head.len() + tail.len())?;
            if zeros == 0 {
                return None;
            }
            head.resize(head.len() + zeros, 0);
            head.extend(tail);
            head
        }
    };
    let groups: [u16; 8] = groups.try_into().ok()?;
    Some(groups.into())
}

/// The groups of `text`, separated by colons. If `last`, the last one may be an IPv4 address.
fn groups(text: &[u8], last: bool) -> Option<Vec<u16>> {
    let mut groups = Vec::new();
    if text.is_empty() {
        return Some(groups);
    }
    let parts: Vec<&[u8]> = text.split(|&byte| byte == b':').collect();
    for (at, part) in parts.iter().enumerate() {
        if last && at + 1 == parts.len() && part.contains(&b'.') {
            let bits = ipv4(part)?.to_bits();
            groups.push(u16::try_from(bits >> 16).ok()?);
            groups.push(u16::try_from(bits & 0xffff).ok()?);
        } else {
            groups.push(hexadecimal(part)?);
        }
    }
    Some(groups)
}

fn hexadecimal(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 4 {
        return None;
    }
    digits.iter().try_fold(0, |number, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        Some(number << 4 | u16::try_from(digit).ok()?)
    })
}
