//! The settings that a server and a client share.

use core::time::Duration;

use thiserror::Error;

use crate::wire::{Codec, DETAILS_LEN, MAX_DATAGRAM_LEN, Word, WordError, WordsConflict};

/// The default UDP port that servers listen on and clients ask: 9999.
pub const DEFAULT_PORT: u16 = 9999;

/// The default duration of a search: 0.5 s.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_millis(500);

/// The settings that a server and a client share.
///
/// The defaults are those of the Python server. With the feature `serde`, settings can be part of
/// an application's own configuration file; the keys are `port`, `message`, `prefix`, `timeout`
/// (seconds, or text such as `"250ms"`), `buffer_size` and `logging`. Unknown keys are refused.
///
/// ```
/// use std::time::Duration;
/// use udp_discovery_protocol::Settings;
///
/// let settings = Settings::default()
///     .with_port(7777)
///     .with_words("FIND_PRINTER", "PRINTER:")?
///     .with_timeout(Duration::from_secs(2));
/// assert_eq!(settings.port(), 7777);
/// # Ok::<(), udp_discovery_protocol::WordsError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(try_from = "fields::Fields", into = "fields::Fields")
)]
pub struct Settings {
    port: u16,
    codec: Codec,
    timeout: Duration,
    buffer_size: BufferSize,
    logging: bool,
}

/// Why two texts cannot be the discovery message and the response prefix.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WordsError {
    /// The first cannot be a discovery message.
    #[error("the discovery message is invalid: {0}")]
    Message(#[source] WordError),
    /// The second cannot be a response prefix.
    #[error("the response prefix is invalid: {0}")]
    Prefix(#[source] WordError),
    /// They cannot be used together.
    #[error(transparent)]
    Conflict(#[from] WordsConflict),
}

impl Settings {
    /// The UDP port that servers listen on. Default: [`DEFAULT_PORT`].
    ///
    /// For a server, 0 lets the system choose. A client reports 0 as an error when a search
    /// starts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The discovery message and the response prefix. Default: [`Codec::default`].
    pub fn codec(&self) -> &Codec {
        &self.codec
    }

    /// How long a search lasts. Default: [`DEFAULT_TIMEOUT`].
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The size of the buffer that one datagram is received into. Default: 1024 bytes.
    pub fn buffer_size(&self) -> BufferSize {
        self.buffer_size
    }

    /// Whether to log. Default: yes.
    ///
    /// It applies to the command line and to the feature `tracing`. Event handlers are called
    /// either way.
    pub fn logging(&self) -> bool {
        self.logging
    }

    /// Sets the [`port`](Self::port).
    pub fn with_port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// Sets the discovery message and the response prefix.
    ///
    /// # Errors
    /// [`WordsError`], if one of them is not 1 to 64 bytes of text without control characters, or
    /// if one starts with the other.
    pub fn with_words(self, message: &str, prefix: &str) -> Result<Self, WordsError> {
        let message = Word::new(message).map_err(WordsError::Message)?;
        let prefix = Word::new(prefix).map_err(WordsError::Prefix)?;
        Ok(self.with_codec(Codec::new(message, prefix)?))
    }

    /// Sets the discovery message and the response prefix by a [`codec`](Self::codec).
    pub fn with_codec(self, codec: Codec) -> Self {
        Self { codec, ..self }
    }

    /// Sets the [`timeout`](Self::timeout). With a timeout of zero a search asks once and does not
    /// wait.
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Sets the [`buffer_size`](Self::buffer_size).
    pub fn with_buffer_size(self, buffer_size: BufferSize) -> Self {
        Self {
            buffer_size,
            ..self
        }
    }

    /// Sets [`logging`](Self::logging).
    pub fn with_logging(self, logging: bool) -> Self {
        Self { logging, ..self }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            port: DEFAULT_PORT,
            codec: Codec::default(),
            timeout: DEFAULT_TIMEOUT,
            buffer_size: BufferSize::default(),
            logging: true,
        }
    }
}

/// The size of a receive buffer in bytes: more than [`MAX_DATAGRAM_LEN`], so that a longer
/// datagram is recognized as too long, and at most 65,535. Default: 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(try_from = "usize", into = "usize")
)]
pub struct BufferSize(usize);

/// The size is not one that a receive buffer can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "a buffer size of {size} bytes is not between {min} and {max}",
    min = BufferSize::MIN.get(),
    max = BufferSize::MAX.get()
)]
#[non_exhaustive]
pub struct BufferSizeError {
    /// The size in bytes.
    pub size: usize,
}

impl BufferSize {
    /// The smallest: one byte more than the longest datagram that can be a message.
    pub const MIN: Self = Self(MAX_DATAGRAM_LEN + 1);
    /// The largest: no datagram is longer.
    pub const MAX: Self = Self(65_535);

    /// A buffer of `size` bytes.
    ///
    /// # Errors
    /// [`BufferSizeError`], if `size` is less than [`MIN`](Self::MIN) or more than
    /// [`MAX`](Self::MAX).
    pub const fn new(size: usize) -> Result<Self, BufferSizeError> {
        if size >= Self::MIN.0 && size <= Self::MAX.0 {
            Ok(Self(size))
        } else {
            Err(BufferSizeError { size })
        }
    }

    /// The size in bytes.
    pub const fn get(self) -> usize {
        self.0
    }

