//! The directory that the steps of a run share: a step never finds files silently missing that steps before it left.

use std::path::Path;

use serde_json::{Value, json};

use crate::operating::{apply, ended, of_steps};
use crate::pumice::{Pumice, shell, wait_until};

/// Why a step fails whose directory is gone.
const GONE: &str = "the directory that the steps of the run share is gone";

fn shared(home: &Path) -> std::path::PathBuf {
    home.join("work")
}

/// The status and the reason of the newest run of a job, once it has ended.
fn end_of(pumice: &Pumice, home: &str, job: &str) -> (Value, String) {
    let shown = || {
        let id = format!("latest:{job}");
        pumice.run(&["--home", home, "runs", "show", &id, "-o", "json"]).json()["runs"][0].clone()
    };
    wait_until(|| shown()["ts_end"].is_string());
    let run = shown();
    (run["status"].clone(), run["reason"].as_str().unwrap_or_default().to_owned())
}

/// A chain whose second step waits for a file, or fails at first and is tried again after it; and a last one.
fn jobs(pumice: &Pumice, fresh: bool) -> Value {
    let at = pumice.path().display();
    let waits = shell("waits", &format!("touch {at}/begun; while ! test -e {at}/go; do sleep 0.05; done"));
    let mut tries = shell("tries", &format!("touch {at}/begun; test -e {at}/go"));
    tries["iteration_limit"] = json!(10);
    tries["iteration_delay"] = json!("1s");
    let (mut waits, mut last) = (waits, shell("last", "cat f | wc -l"));
    if fresh {
        for job in [&mut waits, &mut tries, &mut last] {
            job["work_dir"] = json!("fresh");
        }
    }
    let first = shell("first", "echo x > f");
    let slow = of_steps("slow", "chain", &json!("first, waits, last"));
    let again = of_steps("again", "chain", &json!("first, tries, last"));
    json!([first, waits, tries, last, slow, again])
}

#[test]
fn shared_files_that_are_gone_fail_the_next_step() {
    type Harm = fn(&Pumice) -> &'static str;
    let harms: [Harm; 2] = [
        |pumice| {
            std::fs::remove_dir_all(shared(&pumice.path().join(".pumice"))).expect("it is there");
            ".pumice"
        },
        |pumice| {
            assert_eq!(pumice.run(&["backup", "b"]).status, 0);
            assert_eq!(pumice.run(&["--home", "new", "restore", "b"]).status, 0);
            assert_eq!(pumice.run(&["--home", "new", "maintenance", "off"]).status, 0);
            "new"
        },
    ];
    for harm in harms {
        for (job, fresh) in [("slow", false), ("again", false), ("slow", true), ("again", true)] {
            let pumice = Pumice::new();
            apply(&pumice, &jobs(&pumice, fresh));
            let mut server = pumice.serve();
            assert_eq!(pumice.run(&["dispatch", job]).status, 0);
            wait_until(|| pumice.path().join("begun").exists());
            server.0.kill().expect("killed");
            server.0.wait().expect("gone");
            let home = harm(&pumice);
            pumice.write("go", "");
            let _server = pumice.serve_with(&["--home", home]);
            let (status, reason) = end_of(&pumice, home, job);
            if fresh {
                assert_eq!(status, "complete", "{job}: {reason}");
            } else {
                assert_eq!(status, "failed", "{job}");
                assert!(reason.contains(GONE), "{job}: {reason}");
            }
        }
    }
}

#[test]
fn step_after_one_that_went_on_without_lost_files_fails() {
    let pumice = Pumice::new();
    let fresh = |mut job: Value| {
        job["work_dir"] = json!("fresh");
        job
    };
    let begins = fresh(shell("begins", "echo y > g"));
    let jobs = json!([
        shell("first", "echo x > f"),
        shell("removes", "rm -rf \"$PWD\""),
        begins,
        shell("last", "cat g"),
        of_steps("c", "chain", &json!("first, removes, begins, last")),
    ]);
    apply(&pumice, &jobs);
    let _server = pumice.serve();
    ended(&pumice, "c", &[]);
    let (status, reason) = end_of(&pumice, ".pumice", "c");
    assert!(status == "failed" && reason.contains(GONE), "{reason}");
    let shown = pumice.run(&["runs", "show", "latest:c", "-o", "json"]).json();
    let step = shown["runs"].as_array().into_iter().flatten().find(|run| run["job_id"] == "begins");
    assert_eq!(step.map(|step| &step["status"]), Some(&json!("complete")), "{shown}");
}

#[test]
fn shared_directory_that_a_step_replaced_is_never_followed() {
    let pumice = Pumice::new();
    let outside = pumice.path().join("outside");
    std::fs::create_dir(&outside).expect("a folder");
    std::fs::write(outside.join("theirs"), "x").expect("a file");
    for (put, what) in [
        (format!("ln -s '{}' \"$d\"", outside.display()), "a link"),
        ("ln -s /nowhere \"$d\"".to_owned(), "a link to nothing"),
        ("echo x > \"$d\"".to_owned(), "a file"),
        ("true".to_owned(), "nothing"),
    ] {
        let replaces = format!("d=$PWD; cd /; rm -rf \"$d\"; {put}");
        let look = shell("look", "pwd -P; ls -A");
        let jobs = json!([
            shell("first", "echo x > f"),
            shell("replaces", &replaces),
            look,
            // No step left files: there is nothing to miss.
            of_steps("empty", "chain", &json!("replaces, look")),
            of_steps("used", "chain", &json!("first, replaces, look")),
        ]);
        apply(&pumice, &jobs);
        let _server = pumice.serve();
        let run = ended(&pumice, "empty", &[]);
        let printed = pumice.run(&["runs", "output", &run]).out;
        assert!(printed.ends_with(&format!("work/{run}/dir\n")), "{what}: {printed}");
        ended(&pumice, "used", &[]);
        let (status, reason) = end_of(&pumice, ".pumice", "used");
        assert!(status == "failed" && reason.contains(GONE), "{what}: {reason}");
        assert_eq!(std::fs::read_dir(&outside).expect("a folder").count(), 1, "{what}");
    }
}

#[test]
fn kept_steps_whose_files_are_gone_are_missed_by_spread_steps_too() {
    let pumice = Pumice::new();
    let fixed = pumice.path().join("fixed");
    let item = shell("item", &format!("cat file | wc -l; test -e {}", fixed.display()));
    let mut each = of_steps("each", "foreach", &json!("item"));
    each["parameters"] = json!({ "foreach": { "type": "range", "name": "n", "stop": 2 }, "spread": true });
    let mut dag = of_steps("dag", "dag", &json!({ "first": null, "item": "first" }));
    dag["parameters"] = json!({ "spread": true });
    let chain = of_steps("chain", "chain", &json!("first, each"));
    apply(&pumice, &json!([shell("first", "echo kept > file"), item, each, dag, chain]));
    let _server = pumice.serve();
    for job in ["chain", "dag"] {
        let _ = std::fs::remove_file(&fixed);
        let failed = ended(&pumice, job, &[]);
        std::fs::write(&fixed, "").expect("a file");
        assert_eq!(pumice.run(&["runs", "retry", &failed]).status, 0);
        let (status, reason) = end_of(&pumice, ".pumice", job);
        assert_eq!(status, "failed", "{job}");
        let why = pumice.run(&["runs", "show", &format!("latest:{job}"), "-o", "json"]).out;
        let wanted = format!("the files that steps left which are kept went with run {failed}");
        assert!(why.contains(&wanted), "{job}: {reason}: {why}");
    }
}
