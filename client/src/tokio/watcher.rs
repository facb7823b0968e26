//! The watch on a tokio runtime.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use ::tokio::time::{self, Sleep};
use futures_core::Stream;

use super::{Search, now};
use crate::config::Config;
use crate::error::DiscoverError;
use crate::server::DiscoveredServer;
use crate::watch::{Watch, WatchError, WatchEvent};

/// A running watch: a [`Stream`] without an end of the changes.
///
/// It does what the blocking [`Watcher`](crate::Watcher) does. It asks only while it is polled.
///
/// ```no_run
/// # async fn example() -> Result<(), udp_discovery_client::WatchError> {
/// use std::time::Duration;
/// use udp_discovery_client::Client;
///
/// let mut watch = Client::default().watch_async()?;
/// let mut end = std::pin::pin!(tokio::time::sleep(Duration::from_secs(3600)));
/// loop {
///     tokio::select! {
///         event = watch.next() => println!("{event}"),
///         () = &mut end => break,
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a watch asks only while it is polled"]
pub struct Watcher {
    watch: Watch,
    round: Round,
}

/// What the watch waits for.
enum Round {
    /// For the time of the next round.
    Due(Option<Pin<Box<Sleep>>>),
    Starting(Starting),
    Running(Box<Search>),
}

type Starting = Pin<Box<dyn Future<Output = Result<Search, DiscoverError>> + Send>>;

impl Watcher {
    pub(crate) fn new(config: &Config) -> Result<Self, WatchError> {
        Ok(Self {
            watch: Watch::new(now(), config)?,
            round: Round::Due(None),
        })
    }

    /// Waits for the next change.
    ///
    /// # Cancel safety
    /// If the future is dropped, nothing is lost. The next call continues.
    pub async fn next(&mut self) -> WatchEvent {
        poll_fn(|context| self.poll(context)).await
    }

    /// The servers that are there, in no order.
    pub fn servers(&self) -> impl ExactSizeIterator<Item = &DiscoveredServer> {
        self.watch.servers()
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<WatchEvent> {
        loop {
            if let Some(event) = self.watch.poll_event() {
                return Poll::Ready(event);
            }
            std::task::ready!(self.poll_round(context));
        }
    }

    /// Advances the round, or waits.
    fn poll_round(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.round {
            Round::Due(timer) => {
                if let Some(due) = self.watch.poll_timeout() {
                    let timer = timer.get_or_insert_with(|| {
                        Box::pin(time::sleep_until(time::Instant::from_std(due)))
                    });
                    std::task::ready!(timer.as_mut().poll(context));
                }
                *timer = None;
                if let Some(round) = self.watch.poll_round(now()) {
                    let start = async move { Search::start_round(&round).await };
                    self.round = Round::Starting(Box::pin(start));
                }
            }
            Round::Starting(start) => match std::task::ready!(start.as_mut().poll(context)) {
                Ok(search) => {
                    self.watch.handle_start(now(), search.discovery());
                    self.round = Round::Running(Box::new(search));
                }
                Err(error) => {
                    self.watch.handle_failure(now(), error);
                    self.round = Round::Due(None);
                }
            },
            Round::Running(search) => {
                if let Some(server) = std::task::ready!(search.poll(context)) {
                    self.watch.handle_server(now(), server);
                    return Poll::Ready(());
                }
                self.watch.handle_end(now(), search.discovery());
                self.round = Round::Due(None);
            }
        }
        Poll::Ready(())
    }
}

impl Stream for Watcher {
    type Item = WatchEvent;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<WatchEvent>> {
        self.get_mut().poll(context).map(Some)
    }
}

impl fmt::Debug for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Due(_) => "Due",
            Self::Starting(_) => "Starting",
            Self::Running(_) => "Running",
        })
    }
}
