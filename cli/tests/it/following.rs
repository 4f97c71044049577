//! Output of commands, while they print it.

use std::path::PathBuf;
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::pumice::{Printed, Pumice, shell, wait_until};

/// A command that follows, into files.
struct Follower {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Follower {
    fn of(pumice: &Pumice, arguments: &[&str]) -> Self {
        let place = |name: &str| pumice.path().join(name);
        let (out, err) = (place("followed.out"), place("followed.err"));
        let file = |path: &PathBuf| Stdio::from(std::fs::File::create(path).expect("a file"));
        let mut command = pumice.command(&[&["runs", "output"], arguments].concat());
        let child = command.stdout(file(&out)).stderr(file(&err)).spawn().expect("the command");
        Self { child, out, err }
    }

    fn out(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.out).expect("a file")).into_owned()
    }

    fn err(&self) -> String {
        std::fs::read_to_string(&self.err).expect("a file")
    }

    fn end(mut self) -> Printed {
        let status = self.child.wait().expect("an end").code().unwrap_or(-1);
        Printed { status, out: self.out(), err: self.err() }
    }
}

/// A part of a script that waits for a file.
fn until(pumice: &Pumice, name: &str) -> String {
    format!("while ! test -e {}/{name}; do sleep 0.02; done", pumice.path().display())
}

fn apply(pumice: &Pumice, jobs: &Value) {
    pumice.write("jobs.json", jobs.to_string());
    let applied = pumice.run(&["apply", "jobs.json"]);
    assert_eq!(applied.status, 0, "{applied:?}");
}

fn dispatch(pumice: &Pumice, job: &str) -> String {
    let asked = pumice.run(&["dispatch", job, "-o", "json"]);
    asked.json()["accepted"][0]["run_id"].as_str().unwrap_or_else(|| panic!("{asked:?}")).to_owned()
}

#[test]
fn output_is_followed_from_before_the_start_to_the_end() {
    let pumice = Pumice::new();
    let script = format!("printf begun; {}; echo; echo bad >&2; exit 3", until(&pumice, "go"));
    apply(&pumice, &json!([shell("a", &script)]));
    let run = dispatch(&pumice, "a");
    let follower = Follower::of(&pumice, &[&run, "-f"]);
    wait_until(|| follower.err().contains("the run is dispatched: what it prints is shown once it starts"));
    let _server = pumice.serve();
    // No end of a line is waited for.
    wait_until(|| follower.out() == "begun");
    pumice.write("go", "");
    let ended = follower.end();
    assert_eq!((ended.status, ended.out.as_str()), (1, "begun\n"), "{ended:?}");
    assert!(ended.err.contains("bad\n") && ended.err.contains("the run is failed"), "{ended:?}");
    // Of one that has ended it is the end.
    let again = pumice.run(&["runs", "output", &run, "-f", "-q", "--tail", "2"]);
    assert_eq!((again.status, again.out.as_str(), again.err.as_str()), (1, "", "d\n"), "{again:?}");
    let lines = pumice.run(&["runs", "output", &run, "-f", "-o", "json"]);
    let parts: Vec<Value> = lines.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(
        (&parts[0]["text"], &parts[0]["next"], &parts[0]["name"]),
        (&json!("begun\n"), &json!(6), &json!("stdout"))
    );
    assert_eq!(parts.last(), Some(&json!({ "run_key": run, "status": "failed" })));
    let yaml = pumice.run(&["runs", "output", &run, "-f", "-o", "yaml"]);
    assert!(yaml.status == 2 && yaml.err.contains("-o json prints a line for each part"), "{yaml:?}");
}

#[test]
fn attempts_and_steps_are_followed_one_after_the_other() {
    let pumice = Pumice::new();
    let mut step =
        shell("step", "echo attempt {{ globals.lava.iteration }}; test {{ globals.lava.iteration }} = 2");
    step["iteration_limit"] = 2.into();
    step["render_at"] = "run".into();
    let chain = json!({ "job_id": "c", "type": "chain", "worker": "core", "enabled": true, "payload": ["first", "step"] });
    apply(&pumice, &json!([step, shell("first", "echo first"), chain]));
    let _server = pumice.serve();
    let run = dispatch(&pumice, "c");
    let followed = Follower::of(&pumice, &["latest:c", "--follow"]).end();
    assert_eq!(
        (followed.status, followed.out.as_str()),
        (0, "first\nattempt 1\nattempt 2\n"),
        "{followed:?}"
    );
    for step in ["step", "/1.1", "1.1"] {
        let of_step = pumice.run(&["runs", "output", &run, "--step", step]);
        assert_eq!(of_step.out, "attempt 1\nattempt 2\n", "{step}: {of_step:?}");
        let followed = pumice.run(&["runs", "output", &run, "-f", "--step", step]);
        assert_eq!((followed.status, followed.out), (0, of_step.out), "{step}");
    }
    for follow in [&["-f"][..], &[]] {
        let none = pumice.run(&[&["runs", "output", &run, "--step", "third"], follow].concat());
        assert!(
            none.status == 2 && none.err.contains("has no step \"third\": its steps are first, step"),
            "{none:?}"
        );
    }
    assert_eq!(pumice.run(&["runs", "output", &run, "--since", "1h"]).out.lines().count(), 3);
    assert_eq!(pumice.run(&["runs", "output", &run, "--since", "0s"]).out, "");
}

