//! The program `performance`: its command line, and the order of things.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use udp_discovery_tests::lab::{is_inside, run_program};

use crate::bench::{Bench, Failure};
use crate::results::Results;
use crate::rows::GROUPS;
use crate::{machine, page, roles};

/// Measures this project beside its rivals and a bare loop, in network namespaces of its own, and
/// writes a page with tables and charts.
#[derive(Clone, Debug, Parser)]
#[command(name = "performance")]
struct Args {
    /// Measures less of everything, in less than a minute: to see that it works
    #[arg(long)]
    quick: bool,
    /// Measures one group of rows only, and keeps the others of the last run
    #[arg(long, value_name = "GROUP", value_parser = group_names())]
    only: Option<String>,
    /// Draws the page from the data of an earlier run, and measures nothing
    #[arg(long, value_name = "FILE.json", conflicts_with_all = ["quick", "only"])]
    from: Option<PathBuf>,
    /// The folder of performance.md; the charts and the data go into its folder `performance`
    #[arg(long, value_name = "FOLDER", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs"))]
    out: PathBuf,
    /// Another role of this program
    #[arg(long, hide = true, num_args = 1.., allow_hyphen_values = true)]
    role: Vec<String>,
}

fn group_names() -> Vec<&'static str> {
    GROUPS.iter().map(|group| group.name).collect()
}

/// The program. Its exit code is 0 if the page has every row, and 1 if not.
pub(crate) fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(file) = &args.from {
        return finish(draw_again(file, &args.out));
    }
    if is_inside() && !args.role.is_empty() {
        return finish(roles::play(&args.role));
    }
    if is_inside() {
        return run_program(|_| finish(measure(&args, true)));
    }
    if let Err(error) = prepare(&args) {
        return finish(Err(error));
    }
    let inside = run_program(|_| ExitCode::SUCCESS);
    // Last, because cargo replaces this program when it builds benchmarks.
    let outside = finish(measure(&args, false));
    let page = finish(draw_again(&data(&args.out), &args.out));
    let codes = [inside, outside, page];
    let failed = codes.into_iter().find(|code| *code != ExitCode::SUCCESS);
    failed.unwrap_or(ExitCode::SUCCESS)
}

fn finish(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("performance: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The data of a run, and of the groups that were measured outside the laboratory.
fn data(out: &Path) -> PathBuf {
    out.join("performance/data.json")
}

fn draw_again(file: &Path, out: &Path) -> Result<(), Failure> {
    page::write(&serde_json::from_str(&fs::read_to_string(file)?)?, out)
}

/// Outside the laboratory, which reaches no registry: builds the programs.
fn prepare(args: &Args) -> Result<(), Failure> {
    println!("preparing: the command, the bare loops, the Python packages");
    let bench = Bench::prepare(args.quick)?;
    fs::create_dir_all(args.out.join("performance"))?;
    let mut results = match fs::read_to_string(data(&args.out)) {
        Ok(text) if args.only.is_some() => serde_json::from_str(&text)?,
        _ => Results::default(),
    };
    results.about = machine::describe(&bench);
    save(&results, &args.out)
}

/// Measures the wanted groups that belong inside, or outside, the laboratory.
fn measure(args: &Args, inside: bool) -> Result<(), Failure> {
    let bench = Bench::prepared(args.quick)?;
    let mut results: Results = serde_json::from_str(&fs::read_to_string(data(&args.out))?)?;
    let mut failed = Vec::new();
    for group in GROUPS.iter().filter(|group| group.inside == inside) {
        if args.only.as_ref().is_some_and(|only| only != group.name) {
            continue;
        }
        let prefix = format!("{}/", group.name);
        results.rows.retain(|row| !row.id.starts_with(&prefix));
        results.lines.retain(|line| !line.id.starts_with(&prefix));
        let start = Instant::now();
        // The laboratory panics if a process does not do what it should.
        let measured = catch_unwind(AssertUnwindSafe(|| (group.measure)(&bench, &mut results)));
        let what = match measured {
            Ok(Ok(())) => "measured".to_owned(),
            Ok(Err(error)) => format!("failed: {error}"),
            Err(_) => "failed".to_owned(),
        };
        if what != "measured" {
            failed.push(group.name);
        }
        println!(
            "{}: {what} in {:.1} s",
            group.name,
            start.elapsed().as_secs_f64()
        );
        // What is measured is kept, whatever happens to the next group.
        save(&results, &args.out)?;
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(format!("not measured: {}", failed.join(", ")).into())
}

fn save(results: &Results, out: &Path) -> Result<(), Failure> {
    Ok(fs::write(
        data(out),
        serde_json::to_string_pretty(results)?,
    )?)
}
