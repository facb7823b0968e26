//! The server on a tokio runtime.

use std::future::{Future, poll_fn};
use std::pin::pin;

use crate::error::RunError;
use crate::server::Server;

impl Server {
    /// Answers requests on the current tokio runtime until it is [stopped](crate::Control::stop).
    ///
    /// Dropping the future stops the server and closes its socket: at once on Unix; a moment later
    /// elsewhere, where the server runs on one of the runtime's threads for blocking work.
    ///
    /// # Errors
    /// [`RunError`], if the server cannot go on.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without its I/O and time drivers.
    ///
    /// ```no_run
    /// use udp_discovery_server::{Config, Server};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = Server::bind(Config::default())?;
    /// let control = server.control();
    /// let serving = tokio::spawn(server.serve());
    /// // ... later ...
    /// control.stop();
    /// serving.await??;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub async fn serve(self) -> Result<(), RunError> {
        imp::serve(self).await
    }

    /// Answers requests on the current tokio runtime until `signal` completes, then stops.
    ///
    /// ```no_run
    /// use udp_discovery_server::{Config, Server};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    /// let server = Server::bind(Config::default())?;
    /// let serving = tokio::spawn(server.serve_with_shutdown(async {
    ///     let _ = stopped.await;
    /// }));
    /// // ... later ...
    /// drop(stop);
    /// serving.await??;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`serve`](Self::serve).
    ///
    /// # Panics
    /// As [`serve`](Self::serve).
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    #[doc(alias = "with_graceful_shutdown")]
    pub async fn serve_with_shutdown(
        self,
        signal: impl Future<Output = ()>,
    ) -> Result<(), RunError> {
        let control = self.control();
        let mut signal = pin!(signal);
        let mut serve = pin!(self.serve());
        poll_fn(|context| {
            if !control.stop_requested() && signal.as_mut().poll(context).is_ready() {
                control.stop();
            }
            serve.as_mut().poll(context)
        })
        .await
    }
}

/// On Unix tokio waits for the same poll descriptor that the blocking server waits with.
#[cfg(unix)]
mod imp {
    use std::io;
    use std::os::fd::{AsRawFd as _, RawFd};
    use std::time::Duration;

    use mio::Events;
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;
    use tokio::task::yield_now;
    use tokio::time::timeout;

    use crate::error::RunError;
    use crate::event_loop::Step;
    use crate::server::Server;

    pub(super) async fn serve(mut server: Server) -> Result<(), RunError> {
        server.start();
        let result = answer_until_stopped(&mut server).await;
        server.end.set_failed(result.is_err());
        result
    }

    async fn answer_until_stopped(server: &mut Server) -> Result<(), RunError> {
        let wait_failed = |source| RunError::WaitFailed { source };
        let ready = watch(server.poll.as_raw_fd()).map_err(wait_failed)?;
        let mut events = Events::with_capacity(8);
        let control = server.control();
        while !control.stop_requested() {
            wait(&ready, server.step()?).await.map_err(wait_failed)?;
            server.poll(&mut events, Some(Duration::ZERO))?;
        }
        Ok(())
    }

    #[allow(
        deprecated,
        reason = "its replacement is unsafe; the descriptor outlives the AsyncFd, which borrows \
                  nothing but is dropped before the server"
    )]
    fn watch(poll: RawFd) -> io::Result<AsyncFd<RawFd>> {
        AsyncFd::with_interest(poll, Interest::READABLE)
    }

    /// Waits as `step` says. Any event, such as a stop, ends the wait at once.
    async fn wait(poll: &AsyncFd<RawFd>, step: Step) -> io::Result<()> {
        match step {
            Step::More => yield_now().await,
            Step::BackOff(pause) => {
                if let Ok(ready) = timeout(pause, poll.readable()).await {
                    ready?.clear_ready();
                }
            }
            Step::Wait => poll.readable().await?.clear_ready(),
        }
        Ok(())
    }

    #[cfg(test)]
    mod tests {
        use mio::{Poll, Token, Waker};

        use super::*;

        #[tokio::test]
        async fn a_stop_ends_a_back_off_at_once() {
            for step in [Step::BackOff(Duration::from_secs(3600)), Step::Wait] {
                let poll = Poll::new().unwrap();
                let waker = Waker::new(poll.registry(), Token(0)).unwrap();
                let ready = watch(poll.as_raw_fd()).unwrap();
                waker.wake().unwrap();
                let waited = timeout(Duration::from_secs(5), wait(&ready, step)).await;
                waited.expect("the stop ends it").unwrap();
            }
        }

        #[tokio::test]
        async fn a_back_off_without_a_stop_ends_by_itself() {
            let poll = Poll::new().unwrap();
            let ready = watch(poll.as_raw_fd()).unwrap();
            wait(&ready, Step::BackOff(Duration::from_millis(1)))
                .await
                .unwrap();
        }
    }
}

/// Elsewhere the blocking server runs on one of the runtime's threads for blocking work.
#[cfg(not(unix))]
mod imp {
    use crate::error::RunError;
    use crate::server::{Control, Server};

    struct StopOnDrop(Control);

    impl Drop for StopOnDrop {
        fn drop(&mut self) {
            self.0.stop();
        }
    }

    pub(super) async fn serve(server: Server) -> Result<(), RunError> {
        let _stop = StopOnDrop(server.control());
        let running = tokio::task::spawn_blocking(|| server.run());
        running.await.unwrap_or(Err(RunError::Panicked))
    }
}
