//! Details: what a server answers to clients that ask who it is, and how often, without a socket.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use proptest::prelude::*;
use udp_discovery_server::protocol::{
    Codec, DETAILS_LEN, Details, Interface, InterfaceAddress, Nonce, RunId, ServerId, Settings,
    Word,
};
use udp_discovery_server::{
    Allow, Arrival, Config, Datagram, DropReason, RateLimit, Reply, Responder,
};

const REQUEST: &[u8] = b"DISCOVER_SERVER";
const CLIENT: &str = "192.168.1.20:4000";
const LO: u32 = 1;
const ETH0: u32 = 2;

fn details() -> Details {
    Details::new(ServerId::new([7; 32]), RunId::new([1; 8]))
        .with_name("printer")
        .and_then(|details| details.with_property("version", "1.2"))
        .unwrap()
}

fn offering() -> Config {
    Config::default().with_details(details())
}

/// The request of docs/details.md.
fn request() -> Vec<u8> {
    let mut request = BytesMut::new();
    let nonce = Nonce::new(*b"abcdefghijklmno", 3);
    Codec::default().encode_details_request(nonce, &mut request);
    request.to_vec()
}

/// A host on 192.168.1.0/24, 10.0.0.0/8 and `fe80::/64`, and its responder.
struct Host {
    responder: Responder,
    now: Instant,
}

impl Host {
    fn new(config: Config) -> Self {
        let mut responder = Responder::new(config, 9999, [1, 2]).unwrap();
        let mut lo = interface("lo", LO, &[("127.0.0.1", 8)]);
        lo.flags.loopback = true;
        let addresses = [("192.168.1.7", 24), ("10.0.0.7", 8), ("fe80::7", 64)];
        let eth0 = interface("eth0", ETH0, &addresses);
        responder.set_interfaces(vec![lo, eth0]);
        let now = Instant::now();
        Self { responder, now }
    }

    fn handle(&mut self, payload: &[u8], source: &str) -> Result<Reply, DropReason> {
        let datagram = broadcast(payload, ETH0, source.parse().unwrap());
        self.responder.handle_datagram(self.now, &datagram)
    }

    /// The answer to a client on the link.
    fn answer(&mut self, payload: &[u8]) -> Result<String, DropReason> {
        let reply = self.handle(payload, CLIENT)?;
        Ok(String::from_utf8(reply.payload.to_vec()).unwrap())
    }

    /// How many of `count` datagrams from `source` are answered.
    fn answered(&mut self, count: usize, payload: &[u8], source: &str) -> usize {
        let answers = (0..count).map(|_| self.handle(payload, source));
        answers.flatten().count()
    }
}

fn interface(name: &str, index: u32, addresses: &[(&str, u8)]) -> Interface {
    let mut interface = Interface::new(name, index);
    interface.flags.up = true;
    let addresses = addresses.iter().map(|&(address, prefix_len)| {
        InterfaceAddress::new(address.parse().unwrap(), prefix_len).unwrap()
    });
    interface.addresses = addresses.collect();
    interface
}

fn broadcast(payload: &[u8], interface: u32, source: SocketAddr) -> Datagram<'_> {
    Datagram {
        payload,
        truncated: false,
        source,
        arrival: Arrival {
            interface: Some(interface),
            ..Arrival::default()
        },
    }
}

/// The block of docs/details.md that begins like this, or `None` in the package on crates.io, which does
/// not have the page.
fn vector(title: &str) -> Option<String> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/details.md");
    let page = std::fs::read_to_string(page).ok()?;
    let (_, after) = page.split_once(title).unwrap();
    let (_, block) = after.split_once("```text\n").unwrap();
    Some(block.split_once("```").unwrap().0.to_owned())
}

