//! Servers that another engine found, which cannot be asked.

use super::*;
use crate::origins::{Instance, Service};
use crate::report::EngineReport;
use crate::server::Origin;

/// Makes rounds for this long. In each the DNS fails with an error, or tells of the server or not. Returns
/// the events.
fn rounds(watch: &mut Watch, length: Duration, is_told: bool, error: Option<&str>) -> Vec<String> {
    let addresses = [([192, 0, 2, 7].into(), 0)];
    let instance = Instance::new(b"printer", 8000, addresses, []);
    let server = instance.server(Origin::Dns, |_| true, |_| String::new());
    let server = server.unwrap();
    let service = Service {
        origin: Origin::Dns,
        name: "_http._tcp.example".to_owned(),
    };
    let mut engine = EngineReport::new(service);
    engine.error = error.map(ToOwned::to_owned);
    let report = Report {
        engines: vec![engine],
        ..Report::default()
    };
    let end = watch.due + length;
    let mut events = Vec::new();
    while watch.due < end {
        let round = watch.poll_round(watch.due).unwrap();
        assert!(
            round.asked.is_empty(),
            "it has no address of its own to ask"
        );
        watch.started(watch.now, &report);
        let found: Vec<DiscoveredServer> = is_told.then(|| server.clone()).into_iter().collect();
        for server in &found {
            watch.handle_server(watch.now, server.clone());
        }
        let ended = watch.now + round.config.settings().timeout();
        watch.ended(ended, &report, found.iter());
        events.extend(std::iter::from_fn(|| watch.poll_event()).map(|it| it.to_string()));
    }
    events
}

#[test]
fn a_server_that_the_dns_tells_of_no_more_is_gone_after_ten_seconds() {
    let mut watch = Watch::new(Instant::now(), &Config::default()).unwrap();
    let mut about = |length, is_told, error| {
        let events = rounds(&mut watch, length, is_told, error).into_iter();
        let events = events.filter(|it| it.contains("192.0.2.7"));
        events
            .map(|it| it.split(':').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(about(20 * S, true, None), ["appeared"]);
    assert!(about(8 * S, false, None).is_empty());
    assert!(about(5 * S, true, None).is_empty());
    // That the DNS does not answer says nothing of the server.
    assert!(about(60 * S, false, Some("no answer")).is_empty());
    assert_eq!(about(30 * S, false, None), ["gone"]);
}
