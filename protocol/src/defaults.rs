//! The defaults of every setting: those of the Python server, where it has the setting.

use core::num::NonZeroU16;
use core::time::Duration;

/// The UDP port that servers listen on and clients ask: 9999.
pub const DEFAULT_PORT: NonZeroU16 = NonZeroU16::new(9999).unwrap();

/// How long a search lasts: 0.5 s.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_millis(500);

/// The size of the buffer that one datagram is received into: 1024 bytes.
pub const DEFAULT_BUFFER_SIZE: usize = 1024;

/// Whether a service logs what it does: yes.
pub const DEFAULT_LOGGING: bool = true;

/// How many requests a client sends after the first one: 2, so 3 in all.
pub const DEFAULT_RETRIES: u8 = 2;
