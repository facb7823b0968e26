//! Every setting: its names, and what it may be. docs/settings.md is made of it.

use std::time::Duration;

use figment::value::Value;
use udp_discovery_protocol::duration;

/// Whose a setting is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Both,
    Server,
    Client,
}

impl Side {
    /// Whether `other` has the settings of this side.
    pub(crate) fn includes(self, other: Self) -> bool {
        self == Self::Both || self == other
    }

    /// What its environment variables begin with.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Both => "DISCOVERY_",
            Self::Server => "DISCOVERY_SERVER_",
            Self::Client => "DISCOVERY_CLIENT_",
        }
    }
}

/// A setting, and where it can be set.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Its key in a file, and in the configurations of the libraries.
    pub(crate) key: &'static str,
    pub(crate) side: Side,
    pub(crate) kind: Kind,
    /// The environment variable for both sides, if there is one.
    pub(crate) variable: &'static str,
    /// What else follows `DISCOVERY_SERVER_` or `DISCOVERY_CLIENT_`, besides the key.
    pub(crate) suffixes: &'static [&'static str],
    /// Its option, if it has one.
    pub(crate) option: &'static str,
    pub(crate) allowed: &'static str,
}

/// How the text of an option or a variable is read, and what serde doesn't check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// Texts with commas between them.
    List,
    Bool,
    /// A number, or a word in its place.
    Number,
    Port,
    Timeout,
    /// One less than the number of probes.
    Retries,
}

/// The longest timeout, a day: a longer one is a slip of the unit.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(86_400);

pub(crate) const BOOL: &str = "true or false";
const PORT: &str = "a port from 1 to 65535";
const WORD: &str = "1 to 64 bytes of text without control characters";
const NAMES: &str = "a list of interface names, or patterns with * and ?";
const LIMIT: &str = "a number of answers a second from 1, or off";

const fn setting(
    key: &'static str,
    side: Side,
    kind: Kind,
    variable: &'static str,
    option: &'static str,
    allowed: &'static str,
) -> Setting {
    Setting {
        key,
        side,
        kind,
        variable,
        suffixes: &[],
        option,
        allowed,
    }
}

impl Setting {
    const fn also(mut self, suffixes: &'static [&'static str]) -> Self {
        self.suffixes = suffixes;
        self
    }

    /// The setting with this key.
    pub(crate) fn of(key: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.key == key)
    }

    /// The environment variables that set it for `side`. The last one wins.
    pub(crate) fn variables(&self, side: Side) -> impl Iterator<Item = String> {
        // The second row of a key has only its suffixes.
        let is_first = Self::of(self.key).is_some_and(|first| std::ptr::eq(first, self));
        let own = is_first.then(|| self.key.to_uppercase());
        let suffixes = self.suffixes.iter().map(ToString::to_string).chain(own);
        let prefixed = suffixes.map(move |suffix| format!("{}{suffix}", side.prefix()));
        let shared = (!self.variable.is_empty()).then(|| self.variable.to_owned());
        shared
            .into_iter()
            .chain(prefixed.filter(move |_| side != Side::Both))
    }
}

pub(crate) static SETTINGS: &[Setting] = {
    use Kind::{Bool, List, Number, Port, Retries, Text, Timeout};
    use Side::{Both, Client, Server};
    &[
        setting("port", Both, Port, "DISCOVERY_PORT", "--port", PORT),
        setting(
            "message",
            Both,
            Text,
            "DISCOVERY_MESSAGE",
            "--message",
            WORD,
        ),
        setting("prefix", Both, Text, "RESPONSE_PREFIX", "--prefix", WORD)
            .also(&["RESPONSE_PREFIX"]),
        setting(
            "timeout",
            Both,
            Timeout,
            "DISCOVERY_TIMEOUT",
            "--timeout",
            "a duration such as 500ms, 2s or 1h30m, or a number of seconds, more than 0 and at \
             most a day",
        ),
        setting(
            "buffer_size",
            Both,
            Number,
            "DISCOVERY_BUFFER_SIZE",
            "--buffer-size",
            "a number of bytes from 257 to 65535",
        ),
        setting("logging", Both, Bool, "ENABLE_LOGGING", "", BOOL),
        setting(
            "advertise_ip",
            Server,
            Text,
            "",
            "--advertise-ip",
            "the address of a host, such as 192.168.1.7",
        ),
        setting("advertise_port", Server, Port, "", "--advertise-port", PORT),
        setting(
            "allow",
            Server,
            List,
            "",
            "--allow",
            "a list of networks such as 10.15.0.0/16 and addresses, or any",
        ),
        setting("rate_limit", Server, Number, "", "--rate-limit", LIMIT),
        setting("total_limit", Server, Number, "", "--total-limit", LIMIT),
        setting(
            "kernel_filter",
            Server,
            Bool,
            "",
            "--no-kernel-filter",
            BOOL,
        ),
        setting("ipv6", Server, Bool, "", "", BOOL),
        setting("multicast", Server, Bool, "", "", BOOL),
        setting(
            "probes",
            Client,
            Number,
            "",
            "--probes",
            "a number from 1 to 255",
        ),
        setting("probes", Client, Retries, "", "", "a number from 0 to 254").also(&["RETRIES"]),
        setting("interfaces", Client, List, "", "--interface", NAMES)
            .also(&["INTERFACES_WHITELIST"]),
        setting(
            "excluded_interfaces",
            Client,
            List,
            "",
            "--exclude-interface",
            NAMES,
        )
        .also(&["INTERFACES_BLACKLIST"]),
        setting("loopback", Client, Bool, "", "", BOOL),
        setting(
            "address_policy",
            Client,
            Text,
            "",
            "--address-policy",
            "auto, claim, source or match",
        ),
        setting("any_source_port", Client, Bool, "", "", BOOL),
        setting(
            "max_servers",
            Client,
            Number,
            "",
            "--max-servers",
            "a number from 1",
        ),
        setting("default_port", Client, Port, "", "--default-port", PORT),
    ]
};

impl Kind {
    /// Reads the text of an option or a variable. What isn't of this kind stays text, which serde
    /// refuses.
    pub(crate) fn read(self, text: &str) -> Value {
        let trimmed = text.trim();
        let lower = trimmed.to_lowercase();
        match self {
            Self::Text => text.into(),
            Self::List => {
                let names = trimmed.split(',').map(str::trim);
                let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
                names.into()
            }
            Self::Bool => match lower.as_str() {
                "true" | "1" | "yes" | "on" => true.into(),
                "false" | "0" | "no" | "off" => false.into(),
                _ => text.into(),
            },
            Self::Number | Self::Port => lower
                .parse::<u64>()
                .map_or_else(|_| lower.into(), Into::into),
            Self::Timeout => trimmed.into(),
            Self::Retries => {
                let probes = lower
                    .parse::<u64>()
                    .map(|retries| retries.saturating_add(1));
                probes.map_or_else(|_| lower.into(), Into::into)
            }
        }
    }

    /// Whether a command can use `value`, as far as serde doesn't say.
    pub(crate) fn permits(self, value: &Value) -> bool {
        match self {
            Self::Port => value.to_u128() != Some(0),
            Self::Timeout => duration::deserialize(value)
                .is_ok_and(|timeout| !timeout.is_zero() && timeout <= LONGEST_TIMEOUT),
            _ => true,
        }
    }
}
