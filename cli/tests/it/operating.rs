//! Operating a realm: finding runs, why they stand where they stand, many at once, pauses.

use serde_json::{Value, json};

use crate::pumice::{Printed, Pumice, shell, wait_until};

pub(crate) fn apply(pumice: &Pumice, jobs: &Value) {
    pumice.write("jobs.json", jobs.to_string());
    let applied = pumice.run(&["apply", "jobs.json"]);
    assert_eq!(applied.status, 0, "{applied:?}");
}

/// Dispatches a job, waits for its end, and gives the run's id.
pub(crate) fn ended(pumice: &Pumice, job: &str, more: &[&str]) -> String {
    let printed = pumice.run(&[&["dispatch", job, "--wait", "-o", "json"], more].concat());
    let id = printed.json()["accepted"][0]["run_id"].as_str().map(str::to_owned);
    id.unwrap_or_else(|| panic!("{printed:?}"))
}

pub(crate) fn of_steps(id: &str, kind: &str, payload: &Value) -> Value {
    json!({ "job_id": id, "type": kind, "worker": "core", "enabled": true, "payload": payload })
}

pub(crate) fn refused(printed: &Printed, words: &str) {
    assert!(printed.status == 2 && printed.err.contains(words), "{words}: {printed:?}");
}

#[test]
fn runs_are_found_by_the_terms_of_a_filter() {
    let pumice = Pumice::new();
    let mut night = shell("etl/night", "exit 3");
    night["tags"] = json!({ "nightly": "yes" });
    apply(&pumice, &json!([shell("etl/good", "true"), night, shell("report", "echo disk full >&2; exit 4")]));
    let _server = pumice.serve();
    for job in ["etl/good", "etl/night", "report"] {
        ended(&pumice, job, &[]);
    }
    let found = |filter: &str| -> Vec<String> {
        let listed = pumice.run(&["runs", "list", "--where", filter, "-o", "json"]);
        let listed = listed.json();
        let runs = listed["runs"].as_array().expect("runs").iter();
        let mut jobs: Vec<String> =
            runs.map(|run| run["job_id"].as_str().expect("a job").to_owned()).collect();
        jobs.sort();
        jobs
    };
    for (filter, jobs) in [
        ("", &["etl/good", "etl/night", "report"][..]),
        ("status:failed", &["etl/night", "report"]),
        ("-status:complete job:etl/*", &["etl/night"]),
        ("reason:\"exit status 4\"", &["report"]),
        ("reason:\"DISK full\"", &["report"]),
        ("job:report,etl/good", &["etl/good", "report"]),
        ("-job:report,etl/good since:1h", &["etl/night"]),
        ("tag:nightly", &["etl/night"]),
        ("-tag:nightly", &["etl/good", "report"]),
        ("tag:nightly=no", &[]),
        ("trigger:caller worker:co*", &["etl/good", "etl/night", "report"]),
        ("trigger:schedule,run", &[]),
    ] {
        assert_eq!(found(filter), jobs, "{filter}");
    }
    let id = pumice.run(&["runs", "list", "-o", "json"]).json()["runs"][0]["run_id"].clone();
    let id = id.as_str().expect("an id");
    assert_eq!(found(&format!("id:{}", &id[..30])), ["report"]);
    // Options are short forms of terms: both hold.
    let both =
        pumice.run(&["runs", "list", "--where", "job:etl/*", "--status", "failed", "-o", "json"]).json();
    assert_eq!(both["runs"][0]["job_id"], "etl/night");
    assert_eq!(both["runs"].as_array().map(Vec::len), Some(1));
    let wrong = pumice.run(&["runs", "list", "--where", "status:failed stauts:x"]);
    refused(&wrong, "\"stauts\" is not a word of filters: did you mean \"status\"?");
    let lines: Vec<&str> = wrong.err.lines().collect();
    assert_eq!(lines[1..], ["  status:failed stauts:x", "                ^"], "{wrong:?}");
    refused(
        &pumice.run(&["runs", "list", "--where", "status:failed", "--status", "complete"]),
        "no run can match",
    );
}

