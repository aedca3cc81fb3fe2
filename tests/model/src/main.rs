//! `worlds [NAME...] [--small]`: searches the small worlds to the end and prints what it found. `regressions`: prints the known bugs
//! of other systems and what guards against each.
#![allow(clippy::print_stdout, reason = "a tool by command")]

use outboard_model::regressions;
use outboard_model::worlds::{ALL, Size};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.split_first() {
        Some((&"worlds", names)) => worlds(names),
        Some((&"regressions", &[])) => table_of_regressions(),
        _ => {
            println!("usage: outboard-model worlds [NAME...] [--small] | regressions");
            ExitCode::from(2)
        }
    }
}

fn table_of_regressions() -> ExitCode {
    let read = || Ok::<_, std::io::Error>((regressions::list()?, regressions::places()?));
    let (list, places) = match read() {
        Ok(read) => read,
        Err(error) => {
            println!("the tree can't be read: {error}");
            return ExitCode::FAILURE;
        }
    };
    let known = match regressions::known(&list) {
        Ok(known) => known,
        Err(error) => {
            println!("regressions.txt: {error}");
            return ExitCode::FAILURE;
        }
    };
    for bug in known {
        println!("{:4} {}", bug.id, bug.claim);
        match &bug.impossible {
            Some(reason) => println!("     can't occur: {reason}"),
            None => places.get(&bug.id).into_iter().flatten().for_each(|place| println!("     {place}")),
        }
    }
    ExitCode::SUCCESS
}

fn worlds(words: &[&str]) -> ExitCode {
    let size = if words.contains(&"--small") { Size::Small } else { Size::Full };
    let names: Vec<_> = words.iter().filter(|word| !word.starts_with("--")).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut sound = true;
    for search in ALL.iter().filter(|search| names.is_empty() || names.contains(&&search.name)) {
        let found = search.run(size, threads);
        println!(
            "{:24} {:>10} states {:>12} steps, depth {:>3}, {:>6.1} s  {}",
            search.name,
            found.states,
            found.steps,
            found.depth,
            found.took.as_secs_f64(),
            search.about
        );
        if let Some((name, way)) = found.broken {
            println!("BROKEN: {name}\n{way}");
            sound = false;
        }
    }
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
