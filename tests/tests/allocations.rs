//! Reading and writing datagrams allocates nothing.

use std::net::IpAddr;
use std::num::NonZeroU16;

use allocation_counter::measure;
use bytes::BytesMut;
use udp_discovery_protocol::{
    Codec, DETAILS_LEN, Details, EncodedDetails, HostIp, Message, Nonce, Request, Response, RunId,
    SigningKey,
};

#[test]
fn decoding_allocates_nothing() {
    let codec = Codec::default();
    let datagrams: [&[u8]; 5] = [
        b"DISCOVER_SERVER",
        b"SERVER_IP:192.168.1.7",
        b"SERVER_IP: [fe80::1] : 8000 \r\n",
        b"SERVER_IP:300.1.1.1",
        &[b'x'; 1000],
    ];
    let allocated = measure(|| {
        for datagram in datagrams {
            let _ = std::hint::black_box(codec.decode(datagram));
        }
    });
    assert_eq!(allocated.count_total, 0);
}

#[test]
fn encoding_allocates_nothing_where_there_is_room() {
    let codec = Codec::default();
    let host = |ip: IpAddr| HostIp::new(ip).unwrap();
    let response = |ip: [u16; 8]| Response::new(host(ip.into()), NonZeroU16::new(65_535));
    let messages = [
        Message::Request(Request),
        Message::Response(Response::new(host([192, 168, 1, 7].into()), None)),
        Message::Response(response([0xfe80, 1, 2, 3, 4, 5, 6, 7])),
    ];
    let mut out = BytesMut::with_capacity(200);
    let allocated = measure(|| {
        for message in messages {
            out.clear();
            out.reserve(codec.encoded_len(message));
            codec.encode(message, &mut out);
        }
    });
    assert_eq!(allocated.count_total, 0);
    let grown = measure(|| codec.encode(messages[0], &mut BytesMut::new()));
    assert!(grown.count_total > 0, "it does count");
}

#[test]
fn answering_with_details_and_reading_the_answer_allocates_nothing() {
    let codec = Codec::default();
    let key = SigningKey::from_bytes(&[9; 32]);
    let details = Details::new(key.id(), RunId::new([1; 8]));
    let details = details.with_name("printer").unwrap();
    let encoded = EncodedDetails::new(&details, &codec, true).unwrap();
    let ip = HostIp::new(IpAddr::from([192, 168, 1, 7])).unwrap();
    let response = Response::new(ip, NonZeroU16::new(8000));
    let mut request = BytesMut::with_capacity(DETAILS_LEN);
    let mut answer = BytesMut::with_capacity(DETAILS_LEN);
    let allocated = measure(|| {
        codec.encode_details_request(Nonce::new([7; 15], 0), &mut request);
        let nonce = codec.decode_details_request(&request).unwrap();
        codec.encode_details(response, nonce, &encoded, &mut answer);
        key.sign(&request, &mut answer);
        let read = codec.decode_details(&answer).unwrap();
        assert_eq!(read.verify(&request), Ok(()));
        assert!(codec.decode_details(&request).is_err());
    });
    assert_eq!(allocated.count_total, 0);
    let kept = measure(|| drop(codec.decode_details(&answer).unwrap().details()));
    assert!(kept.count_total > 0, "it does count");
}
