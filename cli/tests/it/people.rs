//! Output for people: lists that fit, short ids, escaped texts.

use std::io::BufRead;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::pumice::{Pumice, shell};

fn log(id: &str) -> Value {
    json!({ "job_id": id, "type": "log", "worker": "core", "enabled": true, "payload": null })
}

fn apply(pumice: &Pumice, jobs: &Value) {
    pumice.write("jobs.json", jobs.to_string());
    let printed = pumice.run(&["apply", "jobs.json"]);
    assert_eq!(printed.status, 0, "{printed:?}");
}

fn dispatch(pumice: &Pumice, job: &str) -> String {
    let printed = pumice.run(&["dispatch", job, "-o", "json"]);
    printed.json()["accepted"][0]["run_id"].as_str().unwrap_or_else(|| panic!("{printed:?}")).to_owned()
}

#[test]
fn lists_fit_eighty_columns_and_say_how_many_there_are() {
    let pumice = Pumice::new();
    let long = format!("etl/{}load/01", "customers/".repeat(20));
    let mut reported = log("told");
    reported["description"] = "what it is for, at length ".repeat(20).into();
    apply(&pumice, &json!([log(&long), reported]));
    for job in [long.as_str(), "told", "told"] {
        dispatch(&pumice, job);
    }
    pumice.run(&["state", "put", &long, &"x".repeat(500)]);
    for (arguments, counted) in [
        (&["runs", "list"][..], "3 of 3 runs"),
        (&["runs", "list", "--limit", "2"], "2 of 3 runs"),
        (&["runs", "list", "--job", "told", "--limit", "1"], "1 of 2 runs"),
        (&["runs", "list", "--since", "1h"], "3 of 3 runs"),
        (&["runs", "list", "--status", "failed"], "0 of 0 runs"),
        (&["jobs", "list"], "2 of 2 jobs"),
        (&["jobs", "list", "t*"], "1 of 2 jobs"),
        (&["state", "list"], "1 of 1 state items"),
    ] {
        let printed = pumice.run(arguments);
        assert!(printed.out.lines().all(|line| line.chars().count() <= 80), "{arguments:?}: {}", printed.out);
        assert!(printed.err.contains(&format!("note: {counted}\n")), "{arguments:?}: {printed:?}");
    }
    let cut = pumice.run(&["runs", "list", "--job", &long]).out;
    assert!(cut.contains("etl/") && cut.contains("…") && cut.contains("load/01"), "{cut}");
    for arguments in [&["runs", "list", "-o", "wide"][..], &["jobs", "list", "-o", "wide"]] {
        assert!(pumice.run(arguments).out.contains(&long), "{arguments:?}");
    }
}

#[test]
fn list_goes_on_with_its_cursor_in_both_orders() {
    let pumice = Pumice::new();
    apply(&pumice, &json!([log("a"), log("b")]));
    let mut ids: Vec<String> = ["a", "b", "a", "b", "a"].iter().map(|job| dispatch(&pumice, job)).collect();
    for order in [&["--oldest"][..], &[]] {
        let (mut found, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let mut arguments = [&["runs", "list", "--limit", "2", "-o", "json"], order].concat();
            arguments.extend(cursor.iter().flat_map(|cursor| ["--cursor", cursor.as_str()]));
            let page = pumice.run(&arguments).json();
            assert_eq!(page["is_cut"], false);
            let runs = page["runs"].as_array().expect("runs");
            found.extend(runs.iter().filter_map(|run| run["run_id"].as_str()).map(str::to_owned));
            match page["next"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => break,
            }
        }
        assert_eq!(found, ids, "{order:?}");
        ids.reverse();
        // People see it in the same way.
        let reported = pumice.run(&[&["runs", "list", "--limit", "4"], order].concat()).err;
        let next = reported
            .lines()
            .find_map(|line| line.split_once("more with --cursor "))
            .expect("there is more")
            .1;
        let last = pumice.run(&[&["runs", "list", "--cursor", next], order].concat());
        assert!(last.err.contains("1 runs") && last.err.contains("the list ends here"), "{last:?}");
        let other = if order.is_empty() { &["--oldest"][..] } else { &[] };
        let refused = pumice.run(&[&["runs", "list", "--cursor", next], other].concat());
        assert!(refused.status == 2 && refused.err.contains("in the other order"), "{refused:?}");
    }
    let several = pumice.run(&["runs", "list", "--status", "failed,dispatched"]);
    assert!(several.err.contains("5 of 5 runs"), "{several:?}");
    let none = pumice.run(&["runs", "list", "--until", "1h"]);
    assert!(none.err.contains("0 of 0 runs"), "{none:?}");
    for wrong in
        [&["--cursor", "x"][..], &["--since", "1h", "--until", "2h"], &["--since", "1h", "--until", "1h"]]
    {
        let refused = pumice.run(&[&["runs", "list"], wrong].concat());
        assert!(
            refused.err.contains("is invalid") || refused.err.contains("no run can match"),
            "{refused:?}"
        );
    }
}

