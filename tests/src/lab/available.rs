//! Whether this system allows a laboratory, and how to enter it.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The options of `unshare` that make the laboratory's namespaces.
///
/// `--kill-child` and the process namespace end everything when `unshare` is killed.
const NAMESPACES: [&str; 6] = [
    "--net",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
];
/// What an unprivileged user needs in addition.
const USER_NAMESPACE: [&str; 2] = ["--user", "--map-root-user"];

/// All that a laboratory needs: a bridge, and a pair of virtual Ethernet interfaces.
const PROBE: &str = "ip link add name probe0 type bridge && \
                     ip link add name probe1 type veth peer name probe2";

/// Whether tests can run in a laboratory here.
///
/// # Errors
/// The reason why not: a missing tool, or what the system did not permit.
pub fn available() -> Result<(), String> {
    user_namespace().map(|_| ())
}

/// Whether the laboratory finds the program `name`, such as `nft`.
pub fn have(name: &str) -> bool {
    env::split_paths(&search_path()).any(|folder| folder.join(name).is_file())
}

/// Skips a test: prints `skipped: <why>`.
///
/// # Panics
/// If the environment has `CI=true`: there every test must run.
pub fn skip(why: &str) {
    assert!(
        env::var("CI").as_deref() != Ok("true"),
        "in CI this test must run: {why}"
    );
    println!("skipped: {why}");
}

/// A command that runs `program` in new namespaces.
pub(super) fn in_namespaces(program: &Path) -> Result<Command, String> {
    Ok(unshare(user_namespace()?, program))
}

/// The options for a user namespace, if the system requires one.
fn user_namespace() -> Result<&'static [&'static str], String> {
    static OPTIONS: OnceLock<Result<&'static [&'static str], String>> = OnceLock::new();
    let options = OPTIONS.get_or_init(|| {
        if let Some(tool) = ["unshare", "ip"].iter().find(|tool| !have(tool)) {
            return Err(format!("`{tool}` is not installed"));
        }
        // Root may lack the permission in a container, and most systems don't require root.
        probe(&[]).or_else(|_| probe(&USER_NAMESPACE))
    });
    options.clone()
}

fn probe(options: &'static [&'static str]) -> Result<&'static [&'static str], String> {
    let output = unshare(options, Path::new("sh"))
        .args(["-c", PROBE])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("`unshare` can't be started: {error}"))?;
    if output.status.success() {
        return Ok(options);
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Err(format!("no namespaces here: {}", why.trim()))
}

fn unshare(options: &[&str], program: &Path) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(options)
        .args(NAMESPACES)
        .arg("--")
        .arg(program)
        .env("PATH", search_path());
    command
}

/// The search path inside the laboratory. Debian leaves `sbin` out of the path of unprivileged
/// users, who are root inside.
fn search_path() -> OsString {
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}
