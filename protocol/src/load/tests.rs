use core::error::Error;
use core::time::Duration;
use std::ffi::OsString;
use std::format;
use std::path::Path;
use std::string::{String, ToString};
use std::vec::Vec;

use super::key::{CLIENT, CLIENT_PREFIX, Key, SHARED, Setting};
use super::{LoadError, Origin, Sources, ValueError};
use crate::settings::BufferSize;
use crate::wire::Word;
use crate::{ClientSettings, Settings};

const ALL_SHARED: &str = r#"
    discovery_port = 7001
    discovery_message = "FIND_FILE"
    response_prefix = "FILE:"
    discovery_timeout = 2
    discovery_buffer_size = 2048
    enable_logging = false
"#;

const ALL_CLIENT: &str = r#"
    [client]
    port = 7002
    message = "FIND_CLIENT"
    response_prefix = "CLIENT:"
    timeout = 0.25
    retries = 0
    interfaces_whitelist = ["eth0", " wlan* ", ""]
    interfaces_blacklist = []
"#;

fn file(text: impl Into<String>) -> Sources {
    Sources::new().with_file("/etc/discovery.toml", text)
}

fn environment(variables: &[(&str, &str)]) -> Sources {
    with(Sources::new(), variables)
}

fn with(sources: Sources, variables: &[(&str, &str)]) -> Sources {
    let os = |text: &str| OsString::from(text);
    sources.with_environment(variables.iter().map(|(name, value)| (os(name), os(value))))
}

fn server(sources: &Sources) -> Settings {
    Settings::load_from(sources).unwrap()
}

fn client(sources: &Sources) -> ClientSettings {
    ClientSettings::load_from(sources).unwrap()
}

/// The error in full, as a command line shows it.
fn refusal(sources: &Sources) -> String {
    chain(&ClientSettings::load_from(sources).unwrap_err())
}

