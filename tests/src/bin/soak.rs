//! Runs a server for a chosen time on a host whose links and addresses come and go, among clients
//! and attackers, and reports: `soak 20m --report soak.md --plot soak.svg`. See docs/soak.md.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    udp_discovery_tests::soak::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("the soak needs the network namespaces of Linux");
    ExitCode::FAILURE
}
