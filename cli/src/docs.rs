//! What docs/ says of settings, options and commands is true.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;

use clap::{Command, CommandFactory as _, ValueEnum as _};
use figment::value::{Dict, Value};

use crate::Cli;
use crate::doctor::Code;
use crate::settings::{self, SETTINGS, Setting, Side};

fn read(name: &str) -> String {
    let path = format!("{}/../docs/{name}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn command(name: &str) -> Command {
    let mut command = Cli::command();
    command.build();
    let command = command
        .get_subcommands()
        .find(|it| it.get_name() == name || it.get_all_aliases().any(|alias| alias == name));
    command
        .unwrap_or_else(|| panic!("there is no command {name}"))
        .clone()
}

/// Whether `command` has `option`, a long one, by any of its names.
fn has_option(command: &Command, option: &str) -> bool {
    let name = option.trim_start_matches("--");
    command.get_arguments().any(|it| {
        let aliases = it.get_all_aliases().unwrap_or_default();
        it.get_long() == Some(name) || aliases.contains(&name)
    })
}

/// The defaults of `side`, by their keys.
fn defaults(side: Side) -> Dict {
    let defaults = match side {
        Side::Client => Value::serialize(udp_discovery_client::Config::default()),
        Side::Server | Side::Both | Side::Details => {
            Value::serialize(udp_discovery_server::Config::default())
        }
    };
    defaults.unwrap().into_dict().unwrap()
}

/// The table of the settings of `side`.
fn settings_table(side: Side) -> String {
    let defaults = defaults(side);
    let code = |text: &str| match text {
        "" => String::new(),
        text => format!("`{text}`"),
    };
    let mut table =
        "| key | option | environment | default | allowed |\n|---|---|---|---|---|\n".to_owned();
    let mut keys = HashSet::new();
    for setting in SETTINGS.iter().filter(|setting| setting.side == side) {
        let is_alias = !keys.insert(setting.key);
        let key = if is_alias { "" } else { setting.key };
        let default = match defaults.get(setting.key).filter(|_| !is_alias) {
            Some(value) => serde_json::to_string(value).unwrap(),
            None => String::new(),
        };
        let variables: Vec<String> = setting.variables(side).map(|name| code(&name)).collect();
        writeln!(
            table,
            "| {} | {} | {} | {} | {} |",
            code(key),
            code(setting.option),
            variables.join(", "),
            code(&default),
            setting.allowed
        )
        .unwrap();
    }
    table
}

#[test]
fn the_page_of_settings_has_every_setting() {
    let page = read("settings.md");
    for side in [Side::Both, Side::Server, Side::Details, Side::Client] {
        let table = settings_table(side);
        assert!(
            page.contains(&table),
            "docs/settings.md lacks this:\n{table}"
        );
    }
}

/// Those of the libraries' configurations, which refuse an unknown key and list the known ones.
#[test]
fn every_key_of_the_configurations_is_a_setting() {
    fn keys<C: serde::de::DeserializeOwned>() -> Vec<&'static str> {
        let unknown = Value::from(Dict::from([("no such key".into(), 0.into())]));
        match unknown.deserialize::<C>().err().unwrap().kind {
            figment::error::Kind::UnknownField(_, keys) => keys.to_vec(),
            other => panic!("{other}"),
        }
    }
    let of = |side: Side| {
        let settings = SETTINGS
            .iter()
            .filter(move |it| it.side.includes(side) && it.side != Side::Details);
        let mut keys: Vec<&str> = settings.map(|setting| setting.key).collect();
        keys.dedup();
        keys
    };
    assert_eq!(of(Side::Server), keys::<udp_discovery_server::Config>());
    assert_eq!(of(Side::Client), keys::<udp_discovery_client::Config>());
}

