//! Jobs of types exe and pkg in a realm's folder.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::pumice::{Printed, Pumice, wait_until};

fn job(job_type: &str, payload: &str, parameters: Value) -> Value {
    json!({ "job_id": "a", "type": job_type, "worker": "core", "enabled": true, "payload": payload, "parameters": parameters })
}

/// Runs a job over the folder `payloads`.
fn run(pumice: &Pumice, spec: &Value) -> Printed {
    pumice.write("jobs.json", spec.to_string());
    std::fs::create_dir_all(pumice.path().join("payloads")).expect("a folder");
    pumice.run(&["run", "--jobs", "jobs.json", "--payloads", "payloads", "a", "-o", "json"])
}

fn printed(printed: &Printed) -> Vec<&str> {
    printed.err.lines().filter_map(|line| line.strip_prefix("a | ")).collect()
}

/// A zip archive, without the modes of Unix, as Java makes it.
pub(crate) fn zip(members: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().system(zip::System::Dos);
    for (name, text) in members {
        writer.start_file(*name, options).expect("an entry");
        writer.write_all(text.as_bytes()).expect("room");
    }
    writer.finish().expect("an archive").into_inner()
}

#[test]
fn examples_of_the_guide_run() {
    let guide = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide.md");
    let guide = std::fs::read_to_string(guide).expect("the guide");
    for (heading, job, lines) in [
        ("### exe", "demo/steps", &["2 rows of 2 regions"][..]),
        ("### pkg", "ops/report", &["Nightly", "=====", "All is well."]),
    ] {
        let section =
            guide.split(heading).nth(1).and_then(|rest| rest.split("\n### ").next()).expect("a section");
        let example =
            section.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
        let pumice = Pumice::new();
        pumice.write("job.yaml", example);
        let payloads = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/payloads");
        let payloads = payloads.display().to_string();
        let done = pumice.run(&["run", "--jobs", "job.yaml", "--payloads", &payloads, job]);
        assert_eq!(done.status, 0, "{done:?}");
        for line in lines {
            assert!(done.err.contains(&format!("{job} | {line}\n")), "{line}: {done:?}");
        }
    }
}

#[test]
fn files_run_in_order_and_are_kept_under_their_names() {
    let pumice = Pumice::new();
    pumice.write("payloads/d/2.sh", "#!/bin/sh\ncat made; echo \"$1 $LAVA_S3_PAYLOAD\" >&2");
    pumice.write("payloads/d/1.sh", "#!/bin/sh\necho one > made");
    pumice.write("payloads/d/deep/3.sh", "#!/bin/sh\nexit 9");
    let done = run(&pumice, &job("exe", "d/ '{{ vars.x }} y'", json!({ "vars": { "x": "a b" } })));
    assert_eq!(done.status, 0, "{done:?}");
    let place = pumice.path().canonicalize().expect("a path").join("payloads/d/").display().to_string();
    assert_eq!(printed(&done), ["one", &format!("a b y {place}")]);
    let output = done.run_of("a")["result"]["output"].clone();
    let names: Vec<(&str, bool, bool)> = output
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| {
            (one["payload"].as_str().expect("a name"), one["stdout"].is_string(), one["stderr"].is_string())
        })
        .collect();
    assert_eq!(names, [("1.sh", false, false), ("2.sh", true, true)]);
    assert!(output[1]["stdout"].as_str().expect("a place").ends_with("/2.sh.stdout"), "{output}");
}

