//! The program `soak`, for a few seconds.

#![cfg(target_os = "linux")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use udp_discovery_tests::lab;

fn soak(length: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_soak"));
    command.args([length, "--seed", "1"]);
    command
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[test]
fn a_short_soak_goes_well_and_is_reported_and_plotted() {
    if let Err(why) = lab::available() {
        return lab::skip(&why);
    }
    let (report, plot) = (file("soak.md"), file("soak.svg"));
    let mut command = soak("5s");
    command.arg("--report").arg(&report);
    command.arg("--plot").arg(&plot);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");

    let report = fs::read_to_string(report).unwrap();
    assert!(text.contains(&report), "{text}");
    for what in [
        "answers right",
        "searches that found the server",
        "links put down or up",
    ] {
        let line = report.lines().find(|line| line.contains(what)).unwrap();
        assert!(!line.ends_with("| 0 |"), "{line}");
    }
    assert!(report.contains("| answers wrong | 0 |"), "{report}");
    let plot = fs::read_to_string(plot).unwrap();
    assert!(plot.starts_with("<svg") && plot.trim_end().ends_with("</svg>"));
}

#[test]
fn a_soak_that_is_told_to_stop_reports_all_the_same() {
    if let Err(why) = lab::available() {
        return lab::skip(&why);
    }
    let mut child = soak("1h").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The first progress: it is in full swing.
    let progress = lines.find(|line| line.as_ref().unwrap().contains(" KiB, "));
    assert!(progress.is_some());
    let pid = Pid::from_raw(child.id().try_into().unwrap());
    kill(pid, Signal::SIGINT).unwrap();
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(
        rest.iter()
            .any(|line| line.contains("Everything went well")),
        "{rest:?}"
    );
    assert!(child.wait().unwrap().success());
}
