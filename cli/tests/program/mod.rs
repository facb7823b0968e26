//! The program under test.

use std::env;
use std::process::Command;

/// The command without the environment's settings.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let program = env::var_os("CARGO_BIN_EXE_udp-discovery").expect("cargo runs the tests");
    let mut command = Command::new(program);
    command.args(arguments);
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("DISCOVERY_") || name == "RESPONSE_PREFIX" || name == "ENABLE_LOGGING" {
            command.env_remove(name.as_ref());
        }
    }
    command
}
