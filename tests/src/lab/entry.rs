//! How a test gets into the laboratory: it starts its own test binary again under `unshare`.

use std::env;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::available::{available, pass_over, search_path, unshare_options};
use crate::python;

/// How long a test may take in the laboratory, if it doesn't say otherwise.
pub const DEFAULT_TIME_LIMIT: Duration = Duration::from_mins(1);

/// The variable that holds the test's name in the process inside; for a program, anything.
pub(super) const INSIDE: &str = "UDP_DISCOVERY_LAB_TEST";
/// The variable that holds the path of the Python interpreter there.
const PYTHON: &str = "UDP_DISCOVERY_LAB_PYTHON";
/// What the inside says first: proof that a test ran at all.
const ENTERED: &str = "in the laboratory: ";
/// How long the last output may take after a kill.
const LAST_OUTPUT: Duration = Duration::from_secs(10);

/// Runs `body` in a laboratory, with [`DEFAULT_TIME_LIMIT`].
///
/// `test` is the name of the calling `#[test]`, with its modules (`module::test_name`), as
/// `cargo test -- --list` prints it. Where the system allows no laboratory, it prints
/// `skipped:` and the reason, and returns.
///
/// # Panics
/// If the test fails inside or takes longer than the time limit; if `test` isn't the caller's
/// name; if it would be skipped and the environment has `CI=true`.
pub fn run(test: &str, body: impl FnOnce()) {
    run_within(DEFAULT_TIME_LIMIT, test, body);
}

/// [`run`] with a time limit of its own.
///
/// # Panics
/// As [`run`].
pub fn run_within(limit: Duration, test: &str, body: impl FnOnce()) {
    if is_inside() {
        enter(test);
        body();
    } else {
        run_again(limit, test, None);
    }
}

/// [`run`] with the Python peers: `body` gets the path of an interpreter that can import them.
///
/// They are installed outside, since the laboratory reaches no registry, into `folder`, as
/// [`python::peers`] does. An integration test gives `env!("CARGO_TARGET_TMPDIR")`, so that
/// all packages share one installation.
///
/// # Panics
/// As [`run`]; a missing Python or registry too is a reason to skip.
pub fn run_with_python(folder: impl AsRef<Path>, test: &str, body: impl FnOnce(&Path)) {
    if is_inside() {
        enter(test);
        let interpreter = env::var_os(PYTHON).expect("the outside tells where Python is");
        body(Path::new(&interpreter));
    } else if let Err(why) = available() {
        pass_over(&why);
    } else if let Some(interpreter) = python::peers(folder.as_ref()) {
        run_again(DEFAULT_TIME_LIMIT, test, Some(&interpreter));
    }
}

/// Whether this process runs inside a laboratory.
pub(crate) fn is_inside() -> bool {
    env::var_os(INSIDE).is_some()
}

/// The first thing inside.
fn enter(test: &str) {
    let wanted = env::var(INSIDE).unwrap_or_default();
    assert_eq!(test, wanted, "the calling test has another name");
    eprintln!("{ENTERED}{test}");
    // The outside never writes: the end of the input is its end. This is process 1 of its
    // namespace, and with it go all others.
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(1);
    });
}

fn run_again(limit: Duration, test: &str, python: Option<&Path>) {
    // The test harness names its threads after the tests, if it runs them on several.
    if let Some(name) = thread::current().name().filter(|&name| name != "main") {
        assert_eq!(test, name, "the calling test has another name");
    }
    let options = match unshare_options() {
        Ok(options) => options,
        Err(why) => return pass_over(&why),
    };
    let mut inside = Inside::start(options, test, python);
    if !inside.ends_before(Instant::now() + limit) {
        inside.child.kill().expect("unshare can be killed");
        inside.ends_before(Instant::now() + LAST_OUTPUT);
        let output = inside.output();
        panic!("{test} took longer than {limit:?} in the laboratory:\n{output}");
    }
    let status = inside.child.wait().expect("unshare can be waited for");
    let output = inside.output();
    assert!(
        status.success(),
        "{test} failed in the laboratory ({status}):\n{output}"
    );
    assert!(
        output.contains(ENTERED),
        "no test of this binary is named {test}:\n{output}"
    );
    print!("{output}");
}

/// The process inside, seen from outside.
struct Inside {
    child: Child,
    /// What it writes; disconnected at its end.
    chunks: Receiver<Vec<u8>>,
    output: Vec<u8>,
}

impl Inside {
    fn start(options: &[&str], test: &str, python: Option<&Path>) -> Self {
        let (reader, writer) = io::pipe().expect("a pipe can be made");
        let mut command = Command::new("unshare");
        command
            .args(options)
            .arg("--")
            .arg(env::current_exe().expect("a test knows its own binary"))
            // It was asked for, or the outside would not run: so also if it is ignored.
            .args([test, "--exact", "--nocapture", "--include-ignored"])
            .env(INSIDE, test)
            .env("PATH", search_path())
            .envs(python.map(|python| (PYTHON, python)))
            .stdin(Stdio::piped())
            .stdout(writer.try_clone().expect("a pipe can be shared"))
            .stderr(writer);
        let child = command.spawn().expect("unshare can be started");
        let (sender, chunks) = mpsc::channel();
        thread::spawn(move || forward(reader, &sender));
        Self {
            child,
            chunks,
            output: Vec::new(),
        }
    }

    /// Gathers its output until it ends, or until the deadline: then it is false.
    fn ends_before(&mut self, deadline: Instant) -> bool {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.chunks.recv_timeout(left) {
                Ok(chunk) => self.output.extend(chunk),
                Err(RecvTimeoutError::Disconnected) => return true,
                Err(RecvTimeoutError::Timeout) => return false,
            }
        }
    }

    fn output(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        // Neither does anything if it has been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn forward(mut reader: io::PipeReader, sender: &mpsc::Sender<Vec<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(len @ 1..) = reader.read(&mut buffer) {
        if sender.send(buffer[..len].to_vec()).is_err() {
            return;
        }
    }
}
