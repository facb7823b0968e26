//! Answers with details: what is read, what is refused, and that both directions agree.

use bytes::BytesMut;
use proptest::prelude::*;
use udp_discovery_protocol::{
    Codec, DETAILS_LEN, Details, DetailsAnswer, DetailsError, EncodedDetails, Nonce, Response,
    RunId, ServerId,
};

const NONCE: [u8; 15] = *b"abcdefghijklmno";
/// An answer without optional lines.
const SHORTEST: &str = "SERVER_IP:10.0.0.7\n\
    1 YWJjZGVmZ2hpamtsbW5vAw\n\
    id=BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc\n\
    run=AQEBAQEBAQE\n";

fn details() -> Details {
    Details::new(ServerId::new([7; 32]), RunId::new([1; 8]))
}

fn encode(details: &Details, response: &str) -> Vec<u8> {
    let codec = Codec::default();
    let encoded = EncodedDetails::new(details, &codec, false).unwrap();
    let mut answer = BytesMut::new();
    codec.encode_details(
        parsed(response),
        Nonce::new(NONCE, 3),
        &encoded,
        &mut answer,
    );
    answer.to_vec()
}

/// The response that a text such as `10.0.0.7:80` is.
fn parsed(text: &str) -> Response {
    let datagram = format!("SERVER_IP:{text}");
    match Codec::default().decode(datagram.as_bytes()) {
        Ok(udp_discovery_protocol::Message::Response(response)) => response,
        other => panic!("{other:?}"),
    }
}

fn decode(answer: &[u8]) -> Result<DetailsAnswer<'_>, DetailsError> {
    Codec::default().decode_details(answer)
}

fn error(answer: &[u8]) -> DetailsError {
    match decode(answer) {
        Ok(answer) => panic!("{answer:?}"),
        Err(error) => error,
    }
}

#[test]
fn golden_bytes_are_written_and_read() {
    assert_eq!(encode(&details(), "10.0.0.7"), SHORTEST.as_bytes());
    let full = details()
        .with_name("Küche")
        .unwrap()
        .with_property("path", "/a=b")
        .unwrap()
        .with_property("X y", "")
        .unwrap();
    let text = SHORTEST.replace(".7\n", ".7:8000\n") + "name=Küche\npath=/a=b\nX y=\n";
    assert_eq!(encode(&full, "10.0.0.7:8000"), text.as_bytes());
    let answer = decode(text.as_bytes()).unwrap();
    assert_eq!(answer.response, parsed("10.0.0.7:8000"));
    assert_eq!(answer.nonce, Nonce::new(NONCE, 3));
    assert_eq!(answer.name, Some("Küche"));
    let properties: Vec<_> = answer.properties.clone().collect();
    assert_eq!(properties, [("path", "/a=b"), ("X y", "")]);
    assert_eq!(answer.signature, None);
    assert_eq!(answer.details(), full);
}

#[test]
fn of_a_repeated_key_the_first_value_remains() {
    let text = SHORTEST.to_owned() + "a=1\nA=2\nb=3\n";
    let details = decode(text.as_bytes()).unwrap().details();
    let properties: Vec<_> = details.properties().collect();
    assert_eq!(properties, [("a", "1"), ("b", "3")]);
}

