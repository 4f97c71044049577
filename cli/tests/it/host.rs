//! Faults of a host: it runs out of resources, and files are removed or damaged.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::pumice::{Pumice, Server, shell, wait_until};

fn apply(pumice: &Pumice, jobs: &Value) {
    pumice.write("jobs.json", jobs.to_string());
    let printed = pumice.run(&["apply", "jobs.json"]);
    assert_eq!(printed.status, 0, "{printed:?}");
}

/// `serve` below a shell that sets limits first.
fn serve_limited(pumice: &Pumice, limits: &str) -> Server {
    let serve = pumice.command(&["serve"]);
    let mut command = Command::new("bash");
    command.arg("-c").arg(format!("{limits}; exec \"$0\" serve")).arg(serve.get_program());
    command.current_dir(pumice.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Server(command.spawn().expect("serve"))
}

#[test]
fn few_descriptors_fail_no_job() {
    let pumice = Pumice::new();
    // Commands have the limit that the server was started with, not the one that it gave itself.
    let step = shell("a", "sleep 0.1; ulimit -Sn");
    let many = json!({ "job_id": "many", "type": "dispatch", "worker": "core", "enabled": true, "payload": vec!["a"; 60] });
    apply(&pumice, &json!([step, many]));
    let server = serve_limited(&pumice, "ulimit -Hn 90; ulimit -Sn 80");
    assert_eq!(pumice.run(&["dispatch", "many", "--wait"]).status, 0);
    let runs = pumice.run(&["runs", "list", "--job", "a", "--limit", "100", "-o", "json"]).json();
    let runs = runs["runs"].as_array().expect("runs");
    assert_eq!(runs.len(), 60);
    for run in runs {
        assert!(run["status"] == "complete" && run["iteration"] == 1, "{run:#}");
    }
    let output = pumice.run(&["runs", "output", runs[0]["run_id"].as_str().expect("an id")]);
    assert_eq!(output.out, "80\n");
    server.signal("TERM");
    assert_eq!(server.end(), 0);
}

#[test]
fn realm_whose_files_are_harmed_is_not_served_any_more() {
    type Harm = fn(&std::path::Path);
    let harms: [(Harm, &str); 8] = [
        (|home| std::fs::remove_dir_all(home).expect("removed"), "was removed"),
        (|home| std::fs::rename(home, home.with_extension("old")).expect("moved"), "was removed"),
        (
            |home| {
                std::fs::copy(home.join("pumice.db"), home.join("copy")).expect("copied");
                std::fs::rename(home.join("copy"), home.join("pumice.db")).expect("replaced");
            },
            "was replaced",
        ),
        (
            |home| {
                let store = rusqlite::Connection::open(home.join("pumice.db")).expect("the store");
                store.busy_timeout(std::time::Duration::from_secs(10)).expect("a timeout");
                store.pragma_update(None, "user_version", 999).expect("written");
            },
            "to version 999",
        ),
        (|home| std::fs::write(home.join("pumice.db"), "").expect("emptied"), "while it was served"),
        (|home| std::fs::write(home.join("pumice.db-wal"), "").expect("emptied"), "while it was served"),
        (
            |home| {
                let store = std::fs::OpenOptions::new().write(true).open(home.join("pumice.db"));
                let store = store.expect("the store");
                let length = store.metadata().expect("a length").len();
                store.set_len(length - 4096).expect("cut");
            },
            "while it was served",
        ),
        (|home| overwrite(&home.join("pumice.db"), 0, 100), "was overwritten"),
    ];
    for (harm, why) in harms {
        let pumice = Pumice::new();
        apply(&pumice, &shell("a", "true"));
        assert_eq!(pumice.run(&["dispatch", "a"]).status, 0);
        let child = pumice.command(&["serve"]).stderr(Stdio::piped()).spawn().expect("serve");
        let home = pumice.path().join(".pumice");
        wait_until(|| pumice.run(&["runs", "list", "-o", "json"]).json()["runs"][0]["status"] == "complete");
        harm(&home);
        // Something to do, for what is seen only then.
        let mut asks = pumice.command(&["dispatch", "a"]).stderr(Stdio::null()).spawn().expect("dispatch");
        asks.wait().expect("an end");
        let ended = child.wait_with_output().expect("an end");
        let message = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(3), "{message}");
        assert!(message.contains("stopped serving: ") && message.contains(why), "{message}");
    }
}

