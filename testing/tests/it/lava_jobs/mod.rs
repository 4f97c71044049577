//! The same jobs with lava's code and with Pumice's program: the outcome of every run, the output of commands, the
//! children's parameters, the state that is left.

mod beside;
mod cases;
mod compare;
mod meant;
mod pumice;

use std::collections::BTreeSet;

use crate::lava_jobs::beside::Lava;
use crate::lava_jobs::cases::Case;
use crate::lava_jobs::compare::{Difference, differences};
use crate::lava_jobs::meant::{MEANT, Meant};
use crate::lava_jobs::pumice::Pumice;

/// The files of cases.
const FILES: [&str; 7] = ["cmd", "attempts", "templates", "steps", "foreach", "dispatch", "state"];
/// How many cases there are at least.
const LEAST: usize = 120;

/// Runs the cases of a file with both. `PUMICE_LAVA_CASE` has those alone run whose names have this text.
fn alike(file: &str) {
    let (mut lava, mut pumice) = (Lava::start(), Pumice::default());
    let only = std::env::var("PUMICE_LAVA_CASE").ok();
    let mut cases = cases::of(file);
    cases.retain(|case| only.as_ref().is_none_or(|part| case.name.contains(part)));
    let mut wrong = Vec::new();
    for case in &cases {
        let (theirs, ours) = (lava.run(case), pumice.run(case));
        let found = differences(&theirs, &ours);
        let reasons: BTreeSet<&str> = found.iter().filter_map(|one| reason(case, one)).collect();
        for stale in case.meant.iter().filter(|why| !reasons.contains(why.as_str())) {
            wrong.push(format!("{}: nothing differs for the reason {stale:?}", case.name));
        }
        let unmeant = found.iter().filter(|one| reason(case, one).is_none());
        wrong.extend(unmeant.map(|one| format!("{}: {one}", case.name)));
    }
    assert!(wrong.is_empty(), "of {} cases:\n{}", cases.len(), wrong.join("\n"));
}

#[test]
fn commands_do_the_same_as_with_lava() {
    alike("cmd");
}

#[test]
fn attempts_do_the_same_as_with_lava() {
    alike("attempts");
}

#[test]
fn templates_see_the_same_as_with_lava() {
    alike("templates");
}

#[test]
fn chains_and_dags_do_the_same_as_with_lava() {
    alike("steps");
}

#[test]
fn loops_do_the_same_as_with_lava() {
    alike("foreach");
}

#[test]
fn dispatched_jobs_receive_the_same_as_with_lava() {
    alike("dispatch");
}

#[test]
fn state_is_the_same_as_with_lava() {
    alike("state");
}

#[test]
fn all_files_are_run_and_all_differences_have_a_case() {
    let cases: Vec<Case> = FILES.iter().flat_map(|file| cases::of(file)).collect();
    assert!(cases.len() >= LEAST, "{} cases", cases.len());
    assert_eq!(std::fs::read_dir("lava").map(Iterator::count).ok(), Some(FILES.len()));
    let named: BTreeSet<&str> = cases.iter().flat_map(|case| case.meant.iter().map(String::as_str)).collect();
    let unshown = MEANT.iter().filter(|meant| !meant.everywhere && !named.contains(meant.id));
    assert_eq!(unshown.map(|meant| meant.id).collect::<Vec<_>>(), [] as [&str; 0]);
}

/// Why a difference is meant, if it is.
fn reason(case: &Case, difference: &Difference) -> Option<&'static str> {
    let applies = |meant: &&Meant| {
        let named = meant.everywhere || case.meant.iter().any(|id| id == meant.id);
        named && (meant.fits)(difference)
    };
    MEANT.iter().find(applies).map(|meant| meant.id)
}

#[test]
fn guide_lists_the_differences() {
    let guide = std::fs::read_to_string("../docs/guide.md").expect("the guide is there");
    let (_, section) = guide.split_once("## What differs from lava").expect("it has the section");
    for meant in &MEANT {
        let flat = section.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(meant.why), "the guide does not say: {}", meant.why);
    }
}
