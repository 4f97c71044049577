//! Every test, with what they need.

use std::path::Path;

use crate::process::{Beside, Outcome, cargo, has, say};
use crate::standins::{self, StandIns};

/// Features that are built into the command when there are stand-ins to try it on.
const COMMAND_ON_AWS: &str = "pumice/aws";
/// The drivers of databases, which the command has only on request.
const DRIVERS: &str = "pumice/sql";
/// The variable with the folder of the functions.
pub(crate) const FUNCTIONS: &str = "PUMICE_FUNCTIONS";
/// The profile that the functions are deployed in.
const FUNCTION_PROFILE: &str = "function";
/// Cargo's arguments for building the functions.
const FUNCTIONS_BUILT: [&str; 6] =
    ["--profile", FUNCTION_PROFILE, "-p", "dispatcher-lambda", "-p", "worker-lambda"];

/// Runs the tests; further arguments go to the test runner.
pub(crate) fn run(more: &[String]) -> Outcome {
    let standins = standins::make()?;
    standins.tell()?;
    let mut functions = None;
    if !standins.features.is_empty() {
        say("build the functions as they are deployed, in the background");
        // Each is linked by one thread, for minutes.
        let quietly = [&["build", "--quiet"], &FUNCTIONS_BUILT[..]].concat();
        functions = Some(Beside::cargo(&quietly)?);
    }
    let features = features(&standins).join(",");
    // The tests of the command run the command. By itself it would be built with other features than with
    // the tests, which bring some of their own, and all of AWS's crates twice.
    say("build");
    cargo(&["build", "--profile", "test", "--workspace", "--bins", "--tests", "--features", &features], &[])?;
    functions.map_or(Ok(()), Beside::end)?;
    say("tests");
    let nextest = has("cargo", &["nextest", "--version"]);
    let mut arguments = if nextest {
        vec!["nextest", "run", "--workspace", "--no-fail-fast"]
    } else {
        vec!["test", "--workspace", "--no-fail-fast"]
    };
    arguments.extend(["--features", &features]);
    // Many tests wait for stand-ins and processes: one more at a time keeps the processors busy.
    let at_once = std::thread::available_parallelism().map_or(2, |count| count.get() + 1).to_string();
    if nextest && !more.iter().any(|one| one.starts_with("--test-threads") || one.starts_with("-j")) {
        arguments.extend(["--test-threads", &at_once]);
    }
    arguments.extend(more.iter().map(String::as_str));
    let places = places(&standins);
    let places: Vec<(&str, &str)> = places.iter().map(|(name, place)| (*name, place.as_str())).collect();
    cargo(&arguments, &places)?;
    if nextest && more.is_empty() {
        say("documentation tests");
        // With the same features, so that nothing is built twice.
        cargo(&["test", "--workspace", "--doc", "--features", &features], &places)?;
    }
    // Said again where it is seen: the tests have scrolled it away.
    standins.tell()
}

/// The features with which the tests are built.
pub(crate) fn features(standins: &StandIns) -> Vec<&'static str> {
    let mut features = standins.features.clone();
    if !features.is_empty() {
        features.push(COMMAND_ON_AWS);
    }
    features.push(DRIVERS);
    features
}

/// Builds the functions as they are deployed.
pub(crate) fn build_functions() -> Outcome {
    say("build the functions as they are deployed");
    cargo(&[&["build"], &FUNCTIONS_BUILT[..]].concat(), &[])
}

/// The variables that name the places of files to tests.
pub(crate) fn places(standins: &StandIns) -> [(&'static str, String); 3] {
    let target = standins.folder.parent().unwrap_or(Path::new("target"));
    let place = |path: &Path| path.display().to_string();
    [
        ("PUMICE_STANDINS", place(&standins.folder)),
        (FUNCTIONS, place(&target.join(FUNCTION_PROFILE))),
        ("PUMICE_COMMAND", place(&target.join("debug").join("pumice"))),
    ]
}
