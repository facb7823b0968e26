use std::time::Duration;

use udp_discovery_client::Config as ClientConfig;
use udp_discovery_server::{Allow, Config as ServerConfig};

use super::*;

/// A file of this test run, and what the environment and the options say.
struct Given<'a> {
    file: Option<&'a str>,
    environment: &'a [(&'a str, &'a str)],
    options: &'a [(&'a str, &'a str)],
}

const NOTHING: Given<'_> = Given {
    file: None,
    environment: &[],
    options: &[],
};

impl Given<'_> {
    fn load<C: DeserializeOwned>(&self, side: Side) -> Result<C, String> {
        let path = PathBuf::from(format!("{}-settings.toml", std::process::id()));
        let folder = std::env::temp_dir();
        let path = folder.join(format!(
            "{:?}-{}",
            std::thread::current().id(),
            path.display()
        ));
        if let Some(text) = self.file {
            fs::write(&path, text).unwrap();
        }
        let environment = self.environment.iter();
        let environment = environment.map(|(name, value)| (name.into(), value.into()));
        let options = self.options.iter();
        let options = options.map(|(key, text)| ((*key).to_owned(), Value::from(*text)));
        let file = self.file.map(|_| path.as_path());
        let loaded = load(side, file, environment, &options.collect::<Dict>());
        let _ = fs::remove_file(&path);
        loaded.map_err(|error: SettingsError| {
            error
                .to_string()
                .replace(&path.display().to_string(), "FILE")
        })
    }

    fn server(&self) -> Result<ServerConfig, String> {
        self.load(Side::Server)
    }

    fn client(&self) -> Result<ClientConfig, String> {
        self.load(Side::Client)
    }
}

fn in_file(text: &str) -> Given<'_> {
    Given {
        file: Some(text),
        ..NOTHING
    }
}

fn in_environment<'a>(environment: &'a [(&'a str, &'a str)]) -> Given<'a> {
    Given {
        environment,
        ..NOTHING
    }
}

fn as_options<'a>(options: &'a [(&'a str, &'a str)]) -> Given<'a> {
    Given { options, ..NOTHING }
}

#[test]
fn nothing_given_means_the_defaults() {
    assert_eq!(NOTHING.server(), Ok(ServerConfig::default()));
    assert_eq!(NOTHING.client(), Ok(ClientConfig::default()));
    assert_eq!(in_file("").server(), Ok(ServerConfig::default()));
    let empty = in_environment(&[("DISCOVERY_PORT", "")]);
    assert_eq!(empty.server(), Ok(ServerConfig::default()));
}

#[test]
fn a_key_that_both_sides_have_counts_in_both_tables() {
    let file = "[server]\nmulticast = false\n[client]\nmulticast = true\nmdns = [\"_a._tcp\"]";
    let file = in_file(file);
    assert!(!file.server().unwrap().multicast());
    assert!(file.client().unwrap().multicast());
    assert_eq!(file.client().unwrap().mdns()[0].as_str(), "_a._tcp");
    let options = as_options(&[("multicast", "true"), ("mdns", "_a._tcp,_b._udp")]);
    assert!(options.client().unwrap().multicast());
    assert_eq!(options.client().unwrap().mdns().len(), 2);
}

#[test]
fn each_source_overrides_the_one_before() {
    let given = |file, environment, options| {
        let given = Given {
            file: Some(file),
            environment,
            options,
        };
        given.server().unwrap().settings().port()
    };
    assert_eq!(given("port = 1", &[], &[]), 1);
    assert_eq!(given("port = 1\n[server]\nport = 2", &[], &[]), 2);
    assert_eq!(given("port = 1\n[client]\nport = 2", &[], &[]), 1);
    let file = "port = 1\n[server]\nport = 2";
    assert_eq!(given(file, &[("DISCOVERY_PORT", "3")], &[]), 3);
    let both = [("DISCOVERY_PORT", "3"), ("DISCOVERY_SERVER_PORT", "4")];
    assert_eq!(given(file, &both, &[]), 4);
    assert_eq!(given(file, &[("DISCOVERY_CLIENT_PORT", "4")], &[]), 2);
    assert_eq!(given(file, &both, &[("port", "5")]), 5);
}

