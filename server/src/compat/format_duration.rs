//! Durations as text.

use std::time::Duration;

/// Formats `duration` as hours, minutes and seconds without those that are 0, such as `1h 30m 15s`.
///
/// There are no days: a day is `24h`. Fractions of a second are cut off.
///
/// ```
/// use std::time::Duration;
/// use udp_discovery_server::compat::format_duration;
///
/// assert_eq!(format_duration(Duration::from_secs(5415)), "1h 30m 15s");
/// assert_eq!(format_duration(Duration::from_secs(60)), "1m");
/// assert_eq!(format_duration(Duration::from_secs(90_000)), "25h");
/// assert_eq!(format_duration(Duration::ZERO), "0s");
/// ```
pub fn format_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let parts = [
        (seconds / 3600, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let text: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if text.is_empty() {
        "0s".into()
    } else {
        text.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_are_0_are_left_out() {
        let format = |seconds| format_duration(Duration::from_secs(seconds));
        assert_eq!(format(45), "45s");
        assert_eq!(format(120), "2m");
        assert_eq!(format(3600), "1h");
        assert_eq!(format(3661), "1h 1m 1s");
        assert_eq!(format(3601), "1h 1s");
        assert_eq!(format(86_400), "24h");
        assert_eq!(format_duration(Duration::from_millis(999)), "0s");
    }
}
