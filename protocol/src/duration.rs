//! Durations as people write them: `500ms`, `2s`, `1h30m`, or a bare number of seconds.
//!
//! For serde: `#[serde(with = "udp_discovery_protocol::duration")]`. A duration is written as
//! text and read from text or from a number of seconds.

use core::fmt;
use std::format;
use std::string::String;
use std::time::Duration;

use serde::de::{self, Deserializer, Unexpected, Visitor};
use serde::ser::Serializer;
use thiserror::Error;

/// What a duration may look like, for help texts and errors.
pub const EXPECTED: &str = "a duration such as 500ms, 2s or 1h30m, or a number of seconds";

/// The text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("expected {EXPECTED}")]
#[non_exhaustive]
pub struct ParseDurationError;

/// Reads a duration: numbers with the units `ms`, `s`, `m`, `h` and those that
/// [`humantime`](https://docs.rs/humantime/2/humantime/fn.parse_duration.html) knows, or a bare
/// number of seconds, which may have a fraction.
///
/// # Errors
/// [`ParseDurationError`], if it is anything else, negative, or longer than a [`Duration`] can be.
///
/// ```
/// use std::time::Duration;
/// use udp_discovery_protocol::duration::parse;
///
/// assert_eq!(parse("500ms")?, Duration::from_millis(500));
/// assert_eq!(parse("1h30m")?, Duration::from_secs(5400));
/// assert_eq!(parse("0.25")?, Duration::from_millis(250));
/// # Ok::<(), udp_discovery_protocol::duration::ParseDurationError>(())
/// ```
pub fn parse(text: &str) -> Result<Duration, ParseDurationError> {
    let text = text.trim();
    match text.parse::<f64>() {
        Ok(seconds) => seconds_to_duration(seconds),
        Err(_) => humantime::parse_duration(text).map_err(|_| ParseDurationError),
    }
}

fn seconds_to_duration(seconds: f64) -> Result<Duration, ParseDurationError> {
    Duration::try_from_secs_f64(seconds).map_err(|_| ParseDurationError)
}

/// Writes `duration` as text, such as `500ms` or `1h 30m`.
///
/// # Errors
/// Those of `serializer`.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_duration(*duration))
}

/// Reads a duration from text or from a number of seconds.
///
/// # Errors
/// Those of `deserializer`, and if the value is not a duration.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(DurationVisitor)
}

struct DurationVisitor;

impl Visitor<'_> for DurationVisitor {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        parse(text).map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Duration, E> {
        Ok(Duration::from_secs(seconds))
    }

    fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Duration, E> {
        u64::try_from(seconds)
            .map(Duration::from_secs)
            .map_err(|_| E::invalid_value(Unexpected::Signed(seconds), &self))
    }

    fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Duration, E> {
        seconds_to_duration(seconds)
            .map_err(|_| E::invalid_value(Unexpected::Float(seconds), &self))
    }
}

/// `duration` as [`serialize`] writes it.
pub fn format(duration: Duration) -> String {
    format!("{}", humantime::format_duration(duration))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_bare_seconds_are_read() {
        for (text, millis) in [
            ("500ms", 500),
            ("2s", 2_000),
            ("1h30m", 5_400_000),
            ("1h 30m 15s", 5_415_000),
            ("2", 2_000),
            ("0.5", 500),
            (" 1 ", 1_000),
            ("0", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            " ",
            "-1",
            "-1s",
            "1x",
            "s",
            "NaN",
            "inf",
            "1e30",
            "99999999999999999999s",
            "1,5",
        ] {
            assert_eq!(parse(text), Err(ParseDurationError), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for millis in [0, 1, 500, 2_000, 5_400_000, 90_061_001] {
            let duration = Duration::from_millis(millis);
            assert_eq!(parse(&format(duration)), Ok(duration));
        }
    }
}