#[test]
fn secret_printed_in_two_parts_is_masked_while_followed() {
    let pumice = Pumice::new();
    let set = pumice.feed(&["secrets", "set", "k"], "followed-canary-4471");
    assert_eq!(set.status, 0, "{set:?}");
    let script = format!(
        "printf 'a followed-can'; {}; printf 'ary-4471 b'; {}",
        until(&pumice, "go"),
        until(&pumice, "end")
    );
    apply(&pumice, &json!([shell("a", &script)]));
    let _server = pumice.serve();
    let run = dispatch(&pumice, "a");
    let follower = Follower::of(&pumice, &[&run, "-f"]);
    wait_until(|| follower.out() == "a ");
    let part = pumice.run(&["runs", "output", &run, "--from", "0", "-o", "json"]).json();
    assert_eq!((&part["text"], &part["next"], &part["is_open"]), (&json!("a "), &json!(2), &json!(true)));
    pumice.write("go", "");
    wait_until(|| follower.out() == "a ***** b");
    let part = pumice.run(&["runs", "output", &run, "--from", "2", "-o", "json"]).json();
    assert_eq!((&part["text"], &part["next"]), (&json!("***** b"), &json!(9)));
    pumice.write("end", "");
    assert_eq!(follower.end().out, "a ***** b");
    assert_eq!(pumice.run(&["runs", "output", &run]).out, "a ***** b");
    let rest = pumice.run(&["runs", "output", &run, "--from", "7"]);
    assert!(rest.out == " b" && rest.err.contains("go on with --from 9"), "{rest:?}");
    let beyond = pumice.run(&["runs", "output", &run, "--from", "10"]);
    assert!(beyond.status == 2 && beyond.err.contains("--from 10: there are 9 bytes"), "{beyond:?}");
}

#[test]
fn output_before_a_kill_is_separate_from_the_next_execution() {
    let pumice = Pumice::new();
    let script = format!(
        "if test -e again; then echo second; else touch again; echo first; echo bad >&2; fi; {}",
        until(&pumice, "go")
    )
    .replace("again", &pumice.path().join("again").display().to_string());
    apply(&pumice, &json!([shell("a", &script)]));
    let mut server = pumice.serve();
    let run = dispatch(&pumice, "a");
    let follower = Follower::of(&pumice, &[&run, "-f"]);
    wait_until(|| follower.out() == "first\n");
    server.0.kill().expect("killed");
    server.0.wait().expect("gone");
    assert_eq!(pumice.run(&["runs", "output", &run]).out, "first\n");
    let server = pumice.serve();
    wait_until(|| follower.out() == "first\nsecond\n");
    assert_eq!(pumice.run(&["runs", "output", &run]).out, "first\nsecond\n");
    // One that is stopped leaves what it printed as well.
    assert_eq!(server.end_by("TERM"), 0);
    let _server = pumice.serve();
    wait_until(|| follower.out() == "first\nsecond\nsecond\n");
    pumice.write("go", "");
    let followed = follower.end();
    assert_eq!((followed.status, followed.out.as_str()), (0, "first\nsecond\nsecond\n"), "{followed:?}");
    assert!(followed.err.contains("the worker of a was lost: stdout ends here"), "{followed:?}");
    let places = pumice.run(&["runs", "output", &run, "-o", "json"]).json();
    let shown: Vec<(bool, &str)> = places
        .as_array()
        .expect("places")
        .iter()
        .filter(|place| place["name"] == "stdout")
        .map(|place| (place["lost"].as_bool().expect("a flag"), place["location"].as_str().expect("a place")))
        .map(|(lost, place)| (lost, if place.contains("/lost/") { "lost" } else { "temp" }))
        .collect();
    assert_eq!(shown, [(true, "lost"), (true, "lost"), (false, "temp")], "{places:#}");
}

#[test]
fn output_above_the_realms_limit_is_cut_and_the_command_goes_on() {
    let pumice = Pumice::new();
    let realm = json!({ "realm": "local", "config": { "OUTPUT_MAX_SIZE": "1K" } });
    let spec = shell("a", "yes 1234567 | head -c 300000; echo end >&2; echo done > $LAVA_S3_TMP/done");
    apply(&pumice, &json!([realm, spec]));
    let _server = pumice.serve();
    let asked = pumice.run(&["dispatch", "a", "--wait", "-o", "json"]).json();
    let result = &asked["runs"][0]["result"]["output"][0];
    assert_eq!(
        (&result["stdout_dropped"], &result["stderr_dropped"]),
        (&json!(299_000), &Value::Null),
        "{asked:#}"
    );
    let printed = pumice.run(&["runs", "output", "latest"]);
    let (kept, note) = printed.out.split_at(1_000);
    assert_eq!((kept, printed.err.as_str()), ("1234567\n".repeat(125).as_str(), "end\n"));
    assert_eq!(note, "\n(pumice keeps the first 1000 bytes: OUTPUT_MAX_SIZE; the command goes on)\n");
}

#[test]
fn cancelled_run_ends_the_following_with_all_that_was_printed() {
    let pumice = Pumice::new();
    // Bytes that are not UTF-8, control characters, and a line that has no end.
    let script = r"printf 'bar 1%%\rbar 2%%\r\033[31m\000\377end'; exec sleep 1000";
    apply(&pumice, &json!([shell("a", script)]));
    let _server = pumice.serve();
    let run = dispatch(&pumice, "a");
    let follower = Follower::of(&pumice, &[&run, "-f", "-q"]);
    let wanted = b"bar 1%\rbar 2%\r\x1b[31m\0\xffend";
    wait_until(|| std::fs::read(&follower.out).expect("a file") == wanted);
    assert_eq!(pumice.run(&["runs", "cancel", &run]).status, 0);
    let out = follower.out.clone();
    assert_eq!(follower.end().status, 1);
    assert_eq!(std::fs::read(out).expect("a file"), wanted);
}