#[test]
fn every_option_of_a_setting_is_there() {
    let [serve, discover, watch] = ["serve", "discover", "watch"].map(command);
    for setting in SETTINGS.iter().filter(|setting| !setting.option.is_empty()) {
        let commands = match setting.side {
            Side::Server | Side::Details => vec![&serve],
            Side::Client if setting.key == "interval" => vec![&watch],
            Side::Client => vec![&discover],
            Side::Both => match setting.key {
                "timeout" => vec![&discover],
                "buffer_size" => vec![&serve],
                _ => vec![&serve, &discover],
            },
        };
        for command in commands {
            assert!(has_option(command, setting.option), "{}", setting.option);
        }
    }
}

/// What the Python packages 1.0.0 have: settings, functions, commands with their options, results.
/// A test of the package `tests` compares it with the packages themselves.
const PYTHON: &[&str] = &[
    "DISCOVERY_PORT",
    "DISCOVERY_MESSAGE",
    "RESPONSE_PREFIX",
    "DISCOVERY_TIMEOUT",
    "DISCOVERY_BUFFER_SIZE",
    "ENABLE_LOGGING",
    "settings.get",
    "start_udp_service",
    "stop_udp_service",
    "is_running",
    "get_server_ip",
    "format_duration",
    "is_port_in_use",
    "validate_port",
    "is_port_error",
    "UdpDiscoveryConfig.ready",
    "manage.py start_discovery",
    "start_discovery --duration",
    "manage.py discover_servers",
    "discover_servers --timeout",
    "discover_servers --port",
    "discover_servers --message",
    "discover_servers --response-prefix",
    "discover_servers --interfaces-whitelist",
    "discover_servers --interfaces-blacklist",
    "discover_servers --verbose",
    "discovery_port",
    "discovery_message",
    "response_prefix",
    "timeout",
    "retries",
    "enable_subnet_scan",
    "interfaces_whitelist",
    "interfaces_blacklist",
    "ClientConfig",
    "load_config",
    "ClientConfig.from_env",
    "discover",
    "discover_one",
    "DiscoveryResult",
    "DiscoveryResult.ip",
    "DiscoveryResult.port",
    "DiscoveryResult.raw_response",
    "DiscoveryResult.extra",
    "get_interfaces",
    "select_interfaces",
    "InterfaceInfo",
    "netmask_to_prefix",
    "prefix_to_netmask",
    "network_from_ip_and_mask",
    "broadcast_from_ip_and_mask",
    "parse_response",
    "detect_segmented_network",
    "format_segmented_network_warning",
    "deduplicate_results",
];

/// The cells of each row of a page's tables.
fn rows(page: &str) -> Vec<Vec<&str>> {
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

/// The texts in backticks.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn everything_of_the_python_packages_has_a_row() {
    let page = read("from-django.md");
    for name in PYTHON {
        let has_row = rows(&page)
            .iter()
            .any(|cells| names(cells[0]).any(|text| text.split('(').next() == Some(name)));
        assert!(has_row, "{name} has no row");
    }
}

#[test]
fn what_the_python_packages_have_has_a_counterpart_that_is_there() {
    let page = read("from-django.md");
    let mut checked = 0;
    for cells in rows(&page) {
        for name in cells[1..].iter().flat_map(|cell| names(cell)) {
            let mut words = name.split(' ');
            let first = words.next().unwrap();
            if let Some(options) = name.strip_prefix("udp-discovery ") {
                command(options.split(' ').next().unwrap());
            } else if ["serve", "discover"].contains(&first) {
                for option in words.filter(|word| word.starts_with("--")) {
                    assert!(has_option(&command(first), option), "{name}");
                }
            } else if first.starts_with("--") {
                let known = ["serve", "discover"].map(|it| has_option(&command(it), first));
                assert!(known.contains(&true), "{name}");
            } else if first.starts_with("DISCOVERY_CLIENT_ENABLE") {
                assert_eq!(first, "DISCOVERY_CLIENT_ENABLE_SUBNET_SCAN");
            } else if first.contains('_')
                && first.chars().all(|it| it == '_' || it.is_ascii_uppercase())
            {
                let sides = [Side::Server, Side::Client];
                let is_known = |setting: &Setting| {
                    let mut variables = sides.iter().flat_map(|side| setting.variables(*side));
                    variables.any(|it| it == first)
                };
                assert!(SETTINGS.iter().any(is_known), "{name}");
            } else {
                continue;
            }
            checked += 1;
        }
        // Tables of settings: their fourth column is the key.
        if cells.len() == 5 {
            for key in names(cells[3]) {
                assert!(Setting::of(key, Side::Both).is_some(), "{key}");
            }
        }
    }
    assert!(checked > 40, "{checked}");
}

