//! Any words, address and port: every message that they make is read back unchanged.
//!
//! The input: both words, each after its length; a port; an address; then a position and a byte to
//! change in the datagram, and more bytes to append to it.

use std::net::IpAddr;

use udp_discovery_protocol::{Codec, HostIp, Message, NotAHost, Request, Response, Word};

use crate::decode::{check_datagram, encoded};
use crate::input::Input;
use crate::wire;

/// Checks the rules for one input.
///
/// # Panics
/// If one is broken.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let message = word(input.bytes());
    let prefix = word(input.bytes());
    let port = input.port();
    let ip = input.ip();
    let codec = match (message, prefix) {
        (Some(message), Some(prefix)) => codec(message, prefix).unwrap_or_default(),
        _ => Codec::default(),
    };
    check_written(&codec, Message::Request(Request), &mut input.clone());

    let response = HostIp::new(ip).map(|ip| Response::new(ip, port));
    assert_eq!(response.is_ok(), wire::is_host(ip), "{ip}");
    match response {
        Ok(response) => {
            assert_eq!((response.ip(), response.port()), (ip, port));
            check_text(response);
            check_written(&codec, Message::Response(response), &mut input);
        }
        Err(NotAHost { ip: refused, .. }) => assert_eq!(refused, ip),
    }
}

/// The word with these bytes, if they make one.
fn word(bytes: &[u8]) -> Option<Word> {
    let text = String::from_utf8_lossy(bytes);
    let word = Word::new(&text).ok();
    assert_eq!(word.is_some(), wire::is_word(&text), "{text:?}");
    assert!(word.iter().all(|word| word.as_str() == text));
    word
}

/// The codec of two words, if they can be used together.
fn codec(message: Word, prefix: Word) -> Option<Codec> {
    let go_together = wire::go_together(message.as_str(), prefix.as_str());
    let codec = Codec::new(message, prefix).ok();
    assert_eq!(codec.is_some(), go_together);
    codec
}

/// An IPv4 address has four decimals, an IPv6 address brackets, and neither has capitals.
fn check_text(response: Response) {
    let ip = match response.ip() {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            format!("{a}.{b}.{c}.{d}")
        }
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    let text = match response.port() {
        Some(port) => format!("{ip}:{port}"),
        None => ip,
    };
    assert_eq!(response.to_string(), text);
    assert_eq!(text.to_ascii_lowercase(), text);
}

/// A written message is read back unchanged. A datagram that differs by a byte, or is shorter or
/// longer, is read by the format.
fn check_written(codec: &Codec, message: Message, input: &mut Input<'_>) {
    let written = encoded(codec, message);
    assert_eq!(written.len(), codec.encoded_len(message));
    assert!(written.len() <= wire::MAX_LEN);
    assert_eq!(codec.decode(&written), Ok(message));
    check_datagram(codec, &written);

    let at = usize::from(input.byte()) % written.len();
    let shorter = &written[..at];
    assert_ne!(codec.decode(shorter), Ok(message));
    check_datagram(codec, shorter);

    let mut changed = written.clone();
    changed[at] = input.byte();
    check_datagram(codec, &changed);

    let longer = [&written, input.rest()].concat();
    check_datagram(codec, &longer);
}
