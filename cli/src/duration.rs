//! Durations as people type them.

use std::time::Duration;

use thiserror::Error;

/// The longest timeout, a day, as in the settings: a longer one is a slip of the unit.
const LONGEST_TIMEOUT: Duration = Duration::from_hours(24);

/// Why a text is not a duration to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum DurationError {
    #[error("it is not a duration, such as 60, 2m, 1h30m or 1h30m15s")]
    NotADuration,
    #[error("it is not a timeout, such as 0.5, 500ms or 2s")]
    NotATimeout,
    #[error("it must be more than 0")]
    Zero,
    #[error("it is too long")]
    TooLong,
}

/// Reads whole seconds (`60`), or hours, minutes and seconds in this order (`1h30m15s`), each of
/// which may be left out.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    if is_digits(text) {
        return not_zero(Duration::from_secs(count(text)?));
    }
    let mut seconds: u64 = 0;
    let mut rest = text;
    for (unit, length) in [('h', 3600), ('m', 60), ('s', 1)] {
        if let Some((number, after)) = rest.split_once(unit) {
            seconds = count(number)?
                .checked_mul(length)
                .and_then(|more| seconds.checked_add(more))
                .ok_or(DurationError::TooLong)?;
            rest = after;
        }
    }
    if !rest.is_empty() || text.is_empty() {
        return Err(DurationError::NotADuration);
    }
    not_zero(Duration::from_secs(seconds))
}

/// Reads seconds (`0.5`, `2s`) or milliseconds (`500ms`).
pub(crate) fn parse_timeout(text: &str) -> Result<Duration, DurationError> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1e-3),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    // The standard library would take signs, exponents, inf and nan too.
    if !number.bytes().all(|it| it.is_ascii_digit() || it == b'.') {
        return Err(DurationError::NotATimeout);
    }
    let number: f64 = number.parse().map_err(|_| DurationError::NotATimeout)?;
    match Duration::try_from_secs_f64(number * unit) {
        Ok(timeout) if timeout <= LONGEST_TIMEOUT => not_zero(timeout),
        _ => Err(DurationError::TooLong),
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn count(digits: &str) -> Result<u64, DurationError> {
    if !is_digits(digits) {
        return Err(DurationError::NotADuration);
    }
    digits.parse().map_err(|_| DurationError::TooLong)
}

fn not_zero(duration: Duration) -> Result<Duration, DurationError> {
    if duration.is_zero() {
        return Err(DurationError::Zero);
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_seconds_or_hours_minutes_and_seconds() {
        for (text, seconds) in [
            ("60", 60),
            ("060", 60),
            ("2m", 120),
            ("1h30m", 5400),
            ("1h30m15s", 5415),
            ("1h15s", 3615),
            ("90m", 5400),
            ("45s", 45),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)));
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "", "h", "m", "s", "-1", "+1", "1.5", "1m30", "30m1h", "1h1h", "1d", "1H", "1h 30m",
            " 60", "nan", "inf", "1e3", "sixty", "٣",
        ] {
            assert_eq!(
                parse_duration(text),
                Err(DurationError::NotADuration),
                "{text}"
            );
        }
        for text in ["0", "0s", "0h0m0s", "00"] {
            assert_eq!(parse_duration(text), Err(DurationError::Zero), "{text}");
        }
        for text in [
            "18446744073709551616",
            "5124095576030432h",
            "1h18446744073709551615s",
        ] {
            assert_eq!(parse_duration(text), Err(DurationError::TooLong), "{text}");
        }
    }

    #[test]
    fn a_timeout_is_seconds_or_milliseconds() {
        for (text, milliseconds) in [
            ("0.5", 500),
            (".5", 500),
            ("2", 2000),
            ("2s", 2000),
            ("1.25s", 1250),
            ("500ms", 500),
            ("86400", 86_400_000),
        ] {
            assert_eq!(
                parse_timeout(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_timeout_is_refused() {
        for text in [
            "", "s", "ms", ".", "1.2.3", "-1", "+1", "nan", "NaN", "inf", "1e3", "1m", "0.5 s",
            "half",
        ] {
            assert_eq!(
                parse_timeout(text),
                Err(DurationError::NotATimeout),
                "{text}"
            );
        }
        for text in ["0", "0.0", "0ms", "0.0000000001"] {
            assert_eq!(parse_timeout(text), Err(DurationError::Zero), "{text}");
        }
        let digits = "9".repeat(400);
        for text in ["86401", "86400001ms", digits.as_str()] {
            assert_eq!(parse_timeout(text), Err(DurationError::TooLong), "{text}");
        }
    }
}
