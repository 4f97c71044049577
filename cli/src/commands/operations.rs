//! Compares the commands with the service's operations.

use std::collections::BTreeSet;

use clap::CommandFactory;
use pumice_console::{SCREENS, WITHOUT_SCREEN};
use pumice_service::{APART, operations};

use crate::args::Cli;

/// The words of every command that does something.
fn commands(command: &clap::Command, words: &str, found: &mut BTreeSet<String>) {
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        let words = format!("{words} {}", below.get_name()).trim().to_owned();
        match below.has_subcommands() {
            true => commands(below, &words, found),
            false => {
                // Where single runs may be named too, what is done to many is a function of its own.
                let takes = |id: &str| below.get_arguments().any(|one| one.get_id() == id);
                if takes("bulk_filter") && takes("runs") {
                    found.insert(format!("{words} --where"));
                }
                // A part of an output is another answer than all of it.
                if words == "runs output" && takes("from") {
                    found.insert(format!("{words} --from"));
                }
                found.insert(words);
            }
        }
    }
}

#[test]
fn command_has_its_service_function_or_a_reason() {
    let mut found = BTreeSet::new();
    commands(&Cli::command(), "", &mut found);
    let operations: BTreeSet<String> = operations().iter().map(|one| one.command.to_owned()).collect();
    let mut apart: BTreeSet<String> = APART.iter().map(|one| one.command.to_owned()).collect();
    if cfg!(not(feature = "aws")) {
        apart.remove("worker");
    }
    assert!(operations.is_disjoint(&apart));
    let listed: BTreeSet<String> = operations.union(&apart).cloned().collect();
    assert_eq!(found, listed);
}

#[test]
fn command_has_its_page_in_the_console_or_a_reason() {
    let mut found = BTreeSet::new();
    commands(&Cli::command(), "", &mut found);
    let shown = SCREENS.iter().map(|screen| screen.command);
    let without = WITHOUT_SCREEN.iter().map(|(command, _)| *command);
    let apart = APART.iter().map(|one| one.command);
    let listed: BTreeSet<&str> = shown.chain(without).chain(apart).collect();
    let missing: Vec<&String> = found.iter().filter(|command| !listed.contains(command.as_str())).collect();
    assert!(missing.is_empty(), "these are neither in SCREENS, WITHOUT_SCREEN nor APART: {missing:?}");
}
