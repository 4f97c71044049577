//! Triggers of a realm's folder: applied, tried, and fired by files that come to a bucket.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::pumice::{Pumice, shell, wait_until};

const KEYS: &str = "runs list --limit 1000 -o json";

fn realm() -> Value {
    json!({ "realm": "local", "buckets": { "in": "in" }, "config": { "S3TRIGGER_SETTLE": "1s" } })
}

fn trigger(id: &str, more: &Value) -> Value {
    let mut trigger = json!({ "trigger_id": id, "bucket": "in", "prefix": "*", "job_id": "load", "enabled": true,
        "globals": { "key": "{{ key }}" } });
    for (name, value) in more.as_object().expect("an object") {
        trigger[name] = value.clone();
    }
    trigger
}

/// A realm whose bucket `in` has these triggers for a job that notes the keys it is given.
fn given(triggers: &[Value]) -> Pumice {
    let pumice = Pumice::new();
    let mut documents = vec![realm(), note("load")];
    documents.extend_from_slice(triggers);
    apply(&pumice, &json!(documents));
    pumice
}

fn note(job_id: &str) -> Value {
    let mut job = shell(job_id, "printf '%s\\n' \"$KEY\"");
    job["parameters"]["env"] = json!({ "KEY": "{{ globals.key }}" });
    job
}

fn apply(pumice: &Pumice, documents: &Value) {
    pumice.write("specs.json", documents.to_string());
    let printed = pumice.run(&["apply", "specs.json"]);
    assert_eq!(printed.status, 0, "{printed:?}");
}