#[test]
fn why_shows_the_cause_of_a_wait_and_of_an_end() {
    let pumice = Pumice::new();
    let mut queue = shell("one", "while ! test -e ../../../go; do sleep 0.02; done");
    queue["overlap"] = json!("queue");
    queue["payload"] = json!("sh -c");
    let go = pumice.path().join("go");
    queue["parameters"]["args"] = json!([format!("while ! test -e {}; do sleep 0.02; done", go.display())]);
    apply(&pumice, &json!([queue, shell("bad", "echo no such table >&2; exit 7")]));
    let why = |run: &str| pumice.run(&["runs", "why", run]).out;
    let ask = |job: &str, more: &[&str]| {
        let printed = pumice.run(&[&["dispatch", job, "-o", "json"], more].concat());
        printed.json()["accepted"][0]["run_id"].as_str().expect("an id").to_owned()
    };
    let late = ask("bad", &["--delay", "10m"]);
    assert!(why(&late).starts_with("dispatched: it is not to start before "), "{}", why(&late));
    let first = ask("one", &[]);
    assert_eq!(why(&first), "dispatched: nothing serves this folder: `pumice serve` runs it\n");
    let _server = pumice.serve();
    wait_until(|| why(&first).starts_with("running: its only attempt runs on "));
    let [second, third] = [ask("one", &[]), ask("one", &[])];
    let waits = |run: &str, place: &str| {
        why(run).contains(&format!(
            "run {first} of the same job holds the lock (overlap: queue); it is {place} in line"
        ))
    };
    wait_until(|| waits(&second, "first") && waits(&third, "second"));
    let report = pumice.run(&["runs", "why", &second, "-o", "json"]).json();
    assert_eq!((&report["cause"], report["by"].as_str()), (&json!("lock"), Some(&*first)));
    std::fs::write(&go, "").expect("a file");
    wait_until(|| why(&third).starts_with("complete: it ended well in its only attempt after "));
    let bad = ended(&pumice, "bad", &[]);
    assert!(why(&bad).contains(": exit status 7: no such table"), "{}", why(&bad));
    let shown = pumice.run(&["runs", "show", &bad]).out;
    assert_eq!(shown.lines().next(), why(&bad).lines().next(), "{shown}");
    refused(&pumice.run(&["runs", "why", "ffffffff"]), "no such run");
}