/// Puts other bytes into a file in the place of those that are there.
fn overwrite(file: &std::path::Path, from: u64, count: u64) {
    use std::os::unix::fs::FileExt;
    let opened = std::fs::OpenOptions::new().write(true).open(file).expect("the file");
    let end = opened.metadata().expect("a length").len().min(from + count);
    let bytes = vec![0x55; usize::try_from(end - from).expect("a length")];
    opened.write_all_at(&bytes, from).expect("overwritten");
}

/// A realm that is served, and has run its job `a` once.
fn served_with(payload: &str) -> (Pumice, std::process::Child) {
    let pumice = Pumice::new();
    apply(&pumice, &shell("a", payload));
    assert_eq!(pumice.run(&["dispatch", "a"]).status, 0);
    let child = pumice.command(&["serve"]).stderr(Stdio::piped()).spawn().expect("serve");
    wait_until(|| pumice.run(&["runs", "list", "-o", "json"]).json()["runs"][0]["status"] == "complete");
    (pumice, child)
}

#[test]
fn store_overwritten_in_place_is_served_no_more() {
    use std::os::unix::fs::FileExt;
    // Another realm's, and a copy of before the realm was served.
    for is_own in [false, true] {
        let other = Pumice::new();
        apply(&other, &shell("a", "echo other"));
        let mut bytes = std::fs::read(other.path().join(".pumice/pumice.db")).expect("a store");
        let (pumice, child) = served_with("echo own");
        let store = pumice.path().join(".pumice/pumice.db");
        if is_own {
            bytes = std::fs::read(&store).expect("the store");
            // As it would be in a copy of before: the time at which the realm was served then.
            let serving = bytes.windows(9).position(|part| part == b"serving20");
            let year = serving.expect("the time is in the file") + "serving".len();
            bytes[year..year + 4].copy_from_slice(b"2001");
        }
        let opened = std::fs::OpenOptions::new().write(true).open(&store).expect("the store");
        opened.write_all_at(&bytes, 0).expect("overwritten");
        let printed = pumice.run(&["dispatch", "a", "--wait"]);
        assert!(printed.status == 3 && printed.err.contains("another store"), "{is_own}: {printed:?}");
        let ended = child.wait_with_output().expect("an end");
        let message = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(3), "{message}");
        assert!(message.contains("pumice.db was overwritten with another store"), "{message}");
        // Its log is of the store that was overwritten, and goes into no other.
        let printed = pumice.run(&["runs", "list"]);
        assert!(printed.status == 3 && printed.err.contains("is another store"), "{printed:?}");
    }
}

/// The message of `serve` when it does not come up.
fn refused_to_serve(pumice: &Pumice) -> String {
    let printed = pumice.run(&["serve"]);
    assert_eq!(printed.status, 3, "{printed:?}");
    printed.err
}

#[test]
fn store_with_a_lost_log_after_an_unclean_end_is_refused() {
    let killed = || {
        let pumice = Pumice::new();
        apply(&pumice, &shell("a", "true"));
        let mut server = pumice.serve();
        for _ in 0..5 {
            assert_eq!(pumice.run(&["dispatch", "a", "-d", "15m"]).status, 0);
        }
        server.0.kill().expect("killed");
        server.0.wait().expect("gone");
        pumice
    };
    let log = |pumice: &Pumice| pumice.path().join(".pumice/pumice.db-wal");
    let pumice = killed();
    std::fs::write(log(&pumice), "").expect("emptied");
    assert!(
        refused_to_serve(&pumice)
            .contains("pumice.db-wal is gone or is another one, and with it what was written last")
    );
    // The one that was refused may have removed what was left of it.
    let _ = std::fs::remove_file(log(&pumice));
    for command in [&["serve"][..], &["runs", "list"], &["apply", "jobs.json"]] {
        let printed = pumice.run(command);
        assert!(printed.status == 3 && printed.err.contains("pumice.db-wal is gone"), "{printed:?}");
    }
    std::fs::remove_file(pumice.path().join(".pumice/lock")).expect("removed");
    assert_eq!(pumice.run(&["runs", "list"]).status, 0);

    let pumice = killed();
    let length = std::fs::metadata(log(&pumice)).expect("a log").len();
    overwrite(&log(&pumice), length / 2, 3000);
    let listed = pumice.run(&["apply", "jobs.json"]);
    assert!(listed.err.contains("the end of the store's log cannot be read"), "{listed:?}");

    // As it was left it is served, whichever process opened it meanwhile.
    let pumice = killed();
    assert_eq!(pumice.run(&["runs", "list", "-o", "json"]).json()["runs"].as_array().map(Vec::len), Some(5));
    assert_eq!(pumice.run(&["dispatch", "a", "-d", "15m"]).status, 0);
    let server = pumice.serve();
    assert_eq!(pumice.run(&["runs", "list", "-o", "json"]).json()["runs"].as_array().map(Vec::len), Some(6));
    server.signal("TERM");
    assert_eq!(server.end(), 0);
    // After a clean end all is in the store.
    assert!(std::fs::metadata(log(&pumice)).map_or(true, |log| log.len() == 0));
}

