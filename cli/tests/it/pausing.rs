//! Pauses that end sooner than others, that take the place of others, and that do not reach steps.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::operating::{apply, of_steps};
use crate::pumice::{Pumice, shell, wait_until};

/// How long after the end of its pause a run may start: a worker and the sweeper look each second, and a run that was put off
/// would be looked at after a minute.
const SOON: TimeDelta = TimeDelta::seconds(30);

fn at(time: &Value) -> DateTime<Utc> {
    time.as_str().expect("a time").parse().expect("a time")
}

/// Asks for runs of the job until a worker has put one off: a server goes by what it read of the pauses for a second.
fn put_off(pumice: &Pumice, job: &str) -> String {
    let mut run = String::new();
    wait_until(|| {
        let printed = pumice.run(&["dispatch", job, "-o", "json"]).json();
        run = printed["accepted"][0]["run_id"].as_str().expect("an id").to_owned();
        wait_until(|| {
            let listed = pumice.run(&["workers", "list", "-o", "json"]).json();
            listed["workers"].as_array().expect("workers").iter().all(|worker| worker["ready"] == 0)
        });
        why(pumice, &run).starts_with("dispatched")
    });
    run
}

fn why(pumice: &Pumice, run: &str) -> String {
    pumice.run(&["runs", "why", run]).out
}

/// The end of the first pause that a command made.
fn paused_until(pumice: &Pumice, words: &[&str]) -> DateTime<Utc> {
    let changed = pumice.run(&[words, &["-o", "json"]].concat()).json();
    at(&changed["paused"][0]["until"])
}

fn starts_soon_after(pumice: &Pumice, run: &str, end: DateTime<Utc>, what: &str) {
    wait_until(|| why(pumice, run).starts_with("complete"));
    let shown = pumice.run(&["runs", "show", run, "-o", "json"]).json();
    let late = at(&shown["runs"][0]["ts_start"]) - end;
    assert!(late < SOON, "{what}: it started {late} after its pause");
}

#[test]
fn run_starts_when_its_pause_ends_however_it_was_put_off() {
    let pumice = Pumice::new();
    let mut edge = shell("edge", "true");
    edge["worker"] = json!("edge");
    apply(&pumice, &json!([edge]));
    let _server = pumice.serve();
    for pause in [&["workers", "pause", "edge"][..], &["jobs", "pause", "e*"], &["maintenance", "on"]] {
        assert_eq!(pumice.run(pause).status, 0);
        let run = put_off(&pumice, "edge");
        let end = paused_until(&pumice, &[pause, &["--until", "3s"]].concat());
        starts_soon_after(&pumice, &run, end, &format!("{pause:?}, shortened"));
    }
    // Of two pauses one is taken away, and the other ends by itself.
    assert_eq!(pumice.run(&["workers", "pause", "edge", "--until", "30m"]).status, 0);
    let end = paused_until(&pumice, &["jobs", "pause", "edge", "--until", "12s"]);
    let run = put_off(&pumice, "edge");
    let resumed = pumice.run(&["workers", "resume", "edge", "-o", "json"]).json();
    assert_eq!(
        (&resumed["woken"], &resumed["resumed"][0]["scope"]),
        (&json!(0), &json!({ "worker": "edge" }))
    );
    starts_soon_after(&pumice, &run, end, "a pause that is left");
}

#[test]
fn pause_in_place_of_another_names_it() {
    let pumice = Pumice::new();
    apply(&pumice, &json!([shell("a", "true")]));
    let run = |words: &[&str]| {
        let printed = pumice.run(words);
        assert_eq!(printed.status, 0, "{printed:?}");
        printed.out
    };
    let first = run(&["workers", "pause", "core", "--until", "2h", "--why", "hardware"]);
    assert!(!first.contains("in place of"), "{first}");
    // To drain it needs no other pause.
    let drained = run(&["workers", "drain", "core"]);
    assert!(
        drained.starts_with("paused already: worker core until ") && drained.contains(": hardware"),
        "{drained}"
    );
    assert!(!drained.contains("still paused"), "{drained}");
    for words in [&["workers", "pause", "core"][..], &["workers", "drain", "core", "--why", "hardware"]] {
        let looked = run(&[words, &["--dry-run"]].concat());
        let done = run(words);
        for said in [looked, done] {
            assert!(said.contains("in place of the pause of worker core until "), "{words:?}: {said}");
        }
    }
    let listed = pumice.run(&["workers", "list", "-o", "json"]).json();
    let pauses = listed["pauses"].as_array().expect("pauses");
    assert_eq!((pauses.len(), &pauses[0]["until"], &pauses[0]["why"]), (1, &Value::Null, &json!("hardware")));
}

#[test]
fn paused_job_that_is_a_step_names_the_jobs_of_steps() {
    let pumice = Pumice::new();
    apply(
        &pumice,
        &json!([
            shell("y/a", "true"),
            shell("y/b", "true"),
            of_steps("y/ch", "chain", &json!(["y/a", "y/b"])),
            of_steps("y/dag", "dag", &json!({ "y/b": ["y/a"] })),
            of_steps("start", "dispatch", &json!("y/b")),
        ]),
    );
    let steps = |words: &[&str]| {
        let changed = pumice.run(&[words, &["-o", "json"]].concat());
        assert_eq!(changed.status, 0, "{changed:?}");
        changed.json()["steps"].clone()
    };
    let of = |job: &str, of: &str| json!({ "job": job, "of": of });
    assert_eq!(steps(&["jobs", "pause", "y/b"]), json!([of("y/b", "y/ch"), of("y/b", "y/dag")]));
    // A job of steps that is paused, too, begins none.
    assert_eq!(
        steps(&["jobs", "pause", "y/b", "y/a", "y/ch", "--dry-run"]),
        json!([of("y/a", "y/dag"), of("y/b", "y/dag")])
    );
    assert_eq!(steps(&["jobs", "pause", "y/*"]), Value::Null);
    assert_eq!(pumice.run(&["jobs", "resume", "y/*"]).status, 0);
    let said = pumice.run(&["jobs", "pause", "y/b"]).out;
    assert!(said.contains("job y/b goes on as a step of y/ch: pause that, too"), "{said}");
}
