//! The time and the allocations for reading and writing one datagram.

#![allow(missing_docs, reason = "a benchmark")]

use std::num::NonZeroU16;

use bytes::BytesMut;
use divan::{AllocProfiler, Bencher, black_box};
use udp_discovery_protocol::{Codec, Message, Request, Response};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

const DATAGRAMS: [&str; 5] = [
    "DISCOVER_SERVER",
    "SERVER_IP:192.168.1.7",
    "SERVER_IP:192.168.1.7:8000",
    "SERVER_IP:[fe80::1234:5678:9abc:def0]:8000",
    "GET / HTTP/1.1",
];

fn main() {
    divan::main();
}

#[divan::bench(args = DATAGRAMS)]
fn decode(bencher: Bencher<'_, '_>, datagram: &str) {
    let codec = Codec::default();
    bencher.bench_local(|| codec.decode(black_box(datagram.as_bytes())));
}

#[divan::bench(args = ["request", "192.168.1.7", "fe80::1234:5678:9abc:def0"])]
fn encode(bencher: Bencher<'_, '_>, what: &str) {
    let codec = Codec::default();
    let message = match what.parse() {
        Ok(ip) => Message::Response(Response::new(ip, NonZeroU16::new(8000))),
        Err(_) => Message::Request(Request),
    };
    let mut out = BytesMut::with_capacity(codec.encoded_len(message));
    bencher.bench_local(|| {
        out.clear();
        codec.encode(black_box(message), &mut out);
        out.len()
    });
}
