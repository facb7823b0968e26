//! What a build costs: time, dependencies, and the size of the command.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::bench::{Bench, Failure, run};
use crate::results::{Goal, Results, Row, Unit, float};

const LIBRARIES: [&str; 3] = [
    "udp-discovery-protocol",
    "udp-discovery-server",
    "udp-discovery-client",
];

/// What is built, one after the other, in a folder that is empty at first: its name, what it is, and
/// cargo's arguments.
const BUILDS: [(&str, &str, &[&str]); 3] = [
    (
        "libraries",
        "the three libraries without features, debug, from nothing",
        &["build"],
    ),
    (
        "tests",
        "the libraries' unit tests after that, with their build",
        &["test", "--lib"],
    ),
    (
        "command",
        "the command, release, from nothing",
        &["build", "--release"],
    ),
];

pub(crate) fn measure(bench: &Bench, results: &mut Results) -> Result<(), Failure> {
    for name in LIBRARIES {
        let count = float(dependencies(name)?);
        let id = format!("build/dependencies/{name}");
        let row = Row::new(
            &id,
            format!("packages that {name} depends on"),
            Unit::Count,
            vec![count],
        );
        results.rows.push(row.with_goal(Goal::AtMost(12.0)));
    }
    let size = usize::try_from(fs::metadata(&bench.command)?.len())?;
    let what = "the command, stripped";
    results.rows.push(Row::new(
        "build/size/command",
        what,
        Unit::Bytes,
        vec![float(size)],
    ));
    let folder = bench.limit.with_file_name("cold");
    for (name, what, arguments) in BUILDS {
        let id = format!("build/time/{name}");
        results.rows.push(if bench.quick {
            Row::missing(&id, what, "only in a full run")
        } else {
            let seconds = time(name, arguments, &folder)?;
            Row::new(&id, what, Unit::Seconds, vec![seconds])
        });
    }
    Ok(())
}

/// How many packages a library depends on without features, besides procedural macros.
fn dependencies(name: &str) -> Result<usize, Failure> {
    let mut command = Command::new(cargo());
    command.args(["tree", "--locked", "-p", name, "-e", "normal,no-proc-macro"]);
    let tree = run(command.args(["--prefix", "none"]))?;
    let packages: BTreeSet<_> = tree
        .lines()
        .map(|line| line.trim_end_matches(" (*)"))
        .collect();
    Ok(packages.len() - 1)
}

fn time(name: &str, arguments: &[&str], folder: &Path) -> Result<f64, Failure> {
    if name != "tests" && folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    let mut command = Command::new(cargo());
    command
        .args(arguments)
        .args(["--quiet", "--target-dir"])
        .arg(folder);
    if name == "command" {
        command.args(["-p", "udp-discovery-cli"]);
    } else {
        command.args(LIBRARIES.iter().flat_map(|it| ["-p", it]));
    }
    let start = Instant::now();
    run(&mut command)?;
    let seconds = start.elapsed().as_secs_f64();
    if name == "command" {
        fs::remove_dir_all(folder)?;
    }
    Ok(seconds)
}

fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