#[test]
fn ids_may_be_shortened_and_latest_is_one() {
    let pumice = Pumice::new();
    apply(&pumice, &json!([log("a"), log("b"), log("c")]));
    assert!(pumice.run(&["runs", "show", "latest"]).err.contains("the realm has no runs yet"));
    let first = dispatch(&pumice, "a");
    for _ in 0..3 {
        dispatch(&pumice, "a");
    }
    let last = dispatch(&pumice, "b");
    let shown = |id: &str| pumice.run(&["runs", "show", id, "-o", "json"]);
    let run_id = |id: &str| shown(id).json()["runs"][0]["run_id"].as_str().map(str::to_owned);
    assert_eq!(run_id("latest"), Some(last.clone()));
    assert_ne!(run_id("latest:a"), Some(first.clone()));
    assert_eq!(run_id("latest:b"), Some(last.clone()));
    assert!(shown("latest:c").err.contains("job \"c\" has no runs yet"));
    assert!(shown("latest:nope").err.contains("no such job nope"));
    assert_eq!(run_id(&first.to_uppercase()), Some(first.clone()));
    // Every id as the list shows it names its run alone.
    let listed = pumice.run(&["runs", "list"]).out;
    let ids: Vec<&str> = listed.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
    assert_eq!((ids.len(), run_id(ids[0]), run_id(ids[4])), (5, Some(last.clone()), Some(first.clone())));
    assert!(ids.iter().all(|id| id.len() < 36), "{listed}");
    let one = pumice.run(&["runs", "list", "--limit", "1"]).out;
    let id = one.lines().nth(1).and_then(|line| line.split(' ').next()).expect("an id");
    assert_eq!(run_id(id), Some(last));
    let several = shown(&first[..4]);
    assert!(several.status == 2 && several.err.contains("begins the ids of several runs: "), "{several:?}");
    assert!(shown(&first[..3]).err.contains("too short"), "{:?}", shown(&first[..3]));
    assert!(shown("ffffffff").err.contains("no such run ffffffff"));
    assert!(shown("nothing").err.contains("is not a UUID"));
    let id = &pumice.run(&["runs", "list", "--job", "b"]).out;
    let id = id.lines().nth(1).and_then(|line| line.split(' ').next()).expect("an id");
    assert!(pumice.run(&["runs", "cancel", id]).out.starts_with("cancelled "));
    assert!(pumice.run(&["runs", "output", "latest"]).status == 0);
}

#[test]
fn steps_show_their_item_and_their_attempt() {
    let pumice = Pumice::new();
    let items = json!({ "type": "inline", "values": [{ "customer": 12 }, { "customer": 13 }] });
    let each = json!({ "job_id": "each", "type": "foreach", "worker": "core", "enabled": true, "payload": "one",
        "parameters": { "foreach": items, "can_fail": true } });
    let range = json!({ "job_id": "range", "type": "foreach", "worker": "core", "enabled": true, "payload": "one",
        "parameters": { "foreach": { "type": "range", "name": "n", "start": 5, "stop": 7 }, "can_fail": true } });
    let again = json!({ "job_id": "again", "type": "chain", "worker": "core", "enabled": true, "payload": "low", "iteration_limit": 2 });
    let three = json!({ "job_id": "three", "type": "chain", "worker": "core", "enabled": true, "payload": "low, one" });
    let off = json!({ "job_id": "off", "type": "log", "worker": "core", "enabled": false, "payload": null });
    let skips =
        json!({ "job_id": "skips", "type": "chain", "worker": "core", "enabled": true, "payload": "off" });
    let jobs = json!([
        each,
        range,
        again,
        three,
        off,
        skips,
        shell("one", "test \"{{ globals.customer }}\" = 12"),
        shell("low", "exit 3")
    ]);
    pumice.write("jobs.json", jobs.to_string());
    let tree = |job: &str| pumice.run(&["run", "--jobs", "jobs.json", job]).out;
    let shown = tree("each");
    assert!(shown.contains("one (item 0: customer=12)  complete"), "{shown}");
    assert!(shown.contains("one (item 1: customer=13)  failed"), "{shown}");
    let shown = tree("range");
    assert!(shown.contains("one (item 0: n=5)") && shown.contains("one (item 1: n=6)"), "{shown}");
    let shown = tree("again");
    assert!(
        shown.contains("low (attempt 1)  failed") && shown.contains("low (attempt 2)  failed"),
        "{shown}"
    );
    let shown = tree("three");
    assert!(shown.contains("├─ low  failed") && shown.contains("└─ one  not run"), "{shown}");
    assert!(shown.lines().any(|line| line.contains("not run") && line.ends_with("low failed")), "{shown}");
    let shown = tree("skips");
    assert!(shown.contains("off  skipped") && shown.contains("the job is not enabled"), "{shown}");
}

