//! How values without a `Serialize` of their own are serialized.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serializer;

/// Received bytes as text. Bytes that are not UTF-8 become U+FFFD.
pub(crate) fn text<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(bytes))
}

/// A duration in milliseconds, rounded to microseconds.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// An error as the text that it displays.
#[allow(
    clippy::ref_option,
    reason = "serde passes a reference to the field as it is"
)]
pub(crate) fn error<S: Serializer>(
    error: &Option<Arc<io::Error>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match error {
        Some(error) => serializer.collect_str(error),
        None => serializer.serialize_none(),
    }
}