#[test]
fn fault_59_what_breaks_a_rule_is_refused_as_a_whole() {
    use DetailsError::{
        MalformedId, MalformedName, MalformedNonce, MalformedProperty, MalformedResponse,
        MalformedRun, MalformedSignature, ReservedKey, TooLong, UnknownVersion,
    };
    let with = |more: &str| error((SHORTEST.to_owned() + more).as_bytes());
    let sig = format!("sig={}\n", "A".repeat(86));
    assert!(decode((SHORTEST.to_owned() + &sig).as_bytes()).is_ok());
    for (more, expected) in [
        ("name=a\nname=b\n", ReservedKey),
        ("a=1\nname=b\n", ReservedKey),
        ("NAME=b\n", ReservedKey),
        ("id=x\n", ReservedKey),
        ("Run=x\n", ReservedKey),
        ("SIG=x\n", ReservedKey),
        ("sig=x\n", MalformedSignature),
        ("a\n", MalformedProperty),
        ("=1\n", MalformedProperty),
        ("\n", MalformedProperty),
        ("a=1", MalformedProperty),
        ("a=1\r\n", MalformedProperty),
        ("a=\u{7f}\n", MalformedProperty),
        ("a\tb=1\n", MalformedProperty),
        ("é=1\n", MalformedProperty),
        ("name=a", MalformedName),
        ("name=a\tb\n", MalformedName),
        (&format!("name={}\n", "n".repeat(64)), MalformedName),
        (&format!("{sig}a=1\n"), MalformedSignature),
        (&format!("{sig}{sig}"), MalformedSignature),
        (&format!("{sig}\n"), MalformedSignature),
        (sig.trim_end(), MalformedSignature),
        (&sig.replace("A\n", "B\n"), MalformedSignature),
    ] {
        assert_eq!(with(more), expected, "{more:?}");
    }
    let replaced = |from: &str, to: &str| error(SHORTEST.replacen(from, to, 1).as_bytes());
    for (from, to, expected) in [
        (".7\n", ".7 \n", MalformedResponse),
        (".7\n", ".07\n", MalformedResponse),
        (".7\n", ".7\r\n", MalformedResponse),
        ("10.0.0.7", "[FE80::1]", MalformedResponse),
        ("10.0.0.7", "[fe80:0::1]", MalformedResponse),
        ("10.0.0.7", "0.0.0.0", MalformedResponse),
        ("SERVER", "server", MalformedResponse),
        ("\n1 ", "\n2 ", UnknownVersion),
        ("\n1 ", "\n1", UnknownVersion),
        ("\n1 Y", "\n1  Y", MalformedNonce),
        ("w\nid", "x\nid", MalformedNonce),
        ("w\nid", "\nid", MalformedNonce),
        ("id=", "ID=", MalformedId),
        ("wc\n", "wd\n", MalformedId),
        ("run=", "id=", MalformedRun),
        ("QE\n", "QF\n", MalformedRun),
        ("run=AQEBAQEBAQE\n", "", MalformedRun),
    ] {
        assert_eq!(replaced(from, to), expected, "{from:?} {to:?}");
    }
    let id_after_run = "SERVER_IP:10.0.0.7\n1 YWJjZGVmZ2hpamtsbW5vAw\nrun=AQEBAQEBAQE\n";
    assert_eq!(error(id_after_run.as_bytes()), MalformedId);
    let mut not_utf8 = SHORTEST.as_bytes().to_vec();
    not_utf8.extend_from_slice(b"a=\xff\n");
    assert_eq!(error(&not_utf8), MalformedProperty);
    let longest = SHORTEST.to_owned() + "a=" + &"x".repeat(DETAILS_LEN - SHORTEST.len() - 3);
    assert!(decode((longest.clone() + "\n").as_bytes()).is_ok());
    assert_eq!(error((longest + "x\n").as_bytes()), TooLong { len: 513 });
}

#[test]
fn every_beginning_of_an_answer_that_cuts_a_line_is_refused() {
    let text = SHORTEST.to_owned() + "name=a\nb=1\n";
    for len in 0..text.len() {
        let is_whole = len >= SHORTEST.len() && text[..len].ends_with('\n');
        assert_eq!(decode(&text.as_bytes()[..len]).is_ok(), is_whole, "{len}");
    }
}

#[test]
fn an_answer_with_details_is_no_plain_message() {
    assert!(Codec::default().decode(SHORTEST.as_bytes()).is_err());
}

fn text(max: usize) -> impl Strategy<Value = String> {
    proptest::collection::vec(any::<char>(), 0..max)
        .prop_map(|chars| chars.into_iter().filter(|it| !it.is_control()).collect())
}

fn any_details() -> impl Strategy<Value = Details> {
    let key = "[ -<>-~]{1,9}";
    let properties = proptest::collection::vec((key, text(40)), 0..5);
    (
        any::<[u8; 32]>(),
        any::<[u8; 8]>(),
        proptest::option::of(text(20)),
        properties,
    )
        .prop_map(|(id, run, name, properties)| {
            let mut details = Details::new(ServerId::new(id), RunId::new(run));
            if let Some(name) = name {
                details = details.clone().with_name(&name).unwrap_or(details);
            }
            for (key, value) in properties {
                details = details
                    .clone()
                    .with_property(&key, &value)
                    .unwrap_or(details);
            }
            details
        })
}

proptest! {
    #[test]
    fn an_answer_is_never_longer_than_its_request_and_is_read_as_it_was_written(
        details in any_details(),
        ip in any::<[u16; 8]>(),
        port in any::<u16>(),
        random in any::<[u8; 15]>(),
        probe in any::<u8>(),
    ) {
        let codec = Codec::default();
        let Ok(ip) = std::net::IpAddr::from(ip).to_string().parse() else {
            return Ok(());
        };
        let response = Response::new(ip, std::num::NonZeroU16::new(port));
        let nonce = Nonce::new(random, probe);
        let Ok(encoded) = EncodedDetails::new(&details, &codec, false) else {
            return Ok(());
        };
        let mut answer = BytesMut::new();
        codec.encode_details(response, nonce, &encoded, &mut answer);
        prop_assert!(answer.len() <= DETAILS_LEN);
        let read = codec.decode_details(&answer).unwrap();
        prop_assert_eq!((read.response, read.nonce), (response, nonce));
        prop_assert_eq!(read.details(), details);
    }

    #[test]
    fn nothing_makes_the_decoder_panic_and_what_it_reads_is_written_the_same(
        mut answer in any_details().prop_map(|it| encode_or_shortest(&it)),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
        len in any::<proptest::sample::Index>(),
    ) {
        for (at, byte) in changes {
            let at = at.index(answer.len());
            answer[at] = byte;
        }
        answer.truncate(len.index(answer.len() + 1));
        let Ok(read) = decode(&answer) else {
            return Ok(());
        };
        let details = read.details();
        let is_repeated = read.properties.clone().count() != details.properties().count();
        if read.signature.is_none() && !is_repeated {
            let codec = Codec::default();
            let Ok(encoded) = EncodedDetails::new(&details, &codec, false) else {
                return Ok(());
            };
            let mut again = BytesMut::new();
            codec.encode_details(read.response, read.nonce, &encoded, &mut again);
            prop_assert_eq!(&again[..], &answer[..]);
        }
    }
}

