//! Every setting: its names, and what it may be. docs/settings.md is made of it.

use std::time::Duration;

use figment::value::Value;
use udp_discovery_protocol::duration;

/// Whose a setting is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Both,
    Server,
    /// The server's, of who it is. They are in the server's table, but not in the library's
    /// configuration.
    Details,
    Client,
}

impl Side {
    /// Whether `other` has the settings of this side.
    pub(crate) fn includes(self, other: Self) -> bool {
        self == Self::Both || self == other || (self, other) == (Self::Details, Self::Server)
    }

    /// What its environment variables begin with.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Both => "DISCOVERY_",
            Self::Server | Self::Details => "DISCOVERY_SERVER_",
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
    /// What follows `DISCOVERY_SERVER_` or `DISCOVERY_CLIENT_` in the variables of one side.
    pub(crate) suffixes: &'static [&'static str],
    /// Its option, if it has one.
    pub(crate) option: &'static str,
    pub(crate) allowed: &'static str,
}

/// How the text of an option or a variable is read, and what serde doesn't check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text with its white space.
    Word,
    Text,
    /// Texts with commas between them.
    List,
    /// As a list, but a comma is part of the text of an option.
    Properties,
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

const PORT: &str = "a port from 1 to 65535";
const WORD: &str = "1 to 64 bytes of text without control characters";
const TIMEOUT: &str = "a duration such as 500ms, 2s or 1h30m, or a number of seconds, more than 0 \
                       and at most a day";
const BYTES: &str = "a number of bytes from 257 to 65535";
const BOOL: &str = "true or false";
const HOST: &str = "the address of a host, such as 192.168.1.7";
const ALLOW: &str = "a list of networks such as 10.15.0.0/16 and addresses, or any";
const LIMIT: &str = "a number of answers a second from 1, or off";
const SIGNATURES: &str = "a number of signatures a second from 1, or off";
const NAME: &str = "at most 63 bytes of text without control characters";
const PROPERTIES: &str = "a list of properties, each KEY=VALUE, or in a file a table of texts; keys are \
                          printable ASCII, each once, and not id, run, name or sig; values have no \
                          control characters";
const WANTED: &str = "a list of properties, each KEY=VALUE";
const IDS: &str = "a list of ids of 43 characters, as `udp-discovery id` prints them";
const FILE: &str = "the path of a file";
const INTERVAL: &str = "a duration such as 2s, or a range such as 1s..5s, from 1 s to a day";
const NAMES: &str = "a list of interface names, or patterns with * and ?";
const TARGETS: &str = "a list of hosts, each a name or an address, with or without a port, and of \
                       networks such as 10.15.0.0/18 and services such as dns:_http._tcp.example.org";
const SERVICES: &str = "a list of types of services, each such as _http._tcp";
const FAMILY: &str = "auto, 4, 6 or both";
const POLICY: &str = "auto, claim, source or match";

