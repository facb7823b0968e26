//! How often a watch asks.

use std::time::Duration;

use thiserror::Error;

/// The shortest interval between two rounds of a watch: a second.
pub const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// The longest interval between two rounds of a watch: a day.
pub const LONGEST_INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// How long after the start of a round of a watch the next one starts: the shortest interval after a
/// change, and twice the interval before after each round without one, up to the longest.
///
/// Default: 1 s to 5 s. A watch that asks more often costs more datagrams and notices changes earlier.
///
/// With the feature `serde` it is written as text, such as `1s..5s`, and read from such a text, or from
/// one duration, which is both.
///
/// ```
/// use std::time::Duration;
/// use udp_discovery_client::WatchInterval;
///
/// let interval = WatchInterval::new(Duration::from_secs(2), Duration::from_secs(30))?;
/// assert_eq!(interval.longest(), Duration::from_secs(30));
/// assert!(WatchInterval::new(Duration::ZERO, Duration::from_secs(1)).is_err());
/// # Ok::<(), udp_discovery_client::WatchIntervalError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(try_from = "text::Value", into = "String")
)]
pub struct WatchInterval {
    shortest: Duration,
    longest: Duration,
}

/// The two durations are not a [`WatchInterval`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a watch needs an interval of 1 s to a day, such as 1s..5s, the shorter duration first")]
#[non_exhaustive]
pub struct WatchIntervalError;

impl WatchInterval {
    /// Creates an interval.
    ///
    /// # Errors
    /// [`WatchIntervalError`], if `shortest` is less than [`SHORTEST_INTERVAL`], `longest` is less than
    /// `shortest` or more than [`LONGEST_INTERVAL`].
    pub fn new(shortest: Duration, longest: Duration) -> Result<Self, WatchIntervalError> {
        let is_valid =
            SHORTEST_INTERVAL <= shortest && shortest <= longest && longest <= LONGEST_INTERVAL;
        is_valid
            .then_some(Self { shortest, longest })
            .ok_or(WatchIntervalError)
    }

    /// The interval after a change.
    pub fn shortest(self) -> Duration {
        self.shortest
    }

    /// The interval when nothing has changed for long.
    pub fn longest(self) -> Duration {
        self.longest
    }
}

impl Default for WatchInterval {
    fn default() -> Self {
        Self {
            shortest: Duration::from_secs(1),
            longest: Duration::from_secs(5),
        }
    }
}

#[cfg(feature = "serde")]
mod text {
    use udp_discovery_protocol::duration::{self, format};

    use super::{Duration, WatchInterval, WatchIntervalError};

    /// One duration or two, as text or as a number of seconds.
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    pub(super) enum Value {
        One(#[serde(with = "duration")] Duration),
        Two(String),
    }

    impl TryFrom<Value> for WatchInterval {
        type Error = WatchIntervalError;

        fn try_from(value: Value) -> Result<Self, WatchIntervalError> {
            match value {
                Value::One(both) => Self::new(both, both),
                Value::Two(text) => {
                    let (shortest, longest) = text.split_once("..").ok_or(WatchIntervalError)?;
                    let parse = |text| duration::parse(text).map_err(|_| WatchIntervalError);
                    Self::new(parse(shortest)?, parse(longest)?)
                }
            }
        }
    }

    impl From<WatchInterval> for String {
        fn from(interval: WatchInterval) -> Self {
            let text = |duration| format(duration).replace(' ', "");
            let (shortest, longest) = (text(interval.shortest), text(interval.longest));
            format!("{shortest}..{longest}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn an_interval_is_at_least_a_second_and_grows() {
        assert!(WatchInterval::new(S, S).is_ok());
        assert!(WatchInterval::new(S, LONGEST_INTERVAL).is_ok());
        for (shortest, longest) in [
            (Duration::ZERO, S),
            (Duration::from_millis(999), S),
            (2 * S, S),
            (S, LONGEST_INTERVAL + S),
        ] {
            let interval = WatchInterval::new(shortest, longest);
            assert_eq!(interval, Err(WatchIntervalError));
        }
    }

    #[cfg(feature = "serde")]
    #[test]
    fn it_is_text() {
        let read = |text: &str| serde_json::from_str::<WatchInterval>(text).ok();
        let of = |shortest, longest| WatchInterval::new(shortest, longest).ok();
        assert_eq!(read(r#""1s..5s""#), of(S, 5 * S));
        assert_eq!(read(r#""1500ms .. 1m""#), of(1500 * S / 1000, 60 * S));
        assert_eq!(read(r#""2..3""#), of(2 * S, 3 * S));
        assert_eq!(read(r#""2s""#), of(2 * S, 2 * S));
        assert_eq!(read("2"), of(2 * S, 2 * S));
        for wrong in [
            r#""""#,
            r#""..""#,
            r#""5s..1s""#,
            r#""1s..""#,
            r#""0.5..5""#,
            "0",
            r#""a..b""#,
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        let interval = of(1500 * S / 1000, 90 * S).unwrap();
        let text = serde_json::to_string(&interval).unwrap();
        assert_eq!(text, r#""1s500ms..1m30s""#);
        assert_eq!(read(&text), Some(interval));
    }
}