fn encode_or_shortest(details: &Details) -> Vec<u8> {
    match EncodedDetails::new(details, &Codec::default(), false) {
        Ok(_) => encode(details, "[2001:db8::7]:8000"),
        Err(_) => SHORTEST.into(),
    }
}

#[cfg(feature = "signed")]
mod signed {
    use udp_discovery_protocol::{SigningKey, VerifyError};

    use super::*;

    fn request(probe: u8) -> Vec<u8> {
        let mut request = BytesMut::new();
        Codec::default().encode_details_request(Nonce::new(NONCE, probe), &mut request);
        request.to_vec()
    }

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[9; 32])
    }

    /// An answer to `request(3)`.
    fn answer(key: &SigningKey) -> Vec<u8> {
        let details = details().with_id(key.id()).with_name("printer").unwrap();
        let mut answer = BytesMut::from(&encode(&details, "10.0.0.7:80")[..]);
        key.sign(&request(3), &mut answer);
        answer.to_vec()
    }

    #[test]
    fn a_key_is_read_as_it_is_written() {
        let pem = key().to_pem();
        assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"));
        assert_eq!(SigningKey::from_pem(&pem).unwrap().id(), key().id());
        for text in ["", "-----BEGIN PRIVATE KEY-----\n", &pem[..pem.len() - 40]] {
            assert!(SigningKey::from_pem(text).is_err());
        }
        assert!(
            !format!("{:?}", key()).contains("CQkJ"),
            "the key is not shown"
        );
    }

    #[test]
    fn fault_60_only_the_owner_of_the_id_signs_for_this_request() {
        let answer = answer(&key());
        let read = decode(&answer).unwrap();
        assert_eq!(read.verify(&request(3)), Ok(()));
        assert_eq!(read.verify(&request(4)), Err(VerifyError::Wrong));
        assert_eq!(read.verify(&[]), Err(VerifyError::Wrong));
        // The signature of another key.
        let other = SigningKey::from_bytes(&[8; 32]);
        let without = answer.len() - 91;
        let mut forged = BytesMut::from(&answer[..without]);
        other.sign(&request(3), &mut forged);
        let forged = decode(&forged).unwrap().verify(&request(3));
        assert_eq!(forged, Err(VerifyError::Wrong));
        let stripped = decode(&answer[..without]).unwrap().verify(&request(3));
        assert_eq!(stripped, Err(VerifyError::Unsigned));
    }

    #[test]
    fn fault_60_every_changed_byte_breaks_the_signature() {
        let answer = answer(&key());
        for at in 0..answer.len() {
            let mut changed = answer.clone();
            changed[at] ^= 1;
            let verified = decode(&changed).is_ok_and(|it| it.verify(&request(3)).is_ok());
            assert!(!verified, "{at}");
        }
    }

    /// With a key of small order, one signature is right for many messages.
    #[test]
    fn fault_60_a_key_of_small_order_signs_nothing() {
        let mut neutral = [0; 32];
        neutral[0] = 1;
        for id in [[0; 32], neutral] {
            let details = details().with_id(ServerId::new(id));
            let mut answer = encode(&details, "10.0.0.7");
            // R is the neutral element too, and S is 0.
            answer.extend_from_slice(b"sig=AQ");
            answer.extend_from_slice("A".repeat(84).as_bytes());
            answer.push(b'\n');
            let verified = decode(&answer).unwrap().verify(&request(3));
            assert!(verified.is_err(), "{id:?}");
        }
    }

    #[test]
    fn the_vectors_of_the_specification_are_right() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/details.md");
        // The package on crates.io does not have the page.
        let Ok(page) = std::fs::read_to_string(page) else {
            return;
        };
        let block = |text: &str| format!("\n```text\n{}\n```\n", text.trim_end());
        let has = |text: &str| assert!(page.contains(&block(text)), "it lacks {}", block(text));
        has(&format!("{}{}", key().to_pem(), key().id()));
        let request = String::from_utf8(request(3)).unwrap();
        has(&request);
        assert_eq!(request.len() - request.trim_end_matches(' ').len(), 471);
        let full = details().with_name("printer").unwrap();
        let full = full.with_property("version", "1.2").unwrap();
        has(std::str::from_utf8(&encode(&full, "192.168.1.7:8000")).unwrap());
        let full = full.with_id(key().id());
        let mut answer = BytesMut::from(&encode(&full, "192.168.1.7:8000")[..]);
        key().sign(request.as_bytes(), &mut answer);
        has(std::str::from_utf8(&answer).unwrap());
    }
}
