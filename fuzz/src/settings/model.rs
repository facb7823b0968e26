//! Settings as the documentation's table has them, each as a text.

use std::array;

use udp_discovery_protocol::ClientSettings;

use super::plain::{Line, Value};
use super::{Reader, Variable};
use crate::wire;

/// The environment names that servers and clients read.
pub(super) const SHARED: [&str; 6] = [
    "DISCOVERY_PORT",
    "DISCOVERY_MESSAGE",
    "RESPONSE_PREFIX",
    "DISCOVERY_TIMEOUT",
    "DISCOVERY_BUFFER_SIZE",
    "ENABLE_LOGGING",
];

/// What a setting may be.
#[derive(Clone, Copy)]
enum Kind {
    Integer(u64, u64),
    Word,
    Seconds,
    Boolean,
    Names,
}

/// A setting: its names in the environment, those in the file, and what it may be.
struct Setting {
    env: &'static [&'static str],
    file: &'static [&'static str],
    kind: Kind,
}

const fn setting(
    env: &'static [&'static str],
    file: &'static [&'static str],
    kind: Kind,
) -> Setting {
    Setting { env, file, kind }
}

const MESSAGE: usize = 1;
const PREFIX: usize = 2;

const SETTINGS: [Setting; 10] = [
    setting(
        &["DISCOVERY_PORT", "DISCOVERY_CLIENT_PORT"],
        &["discovery_port", "client.port"],
        Kind::Integer(1, 65_535),
    ),
    setting(
        &["DISCOVERY_MESSAGE", "DISCOVERY_CLIENT_MESSAGE"],
        &["discovery_message", "client.message"],
        Kind::Word,
    ),
    setting(
        &["RESPONSE_PREFIX", "DISCOVERY_CLIENT_RESPONSE_PREFIX"],
        &["response_prefix", "client.response_prefix"],
        Kind::Word,
    ),
    setting(
        &["DISCOVERY_TIMEOUT", "DISCOVERY_CLIENT_TIMEOUT"],
        &["discovery_timeout", "client.timeout"],
        Kind::Seconds,
    ),
    setting(
        &["DISCOVERY_BUFFER_SIZE"],
        &["discovery_buffer_size"],
        Kind::Integer(257, 65_535),
    ),
    setting(&["ENABLE_LOGGING"], &["enable_logging"], Kind::Boolean),
    setting(
        &["DISCOVERY_CLIENT_RETRIES"],
        &["client.retries"],
        Kind::Integer(0, 255),
    ),
    setting(
        &["DISCOVERY_CLIENT_INTERFACES_WHITELIST"],
        &["client.interfaces_whitelist"],
        Kind::Names,
    ),
    setting(
        &["DISCOVERY_CLIENT_INTERFACES_BLACKLIST"],
        &["client.interfaces_blacklist"],
        Kind::Names,
    ),
    // It is checked, and has no effect.
    setting(&["DISCOVERY_CLIENT_ENABLE_SUBNET_SCAN"], &[], Kind::Boolean),
];

/// A text for each of the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Model([String; SETTINGS.len()]);

impl Default for Model {
    fn default() -> Self {
        Self::of(&ClientSettings::default())
    }
}

impl Model {
    pub(super) fn of(client: &ClientSettings) -> Self {
        let shared = client.settings();
        Self([
            shared.port().to_string(),
            shared.codec().message().to_string(),
            shared.codec().prefix().to_string(),
            nanoseconds(shared.timeout().as_secs_f64()),
            shared.buffer_size().get().to_string(),
            shared.logging().to_string(),
            client.retries().to_string(),
            client.interfaces_whitelist().join(","),
            client.interfaces_blacklist().join(","),
            String::new(),
        ])
    }

    /// With what the variables set for `reader`; none if one is wrong.
    pub(super) fn with_environment(
        mut self,
        reader: Reader,
        variables: &[Variable],
    ) -> Option<Self> {
        let is_shared = |name: &str| SHARED.contains(&name);
        let is_clients = |name: &str| name.starts_with("DISCOVERY_CLIENT_");
        let clients = variables
            .iter()
            .filter(|(name, _)| reader == Reader::Client && is_clients(name));
        let shared = variables.iter().filter(|(name, _)| is_shared(name));
        for (name, value) in shared.chain(clients).filter(|(_, value)| !value.is_empty()) {
            let at = position(|setting| setting.env.contains(&name.as_str()))?;
            let text = read_text(SETTINGS[at].kind, str::from_utf8(value).ok()?)?;
            self.set(at, text);
        }
        Some(self)
    }

