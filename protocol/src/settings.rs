//! What a server and a client are told: the six settings that both have.

use core::num::NonZeroU16;
use core::time::Duration;

use thiserror::Error;

use crate::defaults::{DEFAULT_BUFFER_SIZE, DEFAULT_LOGGING, DEFAULT_PORT, DEFAULT_TIMEOUT};
use crate::wire::Codec;
use crate::wire::MAX_DATAGRAM_LEN;

/// The settings that servers and clients share.
///
/// ```
/// use std::num::NonZeroU16;
/// use std::time::Duration;
/// use udp_discovery_protocol::{Codec, Settings};
///
/// let settings = Settings::default()
///     .with_port(NonZeroU16::new(7777).unwrap())
///     .with_codec(Codec::new("FIND_PRINTER".parse()?, "PRINTER:".parse()?)?)
///     .with_timeout(Duration::from_secs(2));
/// assert_eq!(settings.port().get(), 7777);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    port: NonZeroU16,
    codec: Codec,
    timeout: Duration,
    buffer_size: BufferSize,
    logging: bool,
}

impl Settings {
    /// The UDP port that servers listen on. Default: [`DEFAULT_PORT`].
    pub fn port(&self) -> NonZeroU16 {
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

    /// The size of the buffer that one datagram is received into. Default:
    /// [`DEFAULT_BUFFER_SIZE`].
    pub fn buffer_size(&self) -> BufferSize {
        self.buffer_size
    }

    /// Whether to log. Default: [`DEFAULT_LOGGING`].
    pub fn logging(&self) -> bool {
        self.logging
    }

    /// Sets the [`port`](Self::port).
    pub fn with_port(self, port: NonZeroU16) -> Self {
        Self { port, ..self }
    }

    /// Sets the two words, by the [`codec`](Self::codec) made of them.
    pub fn with_codec(self, codec: Codec) -> Self {
        Self { codec, ..self }
    }

    /// Sets the [`timeout`](Self::timeout). A timeout of zero asks and doesn't wait.
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
            logging: DEFAULT_LOGGING,
        }
    }
}

/// The size of a receive buffer in bytes: more than [`MAX_DATAGRAM_LEN`], so that a longer
/// datagram is seen to be longer, and 65,535 at the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BufferSize(usize);

/// The size is not one that a receive buffer can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "a buffer of {size} bytes is not between {min} and {max}",
    min = BufferSize::MIN.get(),
    max = BufferSize::MAX.get()
)]
#[non_exhaustive]
pub struct BufferSizeError {
    /// The size that was asked for, in bytes.
    pub size: usize,
}

impl BufferSize {
    /// The smallest: one byte more than the longest datagram that can be valid.
    pub const MIN: Self = Self(MAX_DATAGRAM_LEN + 1);
    /// The largest: no datagram is longer.
    pub const MAX: Self = Self(65_535);

    /// A buffer of `size` bytes.
    ///
    /// # Errors
    /// [`BufferSizeError`], if `size` is less than [`MIN`](Self::MIN) or more than
    /// [`MAX`](Self::MAX).
    pub fn new(size: usize) -> Result<Self, BufferSizeError> {
        if (Self::MIN.0..=Self::MAX.0).contains(&size) {
            Ok(Self(size))
        } else {
            Err(BufferSizeError { size })
        }
    }

    /// The size in bytes.
    pub const fn get(self) -> usize {
        self.0
    }
}

impl Default for BufferSize {
    fn default() -> Self {
        Self(DEFAULT_BUFFER_SIZE)
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
        assert_eq!(settings.port().get(), 9999);
        assert_eq!(settings.codec().message().as_str(), "DISCOVER_SERVER");
        assert_eq!(settings.codec().prefix().as_str(), "SERVER_IP:");
        assert_eq!(settings.timeout(), Duration::from_millis(500));
        assert_eq!(settings.buffer_size().get(), 1024);
        assert!(settings.logging());
    }
}