#[test]
fn the_answer_is_that_of_the_specification() {
    let mut host = Host::new(offering().with_advertise_port(8000));
    let answer = host.answer(&request()).unwrap();
    let expected = "SERVER_IP:192.168.1.7:8000\n\
        1 YWJjZGVmZ2hpamtsbW5vAw\n\
        id=BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc\n\
        run=AQEBAQEBAQE\n\
        name=printer\n\
        version=1.2\n";
    assert_eq!(answer, expected);
    if let Some(vector) = vector("An unsigned answer to it") {
        assert_eq!(answer, vector);
    }
    let plain = host.answer(REQUEST).unwrap();
    assert_eq!(plain, "SERVER_IP:192.168.1.7:8000");
}

#[test]
fn a_request_for_details_is_answered_from_and_to_the_same_addresses_as_a_plain_one() {
    for allow in [
        Allow::OnLink,
        Allow::Networks(vec!["198.51.100.0/24".parse().unwrap()]),
        Allow::Any,
    ] {
        let mut host = Host::new(offering().with_allow(allow));
        for source in [
            "192.168.1.20:4000",
            "192.168.1.7:4000",
            "192.168.1.7:9999",
            "192.168.1.20:0",
            "192.168.1.255:4000",
            "198.51.100.9:4000",
            "203.0.113.9:4000",
            "127.0.0.1:4000",
            "0.0.0.0:4000",
            "224.0.0.1:4000",
            "[fe80::20%2]:4000",
            "[fe80::20%3]:4000",
            "[2001:db8::1]:4000",
        ] {
            for index in [LO, ETH0, 77] {
                let mut decide = |payload: &[u8]| {
                    let datagram = broadcast(payload, index, source.parse().unwrap());
                    let reply = host.responder.handle_datagram(host.now, &datagram);
                    reply.map(|it| (it.destination, it.local, it.interface, it.response))
                };
                let plain = decide(REQUEST);
                assert_eq!(decide(&request()), plain, "{source} on {index}");
            }
        }
    }
}

#[test]
fn a_server_without_details_drops_requests_for_them_like_any_datagram() {
    let mut host = Host::new(Config::default());
    assert_eq!(host.answer(&request()), Err(DropReason::TooLong));
    let short = [REQUEST, b"\n"].concat();
    assert_eq!(host.answer(&short), Err(DropReason::NotRequest));
}

#[test]
fn fault_57_what_is_not_exactly_a_request_for_details_is_dropped_with_the_reason() {
    use DropReason::{
        DetailsLength, DetailsNonce, DetailsPadding, DetailsVersion, NotRequest, TooLong,
    };
    let mut host = Host::new(offering());
    let text = String::from_utf8(request()).unwrap();
    let nonce = "YWJjZGVmZ2hpamtsbW5vAw";
    let with = |from: &str, to: &str| text.replacen(from, to, 1).into_bytes();
    let padded = |from: &str, to: &str| {
        let mut request = with(from, to);
        request.resize(DETAILS_LEN, b' ');
        request
    };
    for (datagram, reason) in [
        (text[..511].into(), DetailsLength),
        ((text.clone() + " ").into_bytes(), DetailsLength),
        (text.trim_end().into(), DetailsLength),
        (b"DISCOVER_SERVER\n".to_vec(), DetailsLength),
        (with("\n1 ", "\n2 "), DetailsVersion),
        (padded("\n1 ", "\n10 "), DetailsVersion),
        (padded("\n1 ", "\n1"), DetailsVersion),
        (padded(nonce, &nonce[1..]), DetailsNonce),
        (padded(nonce, &format!("{nonce}A")), DetailsNonce),
        (with(nonce, &nonce.replace('w', "x")), DetailsNonce),
        (with(nonce, &nonce.replace('Y', "=")), DetailsNonce),
        (padded("Aw\n", "Aw\r\n"), DetailsNonce),
        (with("Aw\n ", "Aw\n\n"), DetailsPadding),
        (with("Aw\n ", "Aw\n\0"), DetailsPadding),
        ((text[..511].to_owned() + "\n").into_bytes(), DetailsPadding),
        (padded("SERVER\n", "SERVER \n"), TooLong),
        (text.to_lowercase().into_bytes(), TooLong),
        (b"DISCOVER_SERVER\r\n".to_vec(), NotRequest),
    ] {
        let shown = String::from_utf8_lossy(&datagram);
        assert_eq!(host.answer(&datagram), Err(reason), "{shown}");
    }
    // None of them counts against a limit.
    assert_eq!(host.answered(100, &request(), CLIENT), 40);
    let whole = request();
    let truncated = Datagram {
        truncated: true,
        ..broadcast(&whole, ETH0, CLIENT.parse().unwrap())
    };
    let reply = host.responder.handle_datagram(host.now, &truncated);
    assert_eq!(reply, Err(TooLong));
}

