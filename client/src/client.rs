//! The client: a configuration and the ways to search with it.

use crate::blocking::Search;
use crate::config::Config;
use crate::error::DiscoverError;
use crate::server::DiscoveredServer;
use crate::watch::WatchError;
use crate::watcher::Watcher;

/// Searches for servers with one [`Config`], any number of times.
///
/// The methods block the calling thread. With the feature `tokio`, each has a counterpart whose name
/// ends in `_async`.
///
/// ```no_run
/// use std::time::Duration;
/// use udp_discovery_client::{Client, Config};
///
/// let client = Client::new(Config::default().with_timeout(Duration::from_secs(1)));
/// let mut search = client.search()?;
/// for server in &mut search {
///     println!("{server} answered after {:?}", server.rtt);
/// }
/// for link in &search.report().links {
///     println!("sent {} probes on {}", link.probes_sent, link.interface);
/// }
/// # Ok::<(), udp_discovery_client::DiscoverError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Client {
    config: Config,
}

impl Client {
    /// Creates a client. It opens no socket until it searches.
    pub fn new(config: Config) -> Self {
        Self { config }
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Finds every server that answers before the timeout, in the order of their answers.
    ///
    /// # Errors
    /// [`DiscoverError`], if the search could not be made. That nobody answered is not an error.
    pub fn discover(&self) -> Result<Vec<DiscoveredServer>, DiscoverError> {
        let mut search = self.search()?;
        search.by_ref().for_each(drop);
        search.outcome()?;
        Ok(search.servers().cloned().collect())
    }

    /// Waits for the first server to answer. Returns `None` if none answers before the timeout.
    ///
    /// # Errors
    /// [`DiscoverError`], if the search could not be made. That nobody answered is not an error.
    pub fn discover_one(&self) -> Result<Option<DiscoveredServer>, DiscoverError> {
        let mut search = self.search()?;
        let server = search.next();
        search.outcome()?;
        Ok(server)
    }

    /// Starts a search: resolves the names of its [targets](Config::targets), sends the first probes and returns an iterator over the servers as they
    /// answer.
    ///
    /// # Errors
    /// [`DiscoverError`], if the search cannot be made. Whether a probe could be sent is known only
    /// later, from [`Search::outcome`].
    pub fn search(&self) -> Result<Search, DiscoverError> {
        Search::start(&self.config)
    }

    /// Watches which servers come and go. Returns an iterator without an end that waits for the next
    /// change. It asks only while it is iterated over.
    ///
    /// # Errors
    /// [`WatchError`], if the configuration cannot be used. What comes later, such as a host without a
    /// network, is an [event](crate::WatchEvent::Unavailable).
    ///
    /// ```no_run
    /// use udp_discovery_client::Client;
    ///
    /// for event in Client::default().watch()? {
    ///     println!("{event}"); // appeared: 192.168.1.7:8000 on eth0
    /// }
    /// # Ok::<(), udp_discovery_client::WatchError>(())
    /// ```
    pub fn watch(&self) -> Result<Watcher, WatchError> {
        Watcher::new(&self.config)
    }
}

#[cfg(feature = "tokio")]
#[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
impl Client {
    /// Finds every server, as [`discover`](Self::discover) does, on a tokio runtime.
    ///
    /// # Errors
    /// [`DiscoverError`], if the search could not be made. That nobody answered is not an error.
    ///
    /// # Panics
    /// Outside a tokio runtime with its I/O and time drivers enabled.
    pub async fn discover_async(&self) -> Result<Vec<DiscoveredServer>, DiscoverError> {
        let mut search = self.search_async().await?;
        while search.next().await.is_some() {}
        search.outcome()?;
        Ok(search.servers().cloned().collect())
    }

    /// Waits for the first server, as [`discover_one`](Self::discover_one) does, on a tokio runtime.
    ///
    /// # Errors
    /// [`DiscoverError`], if the search could not be made. That nobody answered is not an error.
    ///
    /// # Panics
    /// Outside a tokio runtime with its I/O and time drivers enabled.
    pub async fn discover_one_async(&self) -> Result<Option<DiscoveredServer>, DiscoverError> {
        let mut search = self.search_async().await?;
        let server = search.next().await;
        search.outcome()?;
        Ok(server)
    }

    /// Starts a search on a tokio runtime: resolves the names of its targets, sends the first probes and returns a stream of the
    /// servers as they answer.
    ///
    /// # Errors
    /// [`DiscoverError`], if the search cannot be made. Whether a probe could be sent is known only
    /// later, from [`Search::outcome`].
    ///
    /// # Panics
    /// Outside a tokio runtime with its I/O and time drivers enabled.
    ///
    /// [`Search::outcome`]: crate::tokio::Search::outcome
    pub async fn search_async(&self) -> Result<crate::tokio::Search, DiscoverError> {
        crate::tokio::Search::start(&self.config).await
    }

    /// Watches which servers come and go, as [`watch`](Self::watch) does, on a tokio runtime. Returns a
    /// stream without an end. It asks only while it is polled, and must be polled in a runtime with its
    /// I/O and time drivers enabled.
    ///
    /// # Errors
    /// [`WatchError`], if the configuration cannot be used.
    pub fn watch_async(&self) -> Result<crate::tokio::Watcher, WatchError> {
        crate::tokio::Watcher::new(&self.config)
    }
}
