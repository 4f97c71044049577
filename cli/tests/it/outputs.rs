//! Where commands work, what they print, and where that is kept.

use serde_json::{Value, json};

use crate::pumice::{Pumice, shell, wait_until};

fn with(mut spec: Value, fields: Value) -> Value {
    let Value::Object(fields) = fields else { panic!("an object") };
    for (name, value) in fields {
        spec[&name] = value;
    }
    spec
}

fn serve_and_run(pumice: &Pumice, jobs: &Value, job: &str) -> String {
    pumice.write("jobs.json", jobs.to_string());
    let applied = pumice.run(&["apply", "jobs.json"]);
    assert_eq!(applied.status, 0, "{applied:?}");
    let _server = pumice.serve();
    let asked = pumice.run(&["dispatch", job, "--wait", "-o", "json"]);
    asked.json()["accepted"][0]["run_id"].as_str().unwrap_or_else(|| panic!("{asked:?}")).to_owned()
}

#[test]
fn output_through_any_path_is_kept_in_order() {
    let pumice = Pumice::new();
    for way in [
        "echo 1; echo 2 > /dev/stdout; echo 3",
        "echo 1; echo 2 > /dev/fd/1; echo 3",
        "echo 1; echo 2 > /proc/self/fd/1; echo 3",
        "echo 1; echo 2 | (tee /dev/fd/3 > /dev/null) 3>&1; echo 3",
        "echo 1; echo 2 | dd of=/dev/stdout 2> /dev/null; echo 3",
        "echo 1; echo 2 > f; cp f /dev/stdout; echo 3",
        "echo 1; echo 2; find . -mindepth 1 -delete; echo 3",
        "echo 1; sh -c 'echo 2 >&2' 2>&1; echo 3",
    ] {
        let printed = pumice.run_spec(&shell("a", way), "a");
        let lines: Vec<&str> = printed.err.lines().filter_map(|line| line.strip_prefix("a | ")).collect();
        assert_eq!(lines, ["1", "2", "3"], "{way}: {printed:?}");
    }
}

#[test]
fn files_that_a_job_puts_in_the_way_of_its_output_are_not_read() {
    let pumice = Pumice::new();
    // The worker's own file is found by what writes to it.
    // It is made with the first line that the worker reads.
    let find = "for i in $(seq 500); do f=$(find \"$PUMICE_SCRATCH\" -name '*.stderr' | head -1); \
        test -n \"$f\" && break; sleep 0.02; done; test -n \"$f\" || exit 9; rm -f \"$f\"";
    for (put, name) in [
        ("mkfifo \"$f\"", "a pipe"),
        ("ln -s /proc/self/environ \"$f\"", "a link"),
        ("mkdir \"$f\"", "a folder"),
        ("true", "nothing"),
    ] {
        let script = format!("echo told >&2; {find}; {put}; exit 1");
        let printed = pumice.run_spec(&shell("a", &script), "a");
        let run = printed.run_of("a");
        assert_eq!(run["reason"], "exit status 1: told", "{name}: {printed:?}");
        assert!(printed.err.contains("a | told"), "{name}: {printed:?}");
    }
}

#[test]
fn each_step_and_attempt_keeps_its_own_output_and_files() {
    let pumice = Pumice::new();
    let script = "echo {{ globals.who }} attempt {{ globals.lava.iteration }} | tee \"$LAVA_S3_TMP/report\"; \
        test {{ globals.lava.iteration }} = 2";
    let step = with(
        shell("step", script),
        json!({ "iteration_limit": 2, "render_at": "run", "globals": { "who": "nobody" } }),
    );
    let each = json!({ "job_id": "each", "type": "foreach", "worker": "core", "enabled": true, "payload": "inner",
        "parameters": { "foreach": { "type": "inline", "values": [{ "who": "ann" }, { "who": "bob" }] } } });
    let inner = json!({ "job_id": "inner", "type": "chain", "worker": "core", "enabled": true, "payload": ["step", "step"] });
    let run = serve_and_run(&pumice, &json!([step, each, inner]), "each");
    let printed = pumice.run(&["runs", "output", &run]);
    let lines: Vec<&str> = printed.out.lines().collect();
    let wanted: Vec<String> = ["ann", "ann", "bob", "bob"]
        .iter()
        .flat_map(|who| [format!("{who} attempt 1"), format!("{who} attempt 2")])
        .collect();
    assert_eq!(lines, wanted, "{printed:?}");
    let places = pumice.run(&["runs", "output", &run, "-o", "json"]).json();
    for (place, text) in places.as_array().expect("places").iter().zip(&wanted) {
        let location = std::path::Path::new(place["location"].as_str().expect("a place"));
        assert_eq!(std::fs::read_to_string(location).expect("kept").trim(), text);
        let report = location.with_file_name("report").display().to_string().replace("/.output/", "/");
        assert_eq!(std::fs::read_to_string(report).expect("kept").trim(), text);
    }
    // A realm that was moved finds all of it.
    std::fs::rename(pumice.path().join(".pumice"), pumice.path().join("moved")).expect("moved");
    let moved = pumice.run(&["--home", "moved", "runs", "output", &run]);
    assert_eq!(moved.out, printed.out);
}

