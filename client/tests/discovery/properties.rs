//! What holds for every sequence of calls.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Instant;

use proptest::prelude::*;
use udp_discovery_client::{Config, Discovery, Host};

use crate::sim::{MS, PORT, RANDOM, eth0};

/// Something that happens to a search.
#[derive(Clone, Debug)]
enum Op {
    Advance(u16),
    Back(u16),
    Datagram {
        source: SocketAddr,
        payload: Vec<u8>,
    },
    SendAll {
        fails: bool,
    },
    ReceiveError(i32),
    TakeEvent,
    Timeout,
}

fn op() -> impl Strategy<Value = Op> {
    let source = (0..40_u8, prop_oneof![9 => Just(PORT), 1 => any::<u16>()])
        .prop_map(|(host, port)| SocketAddr::from(([10, 0, 1, host], port)));
    let payload = prop_oneof![
        (0..40_u8, 1..4_u16)
            .prop_map(|(host, port)| format!("SERVER_IP:10.0.1.{host}:{port}").into_bytes()),
        proptest::collection::vec(any::<u8>(), 0..20),
        (250..300_usize).prop_map(|len| vec![b' '; len]),
    ];
    prop_oneof![
        2 => (0..50_u16).prop_map(Op::Advance),
        1 => any::<u16>().prop_map(Op::Back),
        8 => (source, payload).prop_map(|(source, payload)| Op::Datagram { source, payload }),
        2 => any::<bool>().prop_map(|fails| Op::SendAll { fails }),
        1 => (0..200_i32).prop_map(Op::ReceiveError),
        2 => Just(Op::TakeEvent),
        2 => Just(Op::Timeout),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn whatever_happens_the_deadline_stays_and_memory_is_bounded(
        ops in proptest::collection::vec(op(), 0..200),
    ) {
        const CAP: usize = 20;
        let config = Config::default()
            .with_max_servers(NonZeroUsize::new(CAP).unwrap());
        let start = Instant::now();
        let mut search = Discovery::new(start, &config, &Host::new([eth0()]), RANDOM).unwrap();
        let (mut now, mut received, mut ended) = (start, 0, false);
        let mut found = HashSet::new();
        for op in ops {
            match op {
                Op::Advance(ms) => now += MS * u32::from(ms),
                Op::Back(ms) => search.handle_timeout(now.checked_sub(MS * u32::from(ms)).unwrap_or(now)),
                Op::Datagram { source, payload } => {
                    received += 1;
                    search.handle_datagram(now, 0, source, &payload);
                }
                Op::SendAll { fails } => {
                    for _ in 0..3 {
                        if let Some(transmit) = search.poll_transmit(now)
                            && fails
                        {
                            let error = io::ErrorKind::HostUnreachable.into();
                            search.handle_send_error(transmit, error);
                        }
                    }
                    prop_assert!(search.poll_transmit(now).is_none());
                }
                Op::ReceiveError(code) => {
                    let error = io::Error::from_raw_os_error(code);
                    let counts = search.report().counts;
                    search.handle_receive_error(0, error);
                    // A datagram that was too long counts as one that was received.
                    received += search.report().counts.too_long - counts.too_long;
                }
                Op::TakeEvent => {
                    if let Some(server) = search.poll_event() {
                        prop_assert!(found.insert(server.key()), "listed twice");
                    }
                }
                Op::Timeout => search.handle_timeout(now),
            }
            prop_assert_eq!(search.deadline(), start + 500 * MS);
            if let Some(timeout) = search.poll_timeout() {
                prop_assert!(timeout <= search.deadline());
                prop_assert!(!ended, "a search that was over goes on");
            } else {
                ended = true;
            }
            let counts = search.report().counts;
            prop_assert!(counts.accepted <= CAP as u64);
            let counted = counts.accepted + counts.duplicates + counts.malformed
                + counts.too_long + counts.wrong_source_port + counts.refused_address
                + counts.over_the_cap + counts.late;
            prop_assert_eq!(counted, received, "each datagram is counted once");
        }
        search.handle_timeout(start + 500 * MS);
        prop_assert_eq!(search.poll_timeout(), None);
        while let Some(server) = search.poll_event() {
            prop_assert!(found.insert(server.key()), "listed twice");
        }
        prop_assert_eq!(found.len() as u64, search.report().counts.accepted);
    }
}
