//! `udp-discovery completions`: a script that completes the commands and options in a shell.

use std::process::ExitCode;

use clap::{Args, CommandFactory as _};
use clap_complete::{Shell, generate};

use crate::Cli;
use crate::failure::Failure;
use crate::say::print;

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
For bash:
  udp-discovery completions bash \\
    > ~/.local/share/bash-completion/completions/udp-discovery")]
pub(crate) struct CompletionsArgs {
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    generate(
        args.shell,
        &mut Cli::command(),
        "udp-discovery",
        &mut script,
    );
    print(&script)?;
    Ok(ExitCode::SUCCESS)
}
