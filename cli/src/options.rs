//! The options that commands share.

use std::path::PathBuf;

use clap::{ArgAction, Args};
use serde::Serialize;

/// The settings that servers and clients must agree on.
#[derive(Debug, Args, Serialize)]
pub(crate) struct SharedOptions {
    /// UDP port of the discovery [default: 9999]
    #[arg(long, value_name = "PORT", allow_negative_numbers = true)]
    port: Option<String>,

    /// What a client sends, 1 to 64 bytes [default: `DISCOVER_SERVER`]
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,

    /// What every answer starts with, 1 to 64 bytes [default: `SERVER_IP:`]
    #[arg(long, value_name = "TEXT", alias = "response-prefix")]
    prefix: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct FileOption {
    /// Read settings from this TOML file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// How much to print on standard error.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Verbosity {
    /// Print more: `serve` logs every answer, `discover` reports whom it asked
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Print only errors, and what was asked for
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}
