//! The number of instructions for reading and writing one datagram, and those of hand-written loops
//! that do the least of it. They are the same on every run of the same program, however busy the
//! machine is.
//!
//! Needs valgrind and `cargo install gungraun-runner`. Fails if something takes about
//! a quarter more instructions than when its limit was written.

#![allow(missing_docs, reason = "a benchmark")]

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::BytesMut;
use gungraun::prelude::*;
use gungraun::{Callgrind, EventKind};
use udp_discovery_client::{Config as ClientConfig, Discovery, Host};
use udp_discovery_protocol::{
    Codec, DecodeError, Interface, InterfaceAddress, Message, Request, Response,
};
use udp_discovery_server::{Arrival, Config as ServerConfig, Datagram, Responder};

const REQUEST: &[u8] = b"DISCOVER_SERVER";
const RESPONSE: &[u8] = b"SERVER_IP:192.168.1.7:8000";

/// At most so many instructions.
fn at_most(instructions: u64) -> LibraryBenchmarkConfig {
    let mut callgrind = Callgrind::default();
    callgrind.hard_limits([(EventKind::Ir, instructions)]);
    LibraryBenchmarkConfig::default().tool(callgrind).clone()
}

fn with_codec(datagram: &'static [u8]) -> (Codec, &'static [u8]) {
    (Codec::default(), datagram)
}

#[library_benchmark]
#[bench::request(args = (REQUEST), setup = with_codec, config = at_most(110))]
#[bench::response(args = (RESPONSE), setup = with_codec, config = at_most(600))]
fn decode((codec, datagram): (Codec, &[u8])) -> (Codec, Result<Message, DecodeError>) {
    let message = black_box(codec.decode(black_box(datagram)));
    // Returned, since dropping it here would count.
    (codec, message)
}

/// The words, which a program knows only when it runs.
type Words = (Vec<u8>, Vec<u8>);

fn with_words(datagram: &'static [u8]) -> (Words, &'static [u8]) {
    let words = (REQUEST.to_vec(), b"SERVER_IP:".to_vec());
    (black_box(words), datagram)
}

#[library_benchmark]
#[bench::request(args = (REQUEST), setup = with_words)]
#[bench::response(args = (RESPONSE), setup = with_words)]
fn decode_by_hand((words, datagram): (Words, &[u8])) -> (Words, Option<([u8; 4], u16)>) {
    let said = black_box(read(&words, black_box(datagram)));
    (words, said)
}

/// What a datagram says. A request says nothing.
fn read((request, prefix): &Words, datagram: &[u8]) -> Option<([u8; 4], u16)> {
    if datagram == request {
        return Some(([0; 4], 0));
    }
    let mut text = datagram.strip_prefix(&prefix[..])?;
    let mut octets = [0; 4];
    for (at, octet) in octets.iter_mut().enumerate() {
        if at > 0 {
            text = text.strip_prefix(b".")?;
        }
        *octet = number(&mut text)?.try_into().ok()?;
    }
    let Some(mut text) = text.strip_prefix(b":") else {
        return text.is_empty().then_some((octets, 0));
    };
    let port = number(&mut text)?;
    text.is_empty().then_some((octets, port))
}

/// A number without leading zeros.
fn number(text: &mut &[u8]) -> Option<u16> {
    let mut number = 0_u16;
    let mut digits = 0;
    while let Some((digit @ b'0'..=b'9', rest)) = text.split_first() {
        if digits > 0 && number == 0 {
            return None;
        }
        number = number
            .checked_mul(10)?
            .checked_add(u16::from(digit - b'0'))?;
        digits += 1;
        *text = rest;
    }
    (digits > 0).then_some(number)
}

fn with_room(datagram: &'static [u8]) -> (Codec, Message, BytesMut) {
    let codec = Codec::default();
    let message = codec.decode(datagram).expect("it is a message");
    (codec, message, BytesMut::with_capacity(100))
}

#[library_benchmark]
#[bench::request(args = (REQUEST), setup = with_room, config = at_most(100))]
#[bench::response(args = (RESPONSE), setup = with_room, config = at_most(560))]
fn encode((codec, message, mut out): (Codec, Message, BytesMut)) -> (Codec, BytesMut) {
    codec.encode(black_box(message), &mut out);
    (codec, black_box(out))
}