#[test]
fn job_that_keeps_attempts_has_one_folder_and_output_for_each() {
    let pumice = Pumice::new();
    let script = "echo one more >> \"$LAVA_S3_TMP/report\"; cat \"$LAVA_S3_TMP/report\" | wc -l; test {{ globals.lava.iteration }} = 3";
    let fields = json!({ "iteration_limit": 3, "render_at": "run", "keep": "attempts" });
    let run = serve_and_run(&pumice, &json!([with(shell("a", script), fields)]), "a");
    let printed = pumice.run(&["runs", "output", &run]);
    assert_eq!(printed.out.split_whitespace().collect::<Vec<_>>(), ["1", "2", "3"], "{printed:?}");
}

#[test]
fn each_attempt_of_payloads_keeps_its_own_output() {
    let pumice = Pumice::new();
    let files = [
        ("both/a.sh", "#!/bin/sh\necho a $1\n"),
        ("both/b.sh", "#!/bin/sh\necho b $1; echo more >&2; test $1 = 3\n"),
    ];
    std::fs::create_dir_all(pumice.path().join("both")).expect("a folder");
    for (name, text) in files {
        let file = pumice.write(name, text);
        let put = pumice.run(&["payloads", "put", &file.display().to_string(), "--to", name]);
        assert_eq!(put.status, 0, "{put:?}");
    }
    let job = json!({ "job_id": "e", "type": "exe", "worker": "core", "enabled": true, "payload": "both/",
        "parameters": { "args": ["{{ globals.lava.iteration }}"] }, "iteration_limit": 3, "render_at": "run" });
    let run = serve_and_run(&pumice, &json!([job]), "e");
    let places = pumice.run(&["runs", "output", &run, "-o", "json"]).json();
    let shown = |place: &Value| {
        let location = place["location"].as_str().expect("a place");
        let text = std::fs::read_to_string(location).expect("kept").trim().to_owned();
        (place["attempt"].as_u64().expect("a number"), text)
    };
    let shown: Vec<(u64, String)> = places.as_array().expect("places").iter().map(shown).collect();
    let wanted = (1..=3).flat_map(|attempt| {
        [format!("a {attempt}"), format!("b {attempt}"), "more".to_owned()].map(|text| (attempt, text))
    });
    let mut sorted = shown.clone();
    sorted.sort();
    let mut wanted: Vec<(u64, String)> = wanted.collect();
    wanted.sort();
    assert_eq!(sorted, wanted, "{shown:?}");
}

#[test]
fn outputs_that_cannot_be_read_are_in_the_way_of_no_other() {
    let pumice = Pumice::new();
    let bad = with(
        shell(
            "bad",
            "echo bad; o=$(echo \"$LAVA_S3_TMP\" | sed s,/temp/,/temp/.output/,); mkdir -p \"$o\"; rm -f \"$o/stdout\"; \
             mkfifo \"$o/stdout\"; test -e ../{{ globals.lava.iteration }}.txt",
        ),
        json!({ "iteration_limit": 2, "render_at": "run", "keep": "attempts" }),
    );
    let chain = json!({
        "job_id": "c", "type": "chain", "worker": "core", "enabled": true,
        "payload": ["good", "bad", "good"], "parameters": { "can_fail": "*" },
    });
    let run = serve_and_run(&pumice, &json!([chain, bad, shell("good", "echo good")]), "c");
    let printed = pumice.run(&["runs", "output", &run]);
    assert_eq!(printed.out.lines().filter(|line| *line == "good").count(), 2, "{printed:?}");
    assert!(printed.status == 3 && printed.err.contains("it is not a regular file"), "{printed:?}");
    // A step of the newest run, and of the newest of a job.
    for step in ["latest/1.2", "latest:c/1.2"] {
        assert_eq!(pumice.run(&["runs", "output", step]).out, "good\n", "{step}");
    }
    let none = pumice.run(&["runs", "output", "latest:c/1.9"]);
    assert!(none.status == 2 && none.err.contains("no such run"), "{none:?}");
}

