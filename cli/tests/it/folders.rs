//! The folders and files of a realm, whatever a job or a person does to them.

use std::path::Path;

use serde_json::{Value, json};

use crate::pumice::{Pumice, shell};

fn apply(pumice: &Pumice, jobs: &Value) {
    pumice.write("jobs.json", jobs.to_string());
    let applied = pumice.run(&["apply", "jobs.json"]);
    assert_eq!(applied.status, 0, "{applied:?}");
}

/// Runs a job to its end; gives its id and its status.
fn ended(pumice: &Pumice, job: &str) -> (String, Value) {
    let asked = pumice.run(&["dispatch", job, "--wait", "-o", "json"]);
    let run =
        asked.json()["accepted"][0]["run_id"].as_str().unwrap_or_else(|| panic!("{asked:?}")).to_owned();
    let shown = pumice.run(&["runs", "show", &run, "-o", "json"]).json();
    (run, shown["runs"][0].clone())
}

#[test]
fn file_that_replaces_a_folder_stops_no_other_job() {
    let pumice = Pumice::new();
    let outside = pumice.path().join("outside");
    std::fs::create_dir(&outside).expect("a folder");
    let home = pumice.path().join(".pumice");
    let puts =
        ["mkfifo", "ln -s '$OUT'", "echo x >"].map(|put| put.replace("$OUT", &outside.display().to_string()));
    let mut jobs = vec![shell("ok", "echo printed; echo kept > \"$LAVA_S3_TMP/file\"")];
    let mut names = Vec::new();
    for folder in ["scratch/live", "scratch/spare", "temp", "temp/ok", "temp/.output"] {
        for put in &puts {
            let path = home.join(folder);
            let name = format!("put{}", names.len());
            jobs.push(shell(&name, &format!("rm -rf '{0}'; {put} '{0}'", path.display())));
            names.push((name, format!("{put} {folder}")));
        }
    }
    apply(&pumice, &Value::Array(jobs));
    let _server = pumice.serve();
    for (name, what) in names {
        ended(&pumice, &name);
        let (run, shown) = ended(&pumice, "ok");
        assert_eq!(shown["status"], "complete", "{what}: {shown}");
        assert_eq!(pumice.run(&["runs", "output", &run]).out, "printed\n", "{what}");
        assert!(home.join("temp/ok").join(&run).join("file").exists(), "{what}");
        assert_eq!(std::fs::read_dir(&outside).expect("a folder").count(), 0, "{what}");
    }
}

#[test]
fn outputs_and_files_of_a_job_leave_each_other_alone() {
    let pumice = Pumice::new();
    let keeps = "echo file > $LAVA_S3_TMP/stdout; mkdir $LAVA_S3_TMP/stderr; echo printed; echo said >&2; ls $LAVA_S3_TMP";
    let mut clears = shell("clears", "ls -A $LAVA_S3_TMP; rm -rf $LAVA_S3_TMP/*; echo out-$TRY; exit 1");
    clears["iteration_limit"] = json!(2);
    clears["keep"] = json!("attempts");
    clears["render_at"] = json!("run");
    clears["parameters"]["env"] = json!({ "TRY": "{{ globals.lava.iteration }}" });
    let mut blocks = shell(
        "blocks",
        "if test $TRY = 1; then echo x > $LAVA_S3_TMP/attempt-2; echo x > $LAVA_S3_TMP-attempt-2; fi; echo try-$TRY; test $TRY = 2",
    );
    blocks["iteration_limit"] = json!(2);
    blocks["render_at"] = json!("run");
    blocks["parameters"]["env"] = json!({ "TRY": "{{ globals.lava.iteration }}" });
    let silent = shell("silent", "echo mine > $LAVA_S3_TMP/stdout");
    apply(&pumice, &json!([shell("keeps", keeps), clears, blocks, silent]));
    let _server = pumice.serve();
    let (run, shown) = ended(&pumice, "keeps");
    assert_eq!(shown["status"], "complete", "{shown}");
    let kept = pumice.path().join(".pumice/temp/keeps").join(&run);
    assert_eq!(std::fs::read_to_string(kept.join("stdout")).expect("the job's file"), "file\n");
    assert!(kept.join("stderr").is_dir());
    assert_eq!(pumice.run(&["runs", "output", &run]).out, "printed\nstderr\nstdout\n");
    let (run, _) = ended(&pumice, "clears");
    assert_eq!(pumice.run(&["runs", "output", &run]).out, "out-1\nout-2\n");
    let (run, shown) = ended(&pumice, "blocks");
    assert_eq!(shown["status"], "complete", "{shown}");
    assert_eq!(pumice.run(&["runs", "output", &run]).out, "try-1\ntry-2\n");
    let (run, _) = ended(&pumice, "silent");
    assert_eq!(pumice.run(&["runs", "output", &run]).out, "", "a file of the job's is not an output");
    let outputs = pumice.path().join(".pumice/temp/.output");
    assert!(outputs.join("blocks").exists());
    for job in ["keeps", "clears", "blocks"] {
        let deleted = pumice.run(&["runs", "delete", "--where", &format!("job:{job}"), "--expect", "1"]);
        assert_eq!(deleted.status, 0, "{deleted:?}");
        let temp = outputs.with_file_name(job);
        assert!(!outputs.join(job).exists() && !temp.exists(), "{job}");
    }
}

fn remove(path: &Path) {
    std::fs::remove_file(path).expect("it was there");
}

#[test]
fn nothing_is_accepted_once_a_file_of_the_store_is_gone() {
    for names in [&["pumice.db-shm"][..], &["pumice.db-wal", "pumice.db-shm"]] {
        let pumice = Pumice::new();
        apply(&pumice, &json!([shell("a", "true")]));
        let mut server = pumice.serve();
        let (before, _) = ended(&pumice, "a");
        names.iter().for_each(|name| remove(&pumice.path().join(".pumice").join(name)));
        // The server may have stopped by now, or not have looked yet.
        let refused = pumice.run(&["dispatch", "a"]);
        let stopped = server.0.wait().expect("it ends").code();
        assert_eq!(stopped, Some(3), "{names:?}");
        let is_lost = names.len() > 1;
        assert!(refused.status == 3 || !is_lost && refused.status == 0, "{names:?}: {refused:?}");
        let listed = pumice.run(&["runs", "list", "-o", "json"]);
        let runs = || listed.json()["runs"].as_array().map_or(0, Vec::len);
        if is_lost {
            assert!(listed.status == 3 && listed.err.contains("pumice.db-wal"), "{listed:?}");
        } else {
            assert_eq!(runs(), 1 + usize::from(refused.status == 0), "{listed:?} {refused:?}");
            assert!(listed.out.contains(&before), "{listed:?}");
        }
    }
}

#[test]
fn server_of_a_store_whose_tables_another_program_dropped_stops() {
    let pumice = Pumice::new();
    apply(&pumice, &json!([shell("a", "true")]));
    let mut server = pumice.serve();
    ended(&pumice, "a");
    let store = pumice.path().join(".pumice/pumice.db");
    let drop = format!("import sqlite3; sqlite3.connect('{}').execute('drop table runs')", store.display());
    let dropped = std::process::Command::new("python3").args(["-c", &drop]).status();
    if !dropped.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no python3 with sqlite3");
        return;
    }
    assert_eq!(server.0.wait().expect("it ends").code(), Some(3));
}