#[test]
fn a_server_is_set_up_by_file_environment_or_options() {
    let by_file = in_file(
        "[server]\nadvertise_ip = \"10.0.0.7\"\nadvertise_port = 8000\n\
         allow = [\"10.15.0.0/16\", \"10.1.2.3\"]\nrate_limit = \"off\"\ntotal_limit = 10",
    );
    let by_environment = in_environment(&[
        ("DISCOVERY_SERVER_ADVERTISE_IP", " 10.0.0.7 "),
        ("DISCOVERY_SERVER_ADVERTISE_PORT", "8000"),
        ("DISCOVERY_SERVER_ALLOW", "10.15.0.0/16, 10.1.2.3"),
        ("DISCOVERY_SERVER_RATE_LIMIT", "OFF"),
        ("DISCOVERY_SERVER_TOTAL_LIMIT", " 10 "),
    ]);
    let by_options = as_options(&[
        ("advertise_ip", "10.0.0.7"),
        ("advertise_port", "8000"),
        ("allow", "10.15.0.0/16,10.1.2.3"),
        ("rate_limit", "off"),
        ("total_limit", "10"),
    ]);
    let config = by_file.server().unwrap();
    assert_eq!(config.advertise_port(), Some(8000));
    assert!(matches!(config.allow(), Allow::Networks(networks) if networks.len() == 2));
    assert_eq!(config.rate_limit(), None);
    assert_eq!(by_environment.server(), Ok(config.clone()));
    assert_eq!(by_options.server(), Ok(config));
    let any = as_options(&[("allow", "10.15.0.0/16,any")])
        .server()
        .unwrap();
    assert_eq!(any.allow(), &Allow::Any);
}

#[test]
fn the_names_of_the_python_client_work() {
    let config = in_environment(&[
        ("DISCOVERY_CLIENT_PORT", "7777"),
        ("DISCOVERY_CLIENT_MESSAGE", "FIND"),
        ("DISCOVERY_CLIENT_RESPONSE_PREFIX", "IP="),
        ("DISCOVERY_CLIENT_TIMEOUT", "2.5"),
        ("DISCOVERY_CLIENT_RETRIES", "4"),
        ("DISCOVERY_CLIENT_ENABLE_SUBNET_SCAN", "Yes"),
        ("DISCOVERY_CLIENT_INTERFACES_WHITELIST", "eth0, wlan*,"),
        ("DISCOVERY_CLIENT_INTERFACES_BLACKLIST", "wlan1"),
    ]);
    let expected = ClientConfig::default()
        .with_port(7777)
        .with_words("FIND", "IP=")
        .unwrap()
        .with_timeout(Duration::from_millis(2500))
        .with_probes(5.try_into().unwrap())
        .with_interfaces(["eth0", "wlan*"])
        .with_excluded_interfaces(["wlan1"]);
    assert_eq!(config.client(), Ok(expected));
}

#[test]
fn a_duration_reads_alike_wherever_it_is_set() {
    for (text, millis) in [
        ("500ms", 500),
        ("2s", 2000),
        ("1h30m", 5_400_000),
        ("0.5", 500),
    ] {
        let file = format!("timeout = \"{text}\"");
        for given in [
            in_file(&file),
            in_environment(&[("DISCOVERY_TIMEOUT", text)]),
            as_options(&[("timeout", text)]),
        ] {
            let timeout = given.client().unwrap().settings().timeout();
            assert_eq!(timeout, Duration::from_millis(millis), "{text}");
        }
    }
    let bare = in_file("timeout = 2").client().unwrap();
    assert_eq!(bare.settings().timeout(), Duration::from_secs(2));
}

#[test]
fn a_message_is_text_even_if_it_looks_like_a_number() {
    let config = in_environment(&[("DISCOVERY_MESSAGE", " 12 ")])
        .server()
        .unwrap();
    assert_eq!(config.settings().codec().message().as_str(), " 12 ");
}

