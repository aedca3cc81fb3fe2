//! `worlds [NAME...] [--small] [--alone]`: searches the small worlds to the end (alone: in one thread) and prints what it found. `mutations [NAME...]`: turns the
//! core's guards off one after the other and prints what notices. `regressions`: prints the known bugs
//! of other systems and what guards against each.
#![allow(clippy::print_stdout, reason = "a tool by command")]

use outboard_model::worlds::{ALL, Size};
use outboard_model::{mutations, regressions};
use std::process::ExitCode;

/// So many scripts are named of those that noticed.
const SCRIPTS_SHOWN: usize = 3;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.split_first() {
        Some((&"worlds", names)) => worlds(names),
        Some((&"mutations", names)) => table_of_mutations(names),
        Some((&"regressions", &[])) => table_of_regressions(),
        _ => {
            println!("usage: outboard-model worlds [NAME...] [--small] [--alone] | mutations [NAME...] | regressions");
            ExitCode::from(2)
        }
    }
}

fn table_of_mutations(names: &[&str]) -> ExitCode {
    let copy = match mutations::Copy::new() {
        Ok(copy) => copy,
        Err(error) => {
            println!("the copy can't be made: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut all_caught = true;
    match copy.test() {
        Ok(caught) if caught.is_nothing() => println!("everything holds with every guard on\n"),
        Ok(caught) => {
            println!("something fails with every guard on: {caught:?}");
            return ExitCode::FAILURE;
        }
        Err(error) => {
            println!("{error}");
            return ExitCode::FAILURE;
        }
    }
    let chosen = mutations::ALL.iter().filter(|mutation| names.is_empty() || names.contains(&mutation.name));
    for mutation in chosen {
        println!("{:32} {}", mutation.name, mutation.off);
        match copy.run(mutation) {
            Ok(caught) if caught.is_nothing() => {
                println!("    NOTHING NOTICED");
                all_caught = false;
            }
            Ok(caught) => print_caught(&caught),
            Err(error) => {
                println!("    {error}");
                all_caught = false;
            }
        }
    }
    if all_caught { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print_caught(caught: &mutations::Caught) {
    for world in &caught.worlds {
        println!("    world  {world}");
    }
    for test in &caught.tests {
        println!("    test   {test}");
    }
    for script in caught.scripts.iter().take(SCRIPTS_SHOWN) {
        println!("    script {script}");
    }
    if caught.scripts.len() > SCRIPTS_SHOWN {
        println!("    … and {} scripts more", caught.scripts.len() - SCRIPTS_SHOWN);
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
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if words.contains(&"--alone") { 1 } else { cores };
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
