//! A network namespace, and how to do something in it.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd;
use std::panic::resume_unwind;
use std::process::{self, Command, Output, Stdio};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use nix::sched::{CloneFlags, setns, unshare};

/// A network namespace. It exists while a clone of this, a thread, a process or a socket is in it.
#[derive(Clone, Debug)]
pub(super) struct Namespace(Arc<File>);

impl Namespace {
    /// The namespace of the calling thread.
    pub(super) fn current() -> Self {
        let file = File::open("/proc/thread-self/ns/net").expect("/proc shows the namespace");
        Self(Arc::new(file))
    }

    /// A new one, with nothing but a loopback interface that is down.
    pub(super) fn new() -> Self {
        let thread = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("the laboratory may make namespaces");
            Self::current()
        });
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Runs `body` in it on a new thread, since a thread that enters it never leaves.
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

    /// Runs the program `ip` in it with these arguments, and returns its output.
    pub(super) fn ip(&self, arguments: &str) -> String {
        self.command("ip", arguments, "")
    }

    /// Runs `program` in it with these arguments and this input, and returns its output.
    pub(super) fn command(&self, program: &str, arguments: &str, input: &str) -> String {
        self.run(|| run_command(program, arguments, input))
    }

    /// A path by which other processes can name it.
    pub(super) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", process::id(), self.0.as_raw_fd())
    }

    fn enter(&self) {
        setns(&*self.0, CloneFlags::CLONE_NEWNET).expect("the laboratory may enter namespaces");
    }
}

/// Runs `program` in the namespace of the calling thread, and returns its output.
pub(super) fn run_command(program: &str, arguments: &str, input: &str) -> String {
    let run = || -> io::Result<Output> {
        let mut child = Command::new(program)
            .args(arguments.split_whitespace())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut stdin = child.stdin.take().expect("its input is a pipe");
        // A program that fails early doesn't read its input: its status says so.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        child.wait_with_output()
    };
    let output = run().unwrap_or_else(|error| panic!("`{program}` can't be run: {error}"));
    assert!(
        output.status.success(),
        "`{program} {arguments}` failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
