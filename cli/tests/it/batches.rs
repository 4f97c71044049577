//! `dispatch --file`: any number of requests, in batches, and repeatable without duplicates.

use serde_json::json;

use crate::pumice::Pumice;

fn realm() -> Pumice {
    let pumice = Pumice::new();
    let job =
        |id: &str| json!({ "job_id": id, "type": "log", "worker": "w", "enabled": true, "payload": null });
    pumice.write("jobs.json", json!([job("a"), job("b")]).to_string());
    assert_eq!(pumice.run(&["apply", "jobs.json"]).status, 0);
    pumice
}

fn count(pumice: &Pumice) -> i64 {
    let store = rusqlite::Connection::open(pumice.path().join(".pumice/pumice.db")).expect("a store");
    store.query_row("SELECT count(*) FROM runs", [], |row| row.get(0)).expect("a count")
}

#[test]
fn more_requests_than_any_batch_are_taken() {
    let pumice = realm();
    let mut text = "a -g x=1\n".repeat(10_500);
    text.push_str("nowhere\n-x\n");
    text.push_str(&"b\n".repeat(10));
    pumice.write("many.txt", text);
    let printed = pumice.run(&["dispatch", "--file", "many.txt"]);
    assert_eq!(printed.status, 2, "{}", printed.err);
    assert_eq!((count(&pumice), printed.out.lines().count()), (10_510, 10_510));
    for wanted in [
        "refused: line 10501: no such job nowhere",
        "refused: line 10502: ",
        "2 of 10512 requests refused",
        "10510 taken, 2 refused",
        "so far 10000 taken",
    ] {
        assert!(printed.err.contains(wanted), "{wanted}: {}", printed.err);
    }
}

#[test]
fn requests_of_a_pipe_do_not_wait_for_its_end() {
    use std::io::{BufRead, BufReader, Write};
    let pumice = realm();
    let mut command = pumice.command(&["dispatch", "--file", "-"]);
    let piped = std::process::Stdio::piped;
    let mut child = command.stdin(piped()).stdout(piped()).spawn().expect("it starts");
    let mut input = child.stdin.take().expect("an input");
    let mut lines = BufReader::new(child.stdout.take().expect("an output")).lines();
    for job in ["a", "b", "a"] {
        writeln!(input, "{job}").expect("written");
        let line = lines.next().expect("a line").expect("a text");
        assert!(line.ends_with(&format!("  {job}")), "{line}");
    }
    drop(input);
    assert!(child.wait().expect("an end").success());
}

#[test]
fn a_file_with_a_key_is_given_again_without_doubles() {
    let pumice = realm();
    let file = |lines: &str| pumice.write("requests.txt", lines);
    let dispatch = |key: &str| pumice.run(&["dispatch", "--file", "requests.txt", "--key", key]);
    file("a\na\nb -g x=1\n");
    assert_eq!((dispatch("night").status, count(&pumice)), (0, 3));
    let again = dispatch("night");
    assert_eq!((again.status, count(&pumice)), (0, 3));
    assert_eq!(again.out.matches("(was there already)").count(), 3, "{again:?}");
    assert!(again.err.contains("0 taken, 3 there already"), "{again:?}");
    // Lines that are new, moved and mended.
    file("nowhere\nb -g x=2\na\nb -g x=1\na\n");
    assert_eq!((dispatch("night").status, count(&pumice)), (2, 4));
    file("b\nb -g x=2\na\nb -g x=1\na\n");
    assert_eq!((dispatch("night").status, count(&pumice)), (0, 5));
    assert_eq!((dispatch("another night").status, count(&pumice)), (0, 10));
    let list = r#"[{"job_id": "a"}, {"job_id": "b", "globals": {"x": "1"}}]"#;
    pumice.write("requests.txt", list);
    assert_eq!((dispatch("night").status, count(&pumice)), (0, 10));
}

#[test]
fn results_for_programs_are_one_document() {
    let pumice = realm();
    let accepted = |printed: &crate::pumice::Printed| printed.json()["accepted"].as_array().map(Vec::len);
    let printed = pumice.feed(&["dispatch", "--file", "-", "-o", "json"], "a\n".repeat(1_200));
    assert_eq!(accepted(&printed), Some(1_200));
    let printed = pumice.feed(&["dispatch", "--file", "-", "-o", "json"], "nowhere\n");
    assert_eq!(
        (accepted(&printed), printed.json()["refused"][0]["request"].as_str()),
        (Some(0), Some("line 1"))
    );
    let printed = pumice.feed(&["dispatch", "--file", "-", "-o", "json"], "[{\"job_id\": \"a\"}, ");
    assert_eq!((printed.status, accepted(&printed)), (2, Some(1)), "{printed:?}");
    assert!(printed.err.contains("nothing further was read (1 taken)"), "{printed:?}");
    let printed = pumice.feed(&["dispatch", "--file", "-", "-o", "yaml"], "a\n");
    assert!(printed.out.starts_with("accepted:\n- job_id: a"), "{printed:?}");
    assert_eq!(pumice.feed(&["dispatch", "--file", "-"], "# nothing\n").status, 2);
    assert_eq!(pumice.run(&["dispatch", "--file", "nowhere.txt"]).status, 2);
}
