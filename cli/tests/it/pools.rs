//! Pools, keys and draining, with the program as people use it.

use serde_json::{Value, json};

use crate::pumice::{Pumice, shell, wait_until};

fn apply(pumice: &Pumice, documents: &Value) {
    pumice.write("all.json", documents.to_string());
    let applied = pumice.run(&["apply", "all.json"]);
    assert_eq!(applied.status, 0, "{applied:?}");
}

/// The message of `apply` about documents that it refuses.
fn refused(pumice: &Pumice, documents: &Value) -> String {
    pumice.write("all.json", documents.to_string());
    let applied = pumice.run(&["apply", "all.json"]);
    assert_eq!(applied.status, 2, "{applied:?}");
    applied.err
}

fn realm(pools: Value) -> Value {
    json!({ "realm": "pumice", "pools": pools })
}

fn with(mut job: Value, name: &str, value: Value) -> Value {
    job[name] = value;
    job
}

fn ask(pumice: &Pumice, job: &str, more: &[&str]) -> String {
    let printed = pumice.run(&[&["dispatch", job, "-o", "json"], more].concat());
    printed.json()["accepted"][0]["run_id"].as_str().unwrap_or_else(|| panic!("{printed:?}")).to_owned()
}

fn why(pumice: &Pumice, run: &str) -> String {
    pumice.run(&["runs", "why", run]).out
}

/// A script that reports that it began, and waits for a file of its run's name.
fn gated(pumice: &Pumice) -> String {
    let dir = pumice.path().display();
    format!("echo $1 >> {dir}/began; until [ -e {dir}/go-$1 ]; do sleep 0.02; done")
}

/// A job that runs it.
fn held(pumice: &Pumice, job_id: &str) -> Value {
    let mut job = shell(job_id, &gated(pumice));
    job["parameters"]["args"] = json!([gated(pumice), "sh", "{{ job.run_id }}"]);
    job
}

fn let_go(pumice: &Pumice, run: &str) {
    std::fs::write(pumice.path().join(format!("go-{run}")), "").expect("a file");
}

