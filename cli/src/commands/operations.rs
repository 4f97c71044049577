//! Compares the commands with the service's operations.

use std::collections::BTreeSet;

use clap::CommandFactory;
use pumice_console::{SCREENS, WITHOUT_SCREEN};
use pumice_service::{WITHOUT_REALM, operations};

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
    let mut apart: BTreeSet<String> = WITHOUT_REALM.iter().map(|one| one.command.to_owned()).collect();
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
    let apart = WITHOUT_REALM.iter().map(|one| one.command);
    let listed: BTreeSet<&str> = shown.chain(without).chain(apart).collect();
    let missing: Vec<&String> = found.iter().filter(|command| !listed.contains(command.as_str())).collect();
    assert!(
        missing.is_empty(),
        "these are neither in SCREENS, WITHOUT_SCREEN nor WITHOUT_REALM: {missing:?}"
    );
}

/// The command of some words.
fn command(words: &str) -> clap::Command {
    let mut found = Cli::command();
    for word in words.split(' ').filter(|word| !word.starts_with("--")) {
        found = found.find_subcommand(word).expect("a command").clone();
    }
    found
}

fn has_option(words: &str, option: &str) -> bool {
    command(words).get_arguments().any(|one| one.get_long() == Some(option))
}

#[test]
fn every_list_takes_terms() {
    let mut found = BTreeSet::new();
    commands(&Cli::command(), "", &mut found);
    let lists: Vec<&String> = found.iter().filter(|words| words.ends_with(" list")).collect();
    assert!(lists.len() > 13, "{lists:?}");
    let without: Vec<&&String> = lists.iter().filter(|words| !has_option(words, "where")).collect();
    assert!(without.is_empty(), "these lists have no --where: {without:?}");
}

/// Commands that change something and have no dry run, with the reason.
const WITHOUT_DRY_RUN: [(&str, &str); 5] = [
    ("run", "it makes a realm for one run; `render` shows what would run"),
    ("serve", "it is the process that runs the jobs of a realm"),
    ("console", "it is a process that shows a realm in a browser"),
    ("worker", "it is a process that runs the jobs of one worker"),
    ("backup", "it makes a new file, and changes nothing in the realm"),
];

#[test]
fn every_change_can_be_tried_or_has_a_reason() {
    let writes = operations().into_iter().filter(|one| one.access.changes()).map(|one| one.command);
    // Some of what asks nothing of a realm only prints.
    let prints = ["dag generate", "dag table", "template", "schema", "completions"];
    let apart = WITHOUT_REALM.iter().map(|one| one.command).filter(|words| !prints.contains(words));
    let apart = apart.filter(|words| cfg!(feature = "aws") || *words != "worker");
    let without: BTreeSet<&str> = writes.chain(apart).filter(|words| !has_option(words, "dry-run")).collect();
    let reasons = WITHOUT_DRY_RUN.iter().map(|(words, _)| *words);
    let wanted: BTreeSet<&str> =
        reasons.filter(|words| cfg!(feature = "aws") || *words != "worker").collect();
    assert_eq!(without, wanted);
    assert!(has_option("failures", "dry-run"), "it retries, too");
}
