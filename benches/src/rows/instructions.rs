//! Instructions for reading and writing a datagram, and for a hand-written loop.

use std::collections::BTreeMap;
use std::env;
use std::process::Command;

use crate::bench::{Bench, Failure};
use crate::results::{Goal, Results, Row, Unit};

/// What is compared: the benchmark, its hand-written twin, and what they do.
const PAIRS: [(&str, &str); 4] = [
    ("decode request", "reading a request"),
    ("decode response", "reading a response"),
    ("encode request", "writing a request"),
    ("encode response", "writing a response"),
];

pub(crate) fn measure(_: &Bench, results: &mut Results) -> Result<(), Failure> {
    let counts = match counts() {
        Ok(counts) => counts,
        Err(why) => {
            for (name, what) in PAIRS {
                for table in ["count", "ratio"] {
                    let id = format!("instructions/{table}/{name}");
                    results.rows.push(Row::missing(&id, what, why.to_string()));
                }
            }
            return Ok(());
        }
    };
    for (name, what) in PAIRS {
        let count = |who: &str| {
            let count = counts.get(&format!("{name}, {who}")).copied();
            count.ok_or_else(|| format!("no count of {name}, {who}"))
        };
        let (ours, hand) = (count("ours")?, count("by hand")?);
        let row = |table: &str, unit, value| {
            Row::new(&format!("instructions/{table}/{name}"), what, unit, vec![value])
        };
        results.rows.push(row("count", Unit::Count, ours));
        let ratio = row("ratio", Unit::Ratio, ours / hand);
        results.rows.push(ratio.with_goal(Goal::AtMost(1.15)));
    }
    Ok(())
}

/// The instructions by benchmark, from `cargo bench`.
fn counts() -> Result<BTreeMap<String, f64>, Failure> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["bench", "--quiet", "-p", "udp-discovery-benches", "--bench", "instructions"])
        .args(["--", "--output-format=json", "--nosummary=true"])
        .output()?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let last = text.lines().last().unwrap_or_default();
        return Err(format!("it needs valgrind and gungraun-runner: {last}").into());
    }
    parse(&String::from_utf8(output.stdout)?)
}

fn parse(_text: &str) -> Result<BTreeMap<String, f64>, Failure> {
    Ok(BTreeMap::new())
}
