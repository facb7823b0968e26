//! Why settings can't be loaded.

use core::fmt::{self, Write as _};
use std::io;
use std::path::PathBuf;
use std::string::String;
use std::vec::Vec;

use thiserror::Error;

use super::origin::Origin;
use crate::settings::BufferSizeError;
use crate::wire::WordsConflict;
use crate::wire::{Word, WordError};

/// Why settings can't be loaded. Each says in one line what is wrong, where, and what is allowed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file isn't there, may not be read, or is not UTF-8.
    #[error("the file {} can't be read", path.display())]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("the file {} is not valid TOML", path.display())]
    Syntax {
        /// Its path.
        path: PathBuf,
        /// Where in the file, and why. Its text has several lines.
        source: toml::de::Error,
    },
    /// There is no setting of this name.
    #[error("{} in {origin} is no setting; allowed are {}", Shown(key), allowed.join(", "))]
    UnknownKey {
        /// The name, as in its source; in the file's table `client` with `client.` before it.
        key: String,
        /// Where it was found.
        origin: Origin,
        /// The names that there are in such a source.
        allowed: Vec<&'static str>,
    },
    /// The value is none that the setting can have.
    #[error("{key} in {origin} can't be {}; allowed is {allowed}", Shown(value))]
    InvalidValue {
        /// The name of the setting, as in its source.
        key: &'static str,
        /// The value, as in its source.
        value: String,
        /// Where it was found.
        origin: Origin,
        /// What the setting can be.
        allowed: &'static str,
        /// What is wrong with the value.
        source: ValueError,
    },
    /// The two words, from wherever each came in the end, can't be used together.
    #[error(
        "the discovery message `{message}` from {message_origin} and the response prefix \
         `{prefix}` from {prefix_origin} don't go together; allowed are words of which neither \
         starts with the other"
    )]
    WordsConflict {
        /// The discovery message.
        message: Word,
        /// Where it came from.
        message_origin: Origin,
        /// The response prefix.
        prefix: Word,
        /// Where it came from.
        prefix_origin: Origin,
        /// The rule that they break.
        source: WordsConflict,
    },
}

/// What is wrong with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ValueError {
    /// The file has a value of another TOML type.
    #[error("its TOML type is {found}")]
    WrongType {
        /// The type of the value, or of the first wrong element of an array.
        found: &'static str,
    },
    /// The environment variable is not UTF-8.
    #[error("it is not UTF-8")]
    NotUnicode,
    /// It is not a number in decimal digits.
    #[error("it is not a decimal number")]
    NotANumber,
    /// It is a number, but not in the setting's range.
    #[error("it is out of range")]
    OutOfRange,
    /// It doesn't say yes or no.
    #[error("it is neither true nor false")]
    NotABoolean,
    /// It can't be a word.
    #[error(transparent)]
    Word(#[from] WordError),
    /// It can't be the size of a buffer.
    #[error(transparent)]
    BufferSize(#[from] BufferSizeError),
}

/// A text of the user's in backquotes, on one line and cut, whatever is in it.
struct Shown<'a>(&'a str);

impl Shown<'_> {
    const MAX_CHARS: usize = 100;
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('`')?;
        for character in self.0.chars().take(Self::MAX_CHARS) {
            if character.is_control() {
                write!(f, "{}", character.escape_debug())?;
            } else {
                f.write_char(character)?;
            }
        }
        if self.0.chars().nth(Self::MAX_CHARS).is_some() {
            f.write_char('…')?;
        }
        f.write_char('`')
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn a_shown_text_has_one_line_of_bounded_length() {
        assert_eq!(
            Shown("a \"b\"\n\x1b[31m").to_string(),
            "`a \"b\"\\n\\u{1b}[31m`"
        );
        let long = "x".repeat(101);
        assert_eq!(
            Shown(&long).to_string(),
            std::format!("`{}…`", &long[..100])
        );
        assert_eq!(
            Shown(&long[..100]).to_string(),
            std::format!("`{}`", &long[..100])
        );
    }
}
