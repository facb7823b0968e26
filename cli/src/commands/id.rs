//! `udp-discovery id`: the id that a file keeps.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::failure::Failure;
use crate::identity;
use crate::say::say;

/// Print the id of a server, from its key file or id file
#[derive(Debug, Args)]
pub(crate) struct IdArgs {
    /// The file of `serve --key` or `serve --id-file`
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(crate) fn run(args: &IdArgs) -> Result<ExitCode, Failure> {
    say(identity::read_id(&args.file)?)?;
    Ok(ExitCode::SUCCESS)
}