fn bucket(pumice: &Pumice) -> PathBuf {
    let folder = pumice.path().join(".pumice/in");
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn put(folder: &Path, key: &str, text: &str) {
    let path = folder.join(key);
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    std::fs::write(path, text).expect("a file");
}

/// The keys of the objects that runs were started for, as their records have them, and the jobs.
fn started(pumice: &Pumice) -> Vec<(String, String)> {
    let words: Vec<&str> = KEYS.split(' ').collect();
    let runs = pumice.run(&words).json()["runs"].clone();
    let of = |run: &Value| {
        let trigger = &run["trigger"];
        (
            trigger["key"].as_str().unwrap_or_default().to_owned(),
            run["job_id"].as_str().expect("a job").to_owned(),
        )
    };
    let mut started: Vec<(String, String)> = runs.as_array().expect("runs").iter().map(of).collect();
    started.sort();
    started
}

fn keys(pumice: &Pumice) -> Vec<String> {
    started(pumice).into_iter().map(|(key, _)| key).collect()
}

#[test]
fn file_that_comes_starts_its_job_once() {
    let pumice = given(&[trigger("t", &json!({ "prefix": "orders", "if_fnmatch": "*.csv" }))]);
    let server = pumice.serve();
    let folder = bucket(&pumice);
    wait_until(|| folder.is_dir());
    let names = ["a.csv", "b +%2B c.csv", "\u{e9}\u{1f600}.csv", "line\nend.csv", "..csv"];
    for name in names {
        put(&folder, &format!("orders/{name}"), "x");
    }
    put(&folder, "orders/a.txt", "x");
    put(&folder, "other/a.csv", "x");
    wait_until(|| keys(&pumice).len() >= names.len());
    // A later file has been looked at later: nothing else is still to come.
    put(&folder, "orders/last.csv", "x");
    wait_until(|| keys(&pumice).iter().any(|key| key == "orders/last.csv"));
    let mut wanted: Vec<String> =
        names.iter().chain(&["last.csv"]).map(|name| format!("orders/{name}")).collect();
    wanted.sort();
    assert_eq!(keys(&pumice), wanted);
    let run = pumice.run(&["runs", "list", "--limit", "1", "-o", "json"]).json()["runs"][0].clone();
    assert_eq!(
        run["trigger"],
        json!({ "kind": "object", "trigger_id": "t", "bucket": "in", "key": "orders/last.csv", "event_type": "ObjectCreated:Put" })
    );
    wait_until(|| pumice.run(&["runs", "show", "latest"]).out.contains("load  complete"));
    let shown = pumice.run(&["runs", "show", "latest"]).out;
    let line = "triggered by ObjectCreated:Put of orders/last.csv in bucket in, trigger t";
    assert!(shown.lines().any(|shown| shown == line), "{shown}");
    let output = pumice.run(&["runs", "output", "latest"]).out;
    assert!(output.contains("orders/last.csv"), "{output}");
    assert_eq!(server.end_by("TERM"), 0);
}

#[test]
fn restart_neither_misses_a_file_nor_takes_one_twice() {
    let pumice = given(&[]);
    let folder = bucket(&pumice);
    put(&folder, "before", "it was there before any trigger");
    // The file system's clock goes by ticks.
    std::thread::sleep(std::time::Duration::from_millis(100));
    apply(&pumice, &json!([trigger("t", &json!({}))]));
    put(&folder, "a", "1");
    let server = pumice.serve();
    wait_until(|| keys(&pumice) == ["a"]);
    server.signal("KILL");
    server.end();
    put(&folder, "b/c", "2");
    put(&folder, "a", "changed");
    std::fs::rename(folder.join("before"), folder.join("moved")).expect("it is moved");
    let server = pumice.serve();
    wait_until(|| keys(&pumice).len() >= 4);
    assert_eq!(server.end_by("TERM"), 0);
    let _server = pumice.serve();
    put(&folder, "d", "3");
    wait_until(|| keys(&pumice).iter().any(|key| key == "d"));
    assert_eq!(keys(&pumice), ["a", "a", "b/c", "d", "moved"]);
}

#[test]
fn file_being_written_is_taken_once_it_is_closed() {
    use std::io::Write as _;
    let pumice = given(&[trigger("t", &json!({ "if_size_gt": 2 }))]);
    let folder = bucket(&pumice);
    let _server = pumice.serve();
    put(&folder, "first", "xxx");
    wait_until(|| keys(&pumice) == ["first"]);
    let mut open = std::fs::File::create(folder.join("slow")).expect("a file");
    open.write_all(b"xxx").expect("written");
    open.flush().expect("written");
    // Three times as long as a file without a close event must stay as it is.
    std::thread::sleep(std::time::Duration::from_secs(3));
    put(&folder, "second", "xxx");
    wait_until(|| keys(&pumice).iter().any(|key| key == "second"));
    assert_eq!(keys(&pumice), ["first", "second"], "it may have more to come");
    open.write_all(b"xxx").expect("written");
    drop(open);
    wait_until(|| keys(&pumice) == ["first", "second", "slow"]);
}

#[test]
fn file_that_no_writer_closes_or_that_comes_again_is_taken() {
    let pumice = given(&[trigger("t", &json!({}))]);
    let folder = bucket(&pumice);
    let _server = pumice.serve();
    put(&folder, "a", "xxx");
    wait_until(|| keys(&pumice) == ["a"]);
    // A further name that is read before it has settled.
    let source = pumice.write("source", "x");
    std::fs::hard_link(&source, folder.join("link")).expect("a link");
    assert_eq!(std::fs::read(folder.join("link")).expect("it is read"), b"x");
    wait_until(|| keys(&pumice) == ["a", "link"]);
    // One that was moved away and back.
    std::fs::rename(folder.join("a"), pumice.path().join("away")).expect("it is moved");
    std::fs::rename(pumice.path().join("away"), folder.join("a")).expect("it is moved");
    wait_until(|| keys(&pumice) == ["a", "a", "link"]);
    // One that is written with its old time and size.
    let time = std::fs::metadata(folder.join("a")).and_then(|found| found.modified()).expect("its time");
    let mut file = std::fs::File::options().write(true).open(folder.join("a")).expect("a file");
    std::io::Write::write_all(&mut file, b"yyy").expect("written");
    file.set_modified(time).expect("its time");
    drop(file);
    wait_until(|| keys(&pumice) == ["a", "a", "a", "link"]);
    // Other rights and a further name elsewhere are not news.
    let rights = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(folder.join("a"), rights).expect("its rights");
    std::fs::hard_link(folder.join("a"), pumice.path().join("second")).expect("a link");
    put(&folder, "last", "x");
    wait_until(|| keys(&pumice).iter().any(|key| key == "last"));
    assert_eq!(keys(&pumice), ["a", "a", "a", "last", "link"]);
}

#[test]
fn failure_of_a_trigger_stops_no_other_and_is_tried_again() {
    let pumice = given(&[trigger("a", &json!({ "job_id": "missing" })), trigger("b", &json!({}))]);
    let folder = bucket(&pumice);
    let _server = pumice.serve();
    put(&folder, "x", "1");
    wait_until(|| started(&pumice) == [("x".to_owned(), "load".to_owned())]);
    apply(&pumice, &json!([note("missing")]));
    let both = [("x".to_owned(), "load".to_owned()), ("x".to_owned(), "missing".to_owned())];
    wait_until(|| started(&pumice) == both);
}

#[test]
fn several_jobs_and_triggers_make_a_run_each() {
    let two = trigger("two", &json!({ "job_id": ["load", "load", "other"] }));
    let pumice = given(&[
        note("other"),
        two,
        trigger("one", &json!({})),
        trigger("off", &json!({ "enabled": false })),
    ]);
    let _server = pumice.serve();
    put(&bucket(&pumice), "x", "1");
    wait_until(|| started(&pumice).len() >= 4);
    let jobs: Vec<String> = started(&pumice).into_iter().map(|(_, job)| job).collect();
    assert_eq!(jobs, ["load", "load", "load", "other"]);
}

#[test]
fn links_and_devices_are_not_objects() {
    let pumice = given(&[trigger("t", &json!({}))]);
    let folder = bucket(&pumice);
    let _server = pumice.serve();
    let secret = pumice.write("secret", "x");
    std::os::unix::fs::symlink(&secret, folder.join("link")).expect("a link");
    std::os::unix::fs::symlink(pumice.path(), folder.join("up")).expect("a link");
    let made = std::process::Command::new("mkfifo").arg(folder.join("pipe")).status().expect("mkfifo");
    assert!(made.success());
    std::fs::write(folder.join(std::ffi::OsStr::new("ok")), "x").expect("a file");
    std::fs::hard_link(&secret, folder.join("second-name")).expect("a link");
    wait_until(|| keys(&pumice).len() >= 2);
    put(&folder, "last", "x");
    wait_until(|| keys(&pumice).iter().any(|key| key == "last"));
    assert_eq!(keys(&pumice), ["last", "ok", "second-name"]);
}

#[test]
fn test_says_which_triggers_fit_and_why_others_do_not() {
    let pumice = given(&[
        trigger("csv", &json!({ "prefix": "orders", "if_fnmatch": "*.csv", "delay": "5s" })),
        trigger("large", &json!({ "prefix": "orders", "if_size_gt": "1K" })),
        trigger("broken", &json!({ "prefix": "orders", "job_id": ["nowhere", "{{ bucket }}/"] })),
        trigger("whole", &json!({})),
        trigger("else", &json!({ "prefix": "else" })),
        trigger("placed", &json!({ "prefix": "placed", "globals": { "key": "{{ info.location }}" } })),
    ]);
    let tested = pumice.run(&["triggers", "test", "in", "orders/x.csv", "-o", "json"]).json();
    assert_eq!(tested["levels"], json!(["orders/x.csv", "orders", "*"]));
    assert_eq!(tested["level"], "orders");
    let of = |id: &str| {
        let all = tested["triggers"].as_array().expect("triggers").iter();
        let all = all.chain(tested["others"].as_array().expect("triggers"));
        all.clone().find(|one| one["trigger_id"] == id).expect("it is there").clone()
    };
    assert_eq!(
        of("csv"),
        json!({ "trigger_id": "csv", "fits": true,
            "requests": [{ "job_id": "load", "delay": "5s", "globals": { "key": "orders/x.csv" } }] })
    );
    assert_eq!(of("large")["reasons"], json!(["if_size_gt: the object has 0 bytes, not more than 1000"]));
    let broken = of("broken");
    assert!(
        broken["requests"][0]["error"].as_str().is_some_and(|e| e.contains("no such job nowhere")),
        "{broken}"
    );
    assert!(broken["requests"][1]["error"].as_str().is_some_and(|e| e.contains("empty segment")), "{broken}");
    assert!(
        of("whole")["reasons"][0]
            .as_str()
            .is_some_and(|why| why.contains("there are triggers under \"orders\""))
    );
    assert!(
        of("else")["reasons"][0].as_str().is_some_and(|why| why.contains("not below its prefix \"else\""))
    );
    let shown = pumice.run(&["triggers", "test", "in", "orders/x.csv", "--size", "2000"]).out;
    for line in ["found under orders:", "  csv fits", "    starts load after 5s", "  large fits"] {
        assert!(shown.lines().any(|shown| shown == line), "{shown}");
    }
    let none = pumice.run(&["triggers", "test", "nothing", "x"]).out;
    assert!(none.contains("found none: nothing is started"), "{none}");
    assert!(none.contains("the realm's buckets have no folder for \"nothing\""), "{none}");
    // The place is that which a run is given.
    let placed = pumice.run(&["triggers", "test", "in", "placed/x y", "-o", "json"]).json();
    let home = pumice.path().canonicalize().expect("a path").join(".pumice/in/placed/x y");
    assert_eq!(placed["triggers"][0]["requests"][0]["globals"]["key"], home.display().to_string());
    assert_eq!(placed.get("note"), None);
    assert_eq!(pumice.run(&["triggers", "test", "in", &"x".repeat(1_025)]).status, 2);
}

#[test]
fn triggers_are_listed_shown_changed_and_deleted() {
    let pumice = given(&[trigger("t", &json!({})), trigger("u", &json!({ "bucket": "other" }))]);
    let listed = pumice.run(&["triggers", "list", "-o", "json"]).json();
    assert_eq!((listed[0]["trigger_id"].clone(), listed[1]["trigger_id"].clone()), (json!("t"), json!("u")));
    let one = pumice.run(&["triggers", "list", "--bucket", "other"]);
    assert!(one.out.contains("other") && !one.out.contains("\nt "), "{}", one.out);
    assert_eq!(pumice.run(&["triggers", "show", "t"]).json(), trigger("t", &json!({})));
    assert!(
        pumice.run(&["triggers", "show", "tt"]).err.contains("no such trigger \"tt\" (did you mean \"t\"?)")
    );
    pumice.write("specs.json", json!([trigger("t", &json!({ "delay": 5 }))]).to_string());
    let dry = pumice.run(&["apply", "specs.json", "--dry-run"]).out;
    assert!(dry.contains("updated   trigger t\n    + delay: 5\n"), "{dry}");
    assert_eq!(
        pumice.run(&["apply", "specs.json"]).out,
        "updated   trigger t\n0 added, 1 updated, 0 unchanged\n"
    );
    let deleted = pumice.run(&["triggers", "delete", "t", "nothing"]);
    assert_eq!((deleted.status, deleted.out.as_str()), (2, "deleted t\nnot there: nothing\n"));
    assert_eq!(pumice.run(&["triggers", "list", "-o", "json"]).json().as_array().map(Vec::len), Some(1));
}

#[test]
fn check_refuses_and_warns_of_triggers_where_they_stand() {
    let pumice = Pumice::new();
    let check = |documents: Value| {
        pumice.write("specs.json", documents.to_string());
        pumice.run(&["check", "specs.json", "-o", "json"])
    };
    let refused = check(json!([
        trigger("t", &json!({ "prefix": "a/", "colour": 1 })),
        trigger("u", &json!({})),
        trigger("u", &json!({}))
    ]));
    assert_eq!(refused.status, 2);
    assert!(refused.err.contains("specs.json: [0].colour: no such field"), "{}", refused.err);
    assert!(
        refused.err.contains("[2].trigger_id: the trigger_id \"u\" was given before, in specs.json"),
        "{}",
        refused.err
    );
    let warned = check(json!([
        realm(),
        note("load"),
        trigger("t", &json!({ "job_id": "laod" })),
        trigger("v", &json!({ "bucket": "inn" }))
    ]));
    let reported: Vec<(Value, Value)> = warned.json()["warnings"]
        .as_array()
        .expect("warnings")
        .iter()
        .map(|one| (one["name"].clone(), one["path"].clone()))
        .collect();
    assert_eq!(
        reported,
        [(json!("unknown-job"), json!("[2].job_id")), (json!("unknown-bucket"), json!("[3].bucket"))]
    );
    assert_eq!(warned.json()["triggers"], json!(["t", "v"]));
    let allowed = check(json!([realm(), trigger("t", &json!({ "x-allow": "unknown-job" }))]));
    assert_eq!(allowed.json()["warnings"], json!([]), "{}", allowed.err);
    // A job that a trigger starts is not a forgotten one.
    let steps =
        json!({ "job_id": "top", "type": "chain", "worker": "core", "enabled": true, "payload": "step" });
    let started =
        check(json!([realm(), note("load"), shell("step", "true"), steps, trigger("t", &json!({}))]));
    assert_eq!(started.json()["warnings"], json!([]), "{}", started.err);
    let bad = check(json!([{ "realm": "local", "buckets": { "a/b": "x", "up": "../x", "none": "" } }]));
    for wanted in ["is not the name of a bucket", "leads upwards", "a bucket has a folder"] {
        assert!(bad.err.contains(wanted), "{}", bad.err);
    }
}

#[test]
fn schema_of_a_trigger_is_that_of_its_fields() {
    let schema = Pumice::new().run(&["schema", "trigger"]).json();
    let required = json!(["trigger_id", "job_id", "enabled"]);
    assert_eq!((&schema["title"], &schema["required"]), (&json!("Trigger"), &required));
    assert_eq!(schema["additionalProperties"], false);
}

/// Each YAML of the guide's chapter is a document that `check` takes.
#[test]
fn examples_of_the_guide_hold_and_work() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide.md");
    let guide = std::fs::read_to_string(guide).expect("the guide");
    let chapter =
        guide.split("\n## Triggers\n").nth(1).expect("the chapter").split("\n## ").next().unwrap_or_default();
    let examples: Vec<&str> =
        chapter.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() >= 3, "{}", examples.len());
    let pumice = Pumice::new();
    let mut documents = examples.join("---\n");
    for job in ["etl/load-orders", "build/site"] {
        let job = format!("---\njob_id: {job}\ntype: log\nworker: core\npayload: null\nenabled: true\n");
        documents.push_str(&job);
    }
    pumice.write("guide.yaml", documents);
    let checked = pumice.run(&["check", "--strict", "guide.yaml", "-o", "json"]);
    assert_eq!(checked.status, 0, "{}", checked.err);
    let schema = pumice.run(&["schema", "trigger"]).json();
    for name in schema["properties"].as_object().expect("fields").keys() {
        assert!(chapter.contains(&format!("`{name}`")), "the guide does not tell of {name}");
    }
    assert_eq!(pumice.run(&["apply", "guide.yaml"]).status, 0);
    let tested = pumice
        .run(&["triggers", "test", "incoming", "orders/2026/may.csv", "--size", "10", "-o", "json"])
        .json();
    let fits: Vec<&Value> =
        tested["triggers"].as_array().expect("triggers").iter().filter(|one| one["fits"] == true).collect();
    assert_eq!(fits.len(), 1, "{tested}");
    assert_eq!(fits[0]["requests"][0]["job_id"], "etl/load-orders");
}
