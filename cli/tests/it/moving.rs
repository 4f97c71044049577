//! Backing a realm up, restoring it elsewhere, and moving it as docs/moving.md says.

use std::path::Path;

use serde_json::{Value, json};

use crate::pumice::{Printed, Pumice, shell, wait_until};

fn ok(printed: Printed) -> Printed {
    assert_eq!(printed.status, 0, "{printed:?}");
    printed
}

fn runs(pumice: &Pumice, home: &str, filter: &str) -> Vec<Value> {
    let arguments = ["--home", home, "runs", "list", "--limit", "1000", "--where", filter, "-o", "json"];
    ok(pumice.run(&arguments)).json()["runs"].as_array().expect("runs").clone()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

/// A realm that has ended runs, one that failed, one that waits, a secret, a payload and a state item.
fn realm() -> Pumice {
    let pumice = Pumice::new();
    let marks = format!("echo ran >> {}/marks; echo printed", pumice.path().display());
    let jobs = json!([shell("etl/load", &marks), shell("etl/bad", "exit 3")]);
    pumice.write("jobs.json", jobs.to_string());
    ok(pumice.run(&["apply", "jobs.json"]));
    assert_eq!(pumice.feed(&["secrets", "set", "key"], "moving-canary-1").status, 0);
    ok(pumice.run(&["state", "put", "seen", "41"]));
    pumice.write("a.sh", "#!/bin/sh\n");
    ok(pumice.run(&["payloads", "put", "a.sh", "--to", "demo/"]));
    pumice
}

fn marks(pumice: &Pumice) -> usize {
    std::fs::read_to_string(pumice.path().join("marks")).map_or(0, |text| text.lines().count())
}

/// docs/moving.md, "From one machine to another": nothing is lost, and nothing that has ended runs again.
#[test]
fn realm_moves_to_another_machine_as_the_page_says() {
    let pumice = realm();
    let server = pumice.serve();
    ok(pumice.run(&["dispatch", "etl/load", "--wait", "--key", "night"]));
    assert_eq!(pumice.run(&["dispatch", "etl/bad", "--wait"]).status, 1);
    let page = std::fs::read_to_string("../docs/moving.md").expect("the page");
    let page = page.split("\n## From a folder").next().expect("its first part").to_owned();
    let lines: Vec<String> = page
        .split("```sh\n")
        .skip(1)
        .flat_map(|block| block.split("```").next().unwrap_or_default().lines().map(str::to_owned))
        .collect();
    assert_eq!(lines.len(), 7, "{lines:?}");
    let (last, lines) = lines.split_last().expect("lines");
    assert!(last.ends_with("--home new serve"), "{last}");
    for line in lines {
        let words = crate::schedules::words_of(line);
        if line.contains("maintenance off") {
            // It waits, whichever caller asks: the realm is paused.
            ok(pumice.run(&["--home", "new", "dispatch", "etl/load", "--key", "later"]));
            let why = ok(pumice.run(&["--home", "new", "runs", "why", "latest:etl/load"]));
            assert!(why.out.contains("restored from a backup") || why.out.contains("paused"), "{why:?}");
            server.signal("TERM");
            wait_until(|| {
                let moved = pumice.run(&["runs", "list", "-o", "json"]);
                moved.status == 0
            });
        }
        let printed = ok(pumice.run(&words.iter().skip(1).map(String::as_str).collect::<Vec<_>>()));
        if line.contains(" backup ") {
            assert!(printed.out.contains("read back and found whole"), "{printed:?}");
            // Later runs are not in it.
            ok(pumice.run(&["dispatch", "etl/bad"]));
        }
    }
    drop(server);
    let before = marks(&pumice);
    let mut moved = pumice.command(&["--home", "new", "serve"]).spawn().expect("serve");
    wait_until(|| marks(&pumice) == before + 1);
    wait_until(|| runs(&pumice, "new", "-status:complete,failed").is_empty());
    moved.kill().expect("killed");
    moved.wait().expect("its end");
    assert_eq!(runs(&pumice, "new", "status:complete").len(), 2);
    assert_eq!(runs(&pumice, "new", "status:failed").len(), 1);
    assert_eq!(marks(&pumice), before + 1, "what had ended does not run again");
    // The same key finds the same run.
    let again = ok(pumice.run(&["--home", "new", "dispatch", "etl/load", "--key", "night", "-o", "json"]));
    assert_eq!(again.json()["accepted"][0]["existing"], true);
    let output = ok(pumice.run(&["--home", "new", "runs", "output", "latest:etl/load"]));
    assert_eq!(output.out, "printed\n");
    assert_eq!(ok(pumice.run(&["--home", "new", "state", "get", "seen"])).out.trim(), "41");
    assert_eq!(ok(pumice.run(&["--home", "new", "secrets", "list", "-o", "json"])).json()[0]["name"], "key");
    ok(pumice.run(&["--home", "new", "payloads", "get", "demo/a.sh", "copy.sh"]));
    let audit =
        ok(pumice.run(&["--home", "new", "audit", "list", "--where", "act:restore,backup", "-o", "json"]));
    let acts: Vec<String> = audit.json()["entries"]
        .as_array()
        .expect("entries")
        .iter()
        .map(|entry| format!("{} {}", entry["act"], entry["outcome"]))
        .collect();
    // The act that made the copy is in the audit of the realm that was copied.
    assert_eq!(acts, ["\"restore\" \"done\""]);
    let audit = ok(pumice.run(&["audit", "list", "--where", "act:backup", "-o", "json"])).json();
    assert_eq!(audit["entries"][0]["outcome"], "done");
}

/// A run that was under way when the backup was made waits as well, however long the restored realm is served: the realm that it was
/// copied from may do it.
#[test]
fn restored_realm_does_nothing_until_it_is_set_going() {
    let pumice = Pumice::new();
    let begun = format!("echo begun >> {0}/marks; test -e {0}/go", pumice.path().display());
    let mut retried = shell("m/retried", &begun);
    retried["iteration_limit"] = json!(10);
    retried["iteration_delay"] = json!("1s");
    let step = shell("m/step", &format!("echo step >> {}/marks", pumice.path().display()));
    let chain = json!({ "job_id": "m/chain", "type": "chain", "worker": "core", "enabled": true,
        "payload": "m/retried, m/step", "on_success": [{ "action": "dispatch", "job_id": "m/step" }] });
    pumice.write("jobs.json", json!([retried, step, chain]).to_string());
    ok(pumice.run(&["apply", "jobs.json"]));
    let server = pumice.serve();
    ok(pumice.run(&["dispatch", "m/chain", "m/retried"]));
    wait_until(|| marks(&pumice) >= 2);
    drop(server);
    ok(pumice.run(&["backup", "b"]));
    let restored = ok(pumice.run(&["--home", "new", "restore", "b"]));
    assert!(
        restored.out.contains("nothing runs") && restored.out.contains("nor what had begun"),
        "{restored:?}"
    );
    // An ordinary pause in its place lets nothing through either.
    ok(pumice.run(&["--home", "new", "maintenance", "on", "--why", "still"]));
    let records = || ok(pumice.run(&["--home", "new", "runs", "export"])).out;
    let (before, ran) = (records(), marks(&pumice));
    pumice.write("go", "");
    for _ in 0..2 {
        let server = pumice.serve_with(&["--home", "new"]);
        for job in ["m/chain", "m/retried"] {
            let why = ok(pumice.run(&["--home", "new", "runs", "why", &format!("latest:{job}")]));
            assert!(why.out.contains("the realm is paused"), "{why:?}");
        }
        assert_eq!(server.end_by("TERM"), 0);
    }
    assert_eq!((records(), marks(&pumice)), (before, ran), "something was done");
    let off = ok(pumice.run(&["--home", "new", "maintenance", "off", "-o", "json"])).json();
    assert_eq!(off["resumed"][0]["everything"], true, "{off}");
    let _server = pumice.serve_with(&["--home", "new"]);
    wait_until(|| runs(&pumice, "new", "-status:complete").is_empty());
    // The chain's last step, and the job that its action starts.
    let steps = std::fs::read_to_string(pumice.path().join("marks")).expect("marks");
    assert_eq!(steps.lines().filter(|line| *line == "step").count(), 2, "{steps}");
}

/// A relative place would be another folder for each process. Absolute ones of the realm's document stay in use after a
/// restoration, though they lead into the old folder: they are named.
#[test]
fn places_outside_of_the_realms_folder_are_refused_or_named() {
    let pumice = realm();
    let old = pumice.path().join(".pumice").canonicalize().expect("a realm");
    let outside = |name: &str| old.join(name).display().to_string();
    for (field, place) in [("s3_temp", "out"), ("s3_payloads", "./pay")] {
        pumice.write("realm.json", json!({ "realm": "local", field: place }).to_string());
        for command in ["check", "apply", "plan"] {
            let printed = pumice.run(&[command, "realm.json"]);
            let is_refused =
                printed.err.contains("is neither an absolute path nor in S3") && printed.err.contains(field);
            assert!(printed.status == 2 && is_refused, "{command}: {printed:?}");
        }
    }
    let document = json!({ "realm": "local", "s3_temp": outside("out"), "s3_payloads": outside("pay"),
        "buckets": { "inside": "buckets/in", "old": outside("buckets/old") } });
    pumice.write("realm.json", document.to_string());
    ok(pumice.run(&["apply", "realm.json"]));
    let made = ok(pumice.run(&["backup", "b", "-o", "json"])).json();
    assert!(made.get("elsewhere").is_none(), "{made}");
    let restored = ok(pumice.run(&["--home", "new", "restore", "b"]));
    for (place, name) in [("out", "s3_temp"), ("pay", "s3_payloads"), ("buckets/old", "bucket old")] {
        let message = format!("the restored realm uses {}: {name} is outside", outside(place));
        assert!(restored.err.contains(&message), "{message}: {restored:?}");
    }
    assert!(!restored.err.contains("bucket inside"), "{restored:?}");
    let made = ok(pumice.run(&["--home", "new", "backup", "again", "-o", "json"])).json();
    let left_out = made["left_out"].as_array().map(Vec::len);
    assert_eq!(left_out, Some(3), "{made}");
    // One that was stored before this was refused does no harm, and is reported.
    let database = rusqlite::Connection::open(pumice.path().join("new/pumice.db")).expect("a store");
    let stored = json!({ "realm": "local", "s3_temp": "out" }).to_string();
    let changed = database.execute("UPDATE meta SET value = ?1 WHERE name = 'realm'", [stored]);
    assert_eq!(changed.expect("written"), 1);
    ok(pumice.run(&["--home", "new", "maintenance", "off"]));
    let server = pumice.serve_with(&["--home", "new"]);
    ok(pumice.run(&["--home", "new", "dispatch", "etl/load", "--wait"]));
    assert_eq!(ok(pumice.run(&["--home", "new", "runs", "output", "latest"])).out, "printed\n");
    let message = ok(pumice.run(&["--home", "new", "runs", "show", "latest", "-o", "json"])).out;
    assert!(message.contains("is neither an absolute path nor in S3"), "{message}");
    drop(server);
    assert!(!pumice.path().join("out").exists());
}

#[test]
fn backup_of_a_realm_at_work_is_one_moment_of_it() {
    let pumice = realm();
    let server = pumice.serve();
    let requests: String = (0..2_000).map(|n| format!("etl/load -g n={n}\n")).collect();
    pumice.write("requests", requests);
    let mut asking = pumice.command(&["dispatch", "--file", "requests", "-q"]);
    let mut asking = asking.stdout(std::process::Stdio::null()).spawn().expect("dispatch");
    wait_until(|| marks(&pumice) > 20);
    for number in 0..3 {
        let made = ok(pumice.run(&["backup", &format!("b{number}"), "-o", "json"])).json();
        assert!(made["files"].as_u64() > Some(1), "{made}");
    }
    asking.kill().expect("killed");
    asking.wait().expect("its end");
    assert_eq!(server.end_by("TERM"), 0);
    for number in 0..3 {
        let home = format!("copy{number}");
        ok(pumice.run(&["--home", &home, "restore", &format!("b{number}")]));
        let database =
            rusqlite::Connection::open(pumice.path().join(&home).join("pumice.db")).expect("a store");
        let check: String =
            database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a check");
        assert_eq!(check, "ok");
        // Each run that has not ended has its message or its time, in the copy as in the realm.
        let lost = "SELECT count(*) FROM runs WHERE status = 'dispatched' AND due_at IS NULL";
        let lost: i64 = database.query_row(lost, [], |row| row.get(0)).expect("a count");
        assert_eq!(lost, 0);
    }
}

#[test]
fn backup_and_restoration_refuse_what_they_must_not_do() {
    let pumice = realm();
    pumice.write("there", "mine");
    ok(pumice.run(&["backup", "good"]));
    let whole = std::fs::read(pumice.path().join("good")).expect("a backup");
    pumice.write("cut", &whole[..whole.len() / 2]);
    let mut changed = whole.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    pumice.write("changed", changed);
    std::fs::create_dir(pumice.path().join("full")).expect("a folder");
    pumice.write("full/x", "");
    for (arguments, why) in [
        (&["backup", "there"][..], "exists already"),
        (&["backup", ".pumice/inside"], "is in the realm's own folder"),
        (&["--home", "none", "backup", "x"], "there is no realm in"),
        (&["restore", "good"], "holds a realm"),
        (&["--home", "full", "restore", "good"], "is not empty"),
        (&["--home", "new", "--realm", "other", "restore", "good"], "a restored realm keeps its name"),
        (&["--home", "new", "restore", "cut"], "is damaged, and nothing of it is used"),
        (&["--home", "new", "restore", "changed"], "is damaged, and nothing of it is used"),
        (&["--home", "new", "restore", "there"], "is not a backup of pumice"),
        (&["restore", "good", "--dry-run"], "holds a realm"),
        (&["--home", "full", "restore", "good", "--dry-run"], "is not empty"),
        (&["--home", "new", "restore", "cut", "--dry-run"], "is damaged, and nothing of it is used"),
        (&["--home", "new", "restore", "changed", "--dry-run"], "is damaged, and nothing of it is used"),
    ] {
        let printed = pumice.run(arguments);
        assert!(printed.status == 2 && printed.err.contains(why), "{arguments:?}: {printed:?}");
    }
    assert_eq!(std::fs::read_to_string(pumice.path().join("there")).expect("mine"), "mine");
    let tried = ok(pumice.run(&["--home", "new", "restore", "good", "--dry-run", "-o", "json"])).json();
    assert_eq!((&tried["dry_run"], &tried["in_the_way"]), (&json!(true), &Value::Null), "{tried}");
    let jobs = pumice.run(&["jobs", "list", "-o", "json"]).json();
    assert_eq!(tried["jobs"], json!(jobs["all"]), "{tried}");
    let shown = ok(pumice.run(&["--home", "new", "restore", "good", "--dry-run"]));
    assert!(
        shown.out.contains("would restore into new: ") && shown.out.contains("is whole: realm"),
        "{shown:?}"
    );
    assert!(!pumice.path().join("new").exists());
    // A realm that is served is in use all the same.
    let _server = pumice.serve();
    let refused = pumice.run(&["restore", "good"]);
    assert!(refused.status == 2 && refused.err.contains("holds a realm"), "{refused:?}");
    let left: Vec<String> = names(pumice.path())
        .into_iter()
        .filter(|name| name.contains("partial") || name.contains("restoring"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
}

/// Whenever the process is killed, there is a whole backup or none, and a whole realm or none.
#[test]
fn killed_backup_or_restoration_leaves_all_or_nothing() {
    let pumice = realm();
    // Enough for it to take a while.
    for number in 0..15 {
        pumice.write(
            &format!(".pumice/payloads/p{number}"),
            vec![u8::try_from(number).expect("small"); 400_000],
        );
    }
    let mut finished = 0;
    for millis in (0..8).map(|step| step * step * 8) {
        let _ = std::fs::remove_file(pumice.path().join("b"));
        let mut child = pumice.command(&["backup", "b", "-q"]).spawn().expect("backup");
        std::thread::sleep(std::time::Duration::from_millis(millis));
        child.kill().expect("killed");
        child.wait().expect("its end");
        let home = format!("r{millis}");
        if pumice.path().join("b").exists() {
            finished += 1;
        } else {
            ok(pumice.run(&["backup", "b", "-q"]));
        }
        let mut child = pumice.command(&["--home", &home, "restore", "b", "-q"]).spawn().expect("restore");
        std::thread::sleep(std::time::Duration::from_millis(millis));
        child.kill().expect("killed");
        child.wait().expect("its end");
        if !pumice.path().join(&home).exists() {
            ok(pumice.run(&["--home", &home, "restore", "b", "-q"]));
        }
        let shown = ok(pumice.run(&["--home", &home, "workers", "list", "-o", "json"])).json();
        assert_eq!(shown["pauses"][0]["scope"], "realm", "{shown}");
        assert_eq!(ok(pumice.run(&["--home", &home, "state", "get", "seen"])).out.trim(), "41");
        std::fs::remove_dir_all(pumice.path().join(&home)).expect("removed");
    }
    assert!(finished < 8, "none was killed in time");
    // A leftover disturbs nothing, is readable by its user alone, and is reported.
    let left: Vec<String> =
        names(pumice.path()).into_iter().filter(|name| name.ends_with(".partial")).collect();
    std::fs::remove_file(pumice.path().join("b")).expect("removed");
    let made = ok(pumice.run(&["backup", "b"]));
    for name in left {
        assert!(made.err.contains(&format!("{name} was left by one that was killed")), "{name}: {made:?}");
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &pumice.path().join(&name).metadata().expect("a folder").permissions(),
        );
        assert_eq!(mode & 0o777, 0o700, "{name}");
    }
}

/// Wherever the disk is full, in the copy of the store or in the archive, nothing stays that looks whole.
#[test]
fn backup_that_cannot_be_written_leaves_nothing() {
    let pumice = realm();
    // It does not compress.
    let mut seed = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed.to_be_bytes()[0]
    })
    .take(3_000_000)
    .collect();
    pumice.write(".pumice/payloads/noise", noise);
    let within = |blocks: u32, arguments: &str| -> Printed {
        // No file may be larger; a write beyond fails, as on a full disk.
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" {arguments}");
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_pumice")]).current_dir(pumice.path());
        shell.output().expect("a shell").into()
    };
    for blocks in [20, 1_000] {
        let printed = within(blocks, "backup b");
        assert!(printed.status == 3, "{blocks}: {printed:?}");
        assert!(!names(pumice.path()).iter().any(|name| name.starts_with('b')), "{:?}", names(pumice.path()));
    }
    ok(pumice.run(&["backup", "b"]));
    let printed = within(1_000, "--home new restore b");
    assert!(printed.status == 3, "{printed:?}");
    assert!(!names(pumice.path()).iter().any(|name| name.starts_with("new")), "{:?}", names(pumice.path()));
    ok(pumice.run(&["--home", "new", "restore", "b"]));
}

#[test]
fn export_has_each_run_once_and_whole() {
    let pumice = realm();
    let server = pumice.serve();
    for _ in 0..3 {
        ok(pumice.run(&["dispatch", "etl/load", "--wait"]));
    }
    assert_eq!(pumice.run(&["dispatch", "etl/bad", "--wait"]).status, 1);
    drop(server);
    let printed = ok(pumice.run(&["runs", "export"]));
    let lines: Vec<Value> =
        printed.out.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    let jobs: Vec<&str> = lines.iter().filter_map(|run| run["job_id"].as_str()).collect();
    assert_eq!(jobs, ["etl/load", "etl/load", "etl/load", "etl/bad"], "the oldest first");
    assert_eq!(lines[0]["payload"], json!(["sh", "-c", lines[0]["payload"][2]]));
    let failed = ok(pumice.run(&["runs", "export", "--where", "status:failed"]));
    assert_eq!(failed.out.lines().count(), 1);
    let refused = pumice.run(&["runs", "export", "--where", "colour:red"]);
    assert_eq!(refused.status, 2, "{refused:?}");
}
