//! Runs that are done again.

use serde_json::{Value, json};

use crate::operating::{apply, ended, of_steps, refused};
use crate::pumice::{Pumice, shell, wait_until};

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

/// A script that succeeds where a file is there, and reports that it ran.
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
    let other = pumice.run(&["runs", "retry", &second, "--key", "k", "--all"]);
    refused(
        &other,
        &format!("key \"k\" was already used by another request to do run {second} again: run {third} "),
    );
    assert!(
        other.err.contains(&format!("do run {third} again")) && !other.err.contains("another key"),
        "{other:?}"
    );
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
    let reported = pumice.run(&["runs", "show", &second]).out;
    assert!(reported.contains("kept from run"), "{reported}");
    // From an item: what stands above it is run again from there, and what comes after that. Other items stay.
    let third = again(&pumice, &second, &["--from", "item[1]"]);
    assert_eq!(ran(&pumice), ["item 2", "c"], "{third}");
}

#[test]
fn retry_uses_the_spec_and_the_input_that_are_asked_for() {
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
    // The command was edited; it greets the name of the request.
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
    // The output of a step that is kept is gone.
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
    let reported = pumice.run(&["runs", "retry", &failed, "--dry-run"]).err;
    assert!(reported.contains("left files in the directory that steps share"), "{reported}");
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

/// A forgiven failure is done again wherever it stands below the run, and all else is kept.
#[test]
fn forgiven_failure_below_is_done_again_at_any_depth() {
    let pumice = Pumice::new();
    let script = format!("test \"$1\" != 1 || test -e {}/mended", pumice.path().display());
    let mut item = shell("y/item", &script);
    item["parameters"]["args"] = json!([script, "sh", "{{ globals.n }}"]);
    let mut each = of_steps("y/fe", "foreach", &json!("y/item"));
    let values = json!([{ "n": 0 }, { "n": 1 }]);
    each["parameters"] = json!({ "foreach": { "type": "inline", "values": values }, "can_fail": true });
    let mut dag = of_steps("y/dag", "dag", &json!({ "y/fails": null, "y/ok": "y/fails" }));
    dag["parameters"] = json!({ "can_fail": "y/fails" });
    let middle = of_steps("y/middle", "chain", &json!(["y/ok", "y/dag"]));
    let top = of_steps("y/top", "chain", &json!(["y/ok", "y/fe", "y/middle", "y/ok"]));
    let fails = shell("y/fails", &format!("test -e {}/mended", pumice.path().display()));
    apply(&pumice, &json!([item, shell("y/ok", "true"), fails, each, dag, middle, top]));
    let _server = pumice.serve();
    let first = ended(&pumice, "y/top", &[]);
    let planned = pumice.run(&["runs", "retry", &first, "--dry-run", "-o", "json"]).json();
    let planned: Vec<String> = planned["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .map(|step| format!("{} {} {}", step["depth"], step["job_id"], step["action"]).replace('"', ""))
        .collect();
    let wanted = [
        "0 y/ok kept",
        "0 y/fe again",
        "1 y/item kept",
        "1 y/item again",
        "0 y/middle again",
        "1 y/ok kept",
        "1 y/dag again",
        "2 y/fails again",
        "2 y/ok kept",
        "0 y/ok kept",
    ];
    assert_eq!(planned, wanted);
    pumice.write("mended", "");
    let second = again(&pumice, &first, &[]);
    let done = [
        "y/ok kept",
        "y/fe complete",
        "y/item kept",
        "y/item complete",
        "y/middle complete",
        "y/ok kept",
        "y/dag complete",
        "y/fails complete",
        "y/ok kept",
        "y/ok kept",
    ];
    assert_eq!(steps(&pumice, &second), done);
    refused(&pumice.run(&["runs", "retry", &second]), "ended well, and none of its steps failed");
}

/// `runs retry --where` refuses the same runs as `runs retry RUN`, and says so of each run.
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
    // The run that kept a step of it would lose its output; of the two, the other goes first.
    let delete = |more: &[&str]| {
        pumice.run(&[&["runs", "delete", "--where", &id(&first), "-o", "json"], more].concat())
    };
    let looked = delete(&["--dry-run"]).json();
    let said =
        format!("run {second} has kept steps of it, whose outputs would be gone: delete that one first");
    let note = format!("1 will be refused: run {first}: {said}");
    assert_eq!((&looked["note"], &looked["count"], &looked["refused"]), (&json!(note), &json!(1), &json!(1)));
    let refusal = delete(&[]).json();
    assert_eq!(
        (&refusal["receipts"][0]["outcome"], &refusal["receipts"][0]["error"]),
        (&json!("refused"), &json!(said))
    );
    // A look at doing runs again counts those that the act would leave as they are.
    let look = |filter: &str, more: &[&str]| {
        pumice.run(&[&["runs", "retry", "--where", filter, "--dry-run"], more].concat())
    };
    let done = look(&id(&first), &["-o", "json"]).json();
    let note = "1 has been done again, so that nothing is done";
    assert_eq!(
        (&done["count"], &done["already"], &done["refused"], &done["note"]),
        (&json!(1), &json!(1), &json!(0), &json!(note)),
        "{done:#}"
    );
    let void = look(&id(&first), &[]);
    assert!(
        void.out.contains("\n1 run is meant by ")
            && void.out.ends_with("there is nothing to retry among them\n"),
        "{void:?}"
    );
    let some = look("job:c", &[]);
    assert!(some.out.contains("2 runs are meant by") && some.out.contains("--expect 2:"), "{some:?}");
    assert!(some.err.contains(note), "{some:?}");
    // A record may expire all the same.
    let store = rusqlite::Connection::open(pumice.path().join(".pumice/pumice.db")).expect("the store");
    store.busy_timeout(std::time::Duration::from_secs(10)).expect("a timeout");
    let removed =
        store.execute("DELETE FROM runs WHERE key = ?1 OR key LIKE ?1 || '/%'", [&first]).expect("removed");
    assert_eq!(removed, 3);
    drop(store);
    let why = pumice.run(&["runs", "retry", &second]);
    refused(&why, "which is to be kept, is gone");
    let looked = look(&id(&second), &["-o", "json"]);
    assert_eq!((looked.status, &looked.json()["refused"]), (0, &json!(1)), "{looked:?}");
    assert!(looked.json()["note"].as_str().is_some_and(|note| note.contains("is to be kept, is gone")));
    let many = pumice.run(&["runs", "retry", "--where", &id(&second), "-o", "json"]);
    let receipt = &many.json()["receipts"][0];
    assert_eq!((many.status, &receipt["outcome"]), (1, &json!("refused")), "{many:?}");
    let reported = receipt["error"].as_str().expect("why");
    assert!(why.err.contains(reported), "{reported}: {why:?}");
    let all = pumice.run(&["runs", "list", "--where", "job:c", "-o", "json"]).json();
    assert_eq!(all["runs"].as_array().map(Vec::len), Some(1), "no other run was made");
    // Nothing has kept steps of the second.
    let deleted = pumice.run(&["runs", "delete", "--where", &id(&second), "-o", "json"]).json();
    assert_eq!(deleted["receipts"][0]["outcome"], "deleted", "{deleted:#}");
}

#[test]
fn edited_steps_are_named_by_what_compares_runs() {
    let pumice = Pumice::new();
    let jobs = |kept: &str, failing: &str| {
        json!([
            shell("kept", kept),
            shell("last", failing),
            of_steps("inner", "chain", &json!(["kept", "last"])),
            of_steps("top", "chain", &json!(["inner"])),
        ])
    };
    apply(&pumice, &jobs("echo a", "true"));
    let _server = pumice.serve();
    let success = ended(&pumice, "top", &[]);
    apply(&pumice, &jobs("echo a", "exit 9"));
    let failed = ended(&pumice, "top", &[]);
    // What changed since the success is in a step of a step.
    let fields = |of: &Value| -> Vec<String> {
        of.as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| one["field"].as_str())
            .map(str::to_owned)
            .collect()
    };
    let found = pumice.run(&["failures", "-o", "json"]).json();
    let group = &found["groups"][0];
    assert_eq!(
        (&group["success"], fields(&group["spec"])),
        (&json!(success), vec!["last: parameters.args[0]".to_owned()])
    );
    let why = pumice.run(&["runs", "why", &failed, "-o", "json"]).json();
    assert_eq!(fields(&why["since"]["spec"]), ["last: parameters.args[0]"], "{why}");
    assert_eq!(why["since"]["changed"]["act"], "apply", "{why}");
    // Nothing differs, and nothing is said to.
    let plan = pumice.run(&["runs", "retry", &failed, "--dry-run", "-o", "json"]).json();
    assert_eq!((&plan["spec"], &plan["notes"]), (&json!([]), &Value::Null), "{plan}");
    // The fix is in, and the step that is kept is of another spec than now.
    apply(&pumice, &jobs("echo b", "true"));
    let plan = pumice.run(&["runs", "retry", &failed, "--dry-run", "-o", "json"]).json();
    assert_eq!(fields(&plan["spec"]), ["last: parameters.args[0]"], "{plan}");
    assert!(plan["notes"].to_string().contains("the spec of kept has changed since"), "{plan}");
    let pinned =
        pumice.run(&["runs", "retry", &failed, "--dry-run", "--spec", "pinned", "-o", "json"]).json();
    assert_eq!((&pinned["spec"], &pinned["notes"]), (&json!([]), &Value::Null), "{pinned}");
}

#[test]
fn failures_are_counted_whatever_is_shown_and_are_no_other_runs() {
    let pumice = Pumice::new();
    apply(&pumice, &json!([shell("bad", "exit 3")]));
    let _server = pumice.serve();
    ended(&pumice, "bad", &[]);
    let none = pumice.run(&["failures", "--limit", "0"]).out;
    assert!(none.contains("1 run failed") && none.contains("and 1 more cause:"), "{none}");
    refused(
        &pumice.run(&["failures", "--where", "status:complete"]),
        "status:complete: failures are runs that",
    );
    refused(&pumice.run(&["failures", "--retry", "00000000"]), "no run failed for the cause 00000000");
}
