//! Searches with details over packets: who is found, and whom forgers can and cannot deceive.

use std::net::{SocketAddr, UdpSocket};
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;

use bytes::BytesMut;
use udp_discovery_client::{Client, Config, Counts, DiscoveredServer, Family, Report};
use udp_discovery_server::protocol::{
    Codec, Details, EncodedDetails, HostIp, Nonce, Response, RunId, ServerId, SigningKey,
};
use udp_discovery_server::{Config as ServerConfig, RateLimit};
use udp_discovery_tests::lab::{self, Host, Lab};
use udp_discovery_tests::python;

use crate::endpoints::{ENOUGH, FakeServer, REQUEST, SOON, Serving, lasting, pair};
use crate::ipv6_search::give_ipv6;

/// The key of the server.
fn key() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

/// The key of somebody else.
fn other_key() -> SigningKey {
    SigningKey::from_bytes(&[8; 32])
}

fn details(id: ServerId) -> Details {
    Details::new(id, RunId::new([0; 8]))
        .with_name("printer")
        .and_then(|details| details.with_property("room", "214"))
        .unwrap()
}

fn unsigned(id: ServerId) -> ServerConfig {
    ServerConfig::default()
        .with_advertise_port(8000)
        .with_details(details(id))
}

fn signed(key: SigningKey) -> ServerConfig {
    unsigned(key.id()).with_signing_key(key)
}

/// What a search found.
struct Found {
    servers: Vec<DiscoveredServer>,
    report: Report,
}

impl Found {
    /// The only server.
    fn only(&self) -> &DiscoveredServer {
        let [server] = &self.servers[..] else {
            panic!("{:#?} {:#?}", self.servers, self.report.counts);
        };
        server
    }

    fn counts(&self) -> Counts {
        self.report.counts
    }
}

/// Searches from `host` to the end.
fn search(host: &Host, config: Config) -> Found {
    host.run(|| {
        let mut search = Client::new(config).search().unwrap();
        search.by_ref().for_each(drop);
        search.outcome().unwrap();
        Found {
            servers: search.servers().cloned().collect(),
            report: search.report().clone(),
        }
    })
}

fn with_details() -> Config {
    lasting(ENOUGH).with_details(true)
}

/// A file of one test that is not there yet.
fn file(test: &str) -> PathBuf {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("details-{test}"));
    let _ = std::fs::remove_file(&file);
    file
}

fn assert_printer(server: &DiscoveredServer, id: ServerId, verified: bool) {
    assert_eq!(server.id, Some(id));
    assert_eq!(server.name.as_deref(), Some("printer"));
    assert_eq!(server.property("Room"), Some("214"));
    assert_eq!(server.verified, verified);
    assert_eq!(server.to_string(), "10.77.1.2:8000");
    assert_eq!(server.endpoints.len(), 1);
}

#[test]
fn a_server_is_found_with_its_name_and_properties() {
    lab::run(|| {
        let [a, b] = pair();
        let id = ServerId::new([7; 32]);
        let serving = Serving::on(&b, unsigned(id));
        let first = search(&a, with_details());
        assert_printer(first.only(), id, false);
        assert_eq!(
            search(&a, with_details().with_wanted_name("print*"))
                .servers
                .len(),
            1
        );
        let wanted = with_details().with_wanted_properties([("ROOM", "214")]);
        assert_eq!(search(&a, wanted).servers.len(), 1);
        let unwanted = search(&a, with_details().with_wanted_name("scanner"));
        assert!(unwanted.servers.is_empty() && unwanted.counts().unwanted > 0);
        drop(serving);

        // Another start of the same server, and a key.
        let _serving = Serving::on(&b, signed(key()));
        let second = search(&a, with_details());
        assert_printer(second.only(), key().id(), true);
        assert_ne!(second.only().run, first.only().run);
        // Without details nothing of it is there.
        let plain = search(&a, lasting(ENOUGH));
        assert_eq!(plain.only().id, None);
    });
}

#[test]
fn a_server_on_two_networks_is_one_with_two_endpoints_the_most_reachable_first() {
    lab::run(|| {
        let lab = Lab::new();
        let [a, b] = ["client", "server"].map(|name| lab.host(name));
        for number in [1, 2] {
            let network = lab.network(&format!("net{number}"), &format!("10.77.{number}.0/24"));
            let interface = format!("eth{number}");
            a.join(&network, &interface, &format!("10.77.{number}.1/24"));
            b.join(&network, &interface, &format!("10.77.{number}.2/24"));
            give_ipv6(&a, &interface, 1);
            give_ipv6(&b, &interface, 2);
        }
        let _serving = Serving::on(&b, signed(key()));
        let found = search(&a, with_details().with_family(Family::V4));
        let mut endpoints: Vec<String> = texts(found.only());
        endpoints.sort();
        assert_eq!(endpoints, ["10.77.1.2:8000", "10.77.2.2:8000"]);
        assert!(found.report.repeated_ids.is_empty());

        // Its link-local addresses come last.
        let found = search(&a, with_details().with_family(Family::Both));
        let endpoints = texts(found.only());
        assert_eq!(endpoints.len(), 4, "{endpoints:?}");
        assert!(
            endpoints[..2].iter().all(|it| it.starts_with("10.77.")),
            "{endpoints:?}"
        );
        assert_eq!(found.only().to_string(), endpoints[0]);
    });
}

