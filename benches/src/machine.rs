//! The machine, and the versions of everything.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::available_parallelism;

use crate::bench::{Bench, run};

/// Names and values.
pub(crate) fn describe(bench: &Bench) -> BTreeMap<String, String> {
    let mut about = BTreeMap::new();
    let mut tell = |name: &str, value: String| about.insert(name.to_owned(), value);
    tell("run", bench.either("full", "quick").to_owned());
    tell("processor", processor());
    tell(
        "processors",
        available_parallelism().map_or(1, usize::from).to_string(),
    );
    tell("memory", field("/proc/meminfo", "MemTotal"));
    tell("Linux", read("/proc/sys/kernel/osrelease"));
    tell(
        "largest receive buffer (net.core.rmem_max)",
        read("/proc/sys/net/core/rmem_max"),
    );
    tell("Rust", version(Command::new("rustc").arg("--version")));
    tell("C compiler", version(Command::new("cc").arg("--version")));
    tell(
        "valgrind",
        version(Command::new("valgrind").arg("--version")),
    );
    tell("this project", env!("CARGO_PKG_VERSION").to_owned());
    for name in ["mdns-sd", "nix", "mio", "tokio"] {
        tell(name, locked(name));
    }
    match &bench.python {
        Ok(python) => {
            tell("Python", version(Command::new(python).arg("--version")));
            for package in [
                "django-udp-discovery",
                "django-udp-discovery-client",
                "zeroconf",
            ] {
                let script =
                    format!("from importlib.metadata import version; print(version('{package}'))");
                tell(
                    &format!("{package} (Python)"),
                    version(Command::new(python).args(["-c", &script])),
                );
            }
        }
        Err(why) => drop(tell("Python", format!("not measured: {why}"))),
    }
    about
}

/// The first line that a program prints.
fn version(command: &mut Command) -> String {
    let text = run(command).unwrap_or_else(|_| "not installed".to_owned());
    text.lines().next().unwrap_or_default().to_owned()
}

fn processor() -> String {
    match field("/proc/cpuinfo", "model name") {
        name if name.is_empty() => std::env::consts::ARCH.to_owned(),
        name => name,
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// The value of the first line `name: value`.
fn field(path: &str, name: &str) -> String {
    let text = read(path);
    let mut values = text.lines().filter_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    });
    values.next().unwrap_or_default()
}

/// The version of a crate in Cargo.lock.
fn locked(name: &str) -> String {
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    let text = fs::read_to_string(lock).unwrap_or_default();
    let mut lines = text
        .lines()
        .skip_while(|line| *line != format!("name = \"{name}\""));
    let version = lines.nth(1).unwrap_or_default();
    version
        .trim_start_matches("version = ")
        .trim_matches('"')
        .to_owned()
}