#[test]
fn waiting_and_orphaned_runs_say_so() {
    let pumice = Pumice::new();
    let mut alone = shell("alone", "touch started; exec sleep 600");
    alone["parameters"]["args"][0] =
        format!("touch {}/started; exec sleep 600", pumice.path().display()).into();
    alone["overlap"] = "queue".into();
    apply(&pumice, &json!([alone, log("other")]));
    let mut server = pumice.serve();
    let keyed = ["dispatch", "alone", "--key", "k"];
    let printed = pumice.run(&[&keyed[..], &["-o", "json"]].concat());
    let first = printed.json()["accepted"][0]["run_id"].as_str().expect("an id").to_owned();
    wait_until(|| pumice.path().join("started").exists());
    let second = dispatch(&pumice, "alone");
    let shown = |id: &str| pumice.run(&["runs", "show", id]);
    wait_until(|| shown(&second).out.contains("waits: run "));
    assert!(shown(&second).out.contains(&first), "{:?}", shown(&second));
    assert!(!shown(&first).out.contains("gone"), "{:?}", shown(&first));
    let mut follower = pumice.command(&[&keyed[..], &["--wait"]].concat());
    let mut follower = follower.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it follows");
    let mut reported = std::io::BufReader::new(follower.stderr.take().expect("stderr")).lines();
    server.0.kill().expect("killed");
    server.0.wait().expect("gone");
    let line = reported.next().expect("a line").expect("a text");
    assert!(line.contains("the server that ran this is gone"), "{line}");
    let orphan = shown(&first);
    assert!(
        orphan.out.contains("its server is gone") && orphan.err.contains("goes on when one serves again"),
        "{orphan:?}"
    );
    assert!(pumice.run(&["runs", "list"]).out.contains("its server is gone"));
    assert!(shown(&second).err.contains("nothing serves this folder"), "{:?}", shown(&second));
    // Cancelled meanwhile, it does not say that it never ran.
    assert_eq!(pumice.run(&["runs", "cancel", &first]).status, 0);
    assert_eq!(pumice.run(&["runs", "cancel", &second]).status, 0);
    let _again = pumice.serve();
    wait_until(|| shown(&first).out.contains("cancelled"));
    assert!(
        !shown(&first).out.lines().next().unwrap_or_default().contains("before it ran"),
        "{:?}",
        shown(&first)
    );
    assert!(shown(&second).out.contains("before it ran"), "{:?}", shown(&second));
    reported.map_while(Result::ok).for_each(drop);
    assert_eq!(follower.wait().expect("an end").code(), Some(1));
}

#[test]
fn waiting_for_runs_is_well_only_when_all_complete() {
    let pumice = Pumice::new();
    let mut off = log("off");
    off["enabled"] = false.into();
    apply(&pumice, &json!([log("ok"), off, shell("bad", "exit 3")]));
    let _server = pumice.serve();
    for (arguments, status) in [
        (&["ok"][..], 0),
        (&["bad"], 1),
        (&["off"], 1),
        (&["ok", "off"], 1),
        (&["ok", "off", "--allow-skipped"], 0),
        (&["off", "--allow-skipped"], 0),
        (&["bad", "--allow-skipped"], 1),
    ] {
        let printed = pumice.run(&[&["dispatch", "--wait"], arguments].concat());
        assert_eq!(printed.status, status, "{arguments:?}: {printed:?}");
        // `run` takes one job, and ends as `dispatch --wait` does.
        if !arguments.contains(&"ok") || arguments.len() == 1 {
            let printed = pumice.run(&[&["run"], arguments].concat());
            assert_eq!(printed.status, status, "run {arguments:?}: {printed:?}");
        }
    }
}