#[test]
fn an_error_names_the_setting_its_value_its_source_and_what_is_allowed() {
    for (given, expected) in [
        (
            in_file("port = 70000"),
            "invalid value 70000 for `port` in FILE: expected a port from 1 to 65535",
        ),
        (
            in_file("[server]\nallow = [\"10.0.0.0/8\", 5]"),
            "invalid value [\"10.0.0.0/8\",5] for `allow` in [server] of FILE: expected a list of networks \
             such as 10.15.0.0/16 and addresses, or any",
        ),
        (
            in_file("server = 1"),
            "invalid value 1 for `server` in FILE: expected a table",
        ),
        (
            in_environment(&[("DISCOVERY_PORT", "0")]),
            "invalid value \"0\" for DISCOVERY_PORT: expected a port from 1 to 65535",
        ),
        (
            in_environment(&[("DISCOVERY_SERVER_RATE_LIMIT", "fast")]),
            "invalid value \"fast\" for DISCOVERY_SERVER_RATE_LIMIT: expected a number of answers \
             a second from 1, or off",
        ),
        (
            as_options(&[("advertise_ip", "0.0.0.0")]),
            "invalid value \"0.0.0.0\" for --advertise-ip: expected the address of a host, such \
             as 192.168.1.7",
        ),
        (
            Given {
                file: Some("message = \"SERVER\""),
                ..as_options(&[("prefix", "SERVER:")])
            },
            "the message \"SERVER\" (FILE) and the prefix \"SERVER:\" (--prefix) cannot be used \
             together: neither may start with the other",
        ),
        (in_file("port = 1\nfoo bar\n"), "FILE, line 2: "),
    ] {
        let error = given.server().unwrap_err();
        assert!(error.starts_with(expected), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
    let scan = in_environment(&[("DISCOVERY_CLIENT_ENABLE_SUBNET_SCAN", "maybe")]).client();
    assert!(scan.unwrap_err().ends_with("expected true or false"));
    let retries = in_environment(&[("DISCOVERY_CLIENT_RETRIES", "255")]).client();
    assert!(
        retries
            .unwrap_err()
            .ends_with("expected a number from 0 to 254")
    );
    for timeout in ["0", "-1", "25h", "soon", ""] {
        let error = as_options(&[("timeout", timeout)]).client().unwrap_err();
        let expected = format!("invalid value \"{timeout}\" for --timeout: expected a duration");
        assert!(error.starts_with(&expected), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf_8_is_refused() {
    use std::os::unix::ffi::OsStringExt as _;

    let message = OsString::from_vec(b"FIND\xff".to_vec());
    let none = Dict::new();
    let of_others = [("TERM".into(), message.clone())];
    assert!(load::<ServerConfig>(Side::Server, None, of_others, &none).is_ok());
    let ours = [("DISCOVERY_MESSAGE".into(), message)];
    let error = load::<ServerConfig>(Side::Server, None, ours, &none).unwrap_err();
    let expected = "invalid value \"FIND\u{fffd}\" for DISCOVERY_MESSAGE: expected text in UTF-8";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_value_is_checked_even_if_another_source_overrides_it() {
    let given = Given {
        file: Some("buffer_size = 1"),
        environment: &[("DISCOVERY_BUFFER_SIZE", "2048")],
        options: &[],
    };
    let error = given.server().unwrap_err();
    assert!(error.contains("`buffer_size` in FILE"), "{error}");
}

/// Neither alone would do.
#[test]
fn the_words_may_come_from_two_sources() {
    let given = Given {
        file: Some("message = \"SERVER\""),
        environment: &[("RESPONSE_PREFIX", "IP=")],
        options: &[],
    };
    assert_eq!(
        given.server().unwrap().settings().codec().prefix().as_str(),
        "IP="
    );
}

#[test]
fn what_is_unknown_is_refused_with_what_was_meant() {
    for (given, expected) in [
        (
            in_file("prot = 1"),
            "unknown key `prot` in FILE; did you mean `port`?",
        ),
        (
            in_file("[sever]"),
            "unknown key `sever` in FILE; did you mean `server`?",
        ),
        (
            in_file("discovery_message = \"A\""),
            "unknown key `discovery_message` in FILE; did you mean `message`?",
        ),
        (
            in_file("[client]\ninterfaces_whitelist = []"),
            "unknown key `interfaces_whitelist` in [client] of FILE; did you mean `interfaces`?",
        ),
        (
            in_file("advertise_port = 1"),
            "unknown key `advertise_port` in FILE; it belongs in the table [server]",
        ),
        (
            in_environment(&[("DISCOVERY_SERVER_ALOW", "any")]),
            "unknown environment variable `DISCOVERY_SERVER_ALOW`; did you mean \
             `DISCOVERY_SERVER_ALLOW`?",
        ),
    ] {
        assert_eq!(given.server().unwrap_err(), expected);
    }
    let listed = in_file("zzz = 1").server().unwrap_err();
    assert!(
        listed.contains("expected one of `port`, `message`"),
        "{listed}"
    );
    // Another side's, and other programs'.
    let others = in_environment(&[("DISCOVERY_CLIENT_ALOW", "1"), ("DISCOVERY_ZZZ", "1")]);
    assert!(others.server().is_ok());
}

#[test]
fn a_variable_that_is_no_setting_is_told_with_the_nearest_one() {
    let variables = [
        ("DISCOVERY_TIMOUT", "1"),
        ("DISCOVERY_TIMEOUT", "1"),
        ("DISCOVERY_CLIENT_RETRIES", "1"),
        ("DISCOVERY_SERVER_IPV6", "1"),
        ("DISCOVERYX", "1"),
        ("HOME", "/"),
    ];
    let variables = variables.map(|(name, value)| (name.into(), value.into()));
    let unknown = unknown_variables(variables);
    let expected = "the variable DISCOVERY_TIMOUT is unknown; is DISCOVERY_TIMEOUT meant?";
    assert_eq!(unknown, [expected]);
}
