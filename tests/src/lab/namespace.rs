//! A network namespace, and how to do something in it.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::panic::resume_unwind;
use std::process::{self, Command};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use nix::sched::{CloneFlags, setns, unshare};

/// A network namespace. It lives while a clone of this, a thread, a process or a socket is in it.
#[derive(Clone, Debug)]
pub(super) struct Namespace(Arc<File>);

impl Namespace {
    /// The one that the calling thread is in.
    pub(super) fn current() -> Self {
        let file = File::open("/proc/thread-self/ns/net").expect("/proc shows the namespace");
        Self(Arc::new(file))
    }

    /// A new one, with nothing but a loopback interface that is down.
    pub(super) fn new() -> Self {
        let maker = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("the laboratory may make namespaces");
            Self::current()
        });
        maker.join().unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Runs `body` in it on a new thread, since a thread that went in never comes back.
    pub(super) fn run<T: Send>(&self, body: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                self.enter();
                body()
            });
            inside.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    /// As [`Self::run`], without waiting.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        body: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let namespace = self.clone();
        thread::spawn(move || {
            namespace.enter();
            body()
        })
    }

    /// Runs the program `ip` in it with these arguments, and returns what it printed.
    pub(super) fn ip(&self, arguments: &str) -> String {
        let mut command = Command::new("ip");
        command.args(arguments.split_whitespace());
        let output = self.run(|| command.output()).expect("`ip` can be started");
        assert!(
            output.status.success(),
            "`ip {arguments}` failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A path by which other processes can name it.
    pub(super) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", process::id(), self.0.as_raw_fd())
    }

    fn enter(&self) {
        setns(&*self.0, CloneFlags::CLONE_NEWNET).expect("the laboratory may enter namespaces");
    }
}
