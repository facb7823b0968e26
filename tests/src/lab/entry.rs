//! How a test enters the laboratory: it starts its own test binary again under `unshare`.

use std::any::type_name;
use std::env;
use std::io;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::available::{available, in_namespaces, skip};
use super::namespace::run_command;
use super::process::Process;
use crate::python;

/// How long a test may take in the laboratory, unless it sets another limit.
pub const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(60);

/// The variable that holds the test's name in the process inside; for a program, any text.
pub(super) const INSIDE: &str = "UDP_DISCOVERY_LAB_TEST";
/// The variable that holds the path of the Python interpreter there.
const PYTHON: &str = "UDP_DISCOVERY_LAB_PYTHON";
/// What the process inside prints first: proof that a test ran at all.
const ENTERED: &str = "in the laboratory: ";
/// How long the last output may take after a kill.
const LAST_OUTPUT: Duration = Duration::from_secs(10);

/// Runs `body` in a laboratory, with [`DEFAULT_TIME_LIMIT`].
///
/// `body` must be a closure of the calling `#[test]`, which names the test to run inside. There it
/// is process 1 of a process namespace of its own, and loopback is up. Where the system allows
/// no laboratory, this prints `skipped:` and the reason, and returns.
///
/// # Panics
/// If the test fails inside or takes longer than the time limit; if `body` isn't a closure of the
/// calling test; if it would be skipped and the environment has `CI=true`.
pub fn run(body: impl FnOnce()) {
    run_within(DEFAULT_TIME_LIMIT, test_name(&body), body);
}

/// [`run`] with another time limit, for the test with the given name, including its modules.
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
/// [`python::peers`] does. An integration test passes `env!("CARGO_TARGET_TMPDIR")`, so that
/// all packages share one installation.
///
/// # Panics
/// As [`run`]. A missing Python or registry is a reason to skip, too.
pub fn run_with_python(folder: impl AsRef<Path>, body: impl FnOnce(&Path)) {
    let test = test_name(&body);
    if is_inside() {
        enter(test);
        let interpreter = env::var_os(PYTHON).expect("the outside sets the interpreter's path");
        body(Path::new(&interpreter));
    } else if let Err(why) = available() {
        skip(&why);
    } else if let Some(interpreter) = python::peers(folder.as_ref()) {
        run_again(DEFAULT_TIME_LIMIT, test, Some(&interpreter));
    }
}

/// The name of the test that `body` is a closure of, as `cargo test -- --list` prints it.
///
/// It comes from the name of the closure's type, `binary::module::test::{{closure}}`. The standard
/// library doesn't promise that form, but [`run`] fails if no test has the name.
pub fn test_name<T>(_body: &T) -> &'static str {
    let path = type_name::<T>();
    let path = path.split_once("::").map_or(path, |(_binary, path)| path);
    path.split_once("::{{closure}}")
        .map_or(path, |(test, _)| test)
}

/// Whether this process runs inside a laboratory.
pub fn is_inside() -> bool {
    env::var_os(INSIDE).is_some()
}

/// The first thing inside.
fn enter(test: &str) {
    let wanted = env::var(INSIDE).unwrap_or_default();
    assert_eq!(test, wanted, "the calling test has another name");
    println!("{ENTERED}{test}");
    // The outside never writes: if the input ends, the outside has ended. This is process 1 of its
    // namespace, and all others end with it.
    let (started, watching) = mpsc::channel();
    thread::spawn(move || {
        started.send(()).expect("the test waits for it");
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(1);
    });
    // A thread that is still starting uses memory and descriptors, which some tests count. For the
    // same reason no other thread runs here: its stack would be kept for the next one.
    watching.recv().expect("the thread starts");
    run_command("ip", "link set lo up", "");
}

fn run_again(limit: Duration, test: &str, python: Option<&Path>) {
    // The test harness names its threads after the tests, if it runs them on several.
    if let Some(name) = thread::current().name().filter(|&name| name != "main") {
        assert_eq!(test, name, "the calling test has another name");
    }
    let binary = env::current_exe().expect("a test knows its own binary");
    let mut command = match in_namespaces(&binary) {
        Ok(command) => command,
        Err(why) => return skip(&why),
    };
    command
        // This one was asked for, or the outside would not run. So it runs even if it is ignored.
        .args([test, "--exact", "--nocapture", "--include-ignored"])
        .env(INSIDE, test)
        .envs(python.map(|python| (PYTHON, python)));
    let mut inside = Process::start(command);
    let Some(status) = inside.try_wait(limit) else {
        inside.signal(Signal::SIGKILL);
        inside.try_wait(LAST_OUTPUT);
        let output = inside.output();
        panic!("{test} took longer than {limit:?} in the laboratory:\n{output}");
    };
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