#[test]
fn store_of_another_program_is_left_alone() {
    let pumice = Pumice::new();
    std::fs::create_dir(pumice.path().join(".pumice")).expect("a folder");
    let path = pumice.path().join(".pumice/pumice.db");
    rusqlite::Connection::open(&path).expect("a store").execute_batch("CREATE TABLE x (a)").expect("a table");
    assert!(refused_to_serve(&pumice).contains("is the store of another program"));
    let store = rusqlite::Connection::open(&path).expect("the store");
    let tables: i64 =
        store.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).expect("a count");
    assert_eq!(tables, 1);
}

#[test]
fn empty_store_is_not_taken_for_a_new_realm() {
    let pumice = Pumice::new();
    apply(&pumice, &shell("a", "true"));
    let store = pumice.path().join(".pumice/pumice.db");
    std::fs::write(&store, "").expect("emptied");
    for command in [&["jobs", "list"][..], &["apply", "jobs.json"], &["serve"], &["dispatch", "a"]] {
        let printed = pumice.run(command);
        assert_eq!(printed.status, 3, "{command:?}: {printed:?}");
        assert!(printed.err.contains("pumice.db is empty"), "{printed:?}");
    }
    assert_eq!(std::fs::metadata(&store).expect("the store").len(), 0);
}

#[test]
fn damaged_store_is_noticed_after_an_unclean_end() {
    let pumice = Pumice::new();
    apply(&pumice, &shell("a", "true"));
    let requests: Value = (0..400).map(|number| json!({ "job_id": "a", "globals": { "n": number.to_string().repeat(50) }, "delay": "600s" })).collect();
    pumice.write("requests.json", requests.to_string());
    assert_eq!(pumice.run(&["dispatch", "--file", "requests.json", "-q"]).status, 0);
    let mut server = pumice.serve();
    server.0.kill().expect("killed");
    server.0.wait().expect("gone");
    let path = pumice.path().join(".pumice/pumice.db");
    let store = rusqlite::Connection::open(&path).expect("the store");
    store.pragma_update(None, "wal_checkpoint", "TRUNCATE").ok();
    store.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("all in the file");
    drop(store);
    let mut bytes = std::fs::read(&path).expect("the store");
    let (middle, end) = (bytes.len() / 2, bytes.len() / 2 + 16 * 1024);
    bytes[middle..end].fill(0x55);
    std::fs::write(&path, bytes).expect("damaged");
    let child = pumice.command(&["serve"]).stderr(Stdio::piped()).spawn().expect("serve");
    let ended = child.wait_with_output().expect("an end");
    let message = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(3), "{message}");
    assert!(message.contains("damaged") || message.contains("malformed"), "{message}");
}

