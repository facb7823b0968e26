//! The publishers and searchers of the services, each a process of its own.

use std::collections::HashSet;
use std::future::pending;
use std::thread;
use std::time::{Duration, Instant};

use mdns_sd::{DaemonEvent, ServiceDaemon, ServiceEvent, ServiceInfo};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::task::JoinSet;
use udp_discovery_server::{Config, Server};

use crate::bench::Failure;
use crate::roles::Found;

const SERVICE_TYPE: &str = "_bench._udp.local.";
/// The port of the first service.
const FIRST_PORT: u16 = 10_000;
/// The pause before mdns-sd is given another service, if it has too many.
const PAUSE: Duration = Duration::from_millis(5);
/// How long mdns-sd may take to announce everything.
const PATIENCE: Duration = Duration::from_secs(15);

/// So many servers of this project, which share one port.
pub(crate) fn serve(count: u16) -> Result<(), Failure> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut servers = JoinSet::new();
        for number in 0..count {
            let config = Config::default()
                .with_shared_port(true)
                .with_advertise_port(FIRST_PORT + number)
                .with_rate_limit(None);
            servers.spawn(Server::bind(config)?.serve());
        }
        println!("ready");
        pending().await
    })
}

/// So many services of mdns-sd.
pub(crate) fn publish(count: u16) -> Result<(), Failure> {
    let daemon = ServiceDaemon::new()?;
    let events = daemon.monitor()?;
    for number in 0..count {
        let name = format!("service {number}");
        let properties: [(&str, &str); 0] = [];
        let port = FIRST_PORT + number;
        let service = ServiceInfo::new(
            SERVICE_TYPE,
            &name,
            "publisher.local.",
            "10.77.3.2",
            port,
            &properties[..],
        )?;
        // Its thread takes only so many at once.
        while let Err(error) = daemon.register(service.clone()) {
            if !matches!(error, mdns_sd::Error::Again) {
                return Err(error.into());
            }
            thread::sleep(PAUSE);
        }
    }
    let deadline = Instant::now() + PATIENCE;
    let mut announced = HashSet::new();
    while announced.len() < usize::from(count)
        && let Ok(event) = events.recv_deadline(deadline)
    {
        if let DaemonEvent::Announce(name, _) = event {
            announced.insert(name);
        }
    }
    println!("ready");
    loop {
        thread::park();
    }
}

/// Searches by mdns-sd until so many services are found, or for so long.
pub(crate) fn browse(count: usize, limit: Duration) -> Result<(), Failure> {
    let start = Instant::now();
    let daemon = ServiceDaemon::new()?;
    let events = daemon.browse(SERVICE_TYPE)?;
    let mut names = HashSet::new();
    let (mut first, mut last) = (0.0, 0.0);
    while names.len() < count
        && let Ok(event) = events.recv_deadline(start + limit)
    {
        if let ServiceEvent::ServiceResolved(service) = event
            && names.insert(service.fullname.clone())
        {
            last = start.elapsed().as_secs_f64();
            if names.len() == 1 {
                first = last;
            }
        }
    }
    Found {
        servers: names.len(),
        first,
        last,
        end: start.elapsed().as_secs_f64(),
        memory: 0.0,
    }
    .print()
}
