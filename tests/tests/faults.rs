//! docs/faults.md is complete: no row is missing, and the tests that it names exist.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use udp_discovery_tests::rust_files;

/// The number of faults, without the defects.
const ROWS: usize = 40;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The tests of each row, as file and function. A row is a fault, such as `12`, or a defect that was
/// found in a review, such as `D12b`, or a fault of a search beyond the link, such as `R46`.
fn table() -> BTreeMap<String, Vec<(String, String)>> {
    let mut rows = BTreeMap::<String, Vec<(String, String)>>::new();
    let mut row = String::new();
    for line in read("docs/faults.md").lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            let (number, _) = heading.split_once('.').expect("a row has a number");
            row = number.into();
            assert!(
                rows.insert(row.clone(), Vec::new()).is_none(),
                "row {row} is there twice"
            );
        } else if let Some(test) = line.strip_prefix("- `") {
            let (file, name) = test.split_once("`: `").expect("a test has a file");
            let tests = rows.get_mut(&row).expect("a test belongs to a row");
            tests.push((file.into(), name.trim_end_matches('`').into()));
        }
    }
    rows
}

#[test]
fn every_fault_has_a_row_with_a_test() {
    let rows = table();
    let (others, faults): (Vec<_>, Vec<_>) =
        rows.keys().partition(|row| row.starts_with(['D', 'R']));
    let mut numbers: Vec<usize> = faults.iter().map(|row| row.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=ROWS).collect::<Vec<_>>());
    for other in others {
        assert!(
            other[1..].starts_with(|it: char| it.is_ascii_digit()),
            "{other}"
        );
    }
    for (row, tests) in rows {
        assert!(!tests.is_empty(), "row {row} has no test");
    }
}

#[test]
fn every_test_that_the_table_names_is_there() {
    for (row, tests) in table() {
        for (file, name) in tests {
            let source = read(&file);
            let lines: Vec<&str> = source.lines().map(str::trim).collect();
            let function = format!("fn {name}()");
            let at = lines.iter().position(|line| line.contains(&function));
            let at = at.unwrap_or_else(|| panic!("row {row}: {file} has no {name}"));
            let above = lines[..at]
                .iter()
                .rev()
                .take_while(|line| line.starts_with(['#', '/']));
            let is_test =
                |line: &&&str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            assert!(
                above.clone().any(|line| is_test(&line)),
                "row {row}: {name} is no test"
            );
        }
    }
}

#[test]
fn every_row_that_a_test_names_is_in_the_table() {
    let rows = table();
    for path in rust_files(&root().join("tests/tests")) {
        let source = fs::read_to_string(&path).expect("it was listed");
        for mention in source.split("FAULTS ").skip(1) {
            let of_row = |it: &char| it.is_ascii_digit() || *it == 'R';
            let number: String = mention.chars().take_while(of_row).collect();
            if number.is_empty() {
                continue; // not a row
            }
            assert!(
                rows.contains_key(&number),
                "{}: no row {number}",
                path.display()
            );
        }
    }
}