#[test]
fn shared_directory_survives_retries_and_a_crash() {
    let pumice = Pumice::new();
    let folder = pumice.path().display().to_string();
    let first = shell("first", "echo 42 > data.csv");
    let second = with(
        shell(
            "second",
            &format!("cat data.csv; echo x >> tries; test $(wc -l < tries) = 2 && touch {folder}/twice"),
        ),
        json!({ "iteration_limit": 3, "iteration_delay": "0.1s" }),
    );
    let third = shell(
        "third",
        &format!("cat data.csv; touch {folder}/begun; while ! test -e {folder}/go; do sleep 0.05; done"),
    );
    let chain = json!({ "job_id": "c", "type": "chain", "worker": "core", "enabled": true, "payload": ["first", "second", "third", "last"] });
    let last = shell("last", "cat data.csv");
    pumice.write("jobs.json", json!([first, second, third, last, chain]).to_string());
    assert_eq!(pumice.run(&["apply", "jobs.json"]).status, 0);
    let mut server = pumice.serve();
    let asked = pumice.run(&["dispatch", "c", "-o", "json"]);
    let run = asked.json()["accepted"][0]["run_id"].as_str().expect("an id").to_owned();
    wait_until(|| pumice.path().join("begun").exists());
    server.0.kill().expect("killed");
    server.0.wait().expect("gone");
    pumice.write("go", "");
    let _again = pumice.serve();
    let status = || pumice.run(&["runs", "show", &run, "-o", "json"]).json()["runs"][0]["status"].clone();
    wait_until(|| status() == "complete" || status() == "failed");
    let printed = pumice.run(&["runs", "output", &run]);
    // The output of the third step before the crash is there along with its later output.
    assert_eq!(
        (status(), printed.out.as_str()),
        (json!("complete"), "42\n".repeat(5).as_str()),
        "{printed:?}"
    );
    wait_until(|| std::fs::read_dir(pumice.path().join(".pumice/work")).expect("a folder").next().is_none());
}

#[test]
fn temporary_directory_is_private_and_overrides_the_job() {
    let pumice = Pumice::new();
    let chain = json!({ "job_id": "c", "type": "chain", "worker": "core", "enabled": true, "payload": ["a", "b", "d"] });
    let clean = with(
        shell("b", "test -z \"$(ls -A $TMPDIR)\" && rm -rf \"$TMPDIR\"/* && echo ${TMPDIR%/*}"),
        json!({}),
    );
    let mut own =
        shell("d", "cat data.csv; test -d \"$TMPDIR\" && test -d \"$HOME\"; test \"$TMPDIR\" != /mine");
    own["parameters"]["env"] = json!({ "TMPDIR": "/mine" });
    let jobs = json!([chain, shell("a", "echo data > data.csv; touch $TMPDIR/x"), clean, own]);
    pumice.write("jobs.json", jobs.to_string());
    let printed = pumice.run(&["run", "--jobs", "jobs.json", "c"]);
    assert!(printed.status == 0 && printed.err.contains("d | data"), "{printed:?}");
}

#[test]
fn job_by_itself_starts_each_attempt_in_an_empty_directory() {
    let pumice = Pumice::new();
    let spec = with(
        shell("a", "ls -A; touch left; test {{ globals.lava.iteration }} = 2"),
        json!({ "iteration_limit": 2, "render_at": "run" }),
    );
    let printed = pumice.run_spec(&spec, "a");
    assert_eq!(printed.status, 0, "{printed:?}");
    assert!(!printed.err.contains("a | "), "{printed:?}");
}

#[test]
fn files_of_a_realm_are_for_its_user_alone() {
    use std::os::unix::fs::MetadataExt;
    let pumice = Pumice::new();
    let chain =
        json!({ "job_id": "c", "type": "chain", "worker": "core", "enabled": true, "payload": ["a"] });
    serve_and_run(&pumice, &json!([chain, shell("a", "umask 022; echo x; echo x > $LAVA_S3_TMP/mine")]), "c");
    let mut open = vec![pumice.path().join(".pumice")];
    while let Some(path) = open.pop() {
        let metadata = std::fs::symlink_metadata(&path).expect("it is there");
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        // Files that a command makes are its own; no other user gets that far.
        if name != "mine" {
            assert_eq!(metadata.mode() & 0o077, 0, "{}", path.display());
        }
        if metadata.is_dir() {
            open.extend(std::fs::read_dir(&path).expect("a folder").flatten().map(|entry| entry.path()));
        }
    }
}

