//! The page for users of the Python packages lists everything that the packages have.

use std::fs;
use std::path::Path;
use std::process::Command;

use udp_discovery_tests::python;

/// Prints the public names of both packages, one a line, as the page writes them.
const NAMES: &str = r#"
import argparse, dataclasses
from django.conf import settings
settings.configure()
import django_udp_discovery.conf, discovery_client, discovery_client.network
from django_udp_discovery import __all__ as functions
from django_udp_discovery.management.commands import start_discovery
from discovery_client_django.management.commands import discover_servers

print(*django_udp_discovery.conf.settings.DEFAULTS, *functions, sep="\n")
print(*discovery_client.__all__, *discovery_client.network.__all__, sep="\n")
print(*(it.name for it in dataclasses.fields(discovery_client.ClientConfig)), sep="\n")
for field in dataclasses.fields(discovery_client.DiscoveryResult):
    print("DiscoveryResult." + field.name)
for module in start_discovery, discover_servers:
    name = module.__name__.rsplit(".")[-1]
    print("manage.py", name)
    parser = argparse.ArgumentParser(add_help=False)
    module.Command().add_arguments(parser)
    for action in parser._actions:
        print(name, action.option_strings[0])
"#;

#[test]
fn everything_that_the_python_packages_have_is_on_the_page() {
    let Some(interpreter) = python::peers(Path::new(env!("CARGO_TARGET_TMPDIR"))) else {
        return;
    };
    let output = Command::new(interpreter)
        .args(["-c", NAMES])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/from-django.md");
    let page = fs::read_to_string(page).unwrap();
    let rows = || page.lines().filter(|line| line.starts_with("| `"));
    let first_cells: Vec<&str> = rows().filter_map(|row| row.split('|').nth(1)).collect();
    let has_row = |name: &str| {
        let names = first_cells
            .iter()
            .flat_map(|cell| cell.split('`').skip(1).step_by(2));
        names
            .into_iter()
            .any(|it| it.split('(').next() == Some(name))
    };
    let names = String::from_utf8(output.stdout).unwrap();
    assert!(names.lines().count() > 40, "{names}");
    let missing: Vec<&str> = names.lines().filter(|name| !has_row(name)).collect();
    assert!(missing.is_empty(), "the page has no row for {missing:?}");
}
