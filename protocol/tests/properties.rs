//! What holds for every message, every codec and every datagram.
//!
//! A second parser, [`meaning`], follows the documented grammar in another way than the crate does,
//! and the two must agree.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;
use udp_discovery_protocol::{
    Codec, DecodeError, HostIp, MAX_DATAGRAM_LEN, Message, Request, Response, Word,
};

/// What `datagram` means by the documented grammar, if it means anything.
fn meaning(codec: &Codec, datagram: &[u8]) -> Option<Message> {
    if datagram.len() > MAX_DATAGRAM_LEN {
        return None;
    }
    if datagram == codec.message().as_bytes() {
        return Some(Message::Request(Request));
    }
    let text = std::str::from_utf8(datagram).ok()?;
    let line = text.strip_prefix(codec.prefix().as_str())?;
    let line = match line.strip_suffix('\n') {
        Some(line) => line.strip_suffix('\r').unwrap_or(line),
        None => line,
    };
    let line = without_blanks(line);
    let (ip, rest) = if let Some(line) = line.strip_prefix('[') {
        let (ip, rest) = line.split_once(']')?;
        (IpAddr::V6(ip.parse().ok()?), without_blanks(rest))
    } else {
        let (ip, rest) = line.split_at(line.find(':').unwrap_or(line.len()));
        (IpAddr::V4(without_blanks(ip).parse().ok()?), rest)
    };
    let port = match rest.strip_prefix(':') {
        Some(port) => Some(port_meaning(without_blanks(port))?),
        None if rest.is_empty() => None,
        None => return None,
    };
    let ip = HostIp::new(ip).ok()?;
    Some(Message::Response(Response::new(ip, port)))
}

fn port_meaning(text: &str) -> Option<NonZeroU16> {
    let port: NonZeroU16 = text.parse().ok()?;
    // The one way to write it.
    (port.to_string() == text).then_some(port)
}

