//! The table of faults is whole: no row is missing, and the tests that it names are there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// How many faults there are to survive.
const ROWS: usize = 40;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The tests of each row, as file and function. A row has the number of a fault, such as `12`, or of
/// a defect that an attack found, such as `D12b`.
fn table() -> BTreeMap<String, Vec<(String, String)>> {
    let mut rows = BTreeMap::<String, Vec<(String, String)>>::new();
    let mut row = String::new();
    for line in read("docs/faults.md").lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            let (number, _) = heading.split_once('.').expect("a row has a number");
            row = String::from(number);
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
    let mut faults: Vec<usize> = rows.keys().filter_map(|row| row.parse().ok()).collect();
    faults.sort_unstable();
    assert_eq!(faults, (1..=ROWS).collect::<Vec<_>>());
    let others = rows.keys().filter(|row| row.parse::<usize>().is_err());
    for defect in others {
        assert!(defect.starts_with('D'), "row {defect} has no number");
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
    for path in sources(&root().join("benches/tests")) {
        let source = fs::read_to_string(&path).expect("it was listed");
        for mention in source.split("FAULTS ").skip(1) {
            let number: String = mention.chars().take_while(char::is_ascii_digit).collect();
            let Ok(row) = number.parse::<usize>() else {
                continue; // not a row
            };
            assert!(
                rows.contains_key(&row.to_string()),
                "{}: no row {row}",
                path.display()
            );
        }
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("it can be listed").path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                sources(&path)
            } else {
                vec![path]
            }
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}
