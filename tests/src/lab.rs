//! A laboratory: hosts and networks that exist only for one test.
//!
//! A host is a Linux network namespace, a network is a bridge between hosts. [`run`] starts the
//! test again in namespaces of its own, so that nothing in it reaches the machine's networks, and
//! the kernel removes everything, processes included, however the test ends.
//!
//! ```no_run
//! use std::net::UdpSocket;
//! use udp_discovery_tests::lab::{self, Lab};
//!
//! #[test]
//! fn two_hosts_meet() {
//!     lab::run(|| {
//!         let [a, b] = Lab::new().hosts(["10.77.1.1/24", "10.77.1.2/24"]);
//!         let here = a.run(|| UdpSocket::bind("10.77.1.1:9999")).unwrap();
//!         let there = b.run(|| UdpSocket::bind("10.77.1.2:9999")).unwrap();
//!         here.send_to(b"hello", "10.77.1.2:9999").unwrap();
//!         assert_eq!(there.recv(&mut [0; 16]).unwrap(), 5);
//!     });
//! }
//! ```
//!
//! A socket stays in the host where it was opened, whichever thread uses it later. By
//! convention all addresses are within 10.77.0.0/16.

mod available;
mod entry;
mod host;
mod loss;
mod namespace;
mod network;
mod process;
mod program;
pub mod raw;

pub use available::{available, have, skip};
pub use entry::{DEFAULT_TIME_LIMIT, is_inside, run, run_with_python, run_within, test_name};
pub use host::Host;
pub use network::{Lab, Network};
/// What [`Process::signal`] sends.
pub use nix::sys::signal::Signal;
pub use process::Process;
pub use program::{Stop, run_program};