    /// The length of the buffer to allocate, in bytes: the size, and at least 513, so that a request
    /// for details or an answer with them fits, and a longer one is recognized as too long.
    ///
    /// ```
    /// use udp_discovery_protocol::BufferSize;
    ///
    /// assert_eq!(BufferSize::MIN.capacity(), 513);
    /// assert_eq!(BufferSize::default().capacity(), 1024);
    /// ```
    pub const fn capacity(self) -> usize {
        if self.0 > DETAILS_LEN {
            self.0
        } else {
            DETAILS_LEN + 1
        }
    }
}

impl Default for BufferSize {
    fn default() -> Self {
        Self(1024)
    }
}

impl TryFrom<usize> for BufferSize {
    type Error = BufferSizeError;

    fn try_from(size: usize) -> Result<Self, BufferSizeError> {
        Self::new(size)
    }
}

impl From<BufferSize> for usize {
    fn from(size: BufferSize) -> Self {
        size.0
    }
}

/// Settings as serde reads and writes them.
#[cfg(feature = "serde")]
mod fields {
    use core::time::Duration;

    use serde::{Deserialize, Serialize};

    use super::{BufferSize, Settings};
    use crate::wire::{Codec, Word, WordsConflict};

    #[derive(Deserialize, Serialize)]
    #[serde(deny_unknown_fields, default, rename = "Settings")]
    pub(super) struct Fields {
        port: u16,
        message: Word,
        prefix: Word,
        #[serde(with = "crate::duration")]
        timeout: Duration,
        buffer_size: BufferSize,
        logging: bool,
    }

    impl Default for Fields {
        fn default() -> Self {
            Settings::default().into()
        }
    }

    impl From<Settings> for Fields {
        fn from(settings: Settings) -> Self {
            Self {
                port: settings.port,
                message: settings.codec.message().clone(),
                prefix: settings.codec.prefix().clone(),
                timeout: settings.timeout,
                buffer_size: settings.buffer_size,
                logging: settings.logging,
            }
        }
    }

    impl TryFrom<Fields> for Settings {
        type Error = WordsConflict;

        fn try_from(fields: Fields) -> Result<Self, WordsConflict> {
            Ok(Self {
                port: fields.port,
                codec: Codec::new(fields.message, fields.prefix)?,
                timeout: fields.timeout,
                buffer_size: fields.buffer_size,
                logging: fields.logging,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_longer_than_the_longest_datagram() {
        assert_eq!(
            BufferSize::new(MAX_DATAGRAM_LEN),
            Err(BufferSizeError { size: 256 })
        );
        assert_eq!(BufferSize::new(257).unwrap().get(), 257);
        assert_eq!(BufferSize::new(65_535).unwrap(), BufferSize::MAX);
        assert!(BufferSize::new(65_536).is_err());
    }

    #[test]
    fn the_defaults_are_those_of_the_python_packages() {
        let settings = Settings::default();
        assert_eq!(settings.port(), 9999);
        assert_eq!(settings.codec().message().as_str(), "DISCOVER_SERVER");
        assert_eq!(settings.codec().prefix().as_str(), "SERVER_IP:");
        assert_eq!(settings.timeout(), Duration::from_millis(500));
        assert_eq!(settings.buffer_size().get(), 1024);
        assert!(settings.logging());
    }

    #[test]
    fn words_that_cannot_be_used_are_refused_where_they_are_set() {
        let set = |message, prefix| Settings::default().with_words(message, prefix);
        assert!(set("FIND", "IP=").is_ok());
        assert_eq!(set("", "IP="), Err(WordsError::Message(WordError::Empty)));
        assert_eq!(set("FIND", ""), Err(WordsError::Prefix(WordError::Empty)));
        assert_eq!(set("IP", "IP="), Err(WordsConflict.into()));
    }

    #[cfg(feature = "serde")]
    mod with_serde {
        use std::string::{String, ToString};

        use super::*;

        fn read(text: &str) -> Result<Settings, String> {
            toml::from_str(text).map_err(|error| error.message().to_string())
        }

        #[test]
        fn settings_are_read_from_a_file_and_missing_ones_have_their_defaults() {
            let settings = read(
                "port = 7777\nmessage = \"FIND\"\nprefix = \"IP=\"\ntimeout = \"250ms\"\n\
                 buffer_size = 2048\nlogging = false",
            );
            let expected = Settings::default()
                .with_port(7777)
                .with_words("FIND", "IP=")
                .unwrap()
                .with_timeout(Duration::from_millis(250))
                .with_buffer_size(BufferSize::new(2048).unwrap())
                .with_logging(false);
            assert_eq!(settings, Ok(expected));
            assert_eq!(read(""), Ok(Settings::default()));
            let two_seconds = Settings::default().with_timeout(Duration::from_secs(2));
            assert_eq!(read("timeout = 2"), Ok(two_seconds.clone()));
            assert_eq!(read("timeout = 2.0"), Ok(two_seconds));
        }

        #[test]
        fn what_is_written_is_read() {
            let settings = Settings::default()
                .with_port(0)
                .with_timeout(Duration::from_millis(90_500));
            let text = toml::to_string(&settings).unwrap();
            assert_eq!(read(&text), Ok(settings));
        }

        #[test]
        fn an_error_says_what_is_allowed() {
            for (text, expected) in [
                ("prot = 1", "unknown field `prot`, expected one of `port`"),
                ("port = 65536", "expected u16"),
                ("buffer_size = 256", "not between 257 and 65535"),
                ("timeout = -1", "expected a duration such as 500ms"),
                ("timeout = \"soon\"", "expected a duration such as 500ms"),
                ("message = \"\"", "empty"),
                ("message = \"SERVER_IP:?\"", "start with the other"),
            ] {
                let error = read(text).unwrap_err();
                assert!(error.contains(expected), "{text}: {error}");
            }
        }
    }
}
