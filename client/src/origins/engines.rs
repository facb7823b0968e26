//! The engines of a search, and what they say.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use super::instance::{Instance, Service};

/// How many events wait for the search. If there are more, the engines wait.
const CAPACITY: usize = 256;

/// What an engine says.
#[derive(Debug)]
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
    running: Vec<Running>,
}

#[derive(Debug)]
#[expect(dead_code, reason = "dropping them ends them")]
enum Running {
    #[cfg(feature = "dns")]
    Dns(super::dns::Browse),
    #[cfg(feature = "mdns")]
    Mdns(super::mdns::Browse),
}

/// How engines work.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// How long the search lasts.
    pub(crate) timeout: Duration,
    /// How many servers are kept.
    pub(crate) max_servers: usize,
    /// The interfaces of the search.
    pub(crate) interfaces: Vec<String>,
}

impl Engines {
    /// Starts an engine for each service. `wake` is called after each event.
    pub(crate) fn start(
        services: &[Service],
        options: &Options,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let (sender, events) = sync_channel(CAPACITY);
        let wake: Arc<dyn Fn() + Send + Sync> = Arc::new(wake);
        let mut running = Vec::new();
        for (engine, service) in services.iter().enumerate() {
            let sender = Sender {
                engine,
                events: sender.clone(),
                wake: Arc::clone(&wake),
            };
            let failed = sender.clone();
            let started = match service {
                #[cfg(feature = "dns")]
                Service::Dns(name) => {
                    super::dns::Browse::start(name.clone(), options, sender).map(Running::Dns)
                }
                #[cfg(feature = "mdns")]
                Service::Mdns(kind) => {
                    super::mdns::Browse::start(kind, &options.interfaces, sender).map(Running::Mdns)
                }
            };
            match started {
                Ok(engine) => running.push(engine),
                Err(error) => {
                    failed.send(Event::Failed(error));
                    failed.send(Event::Ended);
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
