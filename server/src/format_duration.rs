//! Durations for people.

use std::time::Duration;

/// `duration` in hours, minutes and seconds, without those that are 0: `1h 30m 15s`, `1m`, `0s`.
///
/// Hours don't become days. What is less than a second is left out.
///
/// ```
/// use std::time::Duration;
/// use udp_discovery_server::format_duration;
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
    fn only_what_is_not_0_is_written() {
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
