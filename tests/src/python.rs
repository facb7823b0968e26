//! The Python server and client whose wire format this project speaks, and a second implementation of
//! docs/details.md.
//!
//! The first come from the Python Package Index, by pip, into a virtual environment that the tests make.
//! [`lab::run_with_python`](crate::lab::run_with_python) prepares it and passes its path.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::fcntl::{Flock, FlockArg};

use crate::lab::{have, skip};

/// The packages that are installed.
const PACKAGES: [&str; 3] = [
    "cryptography==48.0.0",
    "django-udp-discovery==1.0.0",
    "django-udp-discovery-client[network]==1.0.0",
];

/// What the benchmarks compare with in addition.
const RIVALS: [&str; 1] = ["zeroconf==0.154.0"];

/// Fails unless the packages are installed.
const IMPORTS: &str = "import cryptography, django_udp_discovery.conf, discovery_client";

/// Serves with the settings in its argument, a JSON object, until standard input ends. Prints
/// `ready` when it serves; its log goes to standard error.
pub const SERVER: &str = r#"
import json, logging, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
from django.conf import settings
settings.configure(**json.loads(sys.argv[1]))
from django_udp_discovery.listener import start_udp_service, stop_udp_service
if not start_udp_service():
    sys.exit("the service did not start")
print("ready", flush=True)
sys.stdin.read()
stop_udp_service()
"#;

/// Searches with the configuration in its argument, a JSON object, and prints what it found: a
/// JSON list of objects with `ip` and `port`. Its log goes to standard error.
pub const CLIENT: &str = r#"
import json, logging, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
from discovery_client import ClientConfig, discover
found = discover(ClientConfig(**json.loads(sys.argv[1])))
print(json.dumps([{"ip": server.ip, "port": server.port} for server in found]), flush=True)
"#;

/// The command that runs [`SERVER`], with settings such as `{"DISCOVERY_PORT": 9999}`.
pub fn server(interpreter: &Path, settings: &str) -> Command {
    script(interpreter, SERVER, settings)
}

/// The command that runs [`CLIENT`], with a configuration such as
/// `{"discovery_port": 9999, "timeout": 0.5}` (seconds).
pub fn client(interpreter: &Path, config: &str) -> Command {
    script(interpreter, CLIENT, config)
}

/// A command of `tests/python/details.py`, with arguments such as `["discover", "127.0.0.1"]`.
pub fn details(interpreter: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(interpreter);
    command
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/python/details.py"))
        .args(arguments);
    command
}

/// An interpreter that can import the packages, from a virtual environment in `folder`.
///
/// The first caller makes it, which takes a minute; others wait, in other processes too. Where
/// Python or the registry is missing, it prints `skipped:` and the reason, and there is none.
///
/// # Panics
/// If there is none and the environment has `CI=true`.
pub fn peers(folder: &Path) -> Option<PathBuf> {
    match install(folder, "python-peers", &PACKAGES, IMPORTS) {
        Ok(interpreter) => Some(interpreter),
        Err(why) => {
            skip(&format!("no Python peers: {why}"));
            None
        }
    }
}

/// As [`peers`], with another implementation of multicast DNS, python-zeroconf, for the benchmarks.
///
/// # Errors
/// Why there is none.
pub fn rivals(folder: &Path) -> Result<PathBuf, String> {
    let packages = [&PACKAGES[..], &RIVALS].concat();
    install(
        folder,
        "python-rivals",
        &packages,
        &format!("{IMPORTS}, zeroconf"),
    )
}

fn script(interpreter: &Path, script: &str, argument: &str) -> Command {
    let mut command = Command::new(interpreter);
    command.args(["-c", script, argument]);
    command
}

fn install(folder: &Path, name: &str, packages: &[&str], imports: &str) -> Result<PathBuf, String> {
    let home = folder.join(name);
    let interpreter = home.join("bin/python");
    // Written last: with it the installation is complete.
    let stamp = home.join("installed");
    let contents = packages.join("\n");
    // The Python that the environment uses may be gone, or belong to another user.
    let is_complete = || {
        fs::read_to_string(&stamp).is_ok_and(|text| text == contents)
            && succeed(&mut script(&interpreter, imports, "")).is_ok()
    };
    if is_complete() {
        return Ok(interpreter);
    }
    if !have("python3") {
        return Err("`python3` is not installed".to_owned());
    }
    // Held until the end of this function; the system releases it if this process dies.
    let _lock = lock(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    if is_complete() {
        return Ok(interpreter);
    }
    let mut venv = Command::new("python3");
    succeed(venv.args(["-m", "venv", "--clear"]).arg(&home))?;
    let mut pip = Command::new(&interpreter);
    pip.args(["-m", "pip", "install", "--quiet", "--no-input"])
        .args(["--retries", "1", "--timeout", "20"])
        .args(packages);
    succeed(&mut pip)?;
    fs::write(&stamp, contents).map_err(|error| format!("{}: {error}", stamp.display()))?;
    Ok(interpreter)
}

fn lock(folder: &Path) -> io::Result<Flock<File>> {
    fs::create_dir_all(folder)?;
    let file = File::create(folder.join("python-peers.lock"))?;
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno.into())
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?} failed: {}", text.trim()))
}
