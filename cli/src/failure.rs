//! Why a command failed, as its user reads it.

use std::error::Error;
use std::fmt;
use std::iter;

use crate::say::OutputError;

/// An error with its causes on one line, and a hint on the next if there is one.
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

    /// Whether the reader of the output is gone.
    pub(crate) fn is_closed_output(&self) -> bool {
        let error = self.error.downcast_ref::<OutputError>();
        error.is_some_and(OutputError::is_closed)
    }
}

/// `Failure` is not an [`Error`] itself, so that every error can become one.
impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            error: error.into(),
            hint: None,
        }
    }
}

/// An error and its causes, on one line.
pub(crate) fn with_causes(error: &(dyn Error + 'static)) -> String {
    let causes = iter::successors(Some(error), |&error| error.source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", with_causes(&*self.error))?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

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
}