    /// With what the file sets for `reader`; none if something in it is wrong.
    pub(super) fn with_file(mut self, reader: Reader, lines: &[Line]) -> Option<Self> {
        // The table for clients comes last in a file.
        for line in lines {
            let at = position(|setting| setting.file.contains(&line.key.as_str()))?;
            let text = read_value(SETTINGS[at].kind, &line.value)?;
            if reader == Reader::Client || !line.key.starts_with("client.") {
                self.set(at, text);
            }
        }
        Some(self)
    }

    fn set(&mut self, at: usize, text: String) {
        if SETTINGS[at].file.is_empty() {
            return;
        }
        self.0[at] = text;
    }

    /// Itself, if its two words go together.
    pub(super) fn finished(self) -> Option<Self> {
        wire::go_together(&self.0[MESSAGE], &self.0[PREFIX]).then_some(self)
    }

    /// With those of `other` whose environment names are set.
    pub(super) fn overruled_by(&self, other: &Self, is_set: impl Fn(&[&str]) -> bool) -> Self {
        Self(array::from_fn(|at| {
            let from = if is_set(SETTINGS[at].env) {
                other
            } else {
                self
            };
            from.0[at].clone()
        }))
    }
}

fn position(is_it: impl Fn(&Setting) -> bool) -> Option<usize> {
    SETTINGS.iter().position(is_it)
}

/// A duration by its nanoseconds, rounded, since there is more than one way to write one.
fn nanoseconds(seconds: f64) -> String {
    format!("{seconds:.9}")
}

/// The value of an environment variable, if it is one that `kind` may have.
fn read_text(kind: Kind, text: &str) -> Option<String> {
    let is_blank = |character: char| matches!(character, ' ' | '\t' | '\n' | '\r' | '\x0c');
    let trimmed = text.trim_matches(is_blank);
    match kind {
        Kind::Integer(min, max) => integer(trimmed, min, max),
        Kind::Word => wire::is_word(text).then(|| text.to_owned()),
        Kind::Seconds => seconds(trimmed),
        Kind::Boolean => match trimmed.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some("true".to_owned()),
            "false" | "0" | "no" | "off" => Some("false".to_owned()),
            _ => None,
        },
        Kind::Names => {
            let names = text.split(',').map(str::trim);
            let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
            Some(names.join(","))
        }
    }
}

/// The value of a file, if it is one that `kind` may have.
fn read_value(kind: Kind, value: &Value) -> Option<String> {
    match (kind, value) {
        (Kind::Integer(min, max), Value::Integer(digits)) => integer(digits, min, max),
        (Kind::Word, Value::Text(text)) => wire::is_word(text).then(|| text.clone()),
        (Kind::Seconds, Value::Integer(digits) | Value::Float(digits)) => seconds(digits),
        (Kind::Boolean, Value::Boolean(value)) => Some(value.to_string()),
        _ => None,
    }
}

fn integer(digits: &str, min: u64, max: u64) -> Option<String> {
    if digits.is_empty() {
        return None;
    }
    let number = digits.chars().try_fold(0_u64, |number, digit| {
        let digit = digit.to_digit(10)?;
        // Far over every maximum is enough.
        Some((number * 10 + u64::from(digit)).min(1_000_000))
    })?;
    (min..=max).contains(&number).then(|| number.to_string())
}

fn seconds(text: &str) -> Option<String> {
    let is_decimal = text.chars().all(|it| it == '.' || it.is_ascii_digit());
    let seconds: f64 = text.parse().ok()?;
    // Less than half a nanosecond is no time.
    let in_range = seconds > 0.000_000_000_5 && seconds <= 86_400.0;
    (is_decimal && in_range).then(|| nanoseconds(seconds))
}