#[test]
fn payload_that_cannot_be_run_is_named_with_the_reason() {
    let pumice = Pumice::new();
    pumice.write("payloads/big.sh", format!("#!/bin/sh\n{}", "#".repeat(10_000_000)));
    pumice.write("payloads/text", "echo x");
    pumice.write("payloads/no.zip", "no archive");
    pumice.write("payloads/out.zip", zip(&[("../../evil.sh", "x")]));
    pumice.write("payloads/a.zip", zip(&[("x.sh", "#!/bin/sh\n"), ("a_run.sh", ""), ("b/b_run.sh", "")]));
    std::os::unix::fs::symlink("/bin/true", pumice.path().join("payloads/link")).expect("a link");
    // A file with nothing in it, of 10 GB.
    let huge = std::fs::File::create(pumice.path().join("payloads/huge.sh")).expect("a file");
    huge.set_len(10_000_000_000).expect("a hole");
    for (spec, wanted) in [
        (job("exe", "gone.sh", json!({})), "no payload gone.sh"),
        (job("exe", "tex", json!({})), "no payload tex (did you mean text?)"),
        (job("exe", "big.sh", json!({})), "has 10000010 bytes; the limit is 10000000 (EXE_MAX_PAYLOAD_SIZE)"),
        (job("exe", "huge.sh", json!({})), "has 10000000000 bytes"),
        (job("pkg", "huge.sh", json!({ "command": "x" })), "the limit is 20000000 (PKG_MAX_PAYLOAD_SIZE)"),
        (job("exe", "text", json!({})), "cannot run text: it is neither a program"),
        (job("exe", "link", json!({})), "payloads/link is a link"),
        (job("pkg", "no.zip", json!({ "command": "x" })), "the package no.zip is neither a tar nor a zip"),
        (
            job("pkg", "out.zip", json!({ "command": "x" })),
            "the package out.zip holds \"../../evil.sh\", which leads out",
        ),
        (job("pkg", "a.zip", json!({ "command": "gone.sh" })), "the package has no file \"gone.sh\""),
        (job("pkg", "a.zip", json!({})), "the package has a_run.sh, b/b_run.sh: the parameter command says"),
    ] {
        let done = run(&pumice, &spec);
        assert_eq!(done.status, 1, "{wanted}: {done:?}");
        let reason = done.run_of("a")["reason"].clone();
        assert!(reason.as_str().is_some_and(|reason| reason.contains(wanted)), "{wanted}: {reason}");
    }
    assert!(!pumice.path().join("evil.sh").exists());
}

#[test]
fn specs_that_name_no_payload_are_refused() {
    let pumice = Pumice::new();
    for (spec, wanted) in [
        (job("exe", "/etc/passwd", json!({})), "is not a key below the realm's s3_payloads"),
        (job("exe", "s3://b/x.sh", json!({})), "is not a key below"),
        (job("exe", "../x.sh", json!({})), "leads elsewhere"),
        (job("exe", "{{globals.x}}.sh", json!({})), "is not rendered"),
        (job("exe", "x.sh", json!({ "command": "x" })), "command"),
        (job("pkg", "x.zip", json!({ "command": "a", "main": "b" })), "main is the old name of command"),
        (job("pkg", "x.zip", json!({ "command": "/bin/sh" })), "is not a file of the package"),
        (job("pkg", "x.zip", json!({ "timeout": "soon" })), "timeout"),
        (
            json!({ "job_id": "a", "type": "exe", "worker": "core", "enabled": true, "payload": ["x"] }),
            "payload",
        ),
        (json!({ "job_id": "a", "type": "pkg", "worker": "core", "enabled": true, "payload": 3 }), "payload"),
    ] {
        pumice.write("jobs.json", spec.to_string());
        let checked = pumice.run(&["check", "jobs.json"]);
        assert_eq!(checked.status, 2, "{wanted}: {checked:?}");
        assert!(checked.err.contains(wanted) || checked.out.contains(wanted), "{wanted}: {checked:?}");
    }
}

/// A build of Talend Studio: the launcher of a job next to its jar, the libraries next to the job's folder.
fn talend() -> Vec<u8> {
    let launcher = "#!/bin/sh\n\
        cd `dirname $0`\n\
        ROOT_PATH=`pwd`\n\
        test -f $ROOT_PATH/../lib/log4j.jar && test -f $ROOT_PATH/load_orders_0_1.jar || exit 5\n\
        for argument in \"$@\"; do echo \"$argument\"; done\n";
    zip(&[
        ("jobInfo.properties", "contextName=Default\n"),
        ("lib/log4j.jar", "PK"),
        ("load_orders/load_orders_run.sh", launcher),
        ("load_orders/load_orders_run.bat", "@echo off\r\n"),
        ("load_orders/load_orders_run.ps1", ""),
        ("load_orders/load_orders_0_1.jar", "PK"),
        ("load_orders/items/jobs/load_orders_run.sh", "exit 9"),
        ("load_orders/demo/load_orders_0_1/contexts/Default.properties", "host=localhost\n"),
    ])
}

