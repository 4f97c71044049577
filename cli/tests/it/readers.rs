//! Files from other programs: every reader takes them or names the problem.

use serde_json::{Value, json};

use crate::pumice::Pumice;

const MARK: &str = "\u{feff}";

fn yaml(id: &str) -> String {
    format!("job_id: {id}\ntype: log\nworker: w\nenabled: true\npayload: null\n")
}

fn spec(id: &str) -> String {
    json!({ "job_id": id, "type": "log", "worker": "w", "enabled": true, "payload": null }).to_string()
}

#[test]
fn byte_order_mark_is_skipped_by_every_reader() {
    let pumice = Pumice::new();
    pumice.write("a.yaml", MARK.to_owned() + &yaml("a"));
    pumice.write("b.json", MARK.to_owned() + &spec("b"));
    let checked = pumice.run(&["check", "a.yaml", "b.json", "-o", "json"]);
    assert_eq!(checked.json()["jobs"], json!(["a", "b"]), "{checked:?}");
    assert_eq!(pumice.run(&["apply", "a.yaml", "b.json"]).status, 0);
    for body in ["b\n", "[{\"job_id\": \"b\"}]", "{\"job_id\": \"b\"}\n{\"job_id\": \"b\"}"] {
        let printed = pumice.feed(&["dispatch", "--file", "-"], MARK.to_owned() + body);
        assert_eq!(printed.status, 0, "{body}: {printed:?}");
    }
    pumice.write("vars.json", format!("{MARK}{{\"x\": 1}}"));
    assert_eq!(pumice.run(&["template", "--context", "vars.json", "{{ x }}"]).out, "1\n");
    let each = json!({ "job_id": "each", "type": "foreach", "worker": "w", "enabled": true, "payload": "b",
        "parameters": { "foreach": { "type": "jsonl", "filename": pumice.path().join("items.jsonl") }, "limit": NUMBERS.len() } });
    pumice.write("items.jsonl", format!("{MARK}{{\"x\": 1}}\n{{\"x\": 2}}\n"));
    pumice.write(
        "each.json",
        json!([each, serde_json::from_str::<serde_json::Value>(&spec("b")).expect("JSON")]).to_string(),
    );
    let printed = pumice.run(&["run", "--jobs", "each.json", "each", "-o", "json"]);
    assert_eq!(printed.run_of("each")["result"]["foreach_len"], 2, "{printed:?}");
    pumice.write("wide.yaml", [0xff, 0xfe, b'a', 0]);
    assert!(pumice.run(&["check", "wide.yaml"]).err.contains("UTF-16"));
}

#[test]
fn extensions_may_be_in_capitals() {
    let pumice = Pumice::new();
    for (name, text) in
        [("a.YAML", yaml("a")), ("b.YML", yaml("b")), ("c.JSON", spec("c")), ("d.Yml", yaml("d"))]
    {
        pumice.write(&format!("jobs/{name}"), text);
    }
    assert_eq!(pumice.run(&["check", "jobs", "-o", "json"]).json()["jobs"], json!(["a", "b", "c", "d"]));
}

#[test]
fn yaml_of_every_form_is_read() {
    let pumice = Pumice::new();
    pumice.write("many.yaml", format!("# two jobs\n---\n{}---\n{}---\n# no third\n", yaml("a"), yaml("b")));
    let merged =
        "- &base {job_id: c, type: log, worker: w, enabled: true, payload: null}\n- <<: *base\n  job_id: d\n";
    pumice.write("merged.yaml", merged);
    pumice.write("empty.yaml", "# to be written\n");
    let printed = pumice.run(&["check", "many.yaml", "merged.yaml", "empty.yaml", "-o", "json"]);
    assert_eq!(printed.json()["jobs"], json!(["a", "b", "c", "d"]), "{printed:?}");
    assert!(printed.err.contains("empty.yaml: holds nothing, or comments alone [empty-file]"), "{printed:?}");
    pumice
        .write("bad.yaml", format!("{}---\n{}worker: 5\n", yaml("e"), yaml("f").replace("worker: w\n", "")));
    assert!(pumice.run(&["check", "bad.yaml"]).err.contains("bad.yaml: [1].worker: expected a string"));
    pumice.write("tag.yaml", yaml("e").replace("null", "!secret x"));
    assert!(pumice.run(&["check", "tag.yaml"]).err.contains("the tag \"secret\" has no meaning here"));
}

