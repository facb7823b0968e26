//! The number of instructions for reading and writing one datagram. It is the same on every run of
//! the same program, however busy the machine is.
//!
//! Runs itself under valgrind's callgrind, twice for each case, once for 1,000 rounds and once
//! for 2,000: the difference is what 1,000 rounds take.

#![allow(missing_docs, reason = "a benchmark")]

use std::env;
use std::hint::black_box;
use std::process::{Command, ExitCode};

use bytes::BytesMut;
use udp_discovery_protocol::{Codec, Message};

const CASES: [(&str, &str); 6] = [
    ("decode", "DISCOVER_SERVER"),
    ("decode", "SERVER_IP:192.168.1.7"),
    ("decode", "SERVER_IP:192.168.1.7:8000"),
    ("decode", "GET / HTTP/1.1"),
    ("encode", "DISCOVER_SERVER"),
    ("encode", "SERVER_IP:192.168.1.7:8000"),
];
const ROUNDS: u64 = 1000;
/// The variable with the task of the program under valgrind: the number of a case, and the rounds.
const TASK: &str = "INSTRUCTIONS_TASK";

fn main() -> ExitCode {
    if let Ok(task) = env::var(TASK) {
        let numbers: Vec<usize> = task.split(' ').filter_map(|it| it.parse().ok()).collect();
        run(CASES[numbers[0]], numbers[1]);
        return ExitCode::SUCCESS;
    }
    println!("instructions for one datagram");
    for (number, (what, datagram)) in CASES.iter().enumerate() {
        let (Some(once), Some(twice)) = (count(number, ROUNDS), count(number, 2 * ROUNDS)) else {
            eprintln!("valgrind is needed (Debian: apt-get install valgrind)");
            return ExitCode::FAILURE;
        };
        println!("  {what} {datagram}: {}", (twice - once) / ROUNDS);
    }
    ExitCode::SUCCESS
}

fn run((what, datagram): (&str, &str), rounds: usize) {
    let codec = Codec::default();
    let message: Option<Message> = codec.decode(datagram.as_bytes()).ok();
    let mut out = BytesMut::with_capacity(100);
    for _ in 0..rounds {
        if what == "decode" {
            let _ = black_box(codec.decode(black_box(datagram.as_bytes())));
        } else if let Some(message) = message {
            out.clear();
            codec.encode(black_box(message), &mut out);
            black_box(&out);
        }
    }
}

/// How many instructions the whole program executes, by callgrind's count.
fn count(case: usize, rounds: u64) -> Option<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe().ok()?)
        .env(TASK, format!("{case} {rounds}"))
        .output()
        .ok()?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = told.lines().find(|line| line.contains("Collected : "))?;
    line.rsplit(' ').next()?.parse().ok()
}