#[test]
fn job_that_talend_built_runs_without_a_command() {
    let pumice = Pumice::new();
    pumice.write("payloads/talend/load_orders_0.1.zip", talend());
    let mut spec = job(
        "pkg",
        "talend/load_orders_0.1.zip",
        json!({ "args": ["--context_param", "last_run_start={{ state.last_run_start }}"] }),
    );
    spec["state"] = json!({ "last_run_start": "2027-01-01T00:00:00" });
    let done = run(&pumice, &spec);
    assert_eq!(done.status, 0, "{done:?}");
    assert_eq!(printed(&done), ["--context_param", "last_run_start=2027-01-01T00:00:00"]);
}

#[test]
fn job_that_is_ended_in_its_second_file_leaves_nothing() {
    for (way, wanted) in
        [("cancel", "cancelled"), ("timeout", "failed"), ("stop", "complete"), ("kill", "complete")]
    {
        let pumice = Pumice::new();
        let begun = pumice.path().join("begun");
        pumice.write(".pumice/payloads/d/1.sh", "#!/bin/sh\necho first");
        pumice.write(
            ".pumice/payloads/d/2.sh",
            format!(
                "#!/bin/sh\nexec 2>&1; test -e \"{0}\" && exit 0; touch \"{0}\"; exec sleep 1000",
                begun.display()
            ),
        );
        pumice.write(
            ".pumice/payloads/d/3.sh",
            format!("#!/bin/sh\ntouch \"{}/third\"", pumice.path().display()),
        );
        let timeout = if way == "timeout" { "1s" } else { "10m" };
        let spec = job("exe", "d/", json!({ "timeout": timeout }));
        pumice.write("jobs.json", json!([spec]).to_string());
        assert_eq!(pumice.run(&["apply", "jobs.json"]).status, 0, "{way}");
        let server = pumice.serve_with(&["--drain", "0s"]);
        assert_eq!(pumice.run(&["dispatch", "a"]).status, 0);
        wait_until(|| begun.exists());
        let server = match way {
            "cancel" => {
                assert_eq!(pumice.run(&["runs", "cancel", "latest"]).status, 0);
                server
            }
            "stop" => {
                server.end_by("TERM");
                pumice.serve()
            }
            "kill" => {
                server.signal("KILL");
                server.end();
                pumice.serve()
            }
            _ => server,
        };
        let mut run = Value::Null;
        wait_until(|| {
            run = pumice.run(&["runs", "show", "latest", "-o", "json"]).json()["runs"][0].clone();
            ["cancelled", "failed", "complete"].iter().any(|status| run["status"] == *status)
        });
        assert_eq!(run["status"], wanted, "{way}: {run:#}");
        assert_eq!(pumice.path().join("third").exists(), wanted == "complete", "{way}");
        drop(server);
        // No file of a payload is left in the folder of the run, nor any folder of the run itself.
        let scratch = pumice.path().join(".pumice/scratch");
        wait_until(|| files_below(&scratch).iter().all(|name| !name.ends_with(".sh")));
    }
}

fn files_below(folder: &std::path::Path) -> Vec<String> {
    let (mut open, mut files) = (vec![folder.to_owned()], Vec::new());
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(entry.path()),
                _ => files.push(entry.path().display().to_string()),
            }
        }
    }
    files
}

#[test]
fn payload_runs_whatever_its_mode_is() {
    let pumice = Pumice::new();
    let file = pumice.write("payloads/x.sh", "#!/bin/sh\necho ran");
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o444)).expect("a mode");
    let done = run(&pumice, &job("exe", "x.sh", json!({})));
    assert_eq!(printed(&done), ["ran"], "{done:?}");
}