#[test]
fn many_runs_are_counted_before_anything_is_done_to_them() {
    let pumice = Pumice::new();
    apply(&pumice, &json!([shell("a", "exit 1"), shell("b", "true")]));
    let lines: String = (0..30).map(|_| "a --delay 10m\n").collect();
    assert_eq!(pumice.feed(&["dispatch", "--file", "-"], lines).status, 0);
    let cancel = |more: &[&str]| pumice.run(&[&["runs", "cancel"], more].concat());
    refused(&cancel(&["--where", ""]), "it is empty, and would mean every run");
    refused(&cancel(&["--where", "status:failed"]), "no run can match");
    refused(&cancel(&["--where", "stauts:failed"]), "did you mean \"status\"?");
    refused(&cancel(&["--where", "job:a", "latest"]), "cannot be used with");
    let dry = cancel(&["latest", "--dry-run"]);
    assert!(
        dry.status == 0
            && dry.out.starts_with("would be: cancelled ")
            && dry.out.ends_with("(dry run: nothing was changed)\n"),
        "{dry:?}"
    );
    // Those of an act on many runs are found with it: what was refused above, and no dry run.
    let acts = pumice.run(&["audit", "list", "--where", "act:\"runs cancel\"", "-o", "json"]).json();
    let acts = acts["entries"].as_array().expect("entries");
    assert!(
        acts.iter().all(|one| one["act"] == "runs cancel --where" && one["outcome"] == "refused"),
        "{acts:?}"
    );
    let look = cancel(&["--where", "job:a", "--dry-run"]).out;
    let lines: Vec<&str> = look.lines().collect();
    assert_eq!((lines.len(), lines[20]), (23, "and 10 more"), "{look}");
    assert!(lines[21].starts_with("30 runs are meant by job:a status:dispatched,"), "{look}");
    let report = lines[22].split_once("the same with ").expect("what to do").1;
    let options: Vec<&str> = report.split(' ').collect();
    // One that was asked for after the look is not a part of it.
    assert_eq!(pumice.run(&["dispatch", "a", "--delay", "10m"]).status, 0);
    refused(
        &cancel(&["--where", "job:a", "--expect", "30"]),
        "31 runs are meant now, and not 30: nothing is done",
    );
    let done = cancel(&[&["--where", "job:a"], &options[..]].concat());
    assert_eq!((done.status, done.out.trim()), (0, "30 of 30 runs cancelled or asked to stop"), "{done:?}");
    let none = cancel(&["--where", "job:b"]);
    assert_eq!((none.status, none.out.trim()), (0, "0 of 0 runs cancelled or asked to stop"));
    let _server = pumice.serve();
    let failed = ended(&pumice, "a", &[]);
    let retry = |more: &[&str]| pumice.run(&[&["runs", "retry", "--where", "status:failed"], more].concat());
    let retried = retry(&["-o", "json"]).json();
    assert_eq!((&retried["done"], &retried["receipts"][0]["run"]), (&json!(1), &json!(failed)));
    // The new run has failed too, or is about to: the old one is not done again.
    let again = retry(&["--before", retried["before"].as_str().expect("a time")]);
    assert_eq!(again.out.trim(), "0 of 1 runs done again, 1 dealt with before");
    wait_until(|| {
        let open = pumice
            .run(&["runs", "list", "--where", "-status:complete,failed,cancelled job:a", "-o", "json"])
            .json();
        open["runs"].as_array().map(Vec::len) == Some(1)
    });
    let delete = pumice.run(&["runs", "delete", "--where", "job:a since:1h", "-o", "json"]).json();
    assert_eq!((&delete["count"], &delete["refused"]), (&json!(32), &json!(0)), "{delete}");
    let left = pumice.run(&["runs", "list", "-o", "json"]).json();
    assert_eq!(left["runs"].as_array().map(Vec::len), Some(1), "what waits is left");
    refused(&pumice.run(&["runs", "show", &failed]), "no such run");
}

/// One that ended well may be done again where a step of it failed and was forgiven; an item alone can be named.
#[test]
fn paused_run_waits_and_starts_at_once_when_resumed() {
    let pumice = Pumice::new();
    apply(&pumice, &json!([shell("a", "true"), shell("b", "true")]));
    let server = pumice.serve();
    let why = |run: &str| pumice.run(&["runs", "why", run]).out;
    let ask = |job: &str| {
        let printed = pumice.run(&["dispatch", job, "-o", "json"]);
        printed.json()["accepted"][0]["run_id"].as_str().expect("an id").to_owned()
    };
    for (pause, resume, words) in [
        (&["jobs", "pause", "a"][..], &["jobs", "resume", "a"][..], "job a is paused by "),
        (
            &["workers", "pause", "core", "--until", "2h"],
            &["workers", "resume", "core"],
            "worker core is paused by ",
        ),
        (&["maintenance", "on", "--why", "new disk"], &["maintenance", "off"], "the realm is paused by "),
    ] {
        assert_eq!(pumice.run(pause).status, 0);
        // A server goes by what it read of the pauses for a second.
        let waits = || {
            let run = ask("a");
            let report = || why(&run);
            wait_until(|| report().contains(words) || report().starts_with("complete"));
            if report().starts_with("dispatched") { Some(run) } else { None }
        };
        let mut run = None;
        wait_until(|| {
            run = waits();
            run.is_some()
        });
        let run = run.expect("one that waits");
        if pause[0] == "jobs" {
            let other = ask("b");
            wait_until(|| why(&other).starts_with("complete"));
        }
        if pause[0] == "maintenance" {
            assert!(why(&run).trim_end().ends_with(": new disk"), "{}", why(&run));
        }
        let listed = pumice.run(&["workers", "list"]).out;
        assert!(listed.contains("core"), "{listed}");
        let resumed = pumice.run(resume);
        assert!(resumed.status == 0 && resumed.out.starts_with("resumed "), "{resumed:?}");
        wait_until(|| why(&run).starts_with("complete"));
        let again = pumice.run(resume);
        assert!(again.out.contains(" was not paused"), "{again:?}");
    }
    // A pause outlives the server.
    assert_eq!(pumice.run(&["maintenance", "on"]).status, 0);
    assert_eq!(server.end_by("TERM"), 0);
    let run = ask("a");
    let server = pumice.serve();
    let report = pumice.run(&["jobs", "pause", "b", "--dry-run"]).out;
    assert!(report.contains("still paused: the realm") && report.contains("nothing was changed"), "{report}");
    assert!(why(&run).starts_with("dispatched: the realm is paused by "), "{}", why(&run));
    assert_eq!(pumice.run(&["maintenance", "off"]).status, 0);
    wait_until(|| why(&run).starts_with("complete"));
    drop(server);
    refused(&pumice.run(&["jobs", "pause", "x"]), "no such job \"x\"");
    refused(&pumice.run(&["workers", "pause", "cor"]), "did you mean \"core\"");
    refused(&pumice.run(&["maintenance", "on", "--until", "2020-01-01"]), "is past");
}

