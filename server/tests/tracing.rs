//! The feature `tracing`: what a server logs, and that it can be silenced.

use std::fmt::{Debug, Write as _};
use std::net::UdpSocket;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use udp_discovery_server::protocol::{Codec, Details, Nonce, RunId, ServerId, Settings};
use udp_discovery_server::{Config, Server};

/// Collects events as text: the level and the fields.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let target = event.metadata().target();
        if !target.starts_with("udp_discovery_server") {
            return;
        }
        let mut line = event.metadata().level().to_string();
        event.record(&mut Line(&mut line));
        self.0.lock().unwrap().push(line);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// What a server logs while it drops one datagram, and answers a request and one for details.
fn logged(logging: bool) -> Vec<String> {
    let details = Details::new(ServerId::new([7; 32]), RunId::new([0; 8]));
    let config = Config::from(Settings::default().with_logging(logging))
        .with_kernel_filter(false)
        .with_details(details);
    let mut request = BytesMut::new();
    Codec::default().encode_details_request(Nonce::new([5; 15], 0), &mut request);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = Server::from_socket(socket, config).unwrap();
    let (address, control) = (server.local_addr(), server.control());
    let client = std::thread::spawn(move || {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(address).unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        client.send(b"x\r\n\x1b[2J").unwrap();
        client.send(b"DISCOVER_SERVER").unwrap();
        client.recv(&mut [0; 100]).expect("the request is answered");
        client.send(&request).unwrap();
        client.recv(&mut [0; 512]).expect("with details too");
        control.stop();
    });
    let log = Log::default();
    tracing::subscriber::with_default(log.clone(), || server.run().unwrap());
    client.join().unwrap();
    let lines = log.0.lock().unwrap();
    lines.clone()
}

#[test]
fn events_have_fields_and_bytes_from_the_network_are_escaped() {
    let lines = logged(true);
    let has = |parts: &[&str]| {
        let line = |line: &&String| parts.iter().all(|part| line.contains(part));
        assert!(lines.iter().any(|it| line(&it)), "{parts:?}: {lines:#?}");
    };
    has(&[
        "DEBUG",
        "reason=not the request",
        r#"payload="x\r\n\x1b[2J""#,
    ]);
    for what in ["answered a request", "answered a request for details"] {
        let what = format!("message={what} client=127.0.0.1:");
        has(&["DEBUG", &what, "response=127.0.0.1"]);
    }
    assert!(lines.iter().all(|line| !line.contains('\x1b')));
}

#[test]
fn without_logging_nothing_is_logged() {
    assert_eq!(logged(false), [""; 0]);
}