#[test]
fn output_of_jobs_does_not_control_a_terminal() {
    let pumice = Pumice::new();
    let nasty = "printf '\\033[2J\\007evil \\342\\200\\256gnp\\n' >&2; exit 3";
    pumice.write("jobs.json", shell("a", nasty).to_string());
    let printed = pumice.run(&["run", "--jobs", "jobs.json", "--keep", "kept", "a"]);
    for text in [&printed.out, &printed.err] {
        assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{printed:?}");
    }
    assert!(printed.out.contains("\\x1b[2J\\x07evil \\u{202e}gnp"), "{printed:?}");
    for arguments in
        [&["runs", "list"][..], &["runs", "show", "latest"], &["runs", "show", "latest", "-o", "wide"]]
    {
        let printed = pumice.run(&[&["--home", "kept"], arguments].concat());
        assert!(!printed.out.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{printed:?}");
    }
    // Into a pipe it comes byte for byte.
    let output = pumice.run(&["--home", "kept", "runs", "output", "latest"]);
    assert_eq!(output.err, "\u{1b}[2J\u{7}evil \u{202e}gnp\n");
}

#[test]
fn templates_are_printed_whole_and_for_programs() {
    let pumice = Pumice::new();
    assert_eq!(pumice.run(&["template", "a b", "-o", "json"]).out, "\"a b\"\n");
    assert_eq!(pumice.run(&["template", "a b", "-o", "yaml"]).out, "a b\n");
    let bytes = "x\u{1}\u{1b}[1m\u{7}\u{202e}y";
    assert_eq!(pumice.feed(&["template", "-"], bytes).out, format!("{bytes}\n"));
    let printed = pumice.feed(&["template", "-", "-o", "json"], bytes);
    assert_eq!(printed.json(), bytes);
}

#[test]
fn closed_pipe_is_not_a_failure_of_any_command() {
    let pumice = Pumice::new();
    apply(&pumice, &log("a"));
    dispatch(&pumice, "a");
    for arguments in [
        &["completions", "bash"][..],
        &["completions", "zsh"],
        &["schema", "job"],
        &["jobs", "list"],
        &["jobs", "show", "a"],
        &["runs", "list"],
        &["runs", "show", "latest"],
        &["template", "x"],
        &["dispatch", "a"],
    ] {
        let mut child = pumice
            .command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !err.contains("panicked"), "{arguments:?}: {err}");
        // Both into one reader that goes away, as `2>&1 | head` does.
        let script = format!(
            "{} {} 2>&1 | head -c 0; exit ${{PIPESTATUS[0]}}",
            env!("CARGO_BIN_EXE_pumice"),
            arguments.join(" ")
        );
        let mut bash = std::process::Command::new("bash");
        let status = bash.args(["-c", &script]).current_dir(pumice.path()).status().expect("bash");
        assert!(status.success(), "{arguments:?}: {status}");
    }
    let script = format!(
        "{} runs show nothing 2>&1 | head -c 0; exit ${{PIPESTATUS[0]}}",
        env!("CARGO_BIN_EXE_pumice")
    );
    let mut bash = std::process::Command::new("bash");
    let status = bash.args(["-c", &script]).current_dir(pumice.path()).status().expect("bash");
    assert_eq!(status.code(), Some(2));
}

#[test]
fn reads_do_not_wait_for_a_writer() {
    let pumice = Pumice::new();
    apply(&pumice, &log("a"));
    let run = dispatch(&pumice, "a");
    let writer = rusqlite::Connection::open(pumice.path().join(".pumice/pumice.db")).expect("a store");
    writer.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    for arguments in [
        &["jobs", "list"][..],
        &["jobs", "show", "a"],
        &["runs", "list"],
        &["runs", "show", &run],
        &["runs", "output", &run],
        &["state", "list"],
        &["render", "a"],
        &["check", "jobs.json"],
        &["apply", "--dry-run", "jobs.json"],
    ] {
        let printed = pumice.run(arguments);
        assert_eq!(printed.status, 0, "{arguments:?}: {printed:?}");
    }
}

/// Waits for something that another process does: no more than it takes, and not for ever.
fn wait_until(mut holds: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !holds() {
        assert!(began.elapsed() < std::time::Duration::from_secs(60), "it did not come to pass");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
