//! Dead letters as a person meets them.

use serde_json::json;

use crate::pumice::{Pumice, shell, wait_until};

/// Puts a letter aside in a folder's store, as a server does; gives its id.
pub(crate) fn bury(pumice: &Pumice, worker: &str, body: &str, reason: &str) -> i64 {
    let store = rusqlite::Connection::open(pumice.path().join(".pumice/pumice.db")).expect("a store");
    let sql = "INSERT INTO dead_letters (queue, body, receives, reason, at) VALUES (?, ?, 3, ?, unixepoch() * 1000000)";
    store.execute(sql, rusqlite::params![worker, body, reason]).expect("a letter");
    store.last_insert_rowid()
}

/// The body of a message about a run.
fn about(run: &str, job: &str) -> String {
    json!({ "realm": "local", "worker": "core", "job_id": job, "run_id": run, "ts_dispatch": "2026-11-28T12:00:00+00:00" })
        .to_string()
}

#[test]
fn letters_are_seen_handed_out_once_and_dropped_on_purpose() {
    let pumice = Pumice::new();
    pumice.write("jobs.json", json!([shell("a", "true")]).to_string());
    assert_eq!(pumice.run(&["apply", "jobs.json"]).status, 0);
    assert_eq!(pumice.run(&["dead", "list"]).out, "no dead letters\n");
    let dispatched = pumice.run(&["dispatch", "a", "-o", "json"]).json();
    let run = dispatched["accepted"][0]["run_id"].as_str().expect("an id").to_owned();
    // Its message was set aside, and is not on the queue any more.
    let store = rusqlite::Connection::open(pumice.path().join(".pumice/pumice.db")).expect("a store");
    assert_eq!(store.execute("DELETE FROM messages", []).expect("it is removed"), 1);
    let letter = bury(&pumice, "core", &about(&run, "a"), "handed out too often").to_string();
    let odd = bury(&pumice, "core", "\u{1b}[2Jnot JSON", "it cannot be read").to_string();

    let listed = pumice.run(&["dead", "list"]);
    assert!(
        listed.out.contains("handed out too often") && listed.out.contains("its run: dispatched"),
        "{listed:?}"
    );
    assert!(listed.out.lines().all(|line| line.chars().count() <= 80), "{}", listed.out);
    let shown = pumice.run(&["dead", "show", &odd]);
    assert!(shown.out.contains("\\x1b[2Jnot JSON") && shown.out.contains("taken  3 times"), "{shown:?}");

    let dry = pumice.run(&["dead", "redrive", "--where", "job:a", "--dry-run"]);
    assert!(dry.out.contains("add --expect 1"), "{dry:?}");
    let other = pumice.run(&["dead", "redrive", "--where", "job:a", "--expect", "2"]);
    assert!(other.status == 2 && other.err.contains("1 dead letter is meant now, and not 2"), "{other:?}");
    let server = pumice.serve();
    let redriven = pumice.run(&["dead", "redrive", &letter]);
    assert!(
        redriven.status == 0 && redriven.out.contains("1 of 1 letter handed out once more"),
        "{redriven:?}"
    );
    let again = pumice.run(&["dead", "redrive", &letter]);
    assert!(again.status == 2 && again.err.contains("no such dead letter"), "{again:?}");
    wait_until(|| pumice.run(&["runs", "why", &run, "-o", "json"]).json()["status"] == "complete");
    drop(server);

    // The run has ended by now: its message, set aside once more, is left.
    let late = bury(&pumice, "core", &about(&run, "a"), "handed out too often").to_string();
    let left = pumice.run(&["dead", "redrive", &late]);
    assert!(left.status == 0 && left.out.contains("its run has ended, drop it:"), "{left:?}");
    for (words, wanted) in [
        (&["dead", "drop"][..], "required"),
        (&["dead", "drop", "--where", ""], "would mean every dead letter"),
        (&["dead", "drop", "--where", "worker:core"], "look with a dry run first"),
        (&["dead", "drop", "--where", "type:cmd", "--yes"], "is not asked of dead letters"),
        (&["dead", "drop", &late, "--where", "worker:core"], "cannot be used with"),
    ] {
        let refused = pumice.run(words);
        assert!(refused.status == 2 && refused.err.contains(wanted), "{words:?}: {refused:?}");
    }
    let dropped = pumice.run(&["dead", "drop", "--where", "worker:core", "--expect", "2"]);
    assert!(dropped.status == 0 && dropped.out.contains("2 of 2 letters dropped"), "{dropped:?}");
    assert_eq!(pumice.run(&["dead", "list", "-o", "json"]).json()["letters"], json!([]));
}
