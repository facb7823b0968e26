//! The server under test: this program again, in a process of its own, with the server that users
//! embed. Each second it writes its counters.

use std::env;
use std::io::{self, BufRead as _, BufReader, Lines};
use std::os::fd::AsFd as _;
use std::process::{Child, ChildStdout, Command, ExitCode, ExitStatus, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use udp_discovery_server::{Config, Counter, DropReason, Server, Stats};

use crate::lab::Host;

/// The variable that makes this program the server: `filter` or `no filter`.
const ROLE: &str = "UDP_DISCOVERY_SOAK_SERVER";
/// The time between two lines, in milliseconds.
const INTERVAL: u16 = 1000;

/// The names of the counters, in their order.
pub(super) fn names() -> impl Iterator<Item = String> {
    let counters = Counter::ALL.iter().map(ToString::to_string);
    let reasons = DropReason::ALL.iter().map(|it| format!("dropped: {it}"));
    counters.chain(reasons)
}

/// The position of a counter.
pub(super) fn position(counter: Counter) -> usize {
    counter as usize
}

fn counts(stats: &Stats) -> impl Iterator<Item = u64> + '_ {
    let counters = Counter::ALL.iter().map(|it| stats.counter(*it));
    counters.chain(DropReason::ALL.iter().map(|it| stats.dropped(*it)))
}

/// Whether this process is the server.
pub(super) fn is_wanted() -> bool {
    env::var_os(ROLE).is_some()
}

/// Serves until the input ends.
pub(super) fn serve() -> ExitCode {
    match try_to_serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the server failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn try_to_serve() -> Result<(), Box<dyn std::error::Error>> {
    let filter = env::var(ROLE).is_ok_and(|role| role == "filter");
    let server = Server::bind(Config::default().with_kernel_filter(filter))?.spawn()?;
    let stdin = io::stdin();
    let mut ended = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
    loop {
        println!("{}", line(&server.stats()));
        if poll(&mut ended, PollTimeout::from(INTERVAL))? > 0 {
            break;
        }
        if !server.is_running() {
            server.shutdown()?;
            return Err("it ended on its own".into());
        }
    }
    println!("{}", line(&server.shutdown()?));
    Ok(())
}

fn line(stats: &Stats) -> String {
    let counts: Vec<String> = counts(stats).map(|it| it.to_string()).collect();
    counts.join(" ")
}

/// The server's process.
pub(super) struct ServerProcess {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl ServerProcess {
    /// Starts it on a host.
    pub(super) fn start(host: &Host, filter: bool) -> io::Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command
            .env(ROLE, if filter { "filter" } else { "no filter" })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = host.run(|| command.spawn())?;
        let stdout = child.stdout.take().expect("its output is a pipe");
        let lines = BufReader::new(stdout).lines();
        Ok(Self { child, lines })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its next counters. `None` if it has ended.
    pub(super) fn next_counts(&mut self) -> Option<Vec<u64>> {
        let line = self.lines.next()?.ok()?;
        let counts = line.split_whitespace().map(str::parse);
        counts.collect::<Result<_, _>>().ok()
    }

    /// Stops it, and returns its exit status and its last counters.
    pub(super) fn stop(mut self) -> io::Result<(ExitStatus, Option<Vec<u64>>)> {
        drop(self.child.stdin.take());
        let mut last = None;
        while let Some(counts) = self.next_counts() {
            last = Some(counts);
        }
        Ok((self.child.wait()?, last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_name_for_each_count_at_its_position() {
        let names: Vec<String> = names().collect();
        assert_eq!(names.len(), counts(&Stats::default()).count());
        for counter in Counter::ALL {
            assert_eq!(names[position(*counter)], counter.name());
        }
    }
}
