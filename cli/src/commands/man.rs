//! `udp-discovery man`: the manual pages.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _};
use thiserror::Error;

use crate::Cli;
use crate::failure::Failure;

/// Write the manual pages to a folder, which is made if it does not exist
#[derive(Debug, Args)]
#[command(after_help = "\
For all users:
  udp-discovery man /usr/local/share/man/man1")]
pub(crate) struct ManArgs {
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

#[derive(Debug, Error)]
#[error("cannot write the manual pages to {}", folder.display())]
struct CannotWrite {
    folder: PathBuf,
    source: io::Error,
}

pub(crate) fn run(args: &ManArgs) -> Result<ExitCode, Failure> {
    let written = fs::create_dir_all(&args.folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), &args.folder));
    written.map_err(|source| CannotWrite {
        folder: args.folder.clone(),
        source,
    })?;
    Ok(ExitCode::SUCCESS)
}