/// The Rust counterparts, in the second column, are public names of the libraries.
#[test]
fn what_the_python_packages_have_has_a_public_name_in_rust() {
    let page = read("from-django.md");
    let sources = ["protocol", "server", "client"].map(|name| {
        let folder = format!("{}/../{name}/src", env!("CARGO_MANIFEST_DIR"));
        source(folder.as_ref())
    });
    let sources = sources.concat();
    let mut checked = 0;
    // Other programs' types, which the libraries re-export.
    let is_ours = |name: &&str| *name != "protocol::IpNet";
    for cells in rows(&page).iter().filter(|cells| cells.len() > 2) {
        let rust = names(cells[1]).filter(is_ours);
        for name in rust.filter(|name| !name.contains("--")) {
            let path = name.split('(').next().unwrap();
            let last = path.rsplit("::").next().unwrap();
            let is_there = ["pub fn", "fn", "pub struct", "pub"].iter().any(|kind| {
                [":", "(", " {", "<"]
                    .iter()
                    .any(|end| sources.contains(&format!("{kind} {last}{end}")))
            });
            assert!(is_there, "{name}");
            checked += 1;
        }
    }
    assert!(checked > 30, "{checked}");
}

/// All Rust sources in a folder and those below.
fn source(folder: &std::path::Path) -> String {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() {
                source(&path)
            } else {
                fs::read_to_string(path).unwrap()
            }
        })
        .collect()
}

/// The blocks of a page in a language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    let blocks = page.split(&fence).skip(1);
    blocks.filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn the_files_and_variables_of_the_pages_are_settings() {
    let pages = ["settings.md", "systemd.md"].map(read);
    let files = pages.iter().flat_map(|page| blocks(page, "toml"));
    let path = std::env::temp_dir().join(format!("udp-discovery-docs-{}", std::process::id()));
    let mut checked = 0;
    for file in files {
        fs::write(&path, file).unwrap();
        let none = Dict::new();
        let server = settings::load(Side::Server, Some(&path), [], &none);
        let server: udp_discovery_server::Config = server.unwrap();
        assert_eq!(server.advertise_port(), Some(8000));
        let client = settings::load(Side::Client, Some(&path), [], &none);
        let _: udp_discovery_client::Config = client.unwrap();
        checked += 1;
    }
    fs::remove_file(path).unwrap();
    assert_eq!(checked, 2);

    let lines = blocks(&pages[1], "ini");
    let lines = lines.iter().flat_map(|block| block.lines());
    let variables = lines.filter_map(|line| line.strip_prefix("Environment="));
    let variables = variables.map(|it| it.trim_matches('"').split_once('=').unwrap());
    let variables: Vec<_> = variables
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    assert_eq!(variables.len(), 7);
    let none = Dict::new();
    let server = settings::load(Side::Server, None, variables, &none);
    let server: udp_discovery_server::Config = server.unwrap();
    assert_eq!(server.advertise_port(), Some(8000));
}

#[test]
fn the_page_of_the_doctor_explains_every_code_with_its_severities() {
    let page = read("doctor.md");
    let (_, section) = page.split_once("\n## Findings").unwrap();
    let rows = rows(section);
    let codes: Vec<&str> = rows.iter().filter_map(|row| names(row[0]).next()).collect();
    let known: Vec<String> = Code::value_variants()
        .iter()
        .map(|code| code.name())
        .collect();
    assert_eq!(codes, known);
    for row in &rows {
        assert_eq!(row.len(), 4, "{row:?}");
        let severity = row[1].split([',', ';']).next().unwrap();
        assert!(
            ["problem", "warning", "note"].contains(&severity),
            "{row:?}"
        );
    }
}