fn with_buffer(datagram: &'static [u8]) -> (Words, Option<Response>, Vec<u8>) {
    let response = match Codec::default().decode(datagram) {
        Ok(Message::Response(response)) => Some(response),
        Ok(Message::Request(Request)) | Err(_) => None,
    };
    let (words, _) = with_words(datagram);
    (words, response, Vec::with_capacity(100))
}

#[library_benchmark]
#[bench::request(args = (REQUEST), setup = with_buffer)]
#[bench::response(args = (RESPONSE), setup = with_buffer)]
fn encode_by_hand(
    (words, response, mut out): (Words, Option<Response>, Vec<u8>),
) -> (Words, Vec<u8>) {
    write(&words, black_box(response), &mut out);
    (words, black_box(out))
}

/// Writes a response, or the request.
fn write((request, prefix): &Words, response: Option<Response>, out: &mut Vec<u8>) {
    let Some(response) = response else {
        return out.extend_from_slice(request);
    };
    out.extend_from_slice(prefix);
    let std::net::IpAddr::V4(ip) = response.ip() else {
        return;
    };
    for (at, octet) in ip.octets().into_iter().enumerate() {
        if at > 0 {
            out.push(b'.');
        }
        push_number(u16::from(octet), out);
    }
    if let Some(port) = response.port() {
        out.push(b':');
        push_number(port.get(), out);
    }
}

fn push_number(number: u16, out: &mut Vec<u8>) {
    let mut unit = 1;
    while number / 10 >= unit {
        unit *= 10;
    }
    while unit > 0 {
        out.push(b'0' + u8::try_from(number / unit % 10).expect("it is a digit"));
        unit /= 10;
    }
}

/// A host on one network.
fn interface() -> Interface {
    let mut eth0 = Interface::new("eth0", 2);
    eth0.flags.up = true;
    eth0.flags.broadcast = true;
    let address = InterfaceAddress::new([192, 168, 1, 7].into(), 24).expect("24 is less than 32");
    eth0.addresses.push(address);
    eth0
}

fn responder() -> (Responder, Instant) {
    let responder = Responder::new(ServerConfig::default(), 9999, [1, 2]);
    let mut responder = responder.expect("it offers no details");
    responder.set_interfaces(vec![interface()]);
    (responder, Instant::now())
}

// The decisions about requests of 100 sources, with the default limits.
#[library_benchmark]
#[bench::hundred(setup = responder, config = at_most(155_000))]
fn server((mut responder, now): (Responder, Instant)) -> Responder {
    for host in 20..120 {
        let datagram = Datagram {
            payload: REQUEST,
            truncated: false,
            source: ([192, 168, 1, host], 4000).into(),
            arrival: Arrival {
                interface: Some(2),
                destination: Some([192, 168, 1, 255].into()),
                local: Some([192, 168, 1, 7].into()),
            },
        };
        let _ = black_box(responder.handle_datagram(now, black_box(&datagram)));
    }
    responder
}

fn discovery() -> (Discovery, Instant, Vec<(SocketAddr, String)>) {
    let now = Instant::now();
    let config = ClientConfig::default();
    let mut search = Discovery::new(now, &config, &Host::new([interface()]), [7; 15])
        .expect("there is a network");
    while search.poll_transmit(now).is_some() {}
    let answer = |host: u8| {
        let source = ([192, 168, 1, host], 9999).into();
        (source, format!("SERVER_IP:192.168.1.{host}:8000"))
    };
    (search, now, (20..120).map(answer).collect())
}

// The answers of 100 servers.
#[library_benchmark]
#[bench::hundred(setup = discovery, config = at_most(620_000))]
fn client(
    (mut search, now, answers): (Discovery, Instant, Vec<(SocketAddr, String)>),
) -> Discovery {
    for (source, answer) in &answers {
        search.handle_datagram(now, 0, *source, black_box(answer.as_bytes()));
        let _ = black_box(search.poll_event());
    }
    search
}

library_benchmark_group!(name = cores, benchmarks = [server, client]);
library_benchmark_group!(
    name = codec,
    benchmarks = [decode, decode_by_hand, encode, encode_by_hand]
);
main!(library_benchmark_groups = [codec, cores]);
