//! The defaults of every setting: those of the Python server, where it has the setting.

use core::num::NonZeroU16;
use core::time::Duration;

/// The UDP port that servers listen on and clients ask: 9999.
pub const DEFAULT_PORT: NonZeroU16 = NonZeroU16::new(9999).unwrap();

/// The discovery message, which is the whole of a request: `DISCOVER_SERVER`.
pub const DEFAULT_MESSAGE: &str = "DISCOVER_SERVER";

/// What every response starts with: `SERVER_IP:`.
pub const DEFAULT_RESPONSE_PREFIX: &str = "SERVER_IP:";

/// How long a search lasts: 0.5 s.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_millis(500);

/// The size of the buffer that one datagram is received into: 1024 bytes.
pub const DEFAULT_BUFFER_SIZE: usize = 1024;

/// Whether a service logs what it does: yes.
pub const DEFAULT_LOGGING: bool = true;

/// How many requests a client sends after the first one: 2, so 3 in all.
pub const DEFAULT_RETRIES: u8 = 2;

/// The longest datagram that can be valid: 256 bytes.
///
/// Two words of 64 bytes at the most ([`Word::MAX_LEN`](crate::Word::MAX_LEN)), a bracketed IPv6
/// address of 41 and a port of 6 make 111; the rest is room for the white space that a client
/// reads over. Whatever is longer is no message, nor is its beginning.
pub const MAX_DATAGRAM_LEN: usize = 256;
