//! Why a command couldn't do what it was told, as its user reads it.

use std::error::Error;
use std::fmt;

use crate::say::OutputError;

/// An error with all its causes on one line, and perhaps what to do about it on the next.
#[derive(Debug)]
pub(crate) struct Failure {
    error: Box<dyn Error>,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }

    /// Whether nobody reads the output any more.
    pub(crate) fn is_closed_output(&self) -> bool {
        let error = self.error.downcast_ref::<OutputError>();
        error.is_some_and(OutputError::is_closed)
    }
}

/// It is no [`Error`] itself, so that every error can become one.
impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            error: error.into(),
            hint: None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", one_line(self.error.as_ref()))?;
        let mut cause = self.error.source();
        while let Some(error) = cause {
            write!(f, ": {}", one_line(error))?;
            cause = error.source();
        }
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

/// What `error` says, without the excerpt that a TOML error draws: lines with a bar in front.
fn one_line(error: &dyn Error) -> String {
    let text = error.to_string();
    let is_excerpt = |line: &str| {
        let rest = line.trim_start_matches(|it: char| it.is_ascii_digit() || it == ' ');
        rest.starts_with('|')
    };
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !is_excerpt(line))
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    lines.join(": ")
}

#[cfg(test)]
mod tests {
    use std::io;

    use udp_discovery_protocol::{Settings, Sources};
    use udp_discovery_server::RunError;

    use super::*;

    #[test]
    fn an_error_is_one_line_with_its_causes() {
        let source = io::Error::other("the cable is cut");
        let failure = Failure::from(RunError::SocketFailed { source });
        assert_eq!(
            failure.to_string(),
            "error: the server's socket failed: the cable is cut"
        );
    }

    #[test]
    fn a_hint_has_a_line_of_its_own() {
        let failure = Failure::from(io::Error::other("no")).with_hint("do this");
        assert_eq!(failure.to_string(), "error: no\nhint: do this");
    }

    #[test]
    fn the_excerpt_of_a_toml_error_is_left_out() {
        let sources = Sources::new().with_file("a.toml", "discovery_port = 1\nfoo bar\n");
        let failure = Failure::from(Settings::load_from(&sources).unwrap_err());
        let text = failure.to_string();
        assert!(!text.contains(['\n', '|']), "{text}");
        assert!(text.contains("a.toml") && text.contains("line 2"), "{text}");
    }
}