/// The settings of both sides, then the server's, then the client's.
#[rustfmt::skip]
pub(crate) static SETTINGS: &[Setting] = {
    use Kind::{Bool, List, Number, Port, Properties, Retries, Text, Timeout, Word};
    use Side::{Both, Client, Details, Server};
    &[
        setting(Both, "port", Port, "DISCOVERY_PORT", &["PORT"], "--port", PORT),
        setting(Both, "message", Word, "DISCOVERY_MESSAGE", &["MESSAGE"], "--message", WORD),
        setting(Both, "prefix", Word, "RESPONSE_PREFIX", &["RESPONSE_PREFIX", "PREFIX"], "--prefix", WORD),
        setting(Both, "timeout", Timeout, "DISCOVERY_TIMEOUT", &["TIMEOUT"], "--timeout", TIMEOUT),
        setting(Both, "buffer_size", Number, "DISCOVERY_BUFFER_SIZE", &["BUFFER_SIZE"], "--buffer-size", BYTES),
        setting(Both, "logging", Bool, "ENABLE_LOGGING", &["LOGGING"], "", BOOL),

        setting(Server, "advertise_ip", Text, "", &["ADVERTISE_IP"], "--advertise-ip", HOST),
        setting(Server, "advertise_port", Port, "", &["ADVERTISE_PORT"], "--advertise-port", PORT),
        setting(Server, "allow", List, "", &["ALLOW"], "--allow", ALLOW),
        setting(Server, "rate_limit", Number, "", &["RATE_LIMIT"], "--rate-limit", LIMIT),
        setting(Server, "total_limit", Number, "", &["TOTAL_LIMIT"], "--total-limit", LIMIT),
        setting(Server, "kernel_filter", Bool, "", &["KERNEL_FILTER"], "--no-kernel-filter", BOOL),
        setting(Server, "ipv6", Bool, "", &["IPV6"], "--no-ipv6", BOOL),
        setting(Server, "multicast", Bool, "", &["MULTICAST"], "--no-multicast", BOOL),
        setting(Server, "shared_port", Bool, "", &["SHARED_PORT"], "--share-port", BOOL),
        setting(Server, "details_limit", Number, "", &["DETAILS_LIMIT"], "--details-limit", LIMIT),
        setting(Server, "signature_limit", Number, "", &["SIGNATURE_LIMIT"], "--signature-limit", SIGNATURES),

        setting(Details, "name", Word, "", &["NAME"], "--name", NAME),
        setting(Details, "properties", Properties, "", &["PROPERTIES"], "--property", PROPERTIES),
        setting(Details, "id_file", Text, "", &["ID_FILE"], "--id-file", FILE),
        setting(Details, "mdns", List, "", &["MDNS"], "--mdns", SERVICES),
        setting(Details, "key_file", Text, "", &["KEY_FILE"], "--key", FILE),

        setting(Client, "probes", Number, "", &["PROBES"], "--probes", "a number from 1 to 255"),
        setting(Client, "probes", Retries, "", &["RETRIES"], "", "a number from 0 to 254"),
        setting(Client, "interval", Text, "", &["INTERVAL"], "--interval", INTERVAL),
        setting(Client, "interfaces", List, "", &["INTERFACES_WHITELIST", "INTERFACES"], "--interface", NAMES),
        setting(Client, "excluded_interfaces", List, "", &["INTERFACES_BLACKLIST", "EXCLUDED_INTERFACES"], "--exclude-interface", NAMES),
        setting(Client, "loopback", Bool, "", &["LOOPBACK"], "--loopback", BOOL),
        setting(Client, "address_policy", Text, "", &["ADDRESS_POLICY"], "--address-policy", POLICY),
        setting(Client, "any_source_port", Bool, "", &["ANY_SOURCE_PORT"], "--any-source-port", BOOL),
        setting(Client, "max_servers", Number, "", &["MAX_SERVERS"], "--max-servers", "a number from 1"),
        setting(Client, "default_port", Port, "", &["DEFAULT_PORT"], "--default-port", PORT),
        setting(Client, "first", Bool, "", &["FIRST"], "--first", BOOL),
        setting(Client, "expect", Number, "", &["EXPECT"], "--expect", "a number of servers from 1"),
        setting(Client, "quiet_for", Timeout, "", &["QUIET_FOR"], "--quiet-for", TIMEOUT),
        setting(Client, "targets", List, "", &["TARGETS"], "--target", TARGETS),
        setting(Client, "broadcast", Bool, "", &["BROADCAST"], "--no-broadcast", BOOL),
        setting(Client, "source_port", Port, "", &["SOURCE_PORT"], "--source-port", PORT),
        setting(Client, "family", Text, "", &["FAMILY"], "--family", FAMILY),
        setting(Client, "multicast", Bool, "", &["MULTICAST"], "--multicast", BOOL),
        setting(Client, "pace", Number, "", &["PACE"], "--pace", "a number of datagrams a second from 1"),
        setting(Client, "large_sweeps", Bool, "", &["LARGE_SWEEPS"], "--force", BOOL),
        setting(Client, "remember", Text, "", &["REMEMBER"], "--remember", FILE),
        setting(Client, "details", Bool, "", &["DETAILS"], "--details", BOOL),
        setting(Client, "wanted_name", Word, "", &["WANTED_NAME"], "--name", "a name, or a pattern with * and ?"),
        setting(Client, "wanted_properties", Properties, "", &["WANTED_PROPERTIES"], "--where", WANTED),
        setting(Client, "pinned_ids", List, "", &["PINNED_IDS"], "--pin", IDS),
        setting(Client, "known_servers", Text, "", &["KNOWN_SERVERS"], "--known-servers", FILE),
        setting(Client, "mdns", List, "", &["MDNS"], "--mdns", SERVICES),
    ]
};

