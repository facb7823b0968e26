//! What is answered, and what never is.

use udp_discovery_server::{Config, Counter, DropReason};
use udp_discovery_tests::lab::raw::Datagram;
use udp_discovery_tests::lab::{self, Host};

use crate::endpoints::{
    Asker, REQUEST, Serving, answer_of, pair, two_networks, unfiltered, wait_until,
};

/// Sends `junk` and then the request: asserts that the request alone is answered, by both faces
/// of the server, whether the kernel drops junk or the server.
fn assert_unanswered(a: &Host, b: &Host, junk: &[&[u8]]) {
    let faces: [fn(&Host, Config) -> Serving; 2] = [Serving::on, Serving::on_tokio];
    for (face, filtered) in [(0, false), (0, true), (1, false), (1, true)] {
        let server = faces[face](b, Config::default().with_kernel_filter(filtered));
        let asker = Asker::at(a, "10.77.1.1:0");
        for (sent, payload) in (1..).zip(junk) {
            asker.send(payload, "10.77.1.2:9999");
            asker.send(payload, "10.77.1.255:9999");
            if !filtered {
                // More would overflow the socket's buffer.
                wait_until("a decision", || server.stats().received() == 2 * sent);
            }
        }
        // Datagrams keep their order on this network: with this answer all is decided.
        assert_eq!(asker.ask("10.77.1.2:9999"), answer_of("10.77.1.2"));
        let stats = server.stop();
        asker.hears_nothing();
        assert_eq!(stats.answered(), 1, "{stats}");
        let dropped = [
            stats.dropped_in_total(),
            stats.counter(Counter::KernelDrops),
        ];
        let all = 2 * junk.len() as u64;
        assert_eq!(dropped, if filtered { [0, all] } else { [all, 0] });
    }
}

/// FAULTS 1
#[test]
fn the_request_is_answered_once_with_the_address_that_it_reached() {
    lab::run(|| {
        let [a, b] = pair();
        let server = Serving::on(&b, Config::default());
        let asker = Asker::at(&a, "10.77.1.1:0");
        for destination in ["10.77.1.2", "10.77.1.255", "255.255.255.255"] {
            let answer = asker.ask(&format!("{destination}:9999"));
            assert_eq!(answer, answer_of("10.77.1.2"), "{destination}");
        }
        let stats = server.stop();
        asker.hears_nothing();
        assert_eq!((stats.received(), stats.answered()), (3, 3));
    });
}

/// FAULTS 2, FAULTS 3, FAULTS 4
#[test]
fn nothing_that_resembles_the_request_is_answered() {
    lab::run(|| {
        let [a, b] = pair();
        let mut junk: Vec<Vec<u8>> = vec![
            b"DISCOVER_SERVER\n".into(),
            b"DISCOVER_SERVER\r\n".into(),
            b"DISCOVER_SERVER\0".into(),
            b"DISCOVER_SERVER ".into(),
            b" DISCOVER_SERVER".into(),
            b"discover_server".into(),
            b"\xef\xbb\xbfDISCOVER_SERVER".into(),
        ];
        junk.extend((0..REQUEST.len()).map(|len| REQUEST[..len].to_vec()));
        junk.extend((0..REQUEST.len() * 8).map(|bit| {
            let mut flipped = REQUEST.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            flipped
        }));
        let junk: Vec<_> = junk.iter().map(Vec::as_slice).collect();
        assert_unanswered(&a, &b, &junk);
    });
}

/// FAULTS 5
#[test]
fn the_request_with_more_behind_it_is_never_answered_however_long_and_fragmented() {
    lab::run(|| {
        let [a, b] = pair();
        // Around the lengths of words, buffers and frames, up to the longest there is.
        let lens = [
            16, 17, 64, 65, 1023, 1024, 1025, 1472, 1473, 2048, 9000, 65_507,
        ];
        let junk = lens.map(|len| {
            let mut junk = REQUEST.to_vec();
            junk.resize(len, b'\n');
            junk
        });
        assert_unanswered(&a, &b, &junk.each_ref().map(Vec::as_slice));
    });
}