#[test]
fn a_source_gets_40_answers_with_details_at_once_and_20_a_second() {
    let mut host = Host::new(offering());
    assert_eq!(host.answered(1000, &request(), CLIENT), 40);
    assert_eq!(host.answer(&request()), Err(DropReason::DetailsLimited));
    host.now += Duration::from_secs(1);
    assert_eq!(host.answered(1000, &request(), CLIENT), 20);
    assert!(host.handle(&request(), "192.168.1.21:4000").is_ok());
}

#[test]
fn fault_62_requests_for_details_from_one_source_do_not_use_up_plain_answers_nor_the_reverse() {
    let mut host = Host::new(offering());
    assert_eq!(host.answered(10_000, &request(), CLIENT), 40);
    assert_eq!(host.answered(1000, REQUEST, CLIENT), 500);
    host.now += Duration::from_secs(2);
    assert_eq!(host.answered(10_000, REQUEST, CLIENT), 174);
    assert_eq!(host.answered(1000, &request(), CLIENT), 40);
}

/// A flood of requests for details from `sources` sources, 10,000 a second for two seconds, against a
/// client that asks plainly every tenth of a second.
fn plain_answers_in_a_flood(config: Config, sources: u32) -> usize {
    let (mut host, request) = (Host::new(config), request());
    let mut answers = 0;
    for number in 0..20_000_u32 {
        host.now += Duration::from_micros(100);
        let source = SocketAddr::from(((0x0a01_0000 + number % sources).to_be_bytes(), 4000));
        let _ = host.handle(&request, &source.to_string());
        if number % 1000 == 0 {
            answers += usize::from(host.handle(REQUEST, "10.1.0.0:5000").is_ok());
        }
    }
    answers
}

#[test]
fn fault_62_a_flood_of_requests_for_details_leaves_plain_answers_as_they_are() {
    let total = RateLimit::per_second(NonZeroU32::new(10).unwrap());
    for sources in [1, 1000, 20_000] {
        let limited = offering().with_total_limit(Some(total));
        for config in [offering(), limited] {
            assert_eq!(plain_answers_in_a_flood(config, sources), 20, "{sources}");
        }
    }
}

#[test]
fn the_total_limit_holds_for_answers_with_details_by_themselves() {
    let total = RateLimit::per_second(NonZeroU32::new(2).unwrap());
    let mut host = Host::new(offering().with_total_limit(Some(total)));
    assert_eq!(host.answered(100, &request(), CLIENT), 10);
    let other = host.handle(&request(), "192.168.1.21:4000");
    assert_eq!(other, Err(DropReason::TotalLimited));
    assert_eq!(host.answered(100, REQUEST, CLIENT), 10);
}

