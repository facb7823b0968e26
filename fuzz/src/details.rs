//! Any bytes as a request for details and as an answer with details, with the default words. The codec
//! must read them as a plain reading by lines does, and write what it read.

use std::num::NonZeroU16;
use std::str;

use bytes::BytesMut;
use udp_discovery_protocol::{Codec, DETAILS_LEN, DetailsAnswer, EncodedDetails, Nonce, Response};

use crate::wire::{self, Reading};

/// Checks the rules for one input.
///
/// # Panics
/// If one is broken.
pub fn check(data: &[u8]) {
    let codec = Codec::default();
    check_request(&codec, data);
    check_answer(&codec, data);
}

fn check_request(codec: &Codec, datagram: &[u8]) {
    let decoded = codec.decode_details_request(datagram);
    let nonce = nonce("DISCOVER_SERVER", datagram);
    assert_eq!(decoded.is_ok(), nonce.is_some(), "{decoded:?}");
    if let Ok(nonce) = decoded {
        assert_eq!(Nonce::new(nonce.random(), nonce.probe()), nonce);
        let mut again = BytesMut::new();
        codec.encode_details_request(nonce, &mut again);
        assert_eq!(&again[..], datagram);
    }
}

/// The text of the nonce of a request for details, or `None` if `datagram` is not one.
pub(crate) fn nonce<'a>(message: &str, datagram: &'a [u8]) -> Option<&'a [u8]> {
    let beginning = format!("{message}\n1 ");
    let rest = datagram.strip_prefix(beginning.as_bytes())?;
    let (nonce, rest) = rest.split_at_checked(22)?;
    let padding = rest.strip_prefix(b"\n")?;
    let is_request =
        datagram.len() == 512 && is_base64(nonce, 16) && padding.iter().all(|byte| *byte == b' ');
    is_request.then_some(nonce)
}

fn check_answer(codec: &Codec, datagram: &[u8]) {
    let decoded = codec.decode_details(datagram);
    let lines = read(datagram);
    assert_eq!(decoded.is_ok(), lines.is_some(), "{decoded:?}");
    let (Ok(answer), Some(lines)) = (decoded, lines) else {
        return;
    };
    assert_eq!(answer.name, lines.name);
    let properties: Vec<(&str, &str)> = answer.properties.clone().collect();
    assert_eq!(properties, lines.properties);
    assert_eq!(answer.signature.is_some(), lines.is_signed);
    assert_eq!(answer.response, lines.response);
    check_details(codec, &answer, datagram);
}

/// The details have each key once, and an answer with them is written as it was read.
fn check_details(codec: &Codec, answer: &DetailsAnswer<'_>, datagram: &[u8]) {
    let details = answer.details();
    for (key, value) in details.properties() {
        let mut all = answer.properties.clone();
        let first = all.find(|(other, _)| other.eq_ignore_ascii_case(key));
        assert_eq!(first, Some((key, value)));
    }
    let is_signed = answer.signature.is_some();
    let has_repeats = details.properties().count() < answer.properties.clone().count();
    let Ok(encoded) = EncodedDetails::new(&details, codec, is_signed) else {
        return;
    };
    let mut again = BytesMut::new();
    codec.encode_details(answer.response, answer.nonce, &encoded, &mut again);
    assert!(again.len() <= DETAILS_LEN);
    if !has_repeats {
        assert!(datagram.starts_with(&again));
        assert_eq!(datagram.len() - again.len(), if is_signed { 91 } else { 0 });
    }
}

/// The parts of an answer.
struct Lines<'a> {
    response: Response,
    name: Option<&'a str>,
    properties: Vec<(&'a str, &'a str)>,
    is_signed: bool,
}

/// Reads an answer line by line.
fn read(datagram: &[u8]) -> Option<Lines<'_>> {
    let all = datagram.strip_suffix(b"\n")?;
    if datagram.len() > DETAILS_LEN {
        return None;
    }
    let mut lines = all.split(|byte| *byte == b'\n');
    let first = lines.next()?;
    let Reading::Response(ip, port) = wire::read("DISCOVER_SERVER", "SERVER_IP:", first) else {
        return None;
    };
    let port: Option<NonZeroU16> = port;
    let response = Response::new(ip.to_string().parse().ok()?, port);
    (format!("SERVER_IP:{response}").as_bytes() == first).then_some(())?;
    let mut fixed = |key: &str, len| {
        let value = lines.next()?.strip_prefix(key.as_bytes())?;
        is_base64(value, len).then_some(())
    };
    fixed("1 ", 16)?;
    fixed("id=", 32)?;
    fixed("run=", 8)?;
    let mut rest: Vec<&[u8]> = lines.collect();
    let signature = rest.last().and_then(|last| last.strip_prefix(b"sig="));
    let is_signed = signature.is_some_and(|signature| is_base64(signature, 64));
    if is_signed {
        rest.pop();
    }
    let mut pairs = Vec::new();
    for line in rest {
        let line = str::from_utf8(line).ok()?;
        (!line.contains(char::is_control)).then_some(())?;
        pairs.push(line.split_once('=')?);
    }
    let name = pairs
        .first()
        .filter(|(key, _)| *key == "name")
        .map(|it| it.1);
    if name.is_some() {
        pairs.remove(0);
    }
    (name.unwrap_or_default().len() <= 63).then_some(())?;
    for (key, _) in &pairs {
        let is_reserved = ["id", "run", "name", "sig"].contains(&key.to_lowercase().as_str());
        (!is_reserved && !key.is_empty() && key.is_ascii()).then_some(())?;
    }
    Some(Lines {
        response,
        name,
        properties: pairs,
        is_signed,
    })
}

/// Whether `text` is base64url of `len` bytes, without padding and with unused bits of zero.
pub(crate) fn is_base64(text: &[u8], len: usize) -> bool {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digit = |byte| ALPHABET.iter().position(|it| *it == byte);
    if text.len() != (len * 8).div_ceil(6) {
        return false;
    }
    let last = text.last().and_then(|byte| digit(*byte)).unwrap_or(64);
    let unused = text.len() * 6 - len * 8;
    text.iter().all(|byte| digit(*byte).is_some()) && last.is_multiple_of(1 << unused)
}
