//! Words: the discovery message and the response prefix.

use alloc::boxed::Box;
use core::fmt;
use core::str::FromStr;

use thiserror::Error;

/// A discovery message or a response prefix: 1 to 64 bytes of UTF-8 without control characters.
///
/// ```
/// use udp_discovery_protocol::{Word, WordError};
///
/// let word: Word = "FIND_PRINTER".parse()?;
/// assert_eq!(word.as_str(), "FIND_PRINTER");
/// assert_eq!(Word::new("two\nlines"), Err(WordError::ControlCharacter { at: 3 }));
/// # Ok::<(), WordError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(try_from = "alloc::string::String", into = "alloc::string::String")
)]
pub struct Word(Box<str>);

/// Why a text cannot be a [`Word`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WordError {
    /// It is empty.
    #[error("a word cannot be empty")]
    Empty,
    /// It is longer than [`Word::MAX_LEN`].
    #[error("a word of {len} bytes is longer than {max}", max = Word::MAX_LEN)]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// It contains a control character (Unicode category Cc), such as a line feed.
    #[error("a word cannot contain a control character (byte {at})")]
    ControlCharacter {
        /// The position of the first one, in bytes.
        at: usize,
    },
}

impl Word {
    /// The longest word, in bytes of UTF-8.
    pub const MAX_LEN: usize = 64;

    /// Checks that `text` is a word.
    ///
    /// # Errors
    /// [`WordError`], if `text` is empty, too long or contains a control character.
    pub fn new(text: &str) -> Result<Self, WordError> {
        if text.is_empty() {
            return Err(WordError::Empty);
        }
        if text.len() > Self::MAX_LEN {
            return Err(WordError::TooLong { len: text.len() });
        }
        match text.find(char::is_control) {
            Some(at) => Err(WordError::ControlCharacter { at }),
            None => Ok(Self(text.into())),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The bytes on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl FromStr for Word {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        Self::new(text)
    }
}

impl TryFrom<&str> for Word {
    type Error = WordError;

    fn try_from(text: &str) -> Result<Self, WordError> {
        Self::new(text)
    }
}

#[cfg(feature = "serde")]
impl TryFrom<alloc::string::String> for Word {
    type Error = WordError;

    fn try_from(text: alloc::string::String) -> Result<Self, WordError> {
        Self::new(&text)
    }
}

impl From<Word> for alloc::string::String {
    fn from(word: Word) -> Self {
        word.0.into()
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    #[test]
    fn a_word_has_1_to_64_bytes() {
        let longest: String = "x".repeat(64);
        assert_eq!(Word::new(&longest).unwrap().as_str(), longest);
        assert_eq!(Word::new(""), Err(WordError::Empty));
        assert_eq!(
            Word::new(&"x".repeat(65)),
            Err(WordError::TooLong { len: 65 })
        );
        // 33 characters of two bytes each
        assert_eq!(
            Word::new(&"é".repeat(33)),
            Err(WordError::TooLong { len: 66 })
        );
    }

    #[test]
    fn a_word_has_no_control_characters() {
        for text in ["\0", "a\nb", "a\x7f", "tab\t", "c1\u{85}"] {
            assert!(
                matches!(Word::new(text), Err(WordError::ControlCharacter { .. })),
                "{text:?}"
            );
        }
        assert!(Word::new("spaces are fine").is_ok());
    }
}
