//! Warnings: valid but probably unintended.

use serde_json::{Value, json};

use crate::pumice::Pumice;

fn job(id: &str, more: &Value) -> Value {
    let mut job =
        json!({ "job_id": id, "type": "cmd", "worker": "core", "enabled": true, "payload": "date" });
    job.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
    job
}

fn steps(id: &str, kind: &str, payload: &Value) -> Value {
    job(id, &json!({ "type": kind, "payload": payload }))
}

/// The names and texts of the warnings about these jobs.
fn warnings(pumice: &Pumice, jobs: &Value) -> Vec<(String, String)> {
    pumice.write("jobs.json", jobs.to_string());
    let printed = pumice.run(&["check", "jobs.json", "-o", "json", "-q"]);
    assert_eq!(printed.status, 0, "{printed:?}");
    let found = printed.json()["warnings"].as_array().cloned().expect("warnings");
    let text = |found: &Value, name: &str| found[name].as_str().unwrap_or_default().to_owned();
    found
        .iter()
        .map(|found| {
            let line =
                format!("{}: {} ({})", text(found, "path"), text(found, "message"), text(found, "hint"));
            (text(found, "name"), line)
        })
        .collect()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of warnings and the jobs that have them")]
fn one_job_is_warned_of_by_name() {
    let pumice = Pumice::new();
    let params = |more: Value| json!({ "parameters": more });
    for (name, jobs, wanted) in [
        (
            "not-enabled",
            json!([{ "job_id": "a", "type": "log", "worker": "w", "payload": null }]),
            "enabled: not given",
        ),
        (
            "default-zone",
            json!([job("a", &json!({ "schedule": "0 3 * * *" }))]),
            "schedule: no timezone is given, so that its times are in UTC",
        ),
        ("zero-timeout", json!([job("a", &json!({ "timeout": 0 }))]), "timeout: a timeout of 0"),
        (
            "zero-timeout",
            json!([job("a", &params(json!({ "timeout": "0s" })))]),
            "parameters.timeout: a timeout of 0",
        ),
        (
            "timeout-above-command",
            json!([job("a", &json!({ "timeout": "1h", "parameters": { "timeout": "5m" } }))]),
            "parameters.timeout: the command is stopped after 5m, before the 1h",
        ),
        (
            "globals-not-rendered",
            json!([job("a", &json!({ "globals": { "day": "{{ start }}" } }))]),
            "globals.day: ",
        ),
        (
            "unknown-variable",
            json!([job("a", &json!({ "payload": "echo {{globls.x}}" }))]),
            "did you mean \"globals\"?",
        ),
        (
            "unknown-variable",
            json!([job("a", &params(json!({ "args": ["{{ nope }}"] })))]),
            "parameters.args[0]: ",
        ),
        (
            "unknown-variable",
            json!([job("a", &params(json!({ "env": { "X": "{{ nope }}" } })))]),
            "parameters.env.X: ",
        ),
        (
            "unknown-variable",
            json!([job("a", &json!({ "on_fail": [{ "action": "log", "message": "{{ reslt }}" }] }))]),
            "on_fail[0].message: unknown variable \"reslt\" (did you mean \"result\"?)",
        ),
        (
            "environment-name",
            json!([job("a", &params(json!({ "env": { "A=B": "1" } })))]),
            "no environment can hold",
        ),
        (
            "environment-name",
            json!([job("a", &params(json!({ "env": { "": "1" } })))]),
            "no environment can hold",
        ),
        ("shell-sign", json!([job("a", &json!({ "payload": "rm *.csv" }))]), "payload: * means nothing here"),
        ("shell-sign", json!([job("a", &json!({ "payload": "ls ~/x" }))]), "payload: ~ means nothing here"),
        (
            "shell-sign",
            json!([job("a", &json!({ "payload": "echo $HOME" }))]),
            "payload: $HOME means nothing",
        ),
        ("shell-sign", json!([job("a", &json!({ "payload": "a | b" }))]), "payload: | means nothing"),
        (
            "relative-program",
            json!([job("a", &json!({ "payload": "./load.sh x" }))]),
            "which is empty at first",
        ),
        (
            "relative-program",
            json!([job("a", &json!({ "payload": "timeout 5 env A=1 ./load.sh" }))]),
            "\"./load.sh\" is looked for",
        ),
        (
            "relative-program",
            json!([job("a", &json!({ "payload": "python3 -u scripts/load.py x" }))]),
            "\"scripts/load.py\" is looked for",
        ),
        (
            "relative-program",
            json!([job("a", &json!({ "payload": "bash load.sh" }))]),
            "\"load.sh\" is looked for",
        ),
        ("shell-sign", json!([job("a", &json!({ "payload": "/bin/ls a?.csv" }))]), "payload: ? means"),
        ("shell-sign", json!([job("a", &json!({ "payload": "cat {a,b}.csv" }))]), "payload: { means"),
        (
            "shell-sign",
            json!([job("a", &json!({ "type": "exe", "payload": "bin/x *.csv" }))]),
            "payload: * means",
        ),
        (
            "shell-sign",
            json!([job(
                "a",
                &json!({ "type": "pkg", "payload": "x.zip",
                "parameters": { "command": "run.sh > out" } })
            )]),
            "parameters.command: > means",
        ),
        (
            "zero-timeout",
            json!([job(
                "a",
                &json!({ "type": "http", "payload": "https://a.example",
                "parameters": { "timeout": 0 } })
            )]),
            "parameters.timeout: a timeout of 0",
        ),
        (
            "zero-timeout",
            json!([job(
                "a",
                &json!({ "type": "http", "payload": "https://a.example",
                "parameters": { "request_timeout": "0s" } })
            )]),
            "parameters.request_timeout: a timeout of 0",
        ),
        (
            "timeout-above-command",
            json!([job(
                "a",
                &json!({ "type": "lambda", "payload": "f", "timeout": "20m",
                "parameters": { "timeout": "1m" } })
            )]),
            "parameters.timeout: the call is stopped after 1m, before the 20m",
        ),
        (
            "globals-not-rendered",
            json!([job("a", &params(json!({ "vars": { "a": "{{ x }}" } })))]),
            "parameters.vars.a: vars are never rendered",
        ),
        (
            "globals-not-rendered",
            json!([job(
                "a",
                &json!({ "timezone": "UTC",
                "schedule": [{ "crontab": "0 3 * * *", "globals": { "a": "{{ start }}" } }] })
            )]),
            "schedule[0].globals.a: globals are never rendered",
        ),
        (
            "globals-not-rendered",
            json!([job("a", &json!({ "globals": { "{{ k }}": 1 } }))]),
            "globals are never rendered",
        ),
        (
            "pattern-not-rendered",
            json!([
                job("s", &json!({})),
                job(
                    "a",
                    &json!({ "type": "chain", "payload": "s", "parameters": { "can_fail": "x{{ globals.a }}*" } })
                )
            ]),
            "parameters.can_fail: patterns are never rendered",
        ),
        (
            "pattern-not-rendered",
            json!([
                job("s", &json!({})),
                job(
                    "a",
                    &json!({ "type": "foreach", "payload": "s", "parameters": { "foreach":
                    { "type": "s3list", "bucket": "data", "prefix": "in/", "glob": ["*.csv", "x{% if a %}"] } } })
                )
            ]),
            "parameters.foreach.glob[1]: patterns are never rendered",
        ),
        (
            "unknown-variable",
            json!([job("a", &json!({ "concurrency": { "key": "{{ nope }}", "max": 1 } }))]),
            "concurrency.key: unknown variable \"nope\"",
        ),
        (
            "look-alike",
            json!([job("etl/load", &json!({})), job("etl/Ioad", &json!({}))]),
            "looks like the other job \"etl/load\"",
        ),
        (
            "shell-comment",
            json!([job("a", &json!({ "payload": "sh -c 'echo ${#A} #}'" }))]),
            "payload: {# of ${#",
        ),
        (
            "look-alike",
            json!([job("etl/load", &json!({})), job("Etl/Load", &json!({}))]),
            "looks like the other job \"etl/load\"",
        ),
        (
            "look-alike",
            json!([job("etl/load", &json!({})), job("еtl/load", &json!({}))]),
            "it has U+0435 where the other has U+0065",
        ),
    ] {
        let found = warnings(&pumice, &jobs);
        assert_eq!(found.len(), 1, "{jobs}: {found:?}");
        assert!(found[0].0 == name && found[0].1.contains(wanted), "{jobs}: {found:?}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of warnings and the jobs that have them")]
fn jobs_together_are_warned_of_by_name() {
    let pumice = Pumice::new();
    let leaf = |id: &str| job(id, &json!({}));
    let items = |count: u32, more: Value| {
        let mut parameters = json!({ "foreach": { "type": "range", "stop": count } });
        parameters.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
        job("top", &json!({ "type": "foreach", "payload": "load", "parameters": parameters }))
    };
    let starts = |id: &str| json!({ "on_success": [{ "action": "dispatch", "job_id": id }] });
    for (name, jobs, wanted) in [
        (
            "unknown-job",
            json!([leaf("load"), steps("top", "chain", &json!(["load", "laod"]))]),
            "payload: there is no job \"laod\" (did you mean \"load\"?)",
        ),
        (
            "unknown-job",
            json!([leaf("load"), steps("top", "dag", &json!({ "load": "laod" }))]),
            "there is no job \"laod\"",
        ),
        (
            "unknown-job",
            json!([leaf("load"), steps("top", "dispatch", &json!("load, laod"))]),
            "there is no job \"laod\"",
        ),
        ("unknown-job", json!([steps("top", "foreach", &json!("load")),]), "there is no job \"load\""),
        (
            "unknown-job",
            json!([job("a", &starts("laod")), job("load", &starts("a"))]),
            "on_success[0].job_id: there is no job \"laod\"",
        ),
        (
            "other-worker",
            json!([job("load", &json!({ "worker": "gpu" })), steps("top", "chain", &json!("load"))]),
            "for worker gpu, not core",
        ),
        (
            "circle",
            json!([steps("a", "chain", &json!("b")), steps("b", "chain", &json!("a"))]),
            "in a circle: a > b > a (it fails",
        ),
        (
            "circle",
            json!([
                steps("a", "chain", &json!("b")),
                steps("b", "dag", &json!({ "c": null })),
                steps("c", "dispatch", &json!("a"))
            ]),
            "a > b > c > a (it is stopped after 32 levels, but",
        ),
        (
            "circle",
            json!([job("a", &starts("b")), job("b", &starts("a"))]),
            "on_success[0].job_id: the jobs run each other",
        ),
        ("circle", json!([job("a", &starts("a"))]), "in a circle: a > a (it is stopped after 32 levels"),
        (
            "too-many-items",
            json!([leaf("load"), items(11, json!({}))]),
            "parameters.foreach: more than 10 items",
        ),
        (
            "too-many-items",
            json!([leaf("load"), items(3, json!({ "limit": 26 }))]),
            "parameters.limit: 26 is more than the realm's",
        ),
        (
            "never-started",
            json!([leaf("load"), leaf("lost"), steps("top", "chain", &json!("load"))]),
            "job_id: no job, action or schedule",
        ),
    ] {
        let mut jobs = jobs;
        // A foreach needs its items.
        for job in jobs.as_array_mut().expect("jobs").iter_mut().filter(|job| job["type"] == "foreach") {
            if job["parameters"].is_null() {
                job["parameters"] = json!({ "foreach": { "type": "range", "stop": 1 } });
            }
        }
        let found = warnings(&pumice, &jobs);
        assert_eq!(found.len(), 1, "{jobs}: {found:?}");
        assert!(found[0].0 == name && found[0].1.contains(wanted), "{jobs}: {found:?}");
    }
    // Jobs that poll start themselves, or each other, after a while.
    let later = json!({ "on_success": [{ "action": "dispatch", "job_id": "a", "delay": "1s" }] });
    assert_eq!(warnings(&pumice, &json!([job("a", &later)])), []);
    let mut locked = steps("a", "chain", &json!("b"));
    locked["overlap"] = "queue".into();
    let found = warnings(&pumice, &json!([locked, steps("b", "chain", &json!("a"))]));
    assert!(found.len() == 1 && found[0].1.contains("meets the lock that a run above it holds"), "{found:?}");
}

#[test]
fn check_considers_the_existing_realm() {
    let pumice = Pumice::new();
    let realm = json!({ "realm": "test", "config": { "FOREACH_LIMIT": 20 }, "on_fail": [{ "action": "dispatch", "job_id": "alert" }] });
    let there = json!([realm, job("load", &json!({})), job("alert", &json!({}))]);
    pumice.write("there.json", there.to_string());
    let applied = pumice.run(&["apply", "there.json"]);
    assert!(
        applied.status == 0 && applied.err.contains("[1].job_id: no job, action or schedule"),
        "{applied:?}"
    );
    assert!(!applied.err.contains("[2]"), "the realm's action starts it: {applied:?}");
    let parameters = json!({ "foreach": { "type": "range", "stop": 20 } });
    let each = job("each", &json!({ "type": "foreach", "payload": "load", "parameters": parameters }));
    let found = warnings(&pumice, &json!([each, steps("top", "chain", &json!(["load", "Load"]))]));
    assert!(found.len() == 1 && found[0].1.contains("did you mean \"load\"?"), "{found:?}");
    let found = warnings(&pumice, &json!([job("LOAD", &json!({ "type": "log", "payload": null }))]));
    assert!(found.iter().any(|(name, _)| name == "look-alike"), "{found:?}");
    // Mistakes that are there already cause no warning.
    assert!(found.iter().all(|(_, found)| !found.contains("alert")), "{found:?}");
    let realm = json!({ "realm": "test", "on_fail": [{ "action": "dispatch", "job_id": "alrt" }] });
    let found = warnings(&pumice, &json!([realm]));
    assert!(
        found.len() == 1
            && found[0].1.contains("on_fail[0].job_id: there is no job \"alrt\" (did you mean \"alert\"?)"),
        "{found:?}"
    );
}

#[test]
fn strict_refuses_what_there_are_warnings_about() {
    let pumice = Pumice::new();
    pumice.write("jobs.json", job("a", &json!({ "payload": "a | b" })).to_string());
    for command in ["check", "apply"] {
        let printed = pumice.run(&[command, "--strict", "jobs.json"]);
        assert_eq!(printed.status, 2, "{printed:?}");
        assert!(
            printed.err.contains("1 warning, and strict allows none") && printed.err.contains("[shell-sign]"),
            "{printed:?}"
        );
        assert!(!pumice.path().join(".pumice").exists());
    }
    assert_eq!(pumice.run(&["apply", "jobs.json"]).status, 0);
}

#[test]
fn warnings_are_silenced_by_name_where_they_stand() {
    let pumice = Pumice::new();
    let yaml = |id: &str, comment: &str| {
        format!("job_id: {id}\ntype: cmd\nworker: w\nenabled: true\npayload: rm *.csv{comment}\n")
    };
    let count = |name: &str, text: &str| {
        pumice.write(name, text);
        let printed = pumice.run(&["check", "--strict", name]);
        printed.err.matches("[shell-sign]").count()
    };
    assert_eq!(count("a.yaml", &yaml("a", "")), 1);
    assert_eq!(count("a.yaml", &yaml("a", "  # pumice: allow shell-sign")), 0);
    assert_eq!(count("a.yaml", &format!("# pumice: allow shell-sign, circle\n{}", yaml("a", ""))), 0);
    assert_eq!(count("a.yaml", &yaml("a", "\nx-allow: shell-sign")), 0);
    assert_eq!(count("a.yaml", &yaml("a", "\nX-Allow: shell-sign")), 0);
    assert_eq!(count("a.yaml", &yaml("a", "\nx-allow: [shell-sign]")), 0);
    assert_eq!(count("a.yaml", &yaml("a", "\nx-allow: circle")), 1);
    let two = format!("{}---\n{}", yaml("a", " # pumice: allow shell-sign"), yaml("b", ""));
    assert_eq!(count("a.yaml", &two), 1);
    let allowed = job("a", &json!({ "payload": "rm *", "x-allow": ["shell-sign"] }));
    assert_eq!(count("a.json", &allowed.to_string()), 0);
    let printed = pumice.run(&["run", "--jobs", "a.json", "a"]);
    assert!(!printed.err.contains("warning"), "{printed:?}");
    pumice.write("a.yaml", yaml("a", " # pumice: allow shel-sign"));
    let printed = pumice.run(&["check", "a.yaml"]);
    assert!(
        printed.err.contains(
            "there is no warning \"shel-sign\" to allow (did you mean \"shell-sign\"?) [unknown-warning]"
        ),
        "{printed:?}"
    );
}

#[test]
fn every_warning_is_in_the_guide() {
    let guide = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide.md");
    let guide = std::fs::read_to_string(guide).expect("the guide");
    for name in pumice_core::job_type::WARNINGS {
        assert!(guide.contains(&format!("| `{name}` |")), "{name}");
    }
}

#[test]
fn guide_has_each_setting_and_no_other() {
    let guide = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide.md");
    let guide = std::fs::read_to_string(guide).expect("the guide");
    let table = guide.split_once("| setting | default | meaning |").expect("the table of settings").1;
    let rows = table.trim_start().lines().skip(1).take_while(|line| line.starts_with('|'));
    let first = rows.map(|row| row.split('|').nth(1).expect("a first column"));
    let named = first.flat_map(|column| column.split('`').skip(1).step_by(2).collect::<Vec<_>>());
    let (mut named, mut known): (Vec<&str>, Vec<&str>) =
        (named.collect(), pumice_core::spec::Settings::names().collect());
    named.sort_unstable();
    known.sort_unstable();
    assert_eq!(named, known);
}

#[test]
fn examples_have_no_warnings() {
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/jobs");
    let printed = Pumice::new().run(&["check", "--strict", &examples.display().to_string()]);
    assert_eq!(printed.status, 0, "{}", printed.err);
}

#[test]
fn realm_in_a_folder_with_places_in_s3_is_warned_of_and_runs() {
    let pumice = Pumice::new();
    let realm =
        json!({ "realm": "pumice", "s3_temp": "s3://bucket/tmp", "s3_payloads": "s3://bucket/payloads" });
    let found = warnings(&pumice, &json!([realm, job("a", &json!({}))]));
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["bucket-in-folder", "bucket-in-folder"], "{found:?}");
    assert_eq!(pumice.run(&["apply", "jobs.json", "-q"]).status, 0);
    let printed = pumice.run(&["run", "a"]);
    assert_eq!(printed.status, 0, "{printed:?}");
}

#[test]
fn lava_workers_in_a_folder_are_warned_of_and_are_pumices() {
    let pumice = Pumice::new();
    let realm = json!({ "realm": "local", "config": { "FOREIGN_WORKERS": "old" } });
    let job = |job_type: &str, more: &Value| {
        let mut job = json!({
            "job_id": "m", "type": job_type, "worker": "old", "enabled": true, "payload": "here",
        });
        job.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        job
    };
    for (job_type, more, wrong) in [
        ("sns_typo", json!({}), "sns_typo"),
        ("docker", json!({}), "docker"),
        ("cmd", json!({ "parameters": { "colour": 1 } }), "colour"),
        ("log", json!({ "on_fail": [{ "action": "nope" }] }), "nope"),
    ] {
        pumice.write("wrong.json", json!([realm, job(job_type, &more)]).to_string());
        for command in ["check", "apply"] {
            let printed = pumice.run(&[command, "wrong.json"]);
            assert!(printed.status == 2 && printed.err.contains(wrong), "{command} {wrong}: {printed:?}");
        }
        let printed = pumice.run(&["--aws", "check", "wrong.json"]);
        assert_eq!(printed.status, 0, "on AWS the job is lava's to check: {printed:?}");
    }
    let found = warnings(&pumice, &json!([realm, job("log", &json!({}))]));
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["no-lava-workers"], "{found:?}");
    assert_eq!(pumice.run(&["apply", "jobs.json", "-q"]).status, 0);
    let printed = pumice.run(&["run", "m"]);
    assert_eq!(printed.status, 0, "{printed:?}");
    assert_eq!(pumice.run(&["check", "--strict", "jobs.json"]).status, 2);
}
