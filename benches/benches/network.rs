//! The time of a search, a start and a stop, with real sockets on loopback.

#![allow(missing_docs, reason = "a benchmark")]

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use divan::Bencher;
use udp_discovery_client::{Client, Config as ClientConfig};
use udp_discovery_protocol::{
    Codec, Details, Interface, InterfaceAddress, Nonce, RunId, ServerId, SigningKey,
};
use udp_discovery_server::{Arrival, Config, Datagram, Handle, Responder, Server};

fn main() {
    divan::main();
}

fn server() -> Server {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has ports");
    let config = Config::default().with_rate_limit(None);
    Server::from_socket(socket, config).expect("the socket is bound")
}

fn running() -> Handle {
    server().spawn().expect("there are threads")
}

/// One request on an open socket: the least time for an answer.
#[divan::bench]
fn request_and_answer(bencher: Bencher<'_, '_>) {
    let server = running();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has ports");
    socket
        .connect(server.local_addr())
        .expect("it is on loopback");
    let mut answer = [0; 100];
    bencher.bench_local(|| {
        socket.send(b"DISCOVER_SERVER").expect("it is sent");
        socket.recv(&mut answer).expect("it is answered")
    });
}

/// A whole search: lists the interfaces, opens sockets, and returns the first answer.
#[divan::bench]
fn discover_one(bencher: Bencher<'_, '_>) {
    let server = running();
    let port = server.local_addr().port();
    let config = ClientConfig::default()
        .with_port(port)
        .with_interfaces(["lo"])
        .with_timeout(Duration::from_secs(5));
    let client = Client::new(config);
    bencher.bench_local(|| {
        client
            .discover_one()
            .expect("loopback is up")
            .expect("it answers")
    });
}

#[divan::bench]
fn start(bencher: Bencher<'_, '_>) {
    bencher.bench_local(running);
}

#[divan::bench]
fn stop(bencher: Bencher<'_, '_>) {
    bencher
        .with_inputs(running)
        .bench_local_values(Handle::shutdown);
}

/// The decision only, without a socket.
#[divan::bench]
fn responder_decides(bencher: Bencher<'_, '_>) {
    decide(bencher, Config::default(), b"DISCOVER_SERVER");
}

/// The decision about a request for details.
#[divan::bench]
fn responder_decides_details(bencher: Bencher<'_, '_>) {
    let id = ServerId::new([7; 32]);
    let details = Details::new(id, RunId::new([1; 8]));
    decide(
        bencher,
        Config::default().with_details(details),
        &details_request(),
    );
}

/// The decision about a request for details, with the signature of the answer.
#[divan::bench]
fn responder_decides_signed_details(bencher: Bencher<'_, '_>) {
    let config = Config::default().with_signing_key(SigningKey::from_bytes(&[9; 32]));
    decide(bencher, config, &details_request());
}

fn details_request() -> BytesMut {
    let mut request = BytesMut::new();
    Codec::default().encode_details_request(Nonce::new([5; 15], 0), &mut request);
    request
}

fn decide(bencher: Bencher<'_, '_>, config: Config, payload: &[u8]) {
    let mut eth0 = Interface::new("eth0", 2);
    let address = InterfaceAddress::new([192, 168, 1, 7].into(), 24).expect("24 is less than 32");
    eth0.addresses.push(address);
    let config = config
        .with_rate_limit(None)
        .with_details_limit(None)
        .with_signature_limit(None);
    let mut responder = Responder::new(config, 9999, [1, 2]).expect("the details fit");
    responder.set_interfaces(vec![eth0]);
    let datagram = Datagram {
        payload,
        truncated: false,
        source: ([192, 168, 1, 20], 4000).into(),
        arrival: Arrival {
            interface: Some(2),
            ..Arrival::default()
        },
    };
    let now = Instant::now();
    bencher.bench_local(|| responder.handle_datagram(now, &datagram));
}
