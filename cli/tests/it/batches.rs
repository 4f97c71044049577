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
fn requests_refused_for_one_reason_are_reported_together() {
    let pumice = realm();
    let text: String = (1..=2_400).map(|n| if n % 2 == 0 { "nowhere\n" } else { "a\n" }).collect();
    pumice.write("many.txt", text + "-x\n");
    let reported = |printed: &crate::pumice::Printed| -> Vec<String> {
        printed.err.lines().filter(|line| line.contains("refused: ")).map(str::to_owned).collect()
    };
    let printed = pumice.run(&["dispatch", "--file", "many.txt"]);
    let lines = reported(&printed);
    assert_eq!((printed.status, lines.len()), (2, 3), "{printed:?}");
    assert!(lines[0].contains("refused: line 2: no such job nowhere"), "{lines:?}");
    assert!(lines[1].contains("refused: line 2401: "), "{lines:?}");
    assert!(
        lines[2].contains("refused: lines 4, 6, 8, 10 and 1195 more, as line 2: no such job nowhere"),
        "{lines:?}"
    );
    let printed = pumice.run(&["dispatch", "--file", "many.txt", "-o", "json"]);
    let response = printed.json();
    let refused: Vec<&str> = response["refused"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one["request"].as_str())
        .collect();
    assert_eq!((refused.len(), refused[1]), (1_201, "line 4"));
    assert!(refused.contains(&"line 2401"), "{refused:?}");
    assert_eq!((reported(&printed).len(), response["accepted"].as_array().map(Vec::len)), (3, Some(1_200)));
    let printed = pumice.run(&["dispatch", "--file", "many.txt", "-o", "yaml"]);
    assert_eq!(printed.out.matches("request: line ").count(), 1_201, "{}", printed.err);
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
fn file_with_a_key_is_given_again_without_doubles() {
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

/// The runs that a dispatch printed.
fn runs(printed: &crate::pumice::Printed) -> std::collections::BTreeSet<String> {
    printed.out.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// The name under which a dispatch says that it goes on.
fn name_of(reported: &str) -> String {
    let rest = reported.split("--resume ").nth(1).expect("a name");
    rest.split_whitespace().next().expect("a name").to_owned()
}

#[test]
fn file_goes_on_after_a_kill_without_doubles() {
    use std::io::{BufRead, BufReader};
    let pumice = realm();
    let mut text = String::new();
    for number in 0..6_000 {
        text.push_str(if number % 1_000 == 500 { "nowhere\n" } else { "a -g same=1\n" });
    }
    pumice.write("many.txt", &text);
    let piped = std::process::Stdio::piped;
    let mut command = pumice.command(&["dispatch", "--file", "many.txt"]);
    let mut child = command.stdout(piped()).stderr(piped()).spawn().expect("it starts");
    let mut reported = BufReader::new(child.stderr.take().expect("stderr")).lines();
    let name = name_of(&reported.next().expect("a line").expect("a text"));
    std::thread::spawn(move || reported.map_while(Result::ok).count());
    let mut lines = BufReader::new(child.stdout.take().expect("an output")).lines();
    assert!(lines.by_ref().take(700).all(|line| line.is_ok()));
    child.kill().expect("it is killed");
    child.wait().expect("an end");
    let taken = count(&pumice);
    assert!((700..5_994).contains(&taken), "{taken}");
    let resumed = pumice.run(&["dispatch", "--file", "many.txt", "--resume", &name]);
    assert_eq!((resumed.status, count(&pumice)), (2, 5_994), "{}", resumed.err);
    assert!(resumed.err.contains(&format!("{taken} there already, 6 refused")), "{}", resumed.err);
    assert_eq!(runs(&resumed).len(), 5_994);
    // Given anew, and not again, the file makes new runs.
    let anew = pumice.run(&["dispatch", "--file", "many.txt"]);
    assert!(runs(&anew).is_disjoint(&runs(&resumed)) && count(&pumice) == 2 * 5_994, "{}", anew.err);
}

/// Nothing of a file is taken that came into it after its dispatch began, and it is not a success.
#[test]
fn file_that_is_changed_while_it_is_read_ends_with_an_error() {
    use std::io::{Read, Seek, SeekFrom, Write};
    let pumice = realm();
    let line = format!("a -g x={}\n", "y".repeat(1_000));
    let path = pumice.write("many.txt", line.repeat(8_000));
    let piped = std::process::Stdio::piped;
    let mut command = pumice.command(&["dispatch", "--file", "many.txt"]);
    let mut child = command.stdout(piped()).stderr(piped()).spawn().expect("it starts");
    // It waits for a reader of its output, far from the end.
    crate::pumice::wait_until(|| count(&pumice) >= 500);
    let mut file = std::fs::OpenOptions::new().write(true).open(path).expect("a file");
    file.seek(SeekFrom::End(-100)).expect("a place");
    file.write_all(b"Z").expect("written");
    let mut printed = String::new();
    child.stdout.take().expect("an output").read_to_string(&mut printed).expect("text");
    let mut reported = String::new();
    child.stderr.take().expect("errors").read_to_string(&mut reported).expect("text");
    assert_eq!(child.wait().expect("an end").code(), Some(2), "{reported}");
    assert!(reported.contains("was changed while it was read") && reported.contains("taken)"), "{reported}");
    let taken = count(&pumice);
    assert!((500..8_000).contains(&taken), "{taken}: {reported}");
    assert_eq!(usize::try_from(taken), Ok(printed.lines().count()));
}

#[test]
fn another_file_does_not_go_on_where_one_was_interrupted() {
    let pumice = realm();
    pumice.write("requests.txt", "a\nb\n");
    let name = name_of(&pumice.run(&["dispatch", "--file", "requests.txt"]).err);
    pumice.write("requests.txt", "a\na\nb\n");
    let refused = pumice.run(&["dispatch", "--file", "requests.txt", "--resume", &name]);
    assert!(refused.status == 2 && refused.err.contains("is not the one with which"), "{refused:?}");
    let refused = pumice.feed(&["dispatch", "--file", "-", "--resume", &name], "a\nb\n");
    assert!(refused.status == 2 && refused.err.contains("use --key NAME"), "{refused:?}");
    for arguments in [&["--resume", "night"][..], &["--resume", &name, "--key", "night"][..]] {
        let refused = pumice.run(&[&["dispatch", "--file", "requests.txt"], arguments].concat());
        assert_eq!(refused.status, 2, "{refused:?}");
    }
    assert_eq!(count(&pumice), 2);
}

#[test]
fn dry_run_shows_the_runs_that_requests_would_make_and_makes_none() {
    let pumice = realm();
    let off = json!({ "job_id": "off", "type": "log", "worker": "w", "enabled": false, "payload": null });
    pumice.write("off.json", off.to_string());
    assert_eq!(pumice.run(&["apply", "off.json"]).status, 0);
    let id = pumice.run(&["dispatch", "a", "--key", "monday", "-o", "json"]).json();
    let id = id["accepted"][0]["run_id"].as_str().expect("a run").to_owned();
    let request = |job: &str, key: &str| json!({ "job_id": job, "idempotency_key": key }).to_string();
    let list = [
        "a -g x=1".to_owned(),
        "b -d 5m".to_owned(),
        "off".to_owned(),
        request("a", "monday"),
        request("b", "monday"),
        request("b", "monday"),
        json!({ "job_id": "b", "idempotency_key": "monday", "globals": { "x": 1 } }).to_string(),
        "nowhere".to_owned(),
    ];
    pumice.write("list", list.join("\n"));
    let shown = pumice.run(&["dispatch", "--file", "list", "--dry-run"]);
    let lines: Vec<&str> = shown.out.lines().collect();
    assert!(shown.status == 2 && lines.len() == 6, "{shown:?}");
    for (line, wanted) in lines.iter().zip([
        "a  would be dispatched to worker w, due 2",
        "b  would be dispatched to worker w, due 2",
        "off  would be skipped: the job is not enabled",
        &format!("a  is there already: run {id}"),
        "b  would be dispatched to worker w, due 2",
        "b  would be one run with that of an earlier request",
    ]) {
        assert!(line.starts_with(wanted), "{line}: {wanted}");
    }
    for wanted in [
        "line 8: no such job nowhere",
        "line 7: ",
        "monday",
        "6 of 8 requests would be taken; none was",
        "2 of 8 requests would be refused",
    ] {
        assert!(shown.err.contains(wanted), "{wanted}: {}", shown.err);
    }
    let json = pumice.run(&["dispatch", "a", "b", "--dry-run", "-o", "json"]).json();
    let foreseen = json["foreseen"].as_array().expect("runs");
    assert!(foreseen.len() == 2 && json["accepted"] == json!([]), "{json:#}");
    assert!(foreseen.iter().all(|one| one["worker"] == "w" && one.get("run_id").is_none()), "{json:#}");
    assert_eq!(count(&pumice), 1, "the one that was asked for");
    // Nor is it in the audit.
    let audit = pumice.run(&["audit", "list", "--where", "act:dispatch", "-o", "json"]).json();
    assert_eq!(audit["entries"].as_array().map(Vec::len), Some(1), "{audit:#}");
    for other in ["--wait", "--resume=x"] {
        assert_eq!(pumice.run(&["dispatch", "--file", "list", "--dry-run", other]).status, 2);
    }
}