#[test]
fn lossy_input_is_refused_by_every_reader() {
    let pumice = Pumice::new();
    let big = "18446744073709551616";
    pumice.write("a.json", spec("a"));
    pumice.run(&["apply", "a.json"]);
    pumice.write("big.yaml", yaml("b").replace("null", big));
    pumice.write("big.json", spec("b").replace("null", big));
    pumice.write("vars.yaml", format!("x: {big}\n"));
    let twice = r#"{"job_id": "a", "globals": {"x": 1, "x": 2}}"#;
    for (printed, wanted) in [
        (pumice.run(&["check", "big.yaml"]), "more than 64 bits"),
        (pumice.run(&["check", "big.json"]), "more than 64 bits"),
        (pumice.run(&["template", "--context", "vars.yaml", "{{ x }}"]), "more than 64 bits"),
        (pumice.run(&["state", "put", "x", big]), "more than 64 bits"),
        (pumice.run(&["state", "put", "x", r#"{"a": 1, "a": 2}"#]), "given twice"),
        (
            pumice.feed(
                &["dispatch", "--file", "-"],
                format!(r#"{{"job_id": "a", "globals": {{"x": {big}}}}}"#),
            ),
            "more than 64 bits",
        ),
        (pumice.feed(&["dispatch", "--file", "-"], twice), "the key \"x\" is given twice"),
        (pumice.feed(&["dispatch", "--file", "-"], format!("[{twice}]")), "the key \"x\" is given twice"),
    ] {
        assert_eq!(printed.status, 2, "{printed:?}");
        assert!(printed.err.contains(wanted), "{wanted}: {printed:?}");
    }
    assert_eq!(pumice.run(&["runs", "list", "-o", "json"]).json()["runs"], json!([]));
}

/// Numbers as they are written, and as Python's `json` and `str` have them.
const NUMBERS: [(&str, &str); 11] = [
    ("1e20", "1e+20"),
    ("-1E+20", "-1e+20"),
    ("1e16", "1e+16"),
    ("2e0", "2.0"),
    ("1.5e3", "1500.0"),
    ("0.1e1", "1.0"),
    ("1e-7", "1e-07"),
    ("-0.0", "-0.0"),
    ("-0", "0"),
    ("123456789012345678901.0", "1.2345678901234568e+20"),
    ("12345678901234567890", "12345678901234567890"),
];

#[test]
fn number_reaches_templates_as_written_from_every_reader() {
    let pumice = Pumice::new();
    let written = format!("[{}]", NUMBERS.map(|(text, _)| text).join(", "));
    let wanted = NUMBERS.map(|(_, shown)| shown).join(" ");
    let payload = json!(["echo", wanted]);
    let job = |globals: &str| {
        format!(
            r#"{{"job_id": "a", "type": "cmd", "worker": "w", "enabled": true, "payload": "echo \"{{{{ globals.x|join(' ') }}}}\"", "globals": {globals}}}"#
        )
    };
    let given = format!(r#"{{"x": {written}}}"#);
    // As variables.
    pumice.write("vars.json", &given);
    pumice.write("vars.yaml", format!("x: {written}\n"));
    for file in ["vars.json", "vars.yaml"] {
        let printed = pumice.run(&["template", "--context", file, "{{ x|join(' ') }}"]);
        assert_eq!(printed.out.trim_end(), wanted, "{file}: {printed:?}");
    }
    // In a job, before and after it is stored.
    pumice.write("a.json", job(&given));
    pumice.write("a.yaml", format!("# YAML\n{}", job(&given)));
    for file in ["a.json", "a.yaml"] {
        let printed = pumice.run(&["render", "--jobs", file, "a"]);
        assert_eq!(printed.json()["payload"], payload, "{file}: {printed:?}");
        pumice.run(&["apply", file]);
        let printed = pumice.run(&["render", "a"]);
        assert_eq!(printed.json()["payload"], payload, "{file}, stored: {printed:?}");
    }
    // In requests.
    pumice.write("plain.json", job("{}"));
    pumice.run(&["apply", "plain.json"]);
    for body in [
        format!(r#"{{"job_id": "a", "globals": {given}}}"#),
        format!(r#"[{{"job_id": "a", "globals": {given}}}]"#),
    ] {
        assert_eq!(pumice.feed(&["dispatch", "--file", "-"], &body).status, 0, "{body}");
        let printed = pumice.run(&["runs", "show", "latest", "-o", "json"]);
        assert_eq!(printed.run_of("a")["payload"], payload, "{body}: {printed:?}");
    }
    // In a state item.
    pumice.run(&["state", "put", "x", &written]);
    pumice.write(
        "s.json",
        job("{}")
            .replace("globals.x", "state.x")
            .replace("\"globals\"", "\"state\": {\"x\": null}, \"globals\""),
    );
    pumice.run(&["apply", "s.json"]);
    let printed = pumice.run(&["render", "a"]);
    assert_eq!(printed.json()["payload"], payload, "{printed:?}");
}

#[test]
fn number_of_an_item_reaches_its_child_as_written() {
    let pumice = Pumice::new();
    let each = json!({ "job_id": "each", "type": "foreach", "worker": "w", "enabled": true, "payload": "a",
        "parameters": { "foreach": { "type": "jsonl", "filename": pumice.path().join("items.jsonl") }, "limit": NUMBERS.len() } });
    let child = json!({ "job_id": "a", "type": "cmd", "worker": "w", "enabled": true, "payload": "echo {{globals.x}}" });
    pumice.write("jobs.json", json!([each, child]).to_string());
    pumice.write("items.jsonl", NUMBERS.map(|(text, _)| format!("{{\"x\": {text}}}\n")).concat());
    let printed = pumice.run(&["run", "--jobs", "jobs.json", "each", "-o", "json"]);
    let runs = printed.json();
    let shown: Vec<Value> = runs["runs"]
        .as_array()
        .expect("runs")
        .iter()
        .filter(|run| run["job_id"] == "a")
        .map(|run| run["payload"].clone())
        .collect();
    assert_eq!(shown, NUMBERS.map(|(_, shown)| json!(["echo", shown])), "{printed:?}");
}

#[test]
fn counts_are_whole_numbers_within_their_range() {
    let pumice = Pumice::new();
    for (count, wanted) in [
        ("1e20", "iteration_limit: 1e+20 is more than 4294967295"),
        ("-1e20", "iteration_limit: -1e+20 is less than 1"),
        ("1e300", "iteration_limit: 1e+300 is more than 4294967295"),
        ("1e16", "iteration_limit: 1e+16 is more than 4294967295"),
        ("12345678901234567890", "iteration_limit: 12345678901234567890 is more than 4294967295"),
        ("18446744073709551616", "needs more than 64 bits"),
        ("1e9", "iteration_limit: 1000000000 is more than 10"),
        ("2.5", "iteration_limit: expected a whole number, got a number 2.5"),
        ("'2.5'", "iteration_limit: expected a whole number, got a string \"2.5\""),
        ("'0'", "iteration_limit: \"0\" is less than 1"),
        ("0.0", "iteration_limit: 0.0 is less than 1"),
        ("''", "iteration_limit: expected a whole number, got a string \"\""),
        ("true", "iteration_limit: expected a whole number, got true or false"),
        ("5000000000", "iteration_limit: 5000000000 is more than 4294967295"),
        ("-1", "iteration_limit: -1 is less than 1"),
    ] {
        pumice.write("a.yaml", yaml("a") + "iteration_limit: " + count + "\n");
        let printed = pumice.run(&["check", "a.yaml"]);
        assert!(printed.status == 2 && printed.err.contains(wanted), "{count}: {printed:?}");
    }
}

/// Jobs and a realm that have a whole number at every place where there may be one.
fn numbered(number: &Value) -> Value {
    let job = |id: &str, kind: &str, payload: Value, parameters: Value| json!({ "job_id": id, "type": kind, "worker": "w", "enabled": true, "payload": payload, "parameters": parameters, "iteration_limit": number, "max_tries": number });
    let range = json!({ "type": "range", "name": "n", "start": number, "stop": number, "step": number });
    json!([
        { "realm": "local", "config": { "FOREACH_LIMIT": number, "FOREACH_MAX_LIMIT": number, "ITERATION_MAX_LIMIT": number, "DAG_WORKERS": number, "DAG_MAX_WORKERS": number, "STDERR_SIZE": number } },
        job("log", "log", json!(null), json!({})),
        job("dag", "dag", json!({ "log": "" }), json!({ "workers": number })),
        job("each", "foreach", json!("log"), json!({ "foreach": range, "limit": number, "workers": number })),
        job("cmd", "cmd", json!("true"), json!({ "file_size": number })),
    ])
}

#[test]
fn whole_number_of_every_form_is_taken_at_every_place() {
    let pumice = Pumice::new();
    for number in [json!(3), json!(3.0), json!("3")] {
        pumice.write("all.json", numbered(&number).to_string());
        let printed = pumice.run(&["check", "all.json"]);
        assert_eq!(printed.status, 0, "{number}: {printed:?}");
    }
    pumice.write("all.json", numbered(&json!(2.5)).to_string());
    let printed = pumice.run(&["check", "all.json"]);
    assert_eq!(printed.status, 2, "{printed:?}");
    for place in [
        "iteration_limit",
        "max_tries",
        "parameters.workers",
        "parameters.limit",
        "parameters.foreach.start",
        "parameters.foreach.stop",
        "parameters.foreach.step",
        "config.FOREACH_LIMIT",
        "config.FOREACH_MAX_LIMIT",
        "config.ITERATION_MAX_LIMIT",
        "config.DAG_WORKERS",
        "config.DAG_MAX_WORKERS",
    ] {
        assert!(printed.err.contains(&format!("{place}: expected a whole number")), "{place}: {printed:?}");
    }
    assert!(!printed.err.contains("invalid type"), "{printed:?}");
}

#[test]
fn whole_number_of_every_form_means_the_same() {
    let pumice = Pumice::new();
    for (start, stop, step, limit) in [
        (json!(1), json!(7), json!(2), json!(3)),
        (json!("1"), json!("7"), json!(" 2 "), json!("3")),
        (json!(1.0), json!(7.0), json!(2.0), json!(3.0)),
    ] {
        let range = json!({ "type": "range", "name": "n", "start": start, "stop": stop, "step": step });
        let each = json!({ "job_id": "each", "type": "foreach", "worker": "w", "enabled": true, "payload": "say", "parameters": { "foreach": range, "limit": limit } });
        let say = json!({ "job_id": "say", "type": "cmd", "worker": "w", "enabled": true, "payload": "test '{{ globals.n % 2 }}' = 1" });
        pumice.write("jobs.json", json!([each, say]).to_string());
        let run = pumice.run(&["run", "--jobs", "jobs.json", "each", "-o", "json"]).run_of("each");
        assert_eq!(
            (&run["status"], &run["result"]["foreach_len"]),
            (&json!("complete"), &json!(3)),
            "{run:#}"
        );
    }
}

#[test]
fn empty_duration_means_none_where_lava_means_none() {
    let pumice = Pumice::new();
    let state = json!([{ "action": "state", "state_id": "s", "value": "kept", "ttl": "" }]);
    let job = json!({ "job_id": "a", "type": "log", "worker": "w", "enabled": true, "payload": null, "max_run_delay": "", "on_success": state });
    pumice.write("jobs.json", job.to_string());
    let run = pumice.run(&["run", "--jobs", "jobs.json", "a", "-o", "json"]).run_of("a");
    assert_eq!(run["status"], "complete", "{run:#}");
    assert!(
        run["log"].as_array().expect("a log").iter().all(|entry| entry["status"] != "action_failed"),
        "{run:#}"
    );
    for field in ["iteration_delay", "timeout"] {
        let mut job = job.clone();
        job[field] = "".into();
        pumice.write("bad.json", job.to_string());
        let printed = pumice.run(&["check", "bad.json"]);
        assert!(
            printed.status == 2 && printed.err.contains("\"\" is not a duration"),
            "{field}: {printed:?}"
        );
    }
}

#[test]
fn null_document_is_skipped() {
    let pumice = Pumice::new();
    let job = |id: &str| serde_json::from_str::<Value>(&spec(id)).expect("JSON");
    pumice.write("list.json", json!([null, job("a"), null]).to_string());
    pumice.write("list.yaml", format!("- null\n- ~\n- {}\n", spec("b")));
    pumice.write("many.yaml", format!("null\n---\n{}---\n~\n", yaml("c")));
    let files = ["list.json", "list.yaml", "many.yaml"];
    let printed = pumice.run(&[&["check", "-o", "json"], &files[..]].concat());
    assert_eq!(printed.json()["jobs"], json!(["a", "b", "c"]), "{printed:?}");
    assert_eq!(pumice.run(&[&["apply"], &files[..]].concat()).status, 0);
    pumice.write("null.json", "null");
    pumice.write("null.yaml", "null\n");
    for file in ["null.json", "null.yaml"] {
        let printed = pumice.run(&["check", "list.json", file]);
        assert!(printed.status == 0 && printed.err.contains("empty-file"), "{file}: {printed:?}");
    }
}

#[test]
fn own_fields_of_a_request_are_passed_over() {
    let pumice = Pumice::new();
    pumice.write("a.json", spec("a"));
    pumice.run(&["apply", "a.json"]);
    let request =
        json!({ "job_id": "a", "x-ticket": 1, "X-Team": { "a": null }, "globals": { "x-kept": 1 } });
    for body in [request.to_string(), json!([request]).to_string(), format!("{request}\n{request}\n")] {
        let printed = pumice.feed(&["dispatch", "--file", "-"], &body);
        assert_eq!(printed.status, 0, "{body}: {printed:?}");
    }
    let printed =
        pumice.feed(&["dispatch", "--file", "-"], json!({ "job_id": "a", "y-ticket": 1 }).to_string());
    assert!(printed.status == 2 && printed.err.contains("y-ticket: no such field"), "{printed:?}");
}

#[test]
fn many_brackets_are_refused_at_once() {
    let pumice = Pumice::new();
    let brackets = "[".repeat(20_000);
    pumice.write("a.yaml", format!("a: {brackets}"));
    pumice.write("b.yaml", &brackets);
    pumice.write("c.json", &brackets);
    pumice.write("ok.json", spec("a"));
    pumice.run(&["apply", "ok.json"]);
    let printed = pumice.run(&["check", "a.yaml", "b.yaml", "c.json"]);
    assert!(printed.status == 2 && printed.err.contains("3 problems"), "{printed:?}");
    assert!(
        printed.err.contains("brackets are open at once") && printed.err.contains("recursion limit"),
        "{printed:?}"
    );
    for body in [brackets.clone(), "{\"a\":".repeat(20_000)] {
        let printed = pumice.feed(&["dispatch", "--file", "-"], body);
        assert_eq!(printed.status, 2, "{printed:?}");
    }
    let printed = pumice.feed(&["template", "-"], format!("{{{{ {brackets} }}}}"));
    assert_eq!(printed.status, 2, "{printed:?}");
}

#[test]
fn messages_cut_what_is_long() {
    let pumice = Pumice::new();
    let long = "x".repeat(100_000);
    pumice.write("a.json", spec("a"));
    pumice.run(&["apply", "a.json"]);
    pumice.write("b.json", spec("b").replace("null", "1, \"LONG\": 1").replace("LONG", &long));
    pumice.write("c.json", spec("c").replace("\"w\"", &format!("\"{long}\"")));
    let id = "y".repeat(200);
    for printed in [
        pumice.run(&["check", "b.json"]),
        pumice.run(&["check", "c.json"]),
        pumice.run(&["dispatch", &id]),
        pumice.run(&["dispatch", &long]),
        pumice.run(&["dispatch", "a", "--at", &long]),
        pumice.run(&["dispatch", "a", "-d", &long]),
        pumice.run(&["dispatch", "a", "-g", &format!("lava{long}=1")]),
        pumice.run(&["dispatch", "a", "-g", &long]),
        pumice.run(&["runs", "show", &long]),
        pumice.run(&["jobs", "show", &id]),
        pumice.feed(&["dispatch", "--file", "-"], format!("a {long}\n")),
        pumice.feed(&["dispatch", "--file", "-"], format!("a --{long}\n")),
        pumice.feed(&["dispatch", "--file", "-"], format!("{{\"job_id\": \"a\", \"{long}\": 1}}")),
    ] {
        assert_eq!(printed.status, 2);
        assert!(
            printed.err.len() < 1_000 && printed.err.contains('…'),
            "{} {}",
            printed.err.len(),
            &printed.err[..200]
        );
    }
}

#[test]
fn character_count_of_a_shell_is_explained() {
    let pumice = Pumice::new();
    let job = json!({ "job_id": "a", "type": "cmd", "worker": "w", "payload": "sh -c 'echo ${#X}'" });
    pumice.write("a.json", job.to_string());
    let printed = pumice.run(&["check", "a.json"]);
    assert!(printed.status == 2 && printed.err.contains("{# begins a comment"), "{printed:?}");
}

#[test]
fn homes_that_are_not_folders_differ_from_empty_ones() {
    let pumice = Pumice::new();
    pumice.write("file", "x");
    std::os::unix::fs::symlink("/nowhere/at/all", pumice.path().join("dangling")).expect("a link");
    for (home, wanted) in [
        ("file", "it is a file, not a folder"),
        ("dangling", "a link that leads nowhere"),
        ("none", "there is no realm"),
    ] {
        for command in [&["jobs", "list"][..], &["dispatch", "a"]] {
            let printed = pumice.run(&[&["--home", home], command].concat());
            assert!(printed.status >= 2 && printed.err.contains(wanted), "{home}: {printed:?}");
        }
    }
    pumice.write("a.json", spec("a"));
    assert!(pumice.run(&["--home", "file", "apply", "a.json"]).err.contains("it is a file"));
    assert!(pumice.run(&["--home", "dangling", "apply", "a.json"]).err.contains("leads nowhere"));
}
