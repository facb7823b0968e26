//! What every group of rows needs: the length of the run, the programs, and the processors.

use std::env;
use std::error::Error;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::available_parallelism;
use std::time::Duration;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use udp_discovery_tests::lab::{Host, Process};
use udp_discovery_tests::python;

use crate::results::float;

/// The processor of servers, and that of clients and loads.
pub(crate) const SERVER_CPU: usize = 0;
pub(crate) const CLIENT_CPU: usize = 1;

/// How long a process may take until it is ready, or a search until it is over.
const PATIENCE: Duration = Duration::from_secs(20);

/// What went wrong.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// The programs and the length of a run.
#[derive(Clone, Debug)]
pub(crate) struct Bench {
    pub(crate) quick: bool,
    /// The bare loops, built from `limit/limit.c`.
    pub(crate) limit: PathBuf,
    /// The command `udp-discovery`.
    pub(crate) command: PathBuf,
    /// The interpreter with the Python rivals, or why there is none.
    pub(crate) python: Result<PathBuf, String>,
}

impl Bench {
    /// Finds or builds the programs. Outside the laboratory, which reaches no registry.
    pub(crate) fn prepare(quick: bool) -> Result<Self, Failure> {
        let folder = folder()?;
        fs::create_dir_all(&folder)?;
        let limit = folder.join("limit");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("limit/limit.c");
        run(Command::new("cc")
            .arg("-O2")
            .arg("-o")
            .arg(&limit)
            .arg(source))?;
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        run(Command::new(cargo).args([
            "build",
            "--release",
            "--quiet",
            "-p",
            "udp-discovery-cli",
        ]))?;
        Ok(Self {
            quick,
            limit,
            command: target_folder()?.join("release/udp-discovery"),
            python: python::rivals(&folder),
        })
    }

    /// The programs that [`prepare`](Self::prepare) made.
    pub(crate) fn prepared(quick: bool) -> Result<Self, Failure> {
        let folder = folder()?;
        Ok(Self {
            quick,
            limit: folder.join("limit"),
            command: target_folder()?.join("release/udp-discovery"),
            python: python::rivals(&folder),
        })
    }

    /// How many rounds there are: at least nine, or three in a quick run.
    pub(crate) fn rounds(&self) -> usize {
        if self.quick { 3 } else { 9 }
    }

    /// One of two values, by the length of the run.
    pub(crate) fn either<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

/// This program in another role, on a processor.
pub(crate) fn role(cpu: usize, words: &[&str]) -> Result<Command, Failure> {
    let mut command = pinned(cpu, env::current_exe()?);
    command.arg("--role").args(words);
    Ok(command)
}

/// A program that runs on one processor (taskset(1)).
pub(crate) fn pinned(cpu: usize, program: impl AsRef<OsStr>) -> Command {
    if !has(cpu) {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", &cpu.to_string()]).arg(program);
    command
}

/// Keeps the calling thread on one processor.
pub(crate) fn pin(cpu: usize) -> Result<(), Failure> {
    if has(cpu) {
        let mut cpus = CpuSet::new();
        cpus.set(cpu)?;
        sched_setaffinity(Pid::from_raw(0), &cpus)?;
    }
    Ok(())
}

fn has(cpu: usize) -> bool {
    available_parallelism().is_ok_and(|count| cpu < count.get())
}

/// Runs `body` on a host, on a processor.
pub(crate) fn on<T: Send>(
    host: &Host,
    cpu: usize,
    body: impl FnOnce() -> Result<T, Failure> + Send,
) -> Result<T, Failure> {
    host.run(|| {
        pin(cpu)?;
        body()
    })
}

/// Starts a process that prints `ready` when it is.
pub(crate) fn start(host: &Host, command: Command) -> Process {
    let process = host.spawn(command);
    process.wait_for_line("ready", PATIENCE);
    process
}

/// Runs a process to its end, and returns the last line that it printed.
pub(crate) fn output(host: &Host, command: Command) -> Result<String, Failure> {
    let mut process = host.spawn(command);
    let status = process.wait(PATIENCE);
    let line = process.stdout().pop();
    line.filter(|_| status.success())
        .ok_or_else(|| format!("{status}: {:?}", process.stderr()).into())
}

/// The processor time that a process has used so far, in seconds (`schedstat` of proc(5)).
pub(crate) fn cpu_time(process: u32) -> Result<f64, Failure> {
    let mut nanoseconds = 0;
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        let first = text.split(' ').next().unwrap_or_default();
        nanoseconds += first.parse::<usize>()?;
    }
    Ok(float(nanoseconds) / 1e9)
}

/// Where the programs and the Python environment are.
fn folder() -> Result<PathBuf, Failure> {
    Ok(target_folder()?.join("performance"))
}

/// Cargo's target folder: this program is in `target/release` there.
pub(crate) fn target_folder() -> Result<PathBuf, Failure> {
    let program = env::current_exe()?;
    let folder = program.parent().and_then(Path::parent);
    Ok(folder.ok_or("this program is in no folder")?.to_owned())
}

/// Runs a program. Returns what it printed.
pub(crate) fn run(command: &mut Command) -> Result<String, Failure> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("{command:?} failed: {text}").into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
