//! The table of all keys: what each is called in the environment and in the file, and what it
//! may hold. Lookups, error texts and the docs come from it.

/// The table of the file that holds a client's own settings.
pub(super) const CLIENT_TABLE: &str = "client";

/// What the names of a client's own settings start with in the environment.
pub(super) const CLIENT_PREFIX: &str = "DISCOVERY_CLIENT_";

/// One name of a setting.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) env: &'static str,
    /// In TOML's dotted form; none if the file doesn't have it.
    pub(super) file: Option<&'static str>,
    pub(super) setting: Setting,
}

/// What a key sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    Port,
    Message,
    ResponsePrefix,
    Timeout,
    BufferSize,
    Logging,
    Retries,
    SubnetScan,
    InterfacesWhitelist,
    InterfacesBlacklist,
}

/// The keys for servers and clients.
pub(super) const SHARED: [Key; 6] = [
    key("DISCOVERY_PORT", "discovery_port", Setting::Port),
    key("DISCOVERY_MESSAGE", "discovery_message", Setting::Message),
    key(
        "RESPONSE_PREFIX",
        "response_prefix",
        Setting::ResponsePrefix,
    ),
    key("DISCOVERY_TIMEOUT", "discovery_timeout", Setting::Timeout),
    key(
        "DISCOVERY_BUFFER_SIZE",
        "discovery_buffer_size",
        Setting::BufferSize,
    ),
    key("ENABLE_LOGGING", "enable_logging", Setting::Logging),
];

/// The keys for clients alone.
pub(super) const CLIENT: [Key; 8] = [
    key("DISCOVERY_CLIENT_PORT", "client.port", Setting::Port),
    key(
        "DISCOVERY_CLIENT_MESSAGE",
        "client.message",
        Setting::Message,
    ),
    key(
        "DISCOVERY_CLIENT_RESPONSE_PREFIX",
        "client.response_prefix",
        Setting::ResponsePrefix,
    ),
    key(
        "DISCOVERY_CLIENT_TIMEOUT",
        "client.timeout",
        Setting::Timeout,
    ),
    key(
        "DISCOVERY_CLIENT_RETRIES",
        "client.retries",
        Setting::Retries,
    ),
    key(
        "DISCOVERY_CLIENT_INTERFACES_WHITELIST",
        "client.interfaces_whitelist",
        Setting::InterfacesWhitelist,
    ),
    key(
        "DISCOVERY_CLIENT_INTERFACES_BLACKLIST",
        "client.interfaces_blacklist",
        Setting::InterfacesBlacklist,
    ),
    Key {
        env: "DISCOVERY_CLIENT_ENABLE_SUBNET_SCAN",
        file: None,
        setting: Setting::SubnetScan,
    },
];

const fn key(env: &'static str, file: &'static str, setting: Setting) -> Key {
    Key {
        env,
        file: Some(file),
        setting,
    }
}

impl Setting {
    /// What it may be set to, for people.
    pub(super) const fn allowed(self) -> &'static str {
        match self {
            Self::Port => "an integer from 1 to 65535",
            Self::Message | Self::ResponsePrefix => {
                "1 to 64 bytes of UTF-8 without control characters"
            }
            Self::Timeout => "a decimal number of seconds, more than 0 and at most 86400",
            Self::BufferSize => "an integer from 257 to 65535",
            Self::Logging | Self::SubnetScan => {
                "true or false; in the environment also 1, 0, yes, no, on, off, in any case"
            }
            Self::Retries => "an integer from 0 to 255",
            Self::InterfacesWhitelist | Self::InterfacesBlacklist => {
                "an array of strings; in the environment names with commas between them"
            }
        }
    }
}
