//! Replays the corpus without a fuzzer, and checks that the lists of targets agree.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use udp_discovery_fuzz::TARGETS;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The files of a folder, sorted.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The file names in a folder, without their extensions.
fn names_in(name: &str) -> BTreeSet<String> {
    files(&folder(name))
        .iter()
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

fn targets() -> BTreeSet<String> {
    TARGETS.iter().map(|&(name, _)| name.to_owned()).collect()
}

/// Replays the corpus of a target. The output of a failed test has the name of the file.
fn replay(name: &str) {
    let (_, check) = TARGETS
        .iter()
        .find(|(target, _)| *target == name)
        .expect("it is a target");
    let files = files(&folder("corpus").join(name));
    assert!(!files.is_empty(), "the corpus of {name} is empty");
    for file in files {
        println!("{}", file.display());
        check(&fs::read(&file).unwrap());
    }
}

#[test]
fn decode() {
    replay("decode");
}

#[test]
fn details() {
    replay("details");
}

#[test]
fn discovery() {
    replay("discovery");
}

#[test]
fn instances() {
    replay("instances");
}

#[test]
fn responder() {
    replay("responder");
}

#[test]
fn round_trip() {
    replay("round_trip");
}

#[test]
fn server_sequence() {
    replay("server_sequence");
}

#[test]
fn settings() {
    replay("settings");
}

#[test]
fn sweep() {
    replay("sweep");
}

#[test]
fn no_input_is_an_input() {
    for (_, check) in TARGETS {
        check(b"");
    }
}

#[test]
fn every_target_has_a_program_a_corpus_and_a_dictionary() {
    for folder in ["fuzz_targets", "corpus", "dictionaries"] {
        assert_eq!(names_in(folder), targets(), "{folder}");
    }
}

/// `cargo fuzz list`, and so `fuzz/run` and CI, use the manifest.
#[test]
fn every_target_is_in_the_manifest() {
    let manifest = fs::read_to_string(folder("Cargo.toml")).unwrap();
    let programs: BTreeSet<String> = manifest
        .split("[[bin]]")
        .skip(1)
        .map(|program| {
            let name = program
                .lines()
                .find_map(|line| line.strip_prefix("name = "));
            name.unwrap().trim_matches('"').to_owned()
        })
        .collect();
    assert_eq!(programs, targets());
}

#[test]
fn the_corpus_is_small() {
    for (name, _) in TARGETS {
        let files = files(&folder("corpus").join(name));
        let size: u64 = files.iter().map(|it| fs::metadata(it).unwrap().len()).sum();
        assert!(files.len() <= 450, "{name} has {} files", files.len());
        assert!(size <= 64 * 1024, "{name} has {size} bytes");
    }
}