/// FAULTS 5
#[test]
fn a_fragmented_datagram_counts_as_a_whole_and_its_first_fragment_as_nothing() {
    lab::run(|| {
        let [a, b] = pair();
        for filtered in [false, true] {
            let server = Serving::on(&b, Config::default().with_kernel_filter(filtered));
            let attacker = a.raw("eth0");
            let source = "10.77.1.1:5000".parse().unwrap();
            let destination = "10.77.1.2:9999".parse().unwrap();
            let fragments = |id, payload: &[u8]| {
                Datagram::new(source, destination, payload).fragments(attacker.mac(), id, 8)
            };
            let send = |frames: &[Vec<u8>]| {
                for frame in frames {
                    attacker.send_frame(frame);
                }
            };
            let asker = Asker::at(&a, "10.77.1.1:5000");
            send(&fragments(1, b"DISCOVER_SERVER\r\n"));
            // One whose last fragment, a single byte, never comes.
            let cut = fragments(2, b"DISCOVER_SERVER\r\0");
            send(&cut[..cut.len() - 1]);
            // The whole request, its last fragment first.
            let mut whole = fragments(3, REQUEST);
            whole.reverse();
            send(&whole);
            assert_eq!(asker.answer(), answer_of("10.77.1.2"));
            let stats = server.stop();
            asker.hears_nothing();
            assert_eq!(stats.answered(), 1, "{stats}");
            assert_eq!(stats.dropped_in_total(), u64::from(!filtered), "{stats}");
        }
    });
}

/// FAULTS 6
#[test]
fn bytes_that_are_made_for_a_terminal_or_a_log_are_not_answered() {
    lab::run(|| {
        let [a, b] = pair();
        assert_unanswered(
            &a,
            &b,
            &[
                b"\xff\xfe\x80\x00",
                b"\xc3\x28DISCOVER_SERVER",
                b"\x1b[2J\x1b]0;owned\x07",
                b"\r\nDISCOVER_SERVER\r\n",
                b"x\r\n2026-01-01T00:00:00Z  INFO answered 10.77.1.9",
                "DISCOVER_SERVER\u{202e}".as_bytes(),
            ],
        );
    });
}

/// FAULTS 7
#[test]
fn a_response_is_not_answered() {
    lab::run(|| {
        let [a, b] = pair();
        let responses: [&[u8]; 3] = [
            b"SERVER_IP:10.77.1.1",
            b"SERVER_IP:10.77.1.1:9999",
            b"SERVER_IP:[fe80::1]:9999",
        ];
        assert_unanswered(&a, &b, &responses);

        let server = Serving::on(&b, unfiltered());
        let asker = Asker::at(&a, "10.77.1.1:9999");
        for response in responses {
            asker.send(response, "10.77.1.2:9999");
        }
        assert_eq!(asker.ask("10.77.1.2:9999"), answer_of("10.77.1.2"));
        assert_eq!(server.stop().dropped(DropReason::IsResponse), 3);
    });
}

/// FAULTS 12
#[test]
fn on_two_networks_each_answer_comes_from_and_names_the_address_there() {
    lab::run(|| {
        let (server, clients) = two_networks();
        // What the system would choose is of no help on the second network.
        server.ip("route add default via 10.77.1.1");
        let serving = Serving::on(&server, Config::default());
        for (number, client) in (1..).zip(&clients) {
            let asker = Asker::at(client, &format!("10.77.{number}.1:0"));
            let ip = format!("10.77.{number}.2");
            for destination in [
                ip.as_str(),
                &format!("10.77.{number}.255"),
                "255.255.255.255",
            ] {
                let answer = asker.ask(&format!("{destination}:9999"));
                assert_eq!(answer, answer_of(&ip), "{destination}");
            }
        }
        assert_eq!(serving.stop().answered(), 6);
    });
}
