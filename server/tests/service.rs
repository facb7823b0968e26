//! The process's one service. A single test: the service is the process's, and so is its port.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use udp_discovery_server::compat::{
    StartError, autostart, is_running, start_udp_service, start_udp_service_with, stop_udp_service,
};
use udp_discovery_server::{BindError, Config};

#[test]
fn the_service_is_one_however_often_it_is_started_and_stopped() {
    let taken = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let config = Config::default().with_port(port);

    // A failed start is no obstacle to the next.
    assert!(!stop_udp_service().unwrap());
    let refused = start_udp_service(config.clone()).unwrap_err();
    let expected = format!("UDP port {port} is in use");
    assert_eq!(refused.to_string(), expected);
    assert!(matches!(
        refused,
        StartError::Bind(BindError::PortInUse { .. })
    ));
    assert!(!is_running());
    drop(taken);

    // Idempotent, and restartable.
    for _ in 0..3 {
        assert!(start_udp_service(config.clone()).unwrap());
        assert!(!start_udp_service(config.clone()).unwrap());
        assert!(is_running());
        assert!(stop_udp_service().unwrap());
        assert!(!stop_udp_service().unwrap());
        assert!(!is_running());
    }

    stops_itself(&config);
    restarts_itself(&config);

    // The guard stops what it has started; under a test runner it has started nothing.
    let guard = autostart(config.clone()).unwrap();
    assert_eq!(is_running(), guard.started());
    drop(guard);
    assert!(!is_running());

    // A service that others stopped and started anew is not the guard's.
    let guard = autostart(config.clone()).unwrap();
    stop_udp_service().unwrap();
    assert!(start_udp_service(config.clone()).unwrap());
    drop(guard);
    assert!(is_running());
    stop_udp_service().unwrap();

    // A guard that came second leaves the service alone.
    start_udp_service(config.clone()).unwrap();
    drop(autostart(config).unwrap());
    assert!(is_running());
    stop_udp_service().unwrap();
}

/// A service that is stopped by its own event handler makes room for the next.
fn stops_itself(config: &Config) {
    let (told, stopped) = mpsc::channel();
    let started = start_udp_service_with(config.clone(), move |_| {
        let _ = told.send(stop_udp_service());
    });
    assert!(started.unwrap());
    ask(config);
    let wait = Duration::from_secs(5);
    assert_eq!(stopped.recv_timeout(wait), Ok(Ok(true)));
    assert!(start_udp_service(config.clone()).unwrap());
    stop_udp_service().unwrap();
}

/// A service can't start the next from its own event handler, and says so. A thread that the
/// handler spawns can: it waits for the port.
fn restarts_itself(config: &Config) {
    let (told, outcomes) = mpsc::channel();
    let next = config.clone();
    let started = start_udp_service_with(config.clone(), move |_| {
        stop_udp_service().unwrap();
        let _ = told.send(start_udp_service(next.clone()));
        let (told, next) = (told.clone(), next.clone());
        thread::spawn(move || told.send(start_udp_service(next)));
    });
    assert!(started.unwrap());
    ask(config);
    let wait = Duration::from_secs(5);
    let refused = outcomes.recv_timeout(wait).unwrap();
    assert!(
        matches!(refused, Err(StartError::OwnHandler)),
        "{refused:?}"
    );
    assert!(outcomes.recv_timeout(wait).unwrap().unwrap());
    assert!(is_running());
    stop_udp_service().unwrap();
}

fn ask(config: &Config) {
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let server = (Ipv4Addr::LOCALHOST, config.settings().port());
    client.send_to(b"DISCOVER_SERVER", server).unwrap();
}