fn chain(error: &dyn Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

#[test]
fn no_sources_give_the_defaults() {
    assert_eq!(server(&Sources::new()), Settings::default());
    assert_eq!(client(&Sources::new()), ClientSettings::default());
    assert_eq!(client(&file("")), ClientSettings::default());
}

#[test]
fn a_file_sets_everything() {
    let settings = server(&file(ALL_SHARED));
    assert_eq!(settings.port().get(), 7001);
    assert_eq!(settings.codec().message().as_str(), "FIND_FILE");
    assert_eq!(settings.codec().prefix().as_str(), "FILE:");
    assert_eq!(settings.timeout(), Duration::from_secs(2));
    assert_eq!(settings.buffer_size().get(), 2048);
    assert!(!settings.logging());

    let both = client(&file([ALL_SHARED, ALL_CLIENT].concat()));
    assert_eq!(both.settings().port().get(), 7002);
    assert_eq!(both.settings().codec().message().as_str(), "FIND_CLIENT");
    assert_eq!(both.settings().codec().prefix().as_str(), "CLIENT:");
    assert_eq!(both.settings().timeout(), Duration::from_millis(250));
    assert_eq!(both.settings().buffer_size().get(), 2048);
    assert!(!both.settings().logging());
    assert_eq!(both.retries(), 0);
    assert_eq!(both.interfaces_whitelist(), ["eth0", "wlan*"]);
    assert!(both.interfaces_blacklist().is_empty());
}

#[test]
fn the_environment_sets_everything() {
    let sources = environment(&[
        ("DISCOVERY_PORT", "7003"),
        ("DISCOVERY_MESSAGE", " FIND "),
        ("RESPONSE_PREFIX", "FOUND:"),
        ("DISCOVERY_TIMEOUT", "1.5"),
        ("DISCOVERY_BUFFER_SIZE", "512"),
        ("ENABLE_LOGGING", "No"),
        ("DISCOVERY_CLIENT_RETRIES", "255"),
        ("DISCOVERY_CLIENT_INTERFACES_WHITELIST", "eth0, wlan0 ,,"),
        ("DISCOVERY_CLIENT_INTERFACES_BLACKLIST", " , "),
        ("DISCOVERY_CLIENT_ENABLE_SUBNET_SCAN", "yes"),
        ("PATH", "/bin"),
    ]);
    let settings = client(&sources);
    assert_eq!(settings.settings(), &server(&sources));
    assert_eq!(settings.settings().port().get(), 7003);
    assert_eq!(settings.settings().codec().message().as_str(), " FIND ");
    assert_eq!(settings.settings().codec().prefix().as_str(), "FOUND:");
    assert_eq!(settings.settings().timeout(), Duration::from_millis(1500));
    assert_eq!(settings.settings().buffer_size().get(), 512);
    assert!(!settings.settings().logging());
    assert_eq!(settings.retries(), 255);
    assert_eq!(settings.interfaces_whitelist(), ["eth0", "wlan0"]);
    assert!(settings.interfaces_blacklist().is_empty());
}

#[test]
fn later_sources_win() {
    let port = |text: &str, variables: &[(&str, &str)]| {
        let sources = with(file(text), variables);
        (
            server(&sources).port().get(),
            client(&sources).settings().port().get(),
        )
    };
    let shared = "discovery_port = 1";
    let both = "discovery_port = 1\nclient.port = 2";
    let env = ("DISCOVERY_PORT", "3");
    let client_env = ("DISCOVERY_CLIENT_PORT", "4");
    assert_eq!(port("", &[]), (9999, 9999));
    assert_eq!(port(shared, &[]), (1, 1));
    assert_eq!(port(both, &[]), (1, 2));
    assert_eq!(port(both, &[env]), (3, 3));
    assert_eq!(port(both, &[env, client_env]), (3, 4));
    assert_eq!(port(both, &[client_env, env]), (3, 4));
    assert_eq!(port(both, &[client_env]), (1, 4));
    // Written before what it wins over, it still wins.
    assert_eq!(port("client.port = 2\ndiscovery_port = 1", &[]), (1, 2));
}

#[test]
fn the_clients_names_win_for_every_setting_that_has_both() {
    let sources = with(
        file(ALL_SHARED),
        &[
            ("DISCOVERY_CLIENT_MESSAGE", "A"),
            ("DISCOVERY_CLIENT_RESPONSE_PREFIX", "B"),
            ("DISCOVERY_CLIENT_TIMEOUT", "3"),
            ("DISCOVERY_MESSAGE", "C"),
            ("RESPONSE_PREFIX", "D"),
            ("DISCOVERY_TIMEOUT", "4"),
        ],
    );
    let settings = client(&sources);
    assert_eq!(settings.settings().codec().message().as_str(), "A");
    assert_eq!(settings.settings().codec().prefix().as_str(), "B");
    assert_eq!(settings.settings().timeout(), Duration::from_secs(3));
}

#[test]
fn an_empty_variable_is_unset() {
    let sources = with(
        file("discovery_port = 1"),
        &[
            ("DISCOVERY_PORT", ""),
            ("DISCOVERY_CLIENT_PORT", ""),
            ("DISCOVERY_CLIENT_UNKNOWN", ""),
        ],
    );
    assert_eq!(client(&sources).settings().port().get(), 1);
}

#[test]
fn booleans_have_eight_forms_in_any_case() {
    for (text, value) in [
        ("true", true),
        ("1", true),
        ("YES", true),
        (" On ", true),
        ("False", false),
        ("0", false),
        ("no", false),
        ("oFF", false),
    ] {
        let sources = environment(&[("ENABLE_LOGGING", text)]);
        assert_eq!(server(&sources).logging(), value, "{text:?}");
    }
}

#[test]
fn a_wrong_variable_is_refused() {
    use ValueError::{NotABoolean, NotANumber, OutOfRange};
    for (name, value, why) in [
        ("DISCOVERY_PORT", "0", OutOfRange),
        ("DISCOVERY_PORT", "65536", OutOfRange),
        ("DISCOVERY_PORT", "99999999999999999999", OutOfRange),
        ("DISCOVERY_PORT", "-1", NotANumber),
        ("DISCOVERY_PORT", "+80", NotANumber),
        ("DISCOVERY_PORT", "80.0", NotANumber),
        ("DISCOVERY_PORT", "٨٠", NotANumber),
        ("DISCOVERY_PORT", " ", NotANumber),
        ("DISCOVERY_TIMEOUT", "0", OutOfRange),
        ("DISCOVERY_TIMEOUT", "0.0000000000001", OutOfRange),
        ("DISCOVERY_TIMEOUT", "86400.1", OutOfRange),
        ("DISCOVERY_TIMEOUT", "-1", NotANumber),
        ("DISCOVERY_TIMEOUT", "inf", NotANumber),
        ("DISCOVERY_TIMEOUT", "NaN", NotANumber),
        ("DISCOVERY_TIMEOUT", "1e3", NotANumber),
        ("DISCOVERY_TIMEOUT", "1.2.3", NotANumber),
        ("DISCOVERY_TIMEOUT", ".", NotANumber),
        ("DISCOVERY_BUFFER_SIZE", "1k", NotANumber),
        ("ENABLE_LOGGING", "maybe", NotABoolean),
        ("DISCOVERY_CLIENT_PORT", "x", NotANumber),
        ("DISCOVERY_CLIENT_TIMEOUT", "x", NotANumber),
        ("DISCOVERY_CLIENT_RETRIES", "256", OutOfRange),
        ("DISCOVERY_CLIENT_ENABLE_SUBNET_SCAN", "2", NotABoolean),
    ] {
        let error = ClientSettings::load_from(&environment(&[(name, value)])).unwrap_err();
        let LoadError::InvalidValue {
            key,
            value: shown,
            origin: Origin::Environment,
            source,
            ..
        } = error
        else {
            panic!("{name}={value}: {error}");
        };
        assert_eq!((key, shown.as_str(), source), (name, value, why));
    }
}

#[test]
fn a_wrong_value_of_the_file_is_refused() {
    for (text, key, value, why) in [
        (
            "discovery_port = 0",
            "discovery_port",
            "0",
            "it is out of range",
        ),
        (
            "discovery_port = -1",
            "discovery_port",
            "-1",
            "it is out of range",
        ),
        (
            "discovery_port = '80' # not a string",
            "discovery_port",
            "'80'",
            "its TOML type is string",
        ),
        (
            "discovery_port = 80.0",
            "discovery_port",
            "80.0",
            "its TOML type is float",
        ),
        (
            "discovery_message = ''",
            "discovery_message",
            "''",
            "it is empty",
        ),
        (
            "response_prefix = \"a\\nb\"",
            "response_prefix",
            "\"a\\nb\"",
            "it has a control character at byte 1",
        ),
        (
            "discovery_timeout = inf",
            "discovery_timeout",
            "inf",
            "it is out of range",
        ),
        (
            "discovery_timeout = nan",
            "discovery_timeout",
            "nan",
            "it is out of range",
        ),
        (
            "discovery_timeout = -0.5",
            "discovery_timeout",
            "-0.5",
            "it is out of range",
        ),
        (
            "discovery_timeout = 86_401",
            "discovery_timeout",
            "86_401",
            "it is out of range",
        ),
        (
            "discovery_buffer_size = 256",
            "discovery_buffer_size",
            "256",
            "a buffer of 256 bytes is not between 257 and 65535",
        ),
        (
            "enable_logging = 1",
            "enable_logging",
            "1",
            "its TOML type is integer",
        ),
        ("client = 1", "client", "1", "its TOML type is integer"),
        (
            "[client]\nretries = 256",
            "client.retries",
            "256",
            "it is out of range",
        ),
        (
            "[client]\ninterfaces_whitelist = 'eth0'",
            "client.interfaces_whitelist",
            "'eth0'",
            "its TOML type is string",
        ),
        (
            "client.interfaces_blacklist = ['eth0', 1]",
            "client.interfaces_blacklist",
            "['eth0', 1]",
            "its TOML type is integer",
        ),
    ] {
        // A server checks the client's table as well.
        let error = Settings::load_from(&file(text)).unwrap_err();
        let start =
            format!("{key} in the file /etc/discovery.toml can't be `{value}`; allowed is ");
        let whole = chain(&error);
        assert!(whole.starts_with(&start), "{whole}");
        assert!(whole.ends_with(&format!(": {why}")), "{whole}");
    }
}

#[test]
fn a_server_does_not_use_a_clients_settings() {
    // Words that conflict in the client's table alone are no fault of the server's settings.
    let text = "[client]\nport = 1\nmessage = 'SERVER_IP:'";
    assert_eq!(server(&file(text)), Settings::default());
    assert!(matches!(
        ClientSettings::load_from(&file(text)),
        Err(LoadError::WordsConflict { .. })
    ));
    let sources = environment(&[
        ("DISCOVERY_CLIENT_PORT", "none"),
        ("DISCOVERY_CLIENT_UNKNOWN", "1"),
    ]);
    assert_eq!(server(&sources), Settings::default());
}

#[test]
fn a_value_is_checked_even_if_another_source_overrules_it() {
    let sources = environment(&[("DISCOVERY_PORT", "x"), ("DISCOVERY_CLIENT_PORT", "1")]);
    assert!(ClientSettings::load_from(&sources).is_err());
    let sources = with(file("discovery_port = 'x'"), &[("DISCOVERY_PORT", "1")]);
    assert!(ClientSettings::load_from(&sources).is_err());
}

#[test]
fn an_error_says_what_where_and_what_is_allowed() {
    assert_eq!(
        refusal(&environment(&[("DISCOVERY_PORT", "70000")])),
        "DISCOVERY_PORT in the environment can't be `70000`; allowed is an integer from 1 to \
         65535: it is out of range"
    );
    assert_eq!(
        refusal(&file("[client]\ntimeouts = 1")),
        "`client.timeouts` in the file /etc/discovery.toml is no setting; allowed are \
         discovery_port, discovery_message, response_prefix, discovery_timeout, \
         discovery_buffer_size, enable_logging, client.port, client.message, \
         client.response_prefix, client.timeout, client.retries, client.interfaces_whitelist, \
         client.interfaces_blacklist"
    );
    assert_eq!(
        refusal(&environment(&[("DISCOVERY_CLIENT_RETRY", "1")])),
        "`DISCOVERY_CLIENT_RETRY` in the environment is no setting; allowed are \
         DISCOVERY_CLIENT_PORT, DISCOVERY_CLIENT_MESSAGE, DISCOVERY_CLIENT_RESPONSE_PREFIX, \
         DISCOVERY_CLIENT_TIMEOUT, DISCOVERY_CLIENT_RETRIES, \
         DISCOVERY_CLIENT_INTERFACES_WHITELIST, DISCOVERY_CLIENT_INTERFACES_BLACKLIST, \
         DISCOVERY_CLIENT_ENABLE_SUBNET_SCAN"
    );
    let syntax = refusal(&file("discovery_port = \n"));
    let start = "the file /etc/discovery.toml is not valid TOML: TOML parse error at line 1";
    assert!(syntax.starts_with(start), "{syntax}");
}

#[test]
fn an_unknown_key_of_the_file_is_refused() {
    for text in [
        "port = 1",
        "DISCOVERY_PORT = 1",
        "[server]\nport = 1",
        "\"client.port\" = 1",
        "[client]\ndiscovery_port = 1",
        "[client]\nenable_subnet_scan = true",
    ] {
        let error = Settings::load_from(&file(text)).unwrap_err();
        assert!(
            matches!(error, LoadError::UnknownKey { .. }),
            "{text}: {error}"
        );
    }
}

#[test]
fn words_are_judged_when_all_sources_are_merged() {
    let clash = "discovery_message = 'SERVER_IP:7'";
    let error = Settings::load_from(&file(clash)).unwrap_err();
    assert!(error.source().is_some());
    assert_eq!(
        error.to_string(),
        "the discovery message `SERVER_IP:7` from the file /etc/discovery.toml and the response \
         prefix `SERVER_IP:` from the defaults don't go together; allowed are words of which \
         neither starts with the other"
    );
    // Another source puts it right, and another one still puts it wrong again.
    let right = with(file(clash), &[("RESPONSE_PREFIX", "OTHER:")]);
    assert_eq!(server(&right).codec().prefix().as_str(), "OTHER:");
    let wrong = with(
        file(clash),
        &[
            ("RESPONSE_PREFIX", "OTHER:"),
            ("DISCOVERY_CLIENT_RESPONSE_PREFIX", "SERVER"),
        ],
    );
    let LoadError::WordsConflict {
        message_origin,
        prefix,
        prefix_origin,
        ..
    } = ClientSettings::load_from(&wrong).unwrap_err()
    else {
        panic!("the words conflict");
    };
    assert_eq!(message_origin, Origin::File("/etc/discovery.toml".into()));
    assert_eq!(prefix.as_str(), "SERVER");
    assert_eq!(prefix_origin, Origin::Environment);
}

#[test]
fn a_file_that_can_not_be_read_is_named() {
    let path = Path::new("no such directory/discovery.toml");
    let error = Settings::load(Some(path)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the file no such directory/discovery.toml can't be read"
    );
    let LoadError::Unreadable { source, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn a_file_is_read_from_disk() {
    // A file that is there wherever the tests run, and that is TOML but no settings.
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
    let error = ClientSettings::load(Some(path)).unwrap_err();
    assert!(matches!(error, LoadError::UnknownKey { .. }), "{error}");
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf_8_is_refused() {
    use std::os::unix::ffi::OsStringExt as _;

    let bytes = || OsString::from_vec(b"a\xff".to_vec());
    let sources = Sources::new().with_environment([("DISCOVERY_MESSAGE".into(), bytes())]);
    assert_eq!(
        chain(&Settings::load_from(&sources).unwrap_err()),
        "DISCOVERY_MESSAGE in the environment can't be `a\u{fffd}`; allowed is 1 to 64 bytes of \
         UTF-8 without control characters: it is not UTF-8"
    );
    let mut name = OsString::from(CLIENT_PREFIX);
    name.push(bytes());
    let sources = Sources::new().with_environment([(name, "1".into()), (bytes(), bytes())]);
    assert!(matches!(
        ClientSettings::load_from(&sources),
        Err(LoadError::UnknownKey { .. })
    ));
    assert!(Settings::load_from(&sources).is_ok());
}

#[test]
fn the_environment_of_others_is_not_kept() {
    let sources = environment(&[("SECRET_KEY", "hunter2"), ("DISCOVERY_PORT", "1")]);
    let debug = format!("{sources:?}");
    assert!(debug.contains("DISCOVERY_PORT"));
    assert!(!debug.contains("hunter2"));
}

#[test]
fn a_name_of_the_file_is_the_environments_in_lower_case() {
    for key in SHARED.iter().chain(&CLIENT) {
        let expected = match key.env.strip_prefix(CLIENT_PREFIX) {
            Some(name) => format!("client.{}", name.to_lowercase()),
            None => key.env.to_lowercase(),
        };
        if key.setting == Setting::SubnetScan {
            assert_eq!(key.file, None);
        } else {
            assert_eq!(key.file, Some(expected.as_str()));
        }
    }
}

#[test]
fn what_errors_allow_is_what_the_types_allow() {
    let buffer = format!(
        "an integer from {} to {}",
        BufferSize::MIN.get(),
        BufferSize::MAX.get()
    );
    assert_eq!(Setting::BufferSize.allowed(), buffer);
    let word = format!(
        "1 to {} bytes of UTF-8 without control characters",
        Word::MAX_LEN
    );
    assert_eq!(Setting::Message.allowed(), word);
    let timeout = format!(
        "a decimal number of seconds, more than 0 and at most {}",
        super::raw::MAX_TIMEOUT_SECONDS
    );
    assert_eq!(Setting::Timeout.allowed(), timeout);
}

#[test]
fn the_documented_table_is_that_of_the_keys() {
    let rows: Vec<String> = SHARED.iter().chain(&CLIENT).map(row).collect();
    let documented: Vec<&str> = include_str!("settings.md")
        .lines()
        .filter(|line| line.starts_with('|'))
        .skip(2)
        .collect();
    assert_eq!(documented, rows, "it should be:\n{}", rows.join("\n"));
}

fn row(key: &Key) -> String {
    let file = key.file.map_or("none".into(), |file| format!("`{file}`"));
    let (unit, default) = unit_and_default(key);
    format!(
        "| {file} | `{}` | {unit} | {default} | {} |",
        key.env,
        key.setting.allowed()
    )
}

fn unit_and_default(key: &Key) -> (&'static str, String) {
    let (unit, default) = unit_and_default_of(key.setting);
    let shared = SHARED.iter().find(|shared| shared.setting == key.setting);
    match shared {
        Some(shared) if shared.env != key.env => (unit, format!("`{}`", shared.file.unwrap())),
        _ => (unit, default),
    }
}

fn unit_and_default_of(setting: Setting) -> (&'static str, String) {
    let client = ClientSettings::default();
    let settings = client.settings();
    let names = |names: &[String]| match names {
        [] => "none".into(),
        names => names.join(", "),
    };
    match setting {
        Setting::Port => ("", settings.port().to_string()),
        Setting::Message => ("", format!("`{}`", settings.codec().message())),
        Setting::ResponsePrefix => ("", format!("`{}`", settings.codec().prefix())),
        Setting::Timeout => ("seconds", settings.timeout().as_secs_f64().to_string()),
        Setting::BufferSize => ("bytes", settings.buffer_size().get().to_string()),
        Setting::Logging => ("", settings.logging().to_string()),
        Setting::Retries => ("requests", client.retries().to_string()),
        Setting::SubnetScan => ("", "no effect".into()),
        Setting::InterfacesWhitelist => ("", names(client.interfaces_whitelist())),
        Setting::InterfacesBlacklist => ("", names(client.interfaces_blacklist())),
    }
}