#[test]
fn output_of_a_command_that_runs_can_be_read() {
    let pumice = Pumice::new();
    pumice.write("jobs.json", shell("a", "echo begun; sleep 100").to_string());
    assert_eq!(pumice.run(&["apply", "jobs.json"]).status, 0);
    let _server = pumice.serve();
    let asked = pumice.run(&["dispatch", "a", "-o", "json"]);
    let run = asked.json()["accepted"][0]["run_id"].as_str().expect("an id").to_owned();
    wait_until(|| pumice.run(&["runs", "output", &run]).out == "begun\n");
}

#[test]
fn file_size_that_a_job_sets_is_the_largest_it_may_write() {
    let pumice = Pumice::new();
    // Its first step is limited too.
    let mut spec = shell("a", "head -c 300000 /dev/zero > big");
    spec["parameters"]["file_size"] = "100K".into();
    let printed = pumice.run_spec(&spec, "a");
    assert_eq!(printed.status, 1, "{printed:?}");
    spec["parameters"]["file_size"] = "1M".into();
    assert_eq!(pumice.run_spec(&spec, "a").status, 0);
    spec["parameters"]["file_size"] = "0".into();
    assert_eq!(pumice.run_spec(&spec, "a").status, 2);
    // The command is the one that was asked for, with its arguments as they are.
    let words = json!({ "file_size": 512, "args": ["%s|", "a b", "$HOME", ""] });
    let spec = json!({ "job_id": "b", "type": "cmd", "worker": "core", "enabled": true, "payload": "printf", "parameters": words });
    let run = serve_and_run(&pumice, &spec, "b");
    assert_eq!(pumice.run(&["runs", "output", &run]).out, "a b|$HOME||");
    let none = json!({ "job_id": "c", "type": "cmd", "worker": "core", "enabled": true, "payload": "no-such-program", "parameters": { "file_size": 512 } });
    let pumice = Pumice::new();
    assert!(pumice.run_spec(&none, "c").run_of("c")["reason"] == "no such command: no-such-program");
}

#[test]
fn attempt_that_another_worker_has_claimed_keeps_no_output() {
    let pumice = Pumice::new();
    let folder = pumice.path().display().to_string();
    let script = format!("echo part; echo \"$LAVA_S3_TMP\" > {folder}/place; exec sleep 1000");
    pumice.write("jobs.json", shell("a", &script).to_string());
    assert_eq!(pumice.run(&["apply", "jobs.json"]).status, 0);
    let server = pumice.serve();
    assert_eq!(pumice.run(&["dispatch", "a"]).status, 0);
    let place = || std::fs::read_to_string(pumice.path().join("place")).unwrap_or_default();
    wait_until(|| place().ends_with('\n'));
    let kept = std::path::PathBuf::from(place().trim()).join("stdout");
    std::fs::write(&kept, "all of it").expect("the output of the other worker's attempt");
    // The output of the command goes with the end of its attempt.
    let live = pumice.path().join(".pumice/scratch/live");
    let printed = || std::fs::read_dir(&live).into_iter().flatten().flatten().count();
    wait_until(|| printed() == 1);
    // The claim has another owner and another epoch.
    let store = rusqlite::Connection::open(pumice.path().join(".pumice/pumice.db")).expect("the store");
    store.busy_timeout(std::time::Duration::from_secs(10)).expect("a timeout");
    let claimed = store
        .execute(
            "UPDATE runs SET rev = rev + 1, record = json_set(record, '$.rev', rev + 1, \
             '$.epoch', json_extract(record, '$.epoch') + 1) WHERE json_extract(record, '$.lease') IS NOT NULL",
            [],
        )
        .expect("written");
    assert_eq!(claimed, 1);
    wait_until(|| printed() == 0);
    assert_eq!(std::fs::read_to_string(&kept).expect("the output"), "all of it");
    drop(server);
}

#[test]
fn run_that_is_deleted_takes_along_what_it_printed() {
    let pumice = Pumice::new();
    let job = with(shell("a/b", "echo canary; echo canary > $LAVA_S3_TMP/file"), json!({}));
    serve_and_run(&pumice, &json!([job]), "a/b");
    let temp = pumice.path().join(".pumice/temp");
    assert!(temp.join("a/b").is_dir(), "{}", temp.display());
    assert_eq!(pumice.run(&["runs", "delete", "--where", "job:a/b", "--expect", "1"]).status, 0);
    assert!(!temp.join("a").exists(), "its outputs are there");
}
