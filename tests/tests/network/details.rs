//! Details over packets: a client that is a second implementation, and plain clients beside it.

use std::net::UdpSocket;
use std::path::Path;

use udp_discovery_server::protocol::{Codec, Details, Nonce, RunId, ServerId, SigningKey};
use udp_discovery_server::{Config, DropReason};
use udp_discovery_tests::lab::{self, Host};
use udp_discovery_tests::python;

use crate::endpoints::{Asker, SOON, Serving, answer_of, pair, wait_until};
use crate::limits::while_sending;

fn offering(id: ServerId) -> Config {
    let details = Details::new(id, RunId::new([0; 8]))
        .with_name("printer")
        .and_then(|details| details.with_property("version", "1.2"))
        .unwrap();
    Config::default()
        .with_advertise_port(8000)
        .with_details(details)
}

fn signing() -> (Config, ServerId) {
    let key = SigningKey::from_bytes(&[9; 32]);
    let id = key.id();
    (offering(id).with_signing_key(key), id)
}

fn request() -> Vec<u8> {
    let mut request = bytes::BytesMut::new();
    Codec::default().encode_details_request(Nonce::new([5; 15], 0), &mut request);
    request.to_vec()
}

/// What the second implementation on `host` finds by a broadcast, as it prints it.
fn search(interpreter: &Path, host: &Host, options: &[&str]) -> String {
    let arguments = [&["discover", "10.77.1.255"], options].concat();
    let mut client = host.spawn(python::details(interpreter, &arguments));
    assert!(client.wait(SOON).success(), "{client:?}");
    client.stdout().concat()
}

fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part}: {text}");
    }
}

const SAID: [&str; 4] = [
    r#""name": "printer""#,
    r#""properties": {"version": "1.2"}"#,
    r#""endpoints": [{"ip": "10.77.1.2", "port": 8000, "source": "10.77.1.2","#,
    r#""dropped": {}"#,
];

#[test]
fn another_implementation_finds_our_server_and_who_it_is() {
    lab::run_with_python(env!("CARGO_TARGET_TMPDIR"), |interpreter| {
        let id = ServerId::new([7; 32]);
        let [a, b] = pair();
        let server = Serving::on(&b, offering(id));
        let found = search(interpreter, &a, &[]);
        assert_has(&found, &SAID);
        assert_has(&found, &[&id.to_string(), r#""verified": false"#]);
        // Two probes, each plain and for details.
        let stats = server.stop();
        assert_eq!((stats.answered(), stats.details_answered()), (2, 2));
        assert_eq!(stats.dropped_in_total(), 0);
    });
}

#[test]
fn another_implementation_verifies_the_answers_of_our_server() {
    lab::run_with_python(env!("CARGO_TARGET_TMPDIR"), |interpreter| {
        let [a, b] = pair();
        let (config, id) = signing();
        let _server = Serving::on(&b, config);
        let search = |options: &[&str]| search(interpreter, &a, options);
        let pin = id.to_string();
        let found = search(&[]);
        assert_has(&found, &SAID);
        assert_has(&found, &[&pin, r#""verified": true"#]);
        // A pin refuses plain answers, and every other id.
        let pinned = search(&["--pin", &pin]);
        assert_has(&pinned, &[&pin, r#""verified": true"#, r#""plain": 2"#]);
        let other = ServerId::new([7; 32]).to_string();
        let nothing = search(&["--pin", &other]);
        assert_has(&nothing, &[r#""servers": []"#, r#""another id": 2"#]);
    });
}

/// FAULTS R66
#[test]
fn fault_66_the_python_client_finds_our_server_that_offers_details() {
    lab::run_with_python(env!("CARGO_TARGET_TMPDIR"), |interpreter| {
        let [a, b] = pair();
        let server = Serving::on(&b, signing().0);
        let config = r#"{"discovery_port": 9999, "timeout": 0.5}"#;
        let mut client = a.spawn(python::client(interpreter, config));
        assert!(client.wait(SOON).success(), "{client:?}");
        let found = [r#"[{"ip": "10.77.1.2", "port": 8000}]"#];
        assert_eq!(client.stdout(), found, "{client:?}");
        assert_eq!(server.stop().details_answered(), 0);
    });
}

/// FAULTS R62
#[test]
fn fault_62_a_flood_of_requests_for_details_leaves_plain_answers_as_they_are() {
    lab::run(|| {
        let [a, b] = pair();
        let server = Serving::on(&b, signing().0);
        let flood = a.run(|| UdpSocket::bind("10.77.1.1:0")).unwrap();
        let request = request();
        let send = || {
            // The system may lack buffers for some.
            let _ = flood.send_to(&request, "10.77.1.2:9999");
        };
        let limited = || server.stats().dropped(DropReason::DetailsLimited);
        let asker = Asker::at(&a, "10.77.1.1:0");
        let plain = (
            format!("{}:8000", answer_of("10.77.1.2").0),
            answer_of("10.77.1.2").1,
        );
        while_sending(2000, send, || {
            wait_until("the limit of details", || limited() > 100);
            for _ in 0..100 {
                assert_eq!(asker.ask("10.77.1.2:9999"), plain);
            }
        });
        let stats = server.stop();
        asker.hears_nothing();
        assert_eq!(stats.answered(), 100, "{stats}");
        assert!(stats.details_answered() >= 40, "{stats}");
    });
}