fn without_blanks(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

fn encoded(codec: &Codec, message: Message) -> Vec<u8> {
    let mut out = BytesMut::new();
    codec.encode(message, &mut out);
    out.to_vec()
}

fn response(ip: &str, port: Option<u16>) -> Message {
    let port = port.map(|port| NonZeroU16::new(port).unwrap());
    Message::Response(Response::new(ip.parse().unwrap(), port))
}

fn words() -> impl Strategy<Value = Word> {
    let character = any::<char>().prop_filter("no control character", |c| !c.is_control());
    prop_oneof![
        // at most 16 characters of 4 bytes
        vec(character, 1..=16).prop_map(|characters| characters.into_iter().collect()),
        // short ones, close to each other and to what may follow them
        "[AB:0-9. \\[]{1,3}",
        "[A-Z_:]{64}",
    ]
    .prop_map(|text: String| Word::new(&text).unwrap())
}

fn codecs() -> impl Strategy<Value = Codec> {
    let any_codec = (words(), words()).prop_filter_map("words conflict", |(message, prefix)| {
        Codec::new(message, prefix).ok()
    });
    prop_oneof![Just(Codec::default()), any_codec]
}

fn responses() -> impl Strategy<Value = Response> {
    let ip = prop_oneof![
        any::<Ipv4Addr>().prop_map(IpAddr::V4),
        any::<Ipv6Addr>().prop_map(IpAddr::V6),
        // with zeros to be shortened
        vec(prop_oneof![Just(0), any::<u16>()], 8).prop_map(|segments| {
            let segments: [u16; 8] = segments.try_into().unwrap();
            IpAddr::V6(segments.into())
        }),
    ];
    (ip, any::<Option<NonZeroU16>>()).prop_filter_map("not a host", |(ip, port)| {
        Some(Response::new(HostIp::new(ip).ok()?, port))
    })
}

fn messages() -> impl Strategy<Value = Message> {
    prop_oneof![
        1 => Just(Message::Request(Request)),
        4 => responses().prop_map(Message::Response),
    ]
}

/// A response with white space that is ignored, and an address that is not shortened.
fn spellings() -> impl Strategy<Value = (Response, String)> {
    let blank = || "[ \t]{0,4}";
    let line_end = prop_oneof![Just(""), Just("\n"), Just("\r\n")];
    (responses(), blank(), blank(), blank(), blank(), line_end).prop_map(
        |(response, a, b, c, d, line_end)| {
            let ip = match response.ip() {
                IpAddr::V4(ip) => ip.to_string(),
                IpAddr::V6(ip) => {
                    let segments = ip.segments().map(|segment| format!("{segment:04X}"));
                    format!("[{}]", segments.join(":"))
                }
            };
            let port = response
                .port()
                .map_or_else(String::new, |port| format!(":{c}{port}{d}"));
            (response, format!("{a}{ip}{b}{port}{line_end}"))
        },
    )
}

/// Datagrams, from noise to all but valid ones.
fn datagrams() -> impl Strategy<Value = (Codec, Vec<u8>)> {
    let rest = prop_oneof![
        vec(any::<u8>(), 0..40),
        "[0-9.:\\[\\]a-f \t\r\n]{0,30}".prop_map(String::into_bytes),
        "[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}(:[0-9]{0,6})?[ \r\n]?"
            .prop_map(String::into_bytes),
    ];
    prop_oneof![
        (codecs(), vec(any::<u8>(), 0..600)),
        (codecs(), rest).prop_map(|(codec, rest)| {
            let datagram = [codec.prefix().as_bytes(), &rest[..]].concat();
            (codec, datagram)
        }),
    ]
}

fn config() -> ProptestConfig {
    ProptestConfig {
        // A failure is printed, and becomes a named test instead of a file of seeds.
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_message_survives_the_round_trip(codec in codecs(), message in messages()) {
        let datagram = encoded(&codec, message);
        prop_assert_eq!(codec.decode(&datagram), Ok(message));
        prop_assert_eq!(codec.encoded_len(message), datagram.len());
        // Two words of the longest kind, brackets, the longest address, a colon and a port.
        prop_assert!(datagram.len() <= 111);
    }

    #[test]
    fn an_encoder_appends(message in messages(), before in vec(any::<u8>(), 0..20)) {
        let codec = Codec::default();
        let mut out = BytesMut::from(&before[..]);
        codec.encode(message, &mut out);
        prop_assert_eq!(&out[..before.len()], &before[..]);
        prop_assert_eq!(&out[before.len()..], &encoded(&codec, message)[..]);
    }

    #[test]
    fn an_answer_is_little_longer_than_its_question(ip: Ipv4Addr, port: Option<NonZeroU16>) {
        if let Ok(ip) = HostIp::new(ip.into()) {
            let response = Message::Response(Response::new(ip, port));
            prop_assert!(Codec::default().encoded_len(response) <= 31);
        }
    }

    #[test]
    fn every_spelling_is_read_and_has_one_canonical_form(
        codec in codecs(),
        (response, text) in spellings(),
    ) {
        let datagram = format!("{}{text}", codec.prefix()).into_bytes();
        let message = codec.decode(&datagram);
        prop_assert_eq!(message, Ok(Message::Response(response)));
        let canonical = encoded(&codec, Message::Response(response));
        prop_assert!(canonical.len() <= datagram.len());
        prop_assert_eq!(codec.decode(&canonical), message);
    }

    #[test]
    fn any_bytes_mean_what_the_grammar_says((codec, datagram) in datagrams()) {
        let decoded = codec.decode(&datagram);
        prop_assert_eq!(decoded.ok(), meaning(&codec, &datagram));
        let too_long = DecodeError::TooLong { len: datagram.len() };
        prop_assert_eq!(decoded == Err(too_long), datagram.len() > MAX_DATAGRAM_LEN);
        if let Ok(message) = decoded {
            prop_assert_eq!(codec.decode(&encoded(&codec, message)), Ok(message));
        }
    }

    #[test]
    fn prefixes_of_a_response_mean_what_they_say(codec in codecs(), (_, text) in spellings()) {
        let datagram = format!("{}{text}", codec.prefix()).into_bytes();
        for len in 0..datagram.len() {
            let prefix = &datagram[..len];
            prop_assert_eq!(codec.decode(prefix).ok(), meaning(&codec, prefix), "{} bytes", len);
        }
    }

    #[test]
    fn extensions_of_a_response_mean_what_they_say(codec in codecs(), (_, text) in spellings()) {
        let mut datagram = format!("{}{text}?", codec.prefix()).into_bytes();
        let last = datagram.len() - 1;
        for byte in 0..=u8::MAX {
            datagram[last] = byte;
            prop_assert_eq!(codec.decode(&datagram).ok(), meaning(&codec, &datagram), "{}", byte);
        }
    }

    #[test]
    fn no_prefix_and_no_extension_of_a_request_is_a_message(codec in codecs()) {
        let request = codec.message().as_bytes();
        for len in 0..request.len() {
            prop_assert!(codec.decode(&request[..len]).is_err(), "{} bytes", len);
        }
        for byte in 0..=u8::MAX {
            prop_assert!(codec.decode(&[request, &[byte]].concat()).is_err(), "{}", byte);
        }
    }

    #[test]
    fn no_one_bit_flip_of_a_request_is_a_request(codec in codecs()) {
        let request = codec.message().as_bytes();
        for bit in 0..request.len() * 8 {
            let mut flipped = request.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let decoded = codec.decode(&flipped);
            prop_assert_ne!(decoded, Ok(Message::Request(Request)), "bit {}", bit);
            if codec == Codec::default() {
                prop_assert_eq!(decoded, Err(DecodeError::UnknownMessage), "bit {}", bit);
            }
        }
    }
}

#[test]
fn a_shorter_port_is_another_port() {
    let codec = Codec::default();
    let whole = b"SERVER_IP:10.0.0.7:8000";
    let ip = "10.0.0.7";
    for (len, expected) in [
        (23, Ok(response(ip, Some(8000)))),
        (22, Ok(response(ip, Some(800)))),
        (21, Ok(response(ip, Some(80)))),
        (20, Ok(response(ip, Some(8)))),
        (19, Err(DecodeError::MalformedPort)),
        (18, Ok(response(ip, None))),
        (17, Err(DecodeError::MalformedAddress)),
        (10, Err(DecodeError::MalformedAddress)),
        (9, Err(DecodeError::UnknownMessage)),
        (0, Err(DecodeError::Empty)),
    ] {
        assert_eq!(codec.decode(&whole[..len]), expected, "{len} bytes");
    }
}

#[test]
fn a_request_with_anything_around_it_is_not_a_request() {
    for datagram in [
        "DISCOVER_SERVER\n",
        "DISCOVER_SERVER\r\n",
        "DISCOVER_SERVER\0",
        "DISCOVER_SERVER ",
        " DISCOVER_SERVER",
        "discover_server",
        "\u{feff}DISCOVER_SERVER",
        "DISCOVER_SERVERDISCOVER_SERVER",
    ] {
        assert_eq!(
            Codec::default().decode(datagram.as_bytes()),
            Err(DecodeError::UnknownMessage),
            "{datagram:?}"
        );
    }
}

#[test]
fn an_address_that_no_host_has_is_refused() {
    for ip in [
        "0.0.0.0",
        "0.1.2.3",
        "224.0.0.1",
        "240.1.2.3",
        "255.255.255.255",
        "[::]",
        "[ff02::1]",
        "[::ffff:10.0.0.7]",
    ] {
        assert_eq!(
            Codec::default().decode(format!("SERVER_IP:{ip}").as_bytes()),
            Err(DecodeError::NotAHost {
                ip: ip.trim_matches(['[', ']']).parse().unwrap()
            })
        );
    }
    // The client decides whether it is useful, because it knows the source of the answer.
    assert_eq!(
        Codec::default().decode(b"SERVER_IP:127.0.0.1"),
        Ok(response("127.0.0.1", None))
    );
}

#[test]
fn an_address_is_written_one_way() {
    for ip in [
        "",
        "300.1.1.1",
        "01.2.3.4",
        "1.2.3.00",
        "1.2.3",
        "1.2.3.",
        "1..2.3",
        "+1.2.3.4",
        "-1.2.3.4",
        "1_0.+5.0.1",
        "0x7f.0.0.1",
        "2130706433",
        "١٠.٠.٠.١",
        "localhost",
        "fe80::1",
        "[fe80::1",
        "[fe80::1%eth0]",
        "[ fe80::1]",
        "[10.0.0.7]",
        "[]",
    ] {
        assert_eq!(
            Codec::default().decode(format!("SERVER_IP:{ip}").as_bytes()),
            Err(DecodeError::MalformedAddress),
            "{ip:?}"
        );
    }
}

#[test]
fn a_port_is_written_one_way() {
    for port in [
        "0",
        "65536",
        "-1",
        "+80",
        "",
        " ",
        "080",
        "99999999999999999999",
        "http",
        "٨٠",
        ":80",
        "\n",
    ] {
        assert_eq!(
            Codec::default().decode(format!("SERVER_IP:10.0.0.7:{port}").as_bytes()),
            Err(DecodeError::MalformedPort),
            "{port:?}"
        );
    }
}

#[test]
fn white_space_is_ignored_only_in_its_places() {
    let decode = |text: &str| Codec::default().decode(text.as_bytes());
    for text in [
        "SERVER_IP: 10.0.0.7:80",
        "SERVER_IP:\t 10.0.0.7 \t:\t 80 \t",
        "SERVER_IP:10.0.0.7:80\n",
        "SERVER_IP:10.0.0.7:80 \r\n",
    ] {
        assert_eq!(decode(text), Ok(response("10.0.0.7", Some(80))), "{text:?}");
    }
    assert_eq!(
        decode("SERVER_IP: [fe80::7] \n"),
        Ok(response("fe80::7", None))
    );
    for (text, error) in [
        (" SERVER_IP:10.0.0.7", DecodeError::UnknownMessage),
        ("SERVER_IP :10.0.0.7", DecodeError::UnknownMessage),
        ("SERVER_IP:10. 0.0.7", DecodeError::MalformedAddress),
        ("SERVER_IP:\n10.0.0.7", DecodeError::MalformedAddress),
        ("SERVER_IP:\u{a0}10.0.0.7", DecodeError::MalformedAddress),
        ("SERVER_IP:10.0.0.7:8 0", DecodeError::TrailingBytes),
        ("SERVER_IP:10.0.0.7:80\r", DecodeError::TrailingBytes),
        ("SERVER_IP:10.0.0.7:80\n\n", DecodeError::TrailingBytes),
        ("SERVER_IP:10.0.0.7:80\n ", DecodeError::TrailingBytes),
        ("SERVER_IP:10.0.0.7:80\n\r", DecodeError::TrailingBytes),
        ("SERVER_IP:10.0.0.7:80\0", DecodeError::TrailingBytes),
        ("SERVER_IP:10.0.0.7\u{b}", DecodeError::TrailingBytes),
        ("SERVER_IP:10.0.0.7\n:80", DecodeError::TrailingBytes),
        ("SERVER_IP:10.0.0.7:80:90", DecodeError::TrailingBytes),
        ("SERVER_IP:10.0.0.7/24", DecodeError::TrailingBytes),
    ] {
        assert_eq!(decode(text), Err(error), "{text:?}");
    }
}

#[test]
fn a_datagram_of_the_greatest_length_is_read_and_a_longer_one_is_not() {
    let padded = |len: usize| format!("SERVER_IP:{:>1$}", "10.0.0.7", len - 10);
    let longest = padded(MAX_DATAGRAM_LEN);
    assert_eq!(longest.len(), MAX_DATAGRAM_LEN);
    assert_eq!(
        Codec::default().decode(longest.as_bytes()),
        Ok(response("10.0.0.7", None))
    );
    for len in [MAX_DATAGRAM_LEN + 1, 1024, 65_507] {
        assert_eq!(
            Codec::default().decode(padded(len).as_bytes()),
            Err(DecodeError::TooLong { len })
        );
    }
}