/// A server without a key does not draw on the budget of signatures.
#[test]
fn a_server_that_does_not_sign_has_no_limit_of_signatures() {
    lab::run(|| {
        let [a, b] = pair();
        let once = RateLimit::per_second(NonZeroU32::MIN).with_burst(NonZeroU32::MIN);
        let details_answered = |config: ServerConfig| {
            let server = Serving::on(&b, config.with_signature_limit(Some(once)));
            let found = search(&a, with_details());
            assert_eq!(found.servers.len(), 1);
            server.stop().details_answered()
        };
        assert_eq!(details_answered(unsigned(ServerId::new([7; 32]))), 3);
        assert!(details_answered(signed(key())) < 3);
    });
}

fn texts(server: &DiscoveredServer) -> Vec<String> {
    server.endpoints.iter().map(ToString::to_string).collect()
}

#[test]
fn fault_63_two_servers_with_a_copied_id_are_both_listed_and_reported() {
    lab::run(|| {
        let [a, b, c] = Lab::new().hosts(["10.77.1.1/24", "10.77.1.2/24", "10.77.1.3/24"]);
        let _servers = [b, c].map(|host| Serving::on(&host, signed(key())));
        let found = search(&a, with_details());
        assert_eq!(found.servers.len(), 2);
        assert_eq!(found.report.repeated_ids, [key().id()]);
    });
}

/// Answers for a server as somebody who has not got its key can.
struct Forger {
    /// A signed answer of the server to another search.
    old_answer: Vec<u8>,
}

impl Forger {
    const SERVER: &str = "10.77.1.2:9999";

    fn answers(&self, request: &[u8]) -> Vec<Vec<u8>> {
        if request == REQUEST {
            return vec![b"SERVER_IP:10.77.1.3:8000".to_vec()];
        }
        let relayed = Self::ask(request);
        vec![
            relayed.clone(),
            self.old_answer.clone(),
            stripped(&relayed),
            replaced(&relayed, "10.77.1.2", "10.77.1.3"),
            // Under the id of the server, and under his own.
            made(request, key().id(), &other_key()),
            made(request, other_key().id(), &other_key()),
        ]
    }

    /// What the server answers.
    fn ask(request: &[u8]) -> Vec<u8> {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        socket.send_to(request, Self::SERVER).unwrap();
        let mut answer = [0; 513];
        let len = socket.recv(&mut answer).unwrap();
        answer[..len].to_vec()
    }
}

/// An answer without its signature.
fn stripped(answer: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(answer).unwrap();
    text[..text.find("sig=").unwrap()].into()
}

fn replaced(answer: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = std::str::from_utf8(answer).unwrap();
    text.replace(from, to).into()
}

/// An answer that names the forger, signed with a key.
fn made(request: &[u8], id: ServerId, key: &SigningKey) -> Vec<u8> {
    let codec = Codec::default();
    let nonce = codec.decode_details_request(request).unwrap();
    let details = EncodedDetails::new(&details(id), &codec, true).unwrap();
    let forger = HostIp::new([10, 77, 1, 3].into()).unwrap();
    let mut answer = BytesMut::new();
    codec.encode_details(
        Response::new(forger, NonZeroU16::new(8000)),
        nonce,
        &details,
        &mut answer,
    );
    key.sign(request, &mut answer);
    answer.to_vec()
}

