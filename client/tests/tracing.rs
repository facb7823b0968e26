//! The events of the feature `tracing`.
#![cfg(feature = "tracing")]

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use udp_discovery_client::protocol::{Interface, InterfaceAddress, Settings};
use udp_discovery_client::{Config, Discovery, Host};

/// What the events of a search look like, one line each.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Records the events of a search of 10.0.0.2/24 that receives `payloads` from 10.0.0.7.
    fn of(config: &Config, level: LevelFilter, payloads: &[&[u8]]) -> Vec<String> {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(log.clone())
            .with_max_level(level)
            .with_ansi(false)
            .without_time()
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let mut eth0 = Interface::new("eth0", 2);
            eth0.flags.up = true;
            let address = InterfaceAddress::new([10, 0, 0, 2].into(), 24).unwrap();
            eth0.addresses.push(address);
            let now = Instant::now();
            let mut search = Discovery::new(now, config, &Host::new([eth0]), [0; 15]).unwrap();
            for payload in payloads {
                search.handle_datagram(now, 0, ([10, 0, 0, 7], 9999).into(), payload);
            }
            let probe = search.poll_transmit(now).unwrap();
            search.handle_send_error(probe, io::ErrorKind::NetworkUnreachable.into());
            search.give_up(0, io::Error::other("no descriptors left"));
            search.handle_timeout(now + Duration::from_secs(1));
        });
        let bytes = log.0.lock().unwrap();
        let text = str::from_utf8(&bytes).unwrap();
        text.lines().map(|line| line.trim().to_owned()).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

const ANSWER: &[u8] = b"SERVER_IP:10.0.0.7:8000";

#[test]
fn a_search_has_events_with_fields() {
    let log = Log::of(&Config::default(), LevelFilter::DEBUG, &[ANSWER, b"junk"]);
    let expected = [
        "DEBUG udp_discovery_client::trace: search started links=1 skipped=0",
        "DEBUG udp_discovery_client::trace: server found server=10.0.0.7:8000 claimed_ip=10.0.0.7 \
         source=10.0.0.7:9999 origin=Answer interface=\"eth0\" rtt=0ns",
        "DEBUG udp_discovery_client::trace: datagram dropped interface=\"eth0\" \
         source=10.0.0.7:9999 payload=junk reason=not a response",
        "DEBUG udp_discovery_client::trace: a probe could not be sent interface=\"eth0\" \
         local=10.0.0.2 error=network unreachable",
        "WARN udp_discovery_client::trace: link given up interface=\"eth0\" local=10.0.0.2 \
         error=no descriptors left",
        "DEBUG udp_discovery_client::trace: search ended servers=1 duplicates=0 malformed=1",
    ];
    assert_eq!(log, expected);
}

#[test]
fn a_repeated_answer_and_a_flood_of_junk_are_traces() {
    let payloads = [ANSWER, ANSWER, ANSWER, b"junk", b"junk", b"junk"];
    let dropped = |level| {
        let log = Log::of(&Config::default(), level, &payloads);
        let dropped = log.iter().filter(|line| line.contains("dropped")).count();
        (dropped, log.len())
    };
    let (at_debug, all_at_debug) = dropped(LevelFilter::DEBUG);
    let (at_trace, all_at_trace) = dropped(LevelFilter::TRACE);
    assert_eq!((at_debug, at_trace), (1, 5));
    assert_eq!(all_at_trace - all_at_debug, 4);
}

#[test]
fn network_bytes_are_escaped_and_cut() {
    let mut payload = b"\x1b[2J\nERROR forged \xff\"".to_vec();
    payload.resize(200, b'x');
    let log = Log::of(&Config::default(), LevelFilter::DEBUG, &[&payload]);
    let dropped = log.iter().find(|line| line.contains("dropped")).unwrap();
    let escaped = r#"payload=\x1b[2J\nERROR forged \xff\"xxx"#;
    assert!(dropped.contains(escaped), "{dropped}");
    assert_eq!(dropped.matches('x').count(), 64 - 20 + 2, "{dropped}");
}

#[test]
fn servers_beyond_the_limit_are_one_warning() {
    let config = Config::default().with_max_servers(1.try_into().unwrap());
    let payloads: [&[u8]; 4] = [
        ANSWER,
        b"SERVER_IP:10.0.0.8",
        b"SERVER_IP:10.0.0.9",
        b"SERVER_IP:10.0.0.10",
    ];
    let log = Log::of(&config, LevelFilter::WARN, &payloads);
    let limit = |line: &&String| line.contains("more servers than the limit");
    assert_eq!(log.iter().filter(limit).count(), 1, "{log:?}");
}

#[test]
fn without_logging_there_are_no_events() {
    let config = Config::from(Settings::default().with_logging(false));
    let log = Log::of(&config, LevelFilter::TRACE, &[ANSWER, b"junk"]);
    assert_eq!(log, [""; 0]);
}
