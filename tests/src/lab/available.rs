//! Whether this system lets a test make a laboratory.

use std::env;
use std::ffi::OsString;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The options of `unshare` that make the laboratory's namespaces.
///
/// `--kill-child` and the process namespace end everything when `unshare` is killed.
const AS_ROOT: &[&str] = &[
    "--net",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
];
const AS_A_USER: &[&str] = &[
    "--user",
    "--map-root-user",
    "--net",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
];

/// All that a laboratory needs: a bridge, and a pair of virtual Ethernet interfaces.
const PROBE: &str = "ip link add name probe0 type bridge && \
                     ip link add name probe1 type veth peer name probe2";

/// Whether tests can run in a laboratory here.
///
/// # Errors
/// The reason why not: a missing tool, or what the system didn't permit.
pub fn available() -> Result<(), String> {
    unshare_options().map(|_| ())
}

/// Whether the laboratory finds the program `name`, such as `nft`.
pub fn have(name: &str) -> bool {
    env::split_paths(&search_path()).any(|folder| folder.join(name).is_file())
}

/// The search path inside the laboratory. Debian keeps `sbin` out of the path of unprivileged
/// users, who are root inside.
pub(super) fn search_path() -> OsString {
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}

/// Says that a test is passed over, and why: `skipped: <why>`.
///
/// # Panics
/// If the environment has `CI=true`: there every test must run.
pub fn pass_over(why: &str) {
    assert!(
        env::var("CI").as_deref() != Ok("true"),
        "in CI this test must run: {why}"
    );
    println!("skipped: {why}");
}

pub(super) fn unshare_options() -> Result<&'static [&'static str], String> {
    static OPTIONS: OnceLock<Result<&'static [&'static str], String>> = OnceLock::new();
    let options = OPTIONS.get_or_init(|| {
        if let Some(tool) = ["unshare", "ip"].iter().find(|tool| !have(tool)) {
            return Err(format!("`{tool}` is not installed"));
        }
        // Being root isn't enough in some containers, and being none is enough on most systems.
        probe(AS_ROOT).or_else(|_| probe(AS_A_USER))
    });
    options.clone()
}

fn probe(options: &'static [&'static str]) -> Result<&'static [&'static str], String> {
    let output = Command::new("unshare")
        .args(options)
        .args(["--", "sh", "-c", PROBE])
        .env("PATH", search_path())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("`unshare` can't be started: {error}"))?;
    if output.status.success() {
        return Ok(options);
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Err(format!("no namespaces here: {}", why.trim()))
}
