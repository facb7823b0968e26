//! A test in a process of its own: this test binary, started again for that test alone.

use std::env;
use std::process::{self, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The variable that holds the test's name in the process of its own.
const ALONE: &str = "UDP_DISCOVERY_LIFECYCLE_TEST";
/// What that process says first: proof that a test ran at all.
const ENTERED: &str = "alone: ";
/// Far longer than any test takes: one that hangs fails.
const TIME_LIMIT: Duration = Duration::from_mins(1);

/// Runs `body` in a process of its own. `test` is the name of the calling test, with its module.
pub(crate) fn run(test: &str, body: impl FnOnce()) {
    if env::var_os(ALONE).is_some() {
        println!("{ENTERED}{test}");
        let (started, watched) = mpsc::channel();
        thread::spawn(move || {
            started.send(()).expect("the test waits for it");
            thread::sleep(TIME_LIMIT);
            eprintln!("it takes longer than {TIME_LIMIT:?}");
            process::exit(1);
        });
        // A thread that is only starting takes memory and descriptors that tests count or limit.
        watched.recv().expect("it starts");
        return body();
    }
    let output = Command::new(env::current_exe().expect("a test knows its own binary"))
        .args([test, "--exact", "--nocapture"])
        .env(ALONE, test)
        .stdin(Stdio::null())
        .output()
        .expect("a test binary can be started");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{test} failed alone ({}):\n{said}{errors}",
        output.status
    );
    assert!(
        said.contains(&format!("{ENTERED}{test}")),
        "no test of this binary is named {test}:\n{said}{errors}"
    );
    print!("{said}");
}