#[test]
fn details_that_do_not_fit_are_refused_with_the_number_of_bytes_too_many() {
    let with_value = |config: Config, len| {
        let details = details().with_property("v", &"x".repeat(len)).unwrap();
        Responder::new(config.with_details(details), 9999, [1, 2]).map(|_| ())
    };
    // 366 bytes with the default prefix, of which name, version, key, `=` and line ends take 28.
    assert_eq!(with_value(Config::default(), 338), Ok(()));
    let error = with_value(Config::default(), 341).unwrap_err();
    assert!(error.to_string().contains("3 bytes too many"), "{error}");
    let long_prefix = Config::default().with_words("M", &"P".repeat(64)).unwrap();
    let error = with_value(long_prefix, 338).unwrap_err();
    assert!(error.to_string().contains("54 bytes too many"), "{error}");
}

#[cfg(feature = "signed")]
mod signed {
    use udp_discovery_server::OfferError;
    use udp_discovery_server::protocol::SigningKey;

    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[9; 32])
    }

    fn signing() -> Config {
        let details = details().with_id(key().id());
        Config::default()
            .with_details(details)
            .with_signing_key(key())
    }

    #[test]
    fn the_signed_answer_is_that_of_the_specification() {
        let mut host = Host::new(signing().with_advertise_port(8000));
        let answer = host.answer(&request()).unwrap();
        let read = Codec::default();
        let read = read.decode_details(answer.as_bytes()).unwrap();
        assert_eq!(read.verify(&request()), Ok(()));
        assert_eq!(read.id, key().id());
        if let Some(vector) = vector("A signed answer to it") {
            assert_eq!(answer, vector);
        }
    }

    #[test]
    fn the_id_of_the_details_must_be_that_of_the_key() {
        let config = offering().with_signing_key(key());
        let error = Responder::new(config, 9999, [1, 2]).unwrap_err();
        let (id, key_id) = (details().id(), key().id());
        assert_eq!(error, OfferError::OtherId { id, key: key_id });
        let text = error.to_string();
        assert!(text.contains(&id.to_string()) && text.contains(&key_id.to_string()));
    }

    #[test]
    fn a_key_without_details_offers_its_id() {
        let mut host = Host::new(Config::default().with_signing_key(key()));
        let answer = host.answer(&request()).unwrap();
        let read = Codec::default();
        let read = read.decode_details(answer.as_bytes()).unwrap();
        assert_eq!(read.verify(&request()), Ok(()));
        assert_eq!((read.id, read.name), (key().id(), None));
    }

    #[test]
    fn a_signature_takes_room_from_the_properties() {
        let with_value = |len| {
            let details = details().with_id(key().id());
            let details = details.with_property("v", &"x".repeat(len)).unwrap();
            Responder::new(signing().with_details(details), 9999, [1, 2]).is_ok()
        };
        assert!(with_value(338 - 91));
        assert!(!with_value(338 - 90));
    }

    /// A request for details from each of `count` sources on the link, and how many get each outcome.
    fn from_sources(host: &mut Host, count: u32) -> (usize, usize) {
        let outcomes = (0..count).map(|number| {
            let source = SocketAddr::from(((0x0a01_0000 + number).to_be_bytes(), 4000));
            host.handle(&request(), &source.to_string())
        });
        let outcomes: Vec<_> = outcomes.collect();
        let limited = Err(DropReason::SignatureLimited);
        let answered = outcomes.iter().filter(|it| it.is_ok()).count();
        let limited = outcomes.iter().filter(|it| **it == limited).count();
        assert_eq!(answered + limited, outcomes.len());
        (answered, limited)
    }

    #[test]
    fn fault_62_signatures_stay_within_their_budget_and_plain_answers_are_as_without() {
        let mut host = Host::new(signing());
        assert_eq!(from_sources(&mut host, 2000), (500, 1500));
        host.now += Duration::from_millis(100);
        assert_eq!(from_sources(&mut host, 2000), (50, 1950));
        assert_eq!(host.answered(1000, REQUEST, CLIENT), 500);
        assert_eq!(host.answered(1000, REQUEST, "10.1.0.0:4000"), 500);
        assert_eq!(plain_answers_in_a_flood(signing(), 20_000), 20);
    }

    #[test]
    fn fault_62_one_source_does_not_use_up_the_signatures_of_others() {
        let mut host = Host::new(signing());
        assert_eq!(host.answered(10_000, &request(), CLIENT), 40);
        assert_eq!(from_sources(&mut host, 1000).0, 460);
    }
}

