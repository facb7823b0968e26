//! The engines of a search, and what they say.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use udp_discovery_protocol::Interface;

use super::instance::Instance;
use crate::config::Config;
use crate::select::names_of_interfaces;
use crate::server::Origin;
use crate::target::Target;

/// How many events wait for the search. If there are more, the engines wait.
const CAPACITY: usize = 256;

/// The error of an engine that did not end by the deadline.
pub(crate) const NOT_IN_TIME: &str = "the DNS did not answer in time";

/// What an engine looks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    /// The engine.
    pub(crate) origin: Origin,
    /// A name such as `_http._tcp.example.org` in the DNS, or a type of service in multicast DNS.
    pub(crate) name: String,
}

impl Service {
    /// What the engines of a search look for.
    pub(crate) fn all(config: &Config) -> Vec<Self> {
        let services = config.targets().iter().filter_map(Target::service);
        let services = services.map(|name| (Origin::Dns, name.to_owned()));
        #[cfg(feature = "mdns")]
        let services = services.chain(
            config
                .mdns()
                .iter()
                .map(|it| (Origin::Mdns, it.to_string())),
        );
        services
            .map(|(origin, name)| Self { origin, name })
            .collect()
    }
}

/// What an engine says.
#[derive(Debug)]
#[cfg_attr(
    not(any(feature = "dns", feature = "mdns")),
    allow(dead_code, reason = "there is no engine")
)]
pub(crate) enum Event {
    /// There is a server.
    Found(Instance),
    /// Something failed.
    Failed(String),
    /// Nothing more is to come.
    Ended,
}

/// The running engines of a search, one for each service. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct Engines {
    events: Receiver<(usize, Event)>,
    #[expect(dead_code, reason = "dropping them ends them")]
    running: Vec<Box<dyn Running>>,
}

/// An engine that ends when it is dropped.
pub(super) trait Running: fmt::Debug + Send + Sync {}

/// What engines do for a search.
#[derive(Clone, Debug)]
#[cfg_attr(
    not(all(feature = "dns", feature = "mdns")),
    allow(dead_code, reason = "not every engine needs all of it")
)]
pub(crate) struct Plan {
    pub(crate) services: Vec<Service>,
    /// How long the search lasts.
    pub(super) timeout: Duration,
    /// How many servers are kept.
    pub(super) max_servers: usize,
    /// The interfaces of the search.
    pub(super) interfaces: Vec<String>,
}

impl Plan {
    pub(crate) fn new(config: &Config, interfaces: &[Interface]) -> Self {
        let services = Service::all(config);
        let interfaces = if services.is_empty() {
            Vec::new()
        } else {
            names_of_interfaces(config, interfaces)
        };
        Self {
            services,
            timeout: config.settings().timeout(),
            max_servers: config.max_servers().get(),
            interfaces,
        }
    }
}

impl Engines {
    /// Starts an engine for each service. `wake` is called after each event.
    pub(crate) fn start(plan: &Plan, wake: impl Fn() + Send + Sync + 'static) -> Self {
        let (sender, events) = sync_channel(CAPACITY);
        let wake: Arc<dyn Fn() + Send + Sync> = Arc::new(wake);
        let mut running = Vec::new();
        for (engine, service) in plan.services.iter().enumerate() {
            let sender = Sender {
                engine,
                events: sender.clone(),
                wake: Arc::clone(&wake),
            };
            match start(service, plan, &sender) {
                Ok(engine) => running.push(engine),
                Err(error) => {
                    sender.send(Event::Failed(error));
                    sender.send(Event::Ended);
                }
            }
        }
        Self { events, running }
    }

    /// The next event, with the number of its engine.
    pub(crate) fn next(&self) -> Option<(usize, Event)> {
        self.events.try_recv().ok()
    }
}

#[cfg_attr(
    not(all(feature = "dns", feature = "mdns")),
    allow(unused_variables, reason = "not every engine needs all of it")
)]
fn start(service: &Service, plan: &Plan, sender: &Sender) -> Result<Box<dyn Running>, String> {
    match service.origin {
        #[cfg(feature = "dns")]
        Origin::Dns => super::dns::start(service.name.clone(), plan, sender.clone()),
        #[cfg(feature = "mdns")]
        Origin::Mdns => super::mdns::start(&service.name, plan, sender.clone()),
        _ => Err("the feature of the engine is off".to_owned()),
    }
}

/// The way of an engine to the search.
#[derive(Clone)]
pub(super) struct Sender {
    engine: usize,
    events: SyncSender<(usize, Event)>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl Sender {
    /// Waits if there is no room. Returns whether the search goes on.
    pub(super) fn send(&self, event: Event) -> bool {
        let is_sent = self.events.send((self.engine, event)).is_ok();
        (self.wake)();
        is_sent
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}
