//! The README shows what the docs show, and the docs run it.

#[test]
fn the_readmes_example_is_the_crate_docs_first_one() {
    let example = |text: &str| text.split("```").nth(1).unwrap().to_owned();
    let docs: Vec<&str> = include_str!("../src/lib.rs")
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        // Lines that are run and not shown.
        .filter(|line| !line.starts_with("# Ok"))
        .collect();
    let readme = example(include_str!("../README.md"));
    assert_eq!(
        readme.strip_prefix("rust").unwrap(),
        example(&docs.join("\n"))
    );
}
