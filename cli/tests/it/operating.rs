//! Operating a realm: finding runs, why they stand where they stand, doing them again.

use serde_json::{Value, json};

use crate::pumice::{Printed, Pumice, shell, wait_until};

fn apply(pumice: &Pumice, jobs: &Value) {
    pumice.write("jobs.json", jobs.to_string());
    let applied = pumice.run(&["apply", "jobs.json"]);
    assert_eq!(applied.status, 0, "{applied:?}");
}

/// Dispatches a job, waits for its end, and gives the run's id.
fn ended(pumice: &Pumice, job: &str, more: &[&str]) -> String {
    let printed = pumice.run(&[&["dispatch", job, "--wait", "-o", "json"], more].concat());
    let id = printed.json()["accepted"][0]["run_id"].as_str().map(str::to_owned);
    id.unwrap_or_else(|| panic!("{printed:?}"))
}

fn of_steps(id: &str, kind: &str, payload: &Value) -> Value {
    json!({ "job_id": id, "type": kind, "worker": "core", "enabled": true, "payload": payload })
}

/// Does a run again, also one that has been, and waits for the end of the new one.
fn again(pumice: &Pumice, run: &str, more: &[&str]) -> String {
    let printed = pumice.run(&[&["runs", "retry", run, "--once-more", "-o", "json"], more].concat());
    let id = printed.json()["accepted"]["run_id"].as_str().map(str::to_owned);
    let id = id.unwrap_or_else(|| panic!("{printed:?}"));
    wait_until(|| {
        let why = pumice.run(&["runs", "why", &id, "-o", "json"]).json();
        ["complete", "failed", "rejected", "cancelled"].iter().any(|end| why["status"] == *end)
    });
    id
}

/// The steps of a run, as `JOB STATUS` or `JOB kept`, in the order of their places.
fn steps(pumice: &Pumice, run: &str) -> Vec<String> {
    let tree = pumice.run(&["runs", "show", run, "-o", "json"]).json();
    let mut steps: Vec<(String, String)> = tree["runs"]
        .as_array()
        .expect("runs")
        .iter()
        .skip(1)
        .map(|step| {
            let how =
                if step["kept"].is_string() { "kept" } else { step["status"].as_str().expect("a status") };
            let key = step["run_key"].as_str().expect("a key").to_owned();
            (key, format!("{} {how}", step["job_id"].as_str().expect("a job")))
        })
        .collect();
    steps.sort();
    steps.into_iter().map(|(_, step)| step).collect()
}

fn refused(printed: &Printed, words: &str) {
    assert!(printed.status == 2 && printed.err.contains(words), "{words}: {printed:?}");
}

/// A script that succeeds where a file is there, and tells that it ran.
fn needs(pumice: &Pumice, job: &str, file: &str) -> Value {
    let (ran, file) = (pumice.path().join("ran"), pumice.path().join(file));
    shell(job, &format!("echo {job} >> {}; echo from {job}; test -e {}", ran.display(), file.display()))
}

