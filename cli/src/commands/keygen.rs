//! `udp-discovery keygen`: a key for signed answers.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::failure::Failure;
use crate::identity;
use crate::say::say;

const NOTES: &str = "\
The file has an Ed25519 key in PEM (PKCS #8), which only its owner can read on Unix. Elsewhere the \
permissions of the folder count. Whoever has it can answer as this server. A file that exists is never \
overwritten.

Example:
  udp-discovery keygen server.pem           # prints the id
  udp-discovery serve --key server.pem
  udp-discovery discover --pin ID";

/// Make a key for `serve --key`, and print the id that clients pin
#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub(crate) struct KeygenArgs {
    /// The file to make
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(crate) fn run(args: &KeygenArgs) -> Result<ExitCode, Failure> {
    say(identity::create_key(&args.file)?.id())?;
    Ok(ExitCode::SUCCESS)
}