#[test]
fn fault_60_among_forgers_only_the_pinned_server_is_found() {
    lab::run(|| {
        let [a, b, c] = Lab::new().hosts(["10.77.1.1/24", "10.77.1.2/24", "10.77.1.3/24"]);
        let _serving = Serving::on(&b, signed(key()));
        let mut other_request = BytesMut::new();
        Codec::default().encode_details_request(Nonce::new([5; 15], 0), &mut other_request);
        let forger = Forger {
            old_answer: c.run(|| Forger::ask(&other_request)),
        };
        let _forger = FakeServer::on_any(&c, move |socket, request, client: SocketAddr| {
            for answer in forger.answers(request) {
                socket.send_to(&answer, client).unwrap();
            }
        });

        let pinned = search(&a, with_details().with_pinned_ids([key().id()]));
        assert_printer(pinned.only(), key().id(), true);
        let counts = pinned.counts();
        for (count, what) in [
            (counts.unsigned, "plain or stripped"),
            (counts.not_pinned, "of another id"),
            (
                counts.wrong_signature,
                "changed, or signed with another key",
            ),
            (counts.wrong_nonce, "replayed"),
        ] {
            assert!(count > 0, "{what}: {counts:?}");
        }

        // Without pins, nobody but the server is verified with its id.
        let found = search(&a, with_details());
        let verified = found.servers.iter().filter(|server| server.verified);
        let of_id: Vec<_> = verified.filter(|it| it.id == Some(key().id())).collect();
        assert_eq!(of_id.len(), 1, "{:#?}", found.servers);
        assert_printer(of_id[0], key().id(), true);
    });
}

#[test]
fn fault_65_another_server_in_the_place_of_a_known_one_is_an_alarm_and_not_a_result() {
    lab::run(|| {
        let [a, b, c] = Lab::new().hosts(["10.77.1.1/24", "10.77.1.2/24", "10.77.1.3/24"]);
        let file = file("known");
        let search = || search(&a, with_details().with_known_servers(&file));
        let known = Serving::on(&b, signed(key()));
        assert_printer(search().only(), key().id(), true);
        assert!(std::fs::read_to_string(&file).unwrap().contains("printer"));

        // Beside the known one it is left out.
        let other = Serving::on(&c, signed(other_key()));
        let found = search();
        assert_printer(found.only(), key().id(), true);
        let [alarm] = &found.report.alarms[..] else {
            panic!("{:?}", found.report.alarms);
        };
        assert_eq!(alarm.name, "printer");
        assert_eq!((alarm.id, alarm.known_id), (other_key().id(), key().id()));
        assert_eq!(alarm.source.to_string(), "10.77.1.3:9999");
        assert!(alarm.known_answered);

        drop(known);
        let found = search();
        assert!(found.servers.is_empty(), "{:?}", found.servers);
        assert!(!found.report.alarms[0].known_answered);

        // Without a signature it is nobody.
        drop(other);
        let _unsigned = Serving::on(&c, unsigned(key().id()));
        let found = search();
        assert!(found.servers.is_empty(), "{:?}", found.servers);
        assert!(found.report.alarms.is_empty() && found.counts().unsigned > 0);
        std::fs::remove_file(&file).unwrap();
    });
}

#[test]
fn our_client_finds_the_server_of_another_implementation() {
    lab::run_with_python(env!("CARGO_TARGET_TMPDIR"), |interpreter| {
        let [a, b] = pair();
        let pem = file("key.pem");
        std::fs::write(&pem, key().to_pem()).unwrap();
        let id = ServerId::new([7; 32]);
        let serve = ["serve", "--bind=0.0.0.0", "--claim=10.77.1.2:8000"];
        let offer = ["--name=printer", "--property=room=214"];
        for (option, value, id) in [
            ("--id", id.to_string(), id),
            ("--key", pem.to_str().unwrap().to_owned(), key().id()),
        ] {
            let arguments = [&serve[..], &offer, &[option, &value]].concat();
            let server = b.spawn(python::details(interpreter, &arguments));
            server.wait_for_line("port", SOON);
            let is_signed = option == "--key";
            assert_printer(search(&a, with_details()).only(), id, is_signed);
            let pinned = search(&a, with_details().with_pinned_ids([id]));
            assert_eq!(pinned.servers.len(), usize::from(is_signed));
        }
        std::fs::remove_file(pem).unwrap();
    });
}

#[test]
fn fault_66_the_python_server_is_found_and_sees_no_error_in_a_request_for_details() {
    lab::run_with_python(env!("CARGO_TARGET_TMPDIR"), |interpreter| {
        let [a, b] = pair();
        let settings =
            r#"{"DISCOVERY_PORT": 9999, "ENABLE_LOGGING": true, "DISCOVERY_BUFFER_SIZE": 1024}"#;
        let mut server = b.spawn(python::server(interpreter, settings));
        server.wait_for_line("ready", SOON);
        let found = search(&a, with_details());
        let server_found = found.only();
        assert_eq!(server_found.ip.to_string(), "10.77.1.2");
        assert_eq!((server_found.id, &server_found.name), (None, &None));
        assert!(server_found.endpoints.is_empty());
        // It serves until its input ends.
        server.close_stdin();
        assert!(server.wait(SOON).success(), "{server:?}");
        let log = server.stderr().join("\n");
        assert!(log.contains("unexpected message"), "{log}");
        for word in ["ERROR", "WARNING", "Traceback"] {
            assert!(!log.contains(word), "{word}:\n{log}");
        }
    });
}