fn began(pumice: &Pumice) -> Vec<String> {
    let text = std::fs::read_to_string(pumice.path().join("began")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn pool_runs_as_many_as_its_size_in_their_order() {
    let pumice = Pumice::new();
    let jobs = |size: u32| {
        let pool = |job| with(job, "pool", json!("disk"));
        json!([
            realm(json!({ "disk": { "size": size } })),
            pool(held(&pumice, "a")),
            pool(held(&pumice, "b"))
        ])
    };
    apply(&pumice, &jobs(2));
    let server = pumice.serve();
    let mut runs = Vec::new();
    for job in ["a", "b", "a", "b", "a"] {
        let run = ask(&pumice, job, &[]);
        wait_until(|| !why(&pumice, &run).starts_with("dispatched"));
        runs.push(run);
    }
    wait_until(|| began(&pumice).len() == 2);
    let message = why(&pumice, &runs[4]);
    assert!(message.starts_with("waiting: it waits for pool disk: 2 of 2 taken by "), "{message}");
    assert!(message.contains(&runs[0]) && message.trim_end().ends_with("it is third in line"), "{message}");
    let listed = pumice.run(&["pools", "list", "-o", "json"]).json();
    let pool = &listed["pools"][0];
    assert_eq!(
        (&pool["pool"], &pool["size"], &pool["jobs"], &pool["taken"], &pool["waiting"]),
        (&json!("disk"), &json!(2), &json!(2), &json!(2), &json!(3))
    );
    assert_eq!(pool["line"], json!([runs[2], runs[3], runs[4]]));
    // One that ends, one that is cancelled and one that leaves the line each make room for the next.
    let_go(&pumice, &runs[0]);
    wait_until(|| began(&pumice).contains(&runs[2]));
    assert_eq!(pumice.run(&["runs", "cancel", &runs[3]]).status, 0);
    assert_eq!(pumice.run(&["runs", "cancel", &runs[1]]).status, 0);
    wait_until(|| began(&pumice).contains(&runs[4]));
    assert_eq!(began(&pumice), [&*runs[0], &*runs[1], &*runs[2], &*runs[4]]);
    // A larger pool counts at once for those that wait; a smaller one for those to come.
    let more: Vec<String> = (0..2).map(|_| ask(&pumice, "b", &[])).collect();
    wait_until(|| more.iter().all(|run| why(&pumice, run).contains("in line")));
    apply(&pumice, &jobs(4));
    wait_until(|| began(&pumice).len() == 6);
    apply(&pumice, &jobs(1));
    let last = ask(&pumice, "b", &[]);
    wait_until(|| why(&pumice, &last).contains("4 of 1 taken"));
    for run in runs.iter().chain(&more) {
        let_go(&pumice, run);
    }
    wait_until(|| began(&pumice).contains(&last));
    waits_are_counted(&pumice, &last);
    // It outlives the server, as what waits does.
    let next = ask(&pumice, "a", &[]);
    wait_until(|| why(&pumice, &next).contains("1 of 1 taken"));
    drop(server);
    let server = pumice.serve();
    let_go(&pumice, &last);
    let_go(&pumice, &next);
    wait_until(|| why(&pumice, &next).starts_with("complete"));
    drop(server);
    let listed = pumice.run(&["pools", "list", "-o", "json"]).json();
    assert_eq!((&listed["pools"][0]["taken"], &listed["pools"][0]["waiting"]), (&json!(0), &json!(0)));
}

/// The figures have the time for which the last of these runs was in line.
fn waits_are_counted(pumice: &Pumice, last: &str) {
    let runs = pumice.run(&["runs", "list", "--job", "b", "-o", "json"]).json();
    let at = |time: &Value| {
        time.as_str().expect("a time").parse::<chrono::DateTime<chrono::Utc>>().expect("a time")
    };
    let mut waits: Vec<(u64, &Value)> = Vec::new();
    for run in runs["runs"].as_array().expect("runs").iter().filter(|run| !run["ts_start"].is_null()) {
        let waited = at(&run["ts_start"]) - at(&run["ts_dispatch"]);
        waits.push((u64::try_from(waited.num_milliseconds()).expect("a wait"), &run["run_id"]));
    }
    assert!(waits.iter().any(|(_, run)| *run == last), "{runs:#}");
    // Of so few the largest is the 95th of 100.
    let most = waits.iter().map(|(waited, _)| *waited).max();
    let stats = pumice.run(&["stats", "--where", "job:b", "-o", "json"]).json();
    assert_eq!(stats["jobs"][0]["waited_p95_ms"].as_u64(), most, "{stats:#}");
}

#[test]
fn key_limits_runs_that_give_it_and_no_others() {
    let pumice = Pumice::new();
    let of_key = json!({ "key": "{{ globals.customer }}", "max": 1 });
    apply(&pumice, &json!([with(held(&pumice, "load"), "concurrency", of_key)]));
    let server = pumice.serve();
    let customer = |name: &str| ask(&pumice, "load", &["-g", &format!("customer={name}")]);
    let (one, other) = (customer("x"), customer("y"));
    wait_until(|| began(&pumice).len() == 2);
    let second = customer("x");
    wait_until(|| why(&pumice, &second).contains("it waits for key \"x\": 1 of 1 taken by "));
    let empty = customer(&" ".repeat(3));
    wait_until(|| why(&pumice, &empty).contains("concurrency.key renders to an empty text"));
    let giant = customer(&"z".repeat(300));
    wait_until(|| why(&pumice, &giant).contains("renders to 300 bytes; the limit is 256"));
    let_go(&pumice, &one);
    wait_until(|| began(&pumice).contains(&second));
    for run in [&other, &second] {
        let_go(&pumice, run);
    }
    wait_until(|| why(&pumice, &second).starts_with("complete"));
    drop(server);
}

#[test]
fn steps_take_the_permits_of_a_pool_below_a_chain_with_a_key() {
    let pumice = Pumice::new();
    let chain = |id: &str, steps: Value, key: &str| {
        json!({ "job_id": id, "type": "chain", "worker": "core", "enabled": true, "payload": steps,
            "concurrency": { "key": key, "max": 1 } })
    };
    apply(
        &pumice,
        &json!([
            realm(json!({ "disk": { "size": 1 } })),
            with(shell("leaf", "true"), "pool", json!("disk")),
            with(shell("keyed", "true"), "concurrency", json!({ "max": 1 })),
            chain("good", json!(["leaf", "leaf"]), "night"),
            chain("bad", json!(["keyed"]), "night"),
        ]),
    );
    let server = pumice.serve();
    let runs: Vec<String> = (0..3).map(|_| ask(&pumice, "good", &[])).collect();
    for run in &runs {
        wait_until(|| why(&pumice, run).starts_with("complete"));
    }
    let bad = ask(&pumice, "bad", &[]);
    wait_until(|| why(&pumice, &bad).starts_with("failed"));
    let message = why(&pumice, &bad);
    assert!(message.contains("must not wait for key \"keyed\": give the limit to one of them"), "{message}");
    drop(server);
}

#[test]
fn specs_that_could_never_run_are_refused() {
    let pumice = Pumice::new();
    let job = shell("a", "true");
    for (documents, words) in [
        (json!([with(job.clone(), "pool", json!("disk"))]), "the realm has no pool \"disk\""),
        (
            json!([realm(json!({ "disk": { "size": 1 } })), with(job.clone(), "pool", json!("disc"))]),
            "did you mean \"disk\"",
        ),
        (json!([realm(json!({ "disk": { "size": 0 } }))]), "0 is less than 1"),
        (json!([with(job.clone(), "concurrency", json!({ "max": 0 }))]), "0 is less than 1"),
        (json!([with(job.clone(), "concurrency", json!({ "max": 1, "key": " " }))]), "an empty text"),
        (json!([with(job.clone(), "concurrency", json!({ "max": 1, "key": "{{ " }))]), "concurrency.key"),
        (
            json!([
                realm(json!({ "disk": { "size": 1 } })),
                with(with(job.clone(), "pool", json!("disk")), "concurrency", json!({ "max": 1 })),
            ]),
            "a pool or a concurrency, not both",
        ),
        (
            json!([
                realm(json!({ "disk": { "size": 1 } })),
                { "job_id": "c", "type": "chain", "worker": "core", "payload": ["a"], "pool": "disk" },
            ]),
            "give the pool to its steps",
        ),
    ] {
        let message = refused(&pumice, &documents);
        assert!(message.contains(words), "{words}: {message}");
    }
    // A pool that jobs name stays.
    apply(&pumice, &json!([realm(json!({ "disk": { "size": 1 } })), with(job, "pool", json!("disk"))]));
    let message = refused(&pumice, &json!([realm(json!({}))]));
    assert!(message.contains("there is no pool \"disk\", which job \"a\" names"), "{message}");
}

#[test]
fn drained_worker_ends_its_runs_and_begins_no_more() {
    let pumice = Pumice::new();
    let go_on = pumice.path().join("go-on");
    let waits = format!("until [ -e {} ]; do sleep 0.02; done", go_on.display());
    apply(&pumice, &json!([shell("a", &waits), shell("b", "true")]));
    let server = pumice.serve();
    let begun = ask(&pumice, "a", &[]);
    wait_until(|| pumice.run(&["runs", "why", &begun]).out.starts_with("running"));
    let looked = pumice.run(&["workers", "drain", "core", "--dry-run"]).out;
    assert!(
        looked.contains("1 run, 1 of them run now") && looked.contains("nothing was changed"),
        "{looked}"
    );
    let late = pumice.run(&["workers", "drain", "core", "--wait", "--timeout", "2s"]);
    assert_eq!(late.status, 1, "{late:?}");
    assert!(late.err.contains("not drained within 2s"), "{late:?}");
    let held = ask(&pumice, "b", &[]);
    std::fs::write(&go_on, "").expect("a file");
    let drained = pumice.run(&["workers", "drain", "core", "--wait", "--why", "new disk", "-o", "json"]);
    assert_eq!((drained.status, &drained.json()["drained"]), (0, &json!(true)), "{drained:?}");
    let changed = &drained.json()["changed"];
    assert_eq!(
        (&changed["paused"][0]["why"], &changed["replaced"][0]["scope"]),
        (&json!("new disk"), &json!({ "worker": "core" })),
        "{changed:#}"
    );
    assert!(pumice.run(&["runs", "why", &begun]).out.starts_with("complete"));
    // It outlives the server, and what waited starts when the worker is resumed.
    assert_eq!(server.end_by("TERM"), 0);
    let server = pumice.serve();
    let why = pumice.run(&["runs", "why", &held]).out;
    assert!(why.contains("worker core is paused by ") && why.trim_end().ends_with(": new disk"), "{why}");
    assert_eq!(pumice.run(&["workers", "resume", "core"]).status, 0);
    wait_until(|| pumice.run(&["runs", "why", &held]).out.starts_with("complete"));
    // Nothing is left at once, and the server may not know of the pause yet: it says so.
    let short = ["workers", "drain", "core", "--wait", "--timeout", "1s"];
    let idle = pumice.run(&short);
    assert!(
        idle.status == 1
            && idle.out.contains("worker core has nothing left")
            && idle.err.contains("waiting until every process knows of the pause")
            && idle.err.contains("not drained within 1s: nothing is left, but for up to "),
        "{idle:?}"
    );
    drop(server);
    // Without a server nothing goes by what it read.
    let drained = pumice.run(&short);
    assert!(drained.status == 0 && !drained.err.contains("waiting until"), "{drained:?}");
    let unknown = pumice.run(&["workers", "drain", "cor"]);
    assert!(unknown.status == 2 && unknown.err.contains("did you mean \"core\""), "{unknown:?}");
}