#[test]
fn damage_of_a_served_store_is_noticed_without_reads() {
    let pumice = Pumice::new();
    apply(&pumice, &shell("a", "true"));
    let requests: Value = (0..400).map(|number| json!({ "job_id": "a", "globals": { "n": number.to_string().repeat(50) }, "delay": "600s" })).collect();
    pumice.write("requests.json", requests.to_string());
    assert_eq!(pumice.run(&["dispatch", "--file", "requests.json", "-q"]).status, 0);
    let mut child = pumice.command(&["serve"]).stderr(Stdio::piped()).spawn().expect("serve");
    let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let mut lines = lines.map(|line| line.expect("a line"));
    assert!(lines.any(|line| line.contains("serving")), "it serves");
    let path = pumice.path().join(".pumice/pumice.db");
    let length = std::fs::metadata(&path).expect("the store").len();
    overwrite(&path, length / 2, 16 * 1024);
    let message: Vec<String> = lines.collect();
    assert_eq!(child.wait().expect("an end").code(), Some(3), "{message:?}");
    assert!(
        message.iter().any(|line| line.contains("is damaged") && line.contains("put a copy")),
        "{message:?}"
    );
}

#[test]
fn hostile_files_of_a_foreach_hold_up_nothing() {
    let pumice = Pumice::new();
    let folder = pumice.path().display().to_string();
    assert!(Command::new("mkfifo").arg(pumice.path().join("pipe")).status().expect("mkfifo").success());
    let mut jobs = vec![shell("each", "true"), shell("other", "true")];
    for (id, file) in [
        ("pipe", format!("{folder}/pipe")),
        ("zero", "/dev/zero".to_owned()),
        ("environ", "/proc/self/environ".to_owned()),
    ] {
        for kind in ["csv", "jsonl"] {
            jobs.push(json!({ "job_id": format!("{id}.{kind}"), "type": "foreach", "worker": "core", "enabled": true,
                "payload": "each", "parameters": { "foreach": { "type": kind, "filename": file } } }));
        }
    }
    let ids: Vec<String> =
        jobs.iter().skip(1).map(|job| job["job_id"].as_str().expect("an id").to_owned()).collect();
    apply(&pumice, &Value::Array(jobs));
    let _server = pumice.serve();
    let mut asked = vec!["dispatch", "--wait", "-o", "json"];
    asked.extend(ids.iter().map(String::as_str));
    let printed = pumice.run(&asked);
    for run in printed.json()["runs"].as_array().expect("runs") {
        let id = run["job_id"].as_str().expect("an id");
        assert_eq!(run["status"], if id == "other" { "complete" } else { "failed" }, "{run:#}");
        assert!(!run.to_string().contains("PATH="), "{run:#}");
    }
}

/// A disk in memory with room for so many files; unmounted when dropped. Nothing where only root may mount one.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(at: std::path::PathBuf, files: usize) -> Option<Self> {
        std::fs::create_dir(&at).expect("a folder");
        let options = format!("size=64m,nr_inodes={files},mode=700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&at).output();
        mounted.is_ok_and(|mounted| mounted.status.success()).then_some(Self(at))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A server that is still there may use it.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn disk_without_room_for_folders_costs_no_attempt() {
    let pumice = Pumice::new();
    let Some(disk) = SmallDisk::mount(pumice.path().join(".pumice"), 60) else {
        eprintln!("left out: only root may mount a disk");
        return;
    };
    apply(&pumice, &json!([shell("a", "echo done"), shell("b", "echo done")]));
    let server = pumice.serve();
    let fillers = (0..100).map(|number| disk.0.join(format!("filler-{number}")));
    let fillers: Vec<_> = fillers.take_while(|filler| std::fs::write(filler, "").is_ok()).collect();
    assert!(!fillers.is_empty() && fillers.len() < 100);
    let accepted = pumice.run(&["dispatch", "a", "b", "-o", "json"]).json();
    let ids: Vec<&str> =
        (0..2).map(|index| accepted["accepted"][index]["run_id"].as_str().expect("an id")).collect();
    let shown = |id: &str| pumice.run(&["runs", "show", id, "-o", "json"]).json()["runs"][0].clone();
    wait_until(|| ids.iter().all(|id| shown(id)["status"] == "waiting"));
    fillers.iter().for_each(|filler| std::fs::remove_file(filler).expect("removed"));
    wait_until(|| ids.iter().all(|id| shown(id)["status"] == "complete"));
    for id in ids {
        assert_eq!(shown(id)["iteration"], 1);
        assert_eq!(pumice.run(&["runs", "output", id]).out, "done\n");
    }
    server.signal("TERM");
    assert_eq!(server.end(), 0);
}