/// Has the record of an act on many runs say that it goes on.
fn begin_again(pumice: &Pumice, id: &str) {
    let store = rusqlite::Connection::open(pumice.path().join(".pumice/pumice.db")).expect("the store");
    store.busy_timeout(std::time::Duration::from_secs(10)).expect("a time");
    let sql = "UPDATE bulk_acts SET record = json_set(record, '$.state', json('{\"is\": \"active\"}')) WHERE id = ?";
    assert_eq!(store.execute(sql, [id]).expect("written"), 1);
}

/// Each line of the chapter's examples, in the order of the chapter, in a realm with what they name.
#[test]
fn examples_of_the_guide_run() {
    let guide = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide.md");
    let guide = std::fs::read_to_string(guide).expect("the guide");
    let chapter =
        guide.split("\n## Operating\n").nth(1).expect("the chapter").split("\n## ").next().expect("its end");
    let pumice = Pumice::new();
    let jobs = json!([
        shell("etl/load", "exit 3"),
        shell("etl/save", "true"),
        of_steps("etl/night", "chain", &json!(["etl/load", "etl/save"])),
    ]);
    apply(&pumice, &jobs);
    pumice.write("jobs/etl.json", jobs.to_string());
    pumice.write("config/prod.yaml", "prefix: { job: app, s3trigger: app }\nworker: core\n");
    pumice.write("lava-jobs/hello.yaml", "job_id: <{ prefix.job }>/hello\ntype: cmd\nworker: <{ worker }>\nenabled: true\npayload: echo {{start}}\n");
    pumice.write("lava-jobs/_common/base.yaml", "type: cmd\n");
    pumice.write(
        "lava-connections/box.yaml",
        "conn_id: box\ntype: generic\nenabled: true\nattributes: { a: 1 }\n",
    );
    pumice.write("lava-triggers/in.yaml", "trigger_id: <{ prefix.s3trigger }>/in\nbucket: b\nprefix: x\nenabled: true\njob_id: <{ prefix.job }>/hello\n");
    assert_eq!(pumice.run(&["dispatch", "etl/save", "--delay", "15m"]).status, 0);
    let _server = pumice.serve();
    ended(&pumice, "etl/night", &[]);
    let planned = pumice.run(&["plan", "jobs", "--prune", "--scope", "etl", "-o", "json"]).json();
    let planned = planned["digest"].as_str().expect("a digest");
    let lines: Vec<&str> = chapter
        .split("```sh\n")
        .skip(1)
        .flat_map(|block| block.split("```").next().unwrap_or_default().lines())
        .collect();
    assert!(lines.len() >= 10, "{lines:?}");
    let apart = tempfile::tempdir().expect("a folder");
    for line in lines {
        let mut words = crate::schedules::words_of(line);
        if words[1] == "apply" {
            // The digest of the guide's plan is that of another realm.
            words
                .iter_mut()
                .filter(|word| word.len() == planned.len())
                .for_each(|word| *word = planned.to_owned());
        }
        // The guide's act is one of another realm. The newest here is over: as a killed process leaves it, it can be stopped.
        if words.len() > 4 && words[1..3] == ["runs", "bulk"] {
            let acts = pumice.run(&["runs", "bulk", "list", "-o", "json"]).json();
            words[4] = acts["bulk"][0]["id"].as_str().expect("an id").to_owned();
            if words[3] == "stop" {
                begin_again(&pumice, &words[4]);
            }
        }
        // A place of this test's own, next to the folder that is copied.
        if words[1] == "backup" {
            words[2] = apart.path().join("shop.backup").display().to_string();
        }
        let printed = pumice.run(&words.iter().skip(1).map(String::as_str).collect::<Vec<_>>());
        assert_eq!(printed.status, 0, "{line}: {printed:?}");
        wait_until(|| {
            let filter = "-status:complete,failed,cancelled job:etl/night";
            pumice.run(&["runs", "list", "--where", filter, "-o", "json"]).json()["runs"] == json!([])
        });
    }
    for word in pumice_core::filter::AuditWord::ALL {
        assert!(chapter.contains(&format!("`{}`", word.as_str())), "the guide does not tell of {word:?}");
    }
    for word in pumice_core::filter::Word::ALL {
        assert!(chapter.contains(&format!("| `{}` |", word.as_str())), "the guide does not tell of {word:?}");
    }
}

