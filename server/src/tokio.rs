//! The server on a tokio runtime: the same work, another way to wait.

#[cfg(unix)]
mod serve {
    use std::io::{self, ErrorKind};
    use std::time::Duration;

    use mio::{Events, Poll};
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;
    use tokio::task::yield_now;
    use tokio::time::timeout;

    use crate::engine::Step;
    use crate::error::RunError;
    use crate::server::{Server, Work};

    /// What the blocking face waits with is itself something that tokio can wait for.
    #[allow(
        deprecated,
        reason = "with_interest trusts the type to keep its descriptor, which mio's Poll does; \
                  what replaces it is unsafe"
    )]
    async fn answer(mut work: Work, poll: Poll) -> Result<(), RunError> {
        let wait_failed = |source| RunError::WaitFailed { source };
        let mut events = Events::with_capacity(8);
        let mut poll = AsyncFd::with_interest(poll, Interest::READABLE).map_err(wait_failed)?;
        work.begin();
        while !work.stop_requested() {
            wait(&poll, work.step()?).await.map_err(wait_failed)?;
            match poll.get_mut().poll(&mut events, Some(Duration::ZERO)) {
                Ok(()) => work.take_in(&events),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => return Err(wait_failed(source)),
            }
        }
        Ok(())
    }

    /// Waits as `step` says; something to look at, such as a stop, ends each wait at once.
    async fn wait(poll: &AsyncFd<Poll>, step: Step) -> io::Result<()> {
        match step {
            Step::More => yield_now().await,
            Step::BackOff(wait) => {
                if let Ok(ready) = timeout(wait, poll.readable()).await {
                    ready?.clear_ready();
                }
            }
            Step::Wait => poll.readable().await?.clear_ready(),
        }
        Ok(())
    }

    pub(super) async fn serve(server: Server) -> Result<(), RunError> {
        let Server {
            work, poll, ending, ..
        } = server;
        ending.with(answer(work, poll).await)
    }

    #[cfg(test)]
    mod tests {
        use mio::{Token, Waker};

        use super::*;

        const LONG: Duration = Duration::from_hours(1);

        #[tokio::test]
        #[allow(deprecated, reason = "as above")]
        async fn a_stop_ends_a_back_off_at_once() {
            for step in [Step::BackOff(LONG), Step::Wait] {
                let poll = Poll::new().unwrap();
                let waker = Waker::new(poll.registry(), Token(0)).unwrap();
                let poll = AsyncFd::with_interest(poll, Interest::READABLE).unwrap();
                waker.wake().unwrap();
                let waited = timeout(Duration::from_secs(5), wait(&poll, step)).await;
                waited.expect("the stop ends it").unwrap();
            }
        }

        #[tokio::test]
        #[allow(deprecated, reason = "as above")]
        async fn a_back_off_without_a_stop_ends_by_itself() {
            let poll = Poll::new().unwrap();
            let poll = AsyncFd::with_interest(poll, Interest::READABLE).unwrap();
            wait(&poll, Step::BackOff(Duration::from_millis(1)))
                .await
                .unwrap();
        }
    }
}

/// Elsewhere the blocking face runs on a thread of tokio's for blocking work.
#[cfg(not(unix))]
mod serve {
    use crate::error::RunError;
    use crate::server::{Control, Server};

    struct StopOnDrop(Control);

    impl Drop for StopOnDrop {
        fn drop(&mut self) {
            self.0.stop();
        }
    }

    /// Waits as `step` says; something to look at, such as a stop, ends each wait at once.
    async fn wait(poll: &AsyncFd<Poll>, step: Step) -> io::Result<()> {
        match step {
            Step::More => yield_now().await,
            Step::BackOff(wait) => {
                if let Ok(ready) = timeout(wait, poll.readable()).await {
                    ready?.clear_ready();
                }
            }
            Step::Wait => poll.readable().await?.clear_ready(),
        }
        Ok(())
    }

    pub(super) async fn serve(server: Server) -> Result<(), RunError> {
        let _stop = StopOnDrop(server.control());
        let running = tokio::task::spawn_blocking(|| server.run());
        running.await.unwrap_or(Err(RunError::Panicked))
    }
}

use crate::error::RunError;
use crate::server::Server;

impl Server {
    /// Answers on the current tokio runtime until it is [stopped](crate::Control::stop) or the
    /// future is dropped, which closes the socket: at once on Unix; elsewhere, where it runs on a
    /// thread of the runtime's for blocking work, a moment later.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use udp_discovery_server::{Config, Server};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = Server::bind(Config::default())?;
    /// let control = server.control();
    /// tokio::select! {
    ///     result = server.serve() => result?,
    ///     () = tokio::time::sleep(Duration::from_secs(60)) => {}
    /// }
    /// println!("{}", control.stats());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`RunError`], if it can't go on.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without its I/O and time drivers.
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub async fn serve(self) -> Result<(), RunError> {
        serve::serve(self).await
    }
}