/// Any words, details, advertised address and port, and whether the answers are signed.
fn any_config() -> impl Strategy<Value = (Config, bool)> {
    let word = "[A-Za-z0-9 :_é-]{1,60}";
    let property = ("[ -<>-~]{1,9}", "[ -~é]{0,60}");
    (
        (word, word),
        proptest::option::of("[ -~é]{0,63}"),
        proptest::collection::vec(property, 0..5),
        proptest::option::of((any::<u128>(), any::<bool>())),
        any::<Option<u16>>(),
        any::<bool>(),
    )
        .prop_filter_map(
            "the words or the port cannot be used",
            |((message, prefix), name, properties, ip, port, signed)| {
                let words = (Word::new(&message).ok()?, Word::new(&prefix).ok()?);
                let codec = Codec::new(words.0, words.1).ok()?;
                let mut config = Config::from(Settings::default().with_codec(codec));
                if let Some((bits, is_ipv4)) = ip {
                    let v4 = u32::try_from(bits >> 96).unwrap().to_be_bytes();
                    let v6 = bits.to_be_bytes();
                    let ip = if is_ipv4 { IpAddr::from(v4) } else { v6.into() };
                    config = config.with_advertise_ip(ip).ok()?;
                }
                if let Some(port) = port.filter(|port| *port > 0) {
                    config = config.with_advertise_port(port);
                }
                let mut details = details();
                if let Some(name) = name {
                    details = details.clone().with_name(&name).unwrap_or(details);
                }
                for (key, value) in properties {
                    let more = details.clone().with_property(&key, &value);
                    details = more.unwrap_or(details);
                }
                Some((config.with_details(details), signed))
            },
        )
}

/// Signs the answers of `config`, if the crate can.
fn sign(config: Config) -> Config {
    #[cfg(feature = "signed")]
    {
        let key = udp_discovery_server::protocol::SigningKey::from_bytes(&[9; 32]);
        let details = config.details().unwrap().clone().with_id(key.id());
        config.with_details(details).with_signing_key(key)
    }
    #[cfg(not(feature = "signed"))]
    config
}

proptest! {
    #[test]
    fn an_answer_with_details_is_never_longer_than_its_request_and_says_what_is_configured(
        (config, signed) in any_config(),
        random in any::<[u8; 15]>(),
        probe in any::<u8>(),
        ipv6 in any::<bool>(),
    ) {
        let config = if signed { sign(config) } else { config };
        let Ok(mut responder) = Responder::new(config.clone(), 9999, [1, 2]) else {
            return Ok(()); // refused, not cut
        };
        let long = ("2001:db8:ffff:ffff:ffff:ffff:ffff:fff7", 64);
        responder.set_interfaces(vec![interface("eth0", ETH0, &[("192.168.1.7", 24), long])]);
        let codec = config.settings().codec();
        let (mut request, nonce) = (BytesMut::new(), Nonce::new(random, probe));
        codec.encode_details_request(nonce, &mut request);
        let source = if ipv6 { "[2001:db8:ffff:ffff::20]:4000" } else { CLIENT };
        let datagram = broadcast(&request, ETH0, source.parse().unwrap());
        let reply = responder.handle_datagram(Instant::now(), &datagram).unwrap();
        prop_assert!(reply.payload.len() <= request.len());
        prop_assert!(reply.details);
        let answer = codec.decode_details(&reply.payload).unwrap();
        prop_assert_eq!((answer.response, answer.nonce), (reply.response, nonce));
        prop_assert_eq!(&answer.details(), config.details().unwrap());
        prop_assert_eq!(answer.signature.is_some(), signed && cfg!(feature = "signed"));
    }
}