#[test]
fn payloads_are_put_listed_and_got() {
    let pumice = Pumice::new();
    pumice.write("run.sh", "#!/bin/sh\necho put");
    pumice.write("other.sh", "#!/bin/sh\necho other");
    pumice.write("jobs.json", json!([job("exe", "demo/run.sh", json!({}))]).to_string());
    assert_eq!(pumice.run(&["apply", "jobs.json"]).status, 0);
    let would = pumice.run(&["payloads", "put", "run.sh", "--to", "demo/", "--dry-run"]);
    assert_eq!(
        (would.status, would.out.as_str()),
        (0, "demo/run.sh would be added (18 bytes)\n"),
        "{would:?}"
    );
    assert_eq!(pumice.run(&["payloads", "put", "run.sh", "other.sh", "--to", "demo/"]).status, 0);
    let again = pumice.run(&["payloads", "put", "run.sh", "--to", "demo/run.sh"]);
    assert_eq!(again.out, "demo/run.sh replaced (18 bytes)\n", "{again:?}");
    // Later changes of the file do not reach the payload.
    std::fs::OpenOptions::new()
        .append(true)
        .open(pumice.path().join("run.sh"))
        .and_then(|mut file| file.write_all(b"; exit 9"))
        .expect("written");
    let list = |arguments: &[&str]| {
        let listed = pumice.run(&[&["payloads", "list", "-o", "json"], arguments].concat());
        let keys = listed.json()["payloads"].as_array().expect("a list").clone();
        keys.iter().map(|one| one["key"].as_str().expect("a key").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(list(&[]), ["demo/other.sh", "demo/run.sh"]);
    assert_eq!(list(&["demo/r"]), ["demo/run.sh"]);
    assert_eq!(list(&["nothing"]), [] as [&str; 0]);
    assert_eq!(pumice.run(&["payloads", "get", "demo/run.sh", "copy"]).status, 0);
    assert_eq!(std::fs::read_to_string(pumice.path().join("copy")).expect("a copy"), "#!/bin/sh\necho put");
    let ran = pumice.run(&["run", "a"]);
    assert!(ran.err.contains("a | put"), "{ran:?}");
    for (arguments, wanted) in [
        // A folder keeps no file under the name of a folder.
        (&["put", "run.sh", "--to", "demo"][..], "demo is a folder of payloads, demo/other.sh among them"),
        (&["put", "run.sh", "--to", "demo", "--dry-run"], "demo is a folder of payloads"),
        (&["put", "run.sh", "--to", "demo/run.sh/x"], "demo/run.sh/x cannot be below demo/run.sh"),
        (&["put", "run.sh", "--to", "demo/run.sh/x/y", "--dry-run"], "cannot be below demo/run.sh"),
        (&["put", "run.sh", "--to", "/x"], "is not a key below"),
        (&["put", "run.sh", "--to", "../x"], "leads elsewhere"),
        (&["put", "run.sh", "other.sh", "--to", "x"], "write x/ to put them below it"),
        (&["put", "gone.sh"], "gone.sh: No such file"),
        (&["put", "."], "no name"),
        (&["get", "demo/gone.sh"], "no payload demo/gone.sh"),
        (&["get", "demo/", "x"], "is a folder of payloads"),
        (&["get", "demo/run.sh", "copy"], "copy: File exists"),
        (&["list", "../"], "leads elsewhere"),
    ] {
        let reported = pumice.run(&[&["payloads"], arguments].concat());
        assert_eq!(reported.status, 2, "{arguments:?}: {reported:?}");
        assert!(reported.err.contains(wanted), "{arguments:?}: {reported:?}");
    }
    assert_eq!(list(&[]), ["demo/other.sh", "demo/run.sh"], "nothing is lost");
    let huge = std::fs::File::create(pumice.path().join("huge")).expect("a file");
    huge.set_len(10_000_000_000).expect("a hole");
    let reported = pumice.run(&["payloads", "put", "huge"]);
    assert!(
        reported.status == 2 && reported.err.contains("no payload has more than 20000000"),
        "{reported:?}"
    );
}
