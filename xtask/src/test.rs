//! Every test, with what they need.

use crate::process::{Outcome, cargo, has, say};
use crate::standins;

/// Runs the tests; further arguments go to the test runner.
pub(crate) fn run(more: &[String]) -> Outcome {
    let standins = standins::make()?;
    standins.tell()?;
    let features = standins.features.join(",");
    let folder = standins.folder.display().to_string();
    // The tests of the command run the command.
    say("build");
    cargo(&["build", "--workspace", "--bins"], &[])?;
    say("tests");
    let nextest = has("cargo", &["nextest", "--version"]);
    let mut arguments = if nextest {
        vec!["nextest", "run", "--workspace", "--no-fail-fast"]
    } else {
        vec!["test", "--workspace", "--no-fail-fast"]
    };
    arguments.extend(["--features", &features]);
    arguments.extend(more.iter().map(String::as_str));
    cargo(&arguments, &[("PUMICE_STANDINS", &folder)])?;
    if nextest && more.is_empty() {
        say("documentation tests");
        cargo(&["test", "--workspace", "--doc"], &[])?;
    }
    // Said again where it is seen: the tests have scrolled it away.
    standins.tell()
}
