//! Instructions for reading and writing a datagram, and for a hand-written loop.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::bench::{Bench, Failure, run, target_folder};
use crate::results::{Goal, Results, Row, Unit};

/// What is compared with a hand-written loop: the benchmark, its twin, and what both do.
const PAIRS: [(&str, &str, &str); 4] = [
    (
        "decode request",
        "decode_by_hand request",
        "reading a request",
    ),
    (
        "decode response",
        "decode_by_hand response",
        "reading a response",
    ),
    (
        "encode request",
        "encode_by_hand request",
        "writing a request",
    ),
    (
        "encode response",
        "encode_by_hand response",
        "writing a response",
    ),
];

/// The cores, with the paths of their profiles.
const CORES: [(&str, &str, &str, &str); 2] = [
    (
        "server hundred",
        "cores/server.hundred",
        "the server's decision about a request",
        "server",
    ),
    (
        "client hundred",
        "cores/client.hundred",
        "the search's reading of an answer",
        "client",
    ),
];

pub(crate) fn measure(_: &Bench, results: &mut Results) -> Result<(), Failure> {
    let counts = match counts() {
        Ok(counts) => counts,
        Err(why) => {
            for table in ["count", "ratio", "server", "client"] {
                let id = format!("instructions/{table}/none");
                results
                    .rows
                    .push(Row::missing(&id, "instructions", why.to_string()));
            }
            return Ok(());
        }
    };
    let count = |name: &str| {
        let count = counts.get(name).copied();
        count.ok_or_else(|| format!("no count of {name}"))
    };
    let row = |table: &str, name: &str, what, unit, value| {
        Row::new(
            &format!("instructions/{table}/{name}"),
            what,
            unit,
            vec![value],
        )
    };
    for (ours, hand, what) in PAIRS {
        let (name, ours, hand) = (ours, count(ours)?, count(hand)?);
        results
            .rows
            .push(row("count", name, what, Unit::Count, ours));
        let ratio = row("ratio", name, what, Unit::Ratio, ours / hand);
        results.rows.push(ratio.with_goal(Goal::AtMost(1.15)));
    }
    for (name, path, what, table) in CORES {
        let each = count(name)? / 100.0;
        results
            .rows
            .push(row("count", name, what, Unit::Count, each));
        profile(path, what, table, results)?;
    }
    Ok(())
}

/// The instructions of each benchmark, by its name: `decode request`.
fn counts() -> Result<BTreeMap<String, f64>, Failure> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "bench",
            "--quiet",
            "-p",
            "udp-discovery-benches",
            "--bench",
            "instructions",
        ])
        .args(["--", "--output-format=json"])
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let counts = text.lines().map(count).collect::<Result<_, _>>()?;
    if output.status.success() {
        return Ok(counts);
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let first = text
        .lines()
        .find(|line| !line.is_empty())
        .unwrap_or_default();
    Err(format!("it needs valgrind and gungraun-runner, or has a limit exceeded: {first}").into())
}

/// The name and the count in a line of gungraun's output.
fn count(line: &str) -> Result<(String, f64), Failure> {
    let benchmark: Value = serde_json::from_str(line)?;
    let name = |key: &str| benchmark[key].as_str().unwrap_or_default();
    let metrics = benchmark.pointer("/profiles/0/data/parts/0/metrics");
    let count = metrics.and_then(|it| it["Ir"]["values"]["new"].as_f64());
    let count = count.ok_or("gungraun counts instructions")?;
    Ok((format!("{} {}", name("function_name"), name("id")), count))
}

/// The functions that take the most instructions of their own in a benchmark.
fn profile(path: &str, what: &str, table: &str, results: &mut Results) -> Result<(), Failure> {
    let folder = target_folder()?
        .join("gungraun/udp-discovery-benches/instructions")
        .join(path);
    let file = fs::read_dir(&folder)?
        .filter_map(Result::ok)
        .map(|entry| entry.path());
    let mut files = file.filter(|it| it.extension().is_some_and(|end| end == "out"));
    let file = files.next().ok_or("gungraun writes a profile")?;
    let mut annotate = Command::new("callgrind_annotate");
    annotate.args(["--show-percs=yes", "--inclusive=no", "--tree=none"]);
    let text = run(annotate.arg(file))?;
    let mut functions: Vec<(String, f64)> = Vec::new();
    for (name, share) in text.lines().filter_map(function) {
        match functions.iter_mut().find(|it| it.0 == name) {
            Some(function) => function.1 += share,
            None => functions.push((name, share)),
        }
    }
    functions.sort_by(|a, b| b.1.total_cmp(&a.1));
    for (at, (name, share)) in functions.into_iter().take(6).enumerate() {
        let id = format!("instructions/{table}/{at}");
        let what = format!("{what}: `{name}`");
        results
            .rows
            .push(Row::new(&id, what, Unit::Ratio, vec![share / 100.0]));
    }
    Ok(())
}

/// The name and the share, in percent, in a line of `callgrind_annotate`:
/// `1,234 (12.34%)  file.rs:crate::function [program]`.
fn function(line: &str) -> Option<(String, f64)> {
    let (count, rest) = line.trim().split_once(" (")?;
    count
        .chars()
        .all(|it| it.is_ascii_digit() || it == ',')
        .then_some(())?;
    let (share, rest) = rest.split_once("%)")?;
    // A line of the source or of the tree of calls has no file before the function.
    let name = rest.trim_start().split_once(':')?.1;
    if name.ends_with("x)") || rest.trim_start().starts_with(['<', '>']) {
        return None;
    }
    let name = name.split(" [").next()?.split("'2").next()?;
    Some((name.to_owned(), share.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_gungraun_has_a_name_and_a_count() {
        let line = r#"{"function_name": "decode", "id": "request", "profiles":
            [{"data": {"parts": [{"metrics": {"Ir": {"values": {"new": 77}}}}]}}]}"#;
        assert_eq!(count(line).unwrap(), ("decode request".to_owned(), 77.0));
        assert!(count("{}").is_err());
    }

    #[test]
    fn a_line_of_callgrind_has_a_function_and_its_share() {
        let line = "  12,345 (12.30%)  src/lib.rs:a::b<c> [/x/y]";
        assert_eq!(function(line), Some(("a::b<c>".to_owned(), 12.3)));
        assert_eq!(function("Profile data file (x%)"), None);
    }
}
