//! Measures this project beside its rivals and a bare loop, in network namespaces of its own, and
//! writes docs/performance.md with its charts: `performance`, `performance --quick`.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
mod bench;
#[cfg(target_os = "linux")]
mod charts;
#[cfg(target_os = "linux")]
mod load;
#[cfg(target_os = "linux")]
mod machine;
#[cfg(target_os = "linux")]
mod page;
#[cfg(target_os = "linux")]
mod program;
#[cfg(target_os = "linux")]
mod results;
#[cfg(target_os = "linux")]
mod roles;
#[cfg(target_os = "linux")]
mod rows;
#[cfg(target_os = "linux")]
mod services;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    program::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("this needs the network namespaces of Linux");
    ExitCode::FAILURE
}