#[test]
fn jobs_and_schedules_are_found_by_the_terms_of_a_filter() {
    let pumice = Pumice::new();
    let mut jobs = [shell("etl/load", "true"), shell("etl/clean", "true"), shell("report", "true")];
    jobs[0]["tags"] = json!({ "nightly": "yes" });
    jobs[1]["worker"] = json!("gpu");
    for (hour, job) in jobs.iter_mut().enumerate() {
        job["schedule"] = json!(format!("0 {hour} * * *"));
    }
    let logging =
        json!({ "job_id": "note", "type": "log", "worker": "core", "enabled": true, "payload": null });
    apply(&pumice, &jobs.into_iter().chain([logging]).collect());
    let found = |command: &str, list: &str, filter: &str| -> Vec<String> {
        let listed = pumice.run(&[command, "list", "--where", filter, "-o", "json"]).json();
        let rows = listed[list].as_array().expect("rows").iter();
        rows.map(|row| row["job_id"].as_str().expect("a job").to_owned()).collect()
    };
    for (filter, wanted) in [
        ("", &["etl/clean", "etl/load", "note", "report"][..]),
        ("job:etl/*", &["etl/clean", "etl/load"]),
        ("-worker:gpu type:cmd", &["etl/load", "report"]),
        ("tag:nightly=yes,weekly", &["etl/load"]),
        ("-tag:nightly job:etl/*", &["etl/clean"]),
        ("worker:none", &[]),
    ] {
        assert_eq!(found("jobs", "jobs", filter), wanted, "{filter}");
        let scheduled: Vec<&str> = wanted.iter().copied().filter(|job| *job != "note").collect();
        assert_eq!(found("schedules", "schedules", filter), scheduled, "{filter}");
    }
    for command in ["jobs", "schedules"] {
        let other = pumice.run(&[command, "list", "--where", "status:failed"]);
        refused(&other, "\"status\" is not asked of jobs: the words are job: worker: type: tag:");
        refused(&pumice.run(&[command, "list", "--where", "job"]), "^");
    }
}