/// Known to the Python client, which reserves it. It is checked and has no effect.
static SUBNET_SCAN: Setting = setting(
    Side::Client,
    "",
    Kind::Bool,
    "",
    &["ENABLE_SUBNET_SCAN"],
    "",
    BOOL,
);

const fn setting(
    side: Side,
    key: &'static str,
    kind: Kind,
    variable: &'static str,
    suffixes: &'static [&'static str],
    option: &'static str,
    allowed: &'static str,
) -> Setting {
    Setting {
        key,
        side,
        kind,
        variable,
        suffixes,
        option,
        allowed,
    }
}

/// The environment variables of `side`. A later one overrides an earlier one of the same setting.
pub(crate) fn variables(side: Side) -> Vec<(&'static Setting, String)> {
    let settings = SETTINGS.iter().chain([&SUBNET_SCAN]);
    let settings = settings.filter(|setting| setting.side.includes(side));
    settings
        .flat_map(|setting| setting.variables(side).map(move |name| (setting, name)))
        .collect()
}

impl Setting {
    /// The setting with this key: that of `side`, if several sides have one.
    pub(crate) fn of(key: &str, side: Side) -> Option<&'static Self> {
        let mut settings = SETTINGS.iter().filter(|setting| setting.key == key);
        let first = settings.clone().next();
        settings.find(|it| it.side.includes(side)).or(first)
    }

    /// The environment variables that set it for `side`. The last one wins.
    pub(crate) fn variables(&self, side: Side) -> impl Iterator<Item = String> {
        let shared = Some(self.variable).filter(|name| !name.is_empty());
        let suffixes = self.suffixes.iter().filter(move |_| side != Side::Both);
        let own = suffixes.map(move |suffix| format!("{}{suffix}", side.prefix()));
        shared.map(ToOwned::to_owned).into_iter().chain(own)
    }
}

impl Kind {
    /// Reads the text of an option or a variable. What isn't of this kind stays text, which serde
    /// refuses.
    pub(crate) fn read(self, text: &str) -> Value {
        let trimmed = text.trim();
        let lower = trimmed.to_lowercase();
        match self {
            Self::Word => text.into(),
            Self::Text | Self::Timeout => trimmed.into(),
            Self::List | Self::Properties => {
                let names = trimmed.split(',').map(str::trim);
                let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
                // An empty list would mean every interface, not none.
                if names.is_empty() {
                    text.into()
                } else {
                    names.into()
                }
            }
            Self::Bool => match lower.as_str() {
                "true" | "1" | "yes" | "on" => true.into(),
                "false" | "0" | "no" | "off" => false.into(),
                _ => text.into(),
            },
            Self::Number | Self::Port | Self::Retries => match lower.parse::<u64>() {
                Ok(number) => number.saturating_add((self == Self::Retries).into()).into(),
                Err(_) => lower.into(),
            },
        }
    }

    /// Whether a command can use `value`, as far as serde doesn't say.
    pub(crate) fn permits(self, value: &Value) -> bool {
        match self {
            Self::Bool => value.to_bool().is_some(),
            Self::Port => value.to_u128() != Some(0),
            Self::Timeout => duration::deserialize(value)
                .is_ok_and(|timeout| !timeout.is_zero() && timeout <= LONGEST_TIMEOUT),
            _ => true,
        }
    }
}