fn ran(pumice: &Pumice) -> Vec<String> {
    let text = std::fs::read_to_string(pumice.path().join("ran")).unwrap_or_default();
    let _ = std::fs::remove_file(pumice.path().join("ran"));
    text.lines().map(str::to_owned).collect()
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
fn why_tells_what_a_run_waits_for_and_how_it_ended() {
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
    let told = pumice.run(&["runs", "why", &second, "-o", "json"]).json();
    assert_eq!((&told["cause"], told["by"].as_str()), (&json!("lock"), Some(&*first)));
    std::fs::write(&go, "").expect("a file");
    wait_until(|| why(&third).starts_with("complete: it ended well in its only attempt after "));
    let bad = ended(&pumice, "bad", &[]);
    assert!(why(&bad).contains(": exit status 7: no such table"), "{}", why(&bad));
    let shown = pumice.run(&["runs", "show", &bad]).out;
    assert_eq!(shown.lines().next(), why(&bad).lines().next(), "{shown}");
    refused(&pumice.run(&["runs", "why", "ffffffff"]), "no such run");
}

#[test]
fn chain_that_failed_goes_on_from_its_failed_step() {
    let pumice = Pumice::new();
    let jobs = json!([
        needs(&pumice, "a", "jobs.json"),
        needs(&pumice, "b", "fixed"),
        needs(&pumice, "c", "jobs.json"),
        of_steps("all", "chain", &json!(["a", "b", "c"])),
    ]);
    apply(&pumice, &jobs);
    let _server = pumice.serve();
    let first = ended(&pumice, "all", &[]);
    assert_eq!(ran(&pumice), ["a", "b"]);
    let plan = pumice.run(&["runs", "retry", &first, "--dry-run"]).out;
    assert!(plan.starts_with(&format!("nothing is done yet: this would do {first} again\n")), "{plan}");
    let lines: Vec<&str> = plan.lines().skip(1).map(str::trim).collect();
    assert_eq!(lines, ["kept        a", "runs again  b", "runs        c", "1 of 3 steps are kept"]);
    assert!(ran(&pumice).is_empty(), "a dry run does nothing");
    let second = again(&pumice, &first, &[]);
    assert_eq!(
        (ran(&pumice), steps(&pumice, &second)),
        (vec!["b".to_owned()], vec!["a kept".to_owned(), "b failed".to_owned()])
    );
    std::fs::write(pumice.path().join("fixed"), "").expect("a file");
    let third = again(&pumice, &second, &["--key", "k"]);
    assert_eq!(ran(&pumice), ["b", "c"]);
    assert_eq!(steps(&pumice, &third), ["a kept", "b complete", "c complete"]);
    // An end never changes, and the same asked again under its key makes no other run.
    assert_eq!(steps(&pumice, &first), ["a complete", "b failed"]);
    let same = pumice.run(&["runs", "retry", &second, "--key", "k", "-o", "json"]).json();
    assert_eq!(
        (same["accepted"]["run_id"].as_str(), &same["accepted"]["existing"]),
        (Some(&*third), &json!(true))
    );
    refused(&pumice.run(&["runs", "retry", &second, "--key", "k", "--all"]), "stands for another request");
    let output = pumice.run(&["runs", "output", &third]).out;
    assert_eq!(output, "from a\nfrom b\nfrom c\n", "what was kept printed is there");
    let shown = pumice.run(&["runs", "show", &third]).out;
    assert!(
        shown.contains(&format!("does run {second} again"))
            && shown.contains(&format!("kept from run {first}/1.0")),
        "{shown}"
    );
    let replays = pumice.run(&["runs", "list", "--where", "trigger:replay", "-o", "json"]).json();
    assert_eq!(replays["runs"].as_array().map(Vec::len), Some(2));
    refused(&pumice.run(&["runs", "retry", &third]), "ended well, and none of its steps failed");
    let fourth = again(&pumice, &third, &["--from", "b"]);
    assert_eq!(
        (ran(&pumice), steps(&pumice, &fourth)[0].as_str()),
        (vec!["b".to_owned(), "c".to_owned()], "a kept")
    );
    let fifth = again(&pumice, &third, &["--all"]);
    assert_eq!((ran(&pumice).len(), steps(&pumice, &fifth)[0].as_str()), (3, "a complete"));
}

#[test]
fn steps_of_steps_are_kept_one_by_one() {
    let pumice = Pumice::new();
    let mut each = of_steps("each", "foreach", &json!("item"));
    each["parameters"] = json!({ "foreach": { "type": "inline", "values": [{ "n": "1" }, { "n": "2" }, { "n": "3" }] }, "can_fail": false });
    let (ran_file, fixed) = (pumice.path().join("ran"), pumice.path().join("fixed"));
    let item = shell(
        "item",
        &format!(
            "echo item {{{{ globals.n }}}} >> {}; test {{{{ globals.n }}}} != 2 || test -e {}",
            ran_file.display(),
            fixed.display()
        ),
    );
    let jobs = json!([
        needs(&pumice, "a", "jobs.json"),
        needs(&pumice, "b", "jobs.json"),
        needs(&pumice, "c", "jobs.json"),
        item,
        each,
        of_steps("low", "chain", &json!(["a", "each"])),
        of_steps("all", "dag", &json!({ "low": ["b"], "c": ["low"] })),
    ]);
    apply(&pumice, &jobs);
    let _server = pumice.serve();
    let first = ended(&pumice, "all", &[]);
    let before = ran(&pumice);
    assert!(before.contains(&"item 2".to_owned()) && !before.contains(&"c".to_owned()), "{before:?}");
    std::fs::write(&fixed, "").expect("a file");
    let second = again(&pumice, &first, &[]);
    let after = ran(&pumice);
    let done: Vec<&str> = after.iter().map(String::as_str).collect();
    assert_eq!(&done[..1], ["item 2"], "{done:?}");
    assert!(!done.contains(&"a") && !done.contains(&"b") && !done.contains(&"item 1"), "{done:?}");
    assert_eq!(done.last(), Some(&"c"), "{done:?}");
    let told = pumice.run(&["runs", "show", &second]).out;
    assert!(told.contains("kept from run"), "{told}");
    // From an item: what stands above it is run again from there, and what comes after that. Other items stay.
    let third = again(&pumice, &second, &["--from", "item[1]"]);
    assert_eq!(ran(&pumice), ["item 2", "c"], "{third}");
}

#[test]
fn retry_uses_the_spec_and_the_input_that_it_is_told_to() {
    let pumice = Pumice::new();
    let job = |words: &str, fails: bool| {
        let mut job = shell(
            "say",
            &format!(
                "echo {words} {{{{ globals.who }}}} {{{{ globals.lava.master_job_id }}}}; {}",
                if fails { "exit 1" } else { "true" }
            ),
        );
        job["globals"] = json!({ "who": "nobody" });
        job
    };
    apply(&pumice, &json!([job("old", true)]));
    let _server = pumice.serve();
    let first = ended(&pumice, "say", &["-g", "who=ada"]);
    apply(&pumice, &json!([job("new", false)]));
    let said = |run: &str| pumice.run(&["runs", "output", run]).out;
    assert_eq!(said(&first), "old ada say\n");
    let plan = pumice.run(&["runs", "retry", &first, "--dry-run", "-g", "who=eve", "-o", "json"]).json();
    let changed = |of: &str| {
        plan[of].as_array().expect("changes").iter().map(|one| one["field"].clone()).collect::<Vec<_>>()
    };
    // The command was edited; who it greets is what was asked for.
    assert_eq!(
        (changed("spec"), changed("input")),
        (vec![json!("parameters.args[0]")], vec![json!("globals.who")])
    );
    assert_eq!((&plan["dry_run"], &plan["accepted"]), (&json!(true), &Value::Null));
    assert_eq!(
        said(&again(&pumice, &first, &[])),
        "new ada say\n",
        "the spec of now, with what was asked for"
    );
    assert_eq!(said(&again(&pumice, &first, &["-g", "who=eve"])), "new eve say\n");
    let pinned = again(&pumice, &first, &["--spec", "pinned"]);
    assert_eq!(said(&pinned), "old ada say\n");
    assert_eq!(said(&again(&pumice, &pinned, &["--spec", "pinned", "-g", "who=eve"])), "old eve say\n");
}

#[test]
fn run_that_cannot_be_done_again_is_refused_with_the_reason() {
    let pumice = Pumice::new();
    let jobs = json!([
        needs(&pumice, "a", "jobs.json"),
        needs(&pumice, "b", "fixed"),
        of_steps("all", "chain", &json!(["a", "b"])),
    ]);
    apply(&pumice, &jobs);
    let waiting = pumice.run(&["dispatch", "a", "--delay", "10m", "-o", "json"]).json();
    let waiting = waiting["accepted"][0]["run_id"].as_str().expect("an id").to_owned();
    let _server = pumice.serve();
    let failed = ended(&pumice, "all", &[]);
    let retry = |more: &[&str]| pumice.run(&[&["runs", "retry"], more].concat());
    refused(&retry(&[&waiting]), "has not ended: it is dispatched");
    refused(&retry(&[&format!("{failed}/1.1")]), &format!("is a step: do run {failed} again from it"));
    refused(&retry(&[&failed, "--from", "x"]), "ran no step \"x\"");
    refused(&retry(&[&failed, "--from", "aa"]), "did you mean \"a\"?");
    refused(&retry(&[&failed, "--spec", "other"]), "either latest or pinned");
    refused(&retry(&[&failed, "-g", "lava.x=1"]), "reserved");
    refused(&retry(&[&failed, "--from", "a", "--all"]), "cannot be used with");
    assert_eq!(pumice.run(&["jobs", "delete", "b"]).status, 0);
    refused(&retry(&[&failed]), "a step that is to run is gone: no such job b");
    // What a step that is kept printed is gone.
    apply(&pumice, &jobs);
    let printed = pumice.run(&["runs", "output", &format!("{failed}/1.0"), "-o", "json"]).json();
    let place = printed[0]["location"].as_str().expect("a place").to_owned();
    std::fs::remove_file(&place).expect("it was there");
    refused(&retry(&[&failed]), "is gone from");
    let again = again(&pumice, &failed, &["--from", "a"]);
    refused(&retry(&[&failed, "--from", "a"]), &format!("has been done again as run {again}, which is "));
    refused(&retry(&[&failed, "--dry-run"]), "has been done again as run");
    let why = pumice.run(&["runs", "why", &failed, "-o", "json"]).json();
    assert_eq!(why["again"], json!(again), "{why}");
    assert_eq!(pumice.run(&["jobs", "delete", "all"]).status, 0);
    refused(&retry(&[&failed, "--all"]), "no such job all");
    let pinned = ["--all", "--spec", "pinned", "--once-more"];
    assert_eq!(retry(&[&[failed.as_str()], &pinned[..]].concat()).status, 0, "it has its spec");
}

#[test]
fn step_never_finds_the_directory_of_kept_steps_silently_empty() {
    let pumice = Pumice::new();
    let fixed = pumice.path().join("fixed");
    let second = |fresh: bool| {
        let mut job = shell("second", &format!("test -e {} && cat file || exit 9", fixed.display()));
        if fresh {
            job["work_dir"] = json!("fresh");
            job["parameters"]["args"] = json!(["ls | wc -l"]);
        }
        job
    };
    let chain = of_steps("both", "chain", &json!(["first", "second"]));
    apply(&pumice, &json!([shell("first", "echo kept > file"), second(false), chain]));
    let _server = pumice.serve();
    let failed = ended(&pumice, "both", &[]);
    std::fs::write(&fixed, "").expect("a file");
    let told = pumice.run(&["runs", "retry", &failed, "--dry-run"]).err;
    assert!(told.contains("left files in the directory that steps share"), "{told}");
    let retried = again(&pumice, &failed, &[]);
    let why = pumice.run(&["runs", "why", &retried]).out;
    assert!(
        why.contains(&format!("the files that steps left which are kept went with run {failed}")),
        "{why}"
    );
    let whole = again(&pumice, &failed, &["--all"]);
    assert_eq!(steps(&pumice, &whole), ["first complete", "second complete"]);
    apply(&pumice, &json!([second(true)]));
    let retried = again(&pumice, &failed, &[]);
    assert_eq!(steps(&pumice, &retried), ["first kept", "second complete"]);
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
    let told = lines[22].split_once("the same with ").expect("what to do").1;
    let options: Vec<&str> = told.split(' ').collect();
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
fn forgiven_failure_is_done_again_and_so_is_one_item_alone() {
    let pumice = Pumice::new();
    let script = format!("test \"$1\" != 1 || test -e {}/mended", pumice.path().display());
    let mut item = shell("x/item", &script);
    item["parameters"]["args"] = json!([script, "sh", "{{ globals.n }}"]);
    let mut each = of_steps("x/fe", "foreach", &json!("x/item"));
    let values = json!([{ "n": 0 }, { "n": 1 }, { "n": 2 }]);
    each["parameters"] = json!({ "foreach": { "type": "inline", "values": values }, "can_fail": true });
    let mut chain = of_steps("x/chain", "chain", &json!("x/item, x/ok"));
    chain["parameters"] = json!({ "can_fail": "x/item" });
    chain["globals"] = json!({ "n": 1 });
    apply(&pumice, &json!([item, shell("x/ok", "true"), each, chain]));
    let _server = pumice.serve();
    let first = ended(&pumice, "x/fe", &[]);
    assert_eq!(steps(&pumice, &first), ["x/item complete", "x/item failed", "x/item complete"]);
    pumice.write("mended", "");
    let second = again(&pumice, &first, &[]);
    assert_eq!(steps(&pumice, &second), ["x/item kept", "x/item complete", "x/item kept"]);
    refused(&pumice.run(&["runs", "retry", &second]), "ended well, and none of its steps failed");
    let third = again(&pumice, &second, &["--from", "x/item[1]"]);
    assert_eq!(steps(&pumice, &third), ["x/item kept", "x/item complete", "x/item kept"]);
    std::fs::remove_file(pumice.path().join("mended")).expect("removed");
    let failed = ended(&pumice, "x/chain", &[]);
    pumice.write("mended", "");
    let mended = again(&pumice, &failed, &[]);
    assert_eq!(steps(&pumice, &mended), ["x/item complete", "x/ok kept"]);
}

/// What `runs retry RUN` refuses, `runs retry --where` does, and says so of each run.
#[test]
fn retry_of_many_checks_each_as_retry_of_one_does() {
    let pumice = Pumice::new();
    let flag = pumice.path().join("mended");
    apply(
        &pumice,
        &json!([
            shell("a", "true"),
            shell("b", &format!("test -e {}", flag.display())),
            of_steps("c", "chain", &json!("a, b"))
        ]),
    );
    let _server = pumice.serve();
    let first = ended(&pumice, "c", &[]);
    let second = again(&pumice, &first, &[]);
    assert_eq!(steps(&pumice, &second), ["a kept", "b failed"]);
    let id = |run: &str| format!("id:{run}");
    assert_eq!(pumice.run(&["runs", "delete", "--where", &id(&first)]).status, 0);
    let why = pumice.run(&["runs", "retry", &second]);
    refused(&why, "which is to be kept, is gone");
    let many = pumice.run(&["runs", "retry", "--where", &id(&second), "-o", "json"]);
    let receipt = &many.json()["receipts"][0];
    assert_eq!((many.status, &receipt["outcome"]), (1, &json!("refused")), "{many:?}");
    let told = receipt["error"].as_str().expect("why");
    assert!(why.err.contains(told), "{told}: {why:?}");
    let all = pumice.run(&["runs", "list", "--where", "job:c", "-o", "json"]).json();
    assert_eq!(all["runs"].as_array().map(Vec::len), Some(1), "no other run was made");
}

#[test]
fn what_is_paused_waits_and_starts_at_once_when_it_is_resumed() {
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
            let told = || why(&run);
            wait_until(|| told().contains(words) || told().starts_with("complete"));
            if told().starts_with("dispatched") { Some(run) } else { None }
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
    let told = pumice.run(&["jobs", "pause", "b", "--dry-run"]).out;
    assert!(told.contains("still paused: the realm") && told.contains("nothing was changed"), "{told}");
    assert!(why(&run).starts_with("dispatched: the realm is paused by "), "{}", why(&run));
    assert_eq!(pumice.run(&["maintenance", "off"]).status, 0);
    wait_until(|| why(&run).starts_with("complete"));
    drop(server);
    refused(&pumice.run(&["jobs", "pause", "x"]), "no such job \"x\"");
    refused(&pumice.run(&["workers", "pause", "cor"]), "did you mean \"core\"");
    refused(&pumice.run(&["maintenance", "on", "--until", "2020-01-01"]), "is past");
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
        // A place of this test's own, beside the folder that is copied.
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
