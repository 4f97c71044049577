//! The command line as a client of a console: what it prints is what it prints where the realm is.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;

use pumice_service::{WITHOUT_REALM, operations};
use serde_json::{Value, json};

use crate::pumice::{Printed, Pumice, Server, shell};

const EDITOR: &str = "remote-editor-canary-0123";
const VIEWER: &str = "remote-viewer-canary-0123";
const UNKNOWN: &str = "remote-unknown-canary-0123";

/// A folder, and a console that shows it.
pub(crate) struct Shown {
    pub(crate) pumice: Pumice,
    pub(crate) url: String,
    console: Server,
}

impl Shown {
    /// Shows a folder.
    pub(crate) fn of(pumice: Pumice) -> Self {
        let (console, at) = listening(&pumice, "127.0.0.1:0");
        Self { pumice, url: format!("http://{at}"), console }
    }

    /// Ends the console, has something happen, and starts one where it was.
    pub(crate) fn started_anew(self, meanwhile: impl FnOnce(&Pumice)) -> Self {
        let Self { pumice, url, console } = self;
        drop(console);
        meanwhile(&pumice);
        let (console, _) = listening(&pumice, url.trim_start_matches("http://"));
        Self { pumice, url, console }
    }

    /// Runs the command through the console, as an editor.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Printed {
        self.pumice.run(&[&["--url", &self.url, "--token-file", "token"], arguments].concat())
    }

    /// The same with another token in the environment, or none.
    fn ask_as(&self, token: Option<&str>, arguments: &[&str]) -> Printed {
        asked(&self.pumice, &self.url, token, arguments)
    }
}

/// A console of a folder, and the address that it listens on.
fn listening(pumice: &Pumice, listen: &str) -> (Server, String) {
    let tokens = format!("editor ed {EDITOR}\nviewer vi {VIEWER}\n");
    pumice.write("tokens", tokens);
    pumice.write("token", format!("{EDITOR}\n"));
    let mut command = pumice.command(&["console", "--listen", listen, "--tokens", "tokens"]);
    for name in ["PUMICE_CONSOLE_TOKEN", "PUMICE_CONSOLE_TOKENS", "PUMICE_CONSOLE_LISTEN"] {
        command.env_remove(name);
    }
    let mut child = command.stderr(Stdio::piped()).spawn().expect("a console");
    let mut lines = BufReader::new(child.stderr.take().expect("stderr")).lines().map_while(Result::ok);
    let at = lines.by_ref().find_map(|line| line.split_once(" at http://").map(|(_, at)| at.to_owned()));
    let at = at.unwrap_or_else(|| panic!("it does not listen: {:?}", child.try_wait()));
    std::thread::spawn(move || lines.count());
    (Server(child), at.split(';').next().unwrap_or_default().to_owned())
}

fn asked(pumice: &Pumice, url: &str, token: Option<&str>, arguments: &[&str]) -> Printed {
    let mut command = pumice.command(&[&["--url", url], arguments].concat());
    command.env_remove("PUMICE_TOKEN").envs(token.map(|token| ("PUMICE_TOKEN", token)));
    command.output().expect("the command").into()
}

/// A realm with something of each kind in it; the same each time.
pub(crate) fn a_realm() -> Pumice {
    let pumice = Pumice::new();
    let mut daily = shell("daily", "true");
    daily["schedule"] = json!("@daily");
    let documents = json!([
        shell("once", "echo out; echo more; echo err >&2"),
        shell("größe/fails", "echo before; exit 3"),
        daily,
        { "job_id": "chain", "type": "chain", "worker": "core", "enabled": true, "payload": ["once", "once"] },
        { "trigger_id": "t", "bucket": "in", "prefix": "*", "job_id": "once", "enabled": true },
        { "conn_id": "values", "type": "generic", "enabled": true, "attributes": { "a": 1 } },
    ]);
    pumice.write("jobs.json", documents.to_string());
    assert_eq!(pumice.run(&["apply", "jobs.json"]).status, 0);
    let mut changed = shell("once", "echo out; echo more; echo err >&2");
    changed["description"] = json!("new");
    pumice.write("changed.json", changed.to_string());
    pumice.write(
        "bad.json",
        json!([{ "job_id": "bad", "type": "none" }, { "job_id": "once", "worker": 3 }]).to_string(),
    );
    pumice.write("broken.json", "{\"job_id\": ");
    assert_eq!(pumice.run(&["state", "put", "seen/at", "{\"a\": [1, null]}"]).status, 0);
    assert_eq!(pumice.feed(&["secrets", "set", "k"], "remote-secret-canary").status, 0);
    pumice
}

/// A realm in which things happened.
fn a_lived_in_realm() -> Pumice {
    let pumice = a_realm();
    let server = pumice.serve();
    for (job, status) in [("once", 0), ("größe/fails", 1), ("chain", 0)] {
        assert_eq!(pumice.run(&["dispatch", job, "--wait"]).status, status, "{job}");
    }
    drop(server);
    assert_eq!(pumice.run(&["dispatch", "once", "--delay", "5m"]).status, 0);
    assert_eq!(pumice.run(&["runs", "cancel", "--where", "job:once status:dispatched"]).status, 0);
    assert_eq!(pumice.run(&["dispatch", "once"]).status, 0);
    let backfill = ["schedules", "backfill", "daily", "--from", "20250501", "--to", "20250503"];
    assert_eq!(pumice.run(&backfill).status, 0);
    let body = json!({ "realm": "local", "worker": "core", "job_id": "once",
        "run_id": "00000000-0000-7000-8000-000000000001", "ts_dispatch": "2026-11-28T12:00:00+00:00" });
    crate::dead::bury(&pumice, "core", &body.to_string(), "handed out too often");
    pumice
}

/// A JSON value without what is another at each call: times that were measured, ids that were made, the actor.
fn steady(value: &Value) -> Value {
    /// Fields whose values follow from the moment of the call.
    const MOVING: [&str; 9] =
        ["duration_ms", "looked_from", "before", "woken", "by", "digest", "ttl", "id_length", "at"];
    match value {
        Value::Object(fields) => {
            let one = |(name, value): (&String, &Value)| {
                let value = match (name.as_str(), value) {
                    (name, _) if MOVING.contains(&name) => json!("…"),
                    // The actor has another name at a console.
                    ("reason", Value::String(text)) => json!(text.split(", by ").next()),
                    // The ids of the runs are others.
                    ("expect", Value::String(text)) => json!(text.split(':').next()),
                    _ => steady(value),
                };
                (name.clone(), value)
            };
            fields.iter().map(one).collect()
        }
        Value::Array(items) => items.iter().map(steady).collect(),
        Value::String(text) => json!(text.split(' ').map(steady_word).collect::<Vec<_>>().join(" ")),
        other => other.clone(),
    }
}

fn steady_word(word: &str) -> String {
    let is_id = word.len() >= 32 && word.bytes().filter(|byte| *byte == b'-').count() >= 4;
    let is_time = word.len() >= 19 && word.as_bytes()[4] == b'-' && word.as_bytes()[10] == b'T';
    if is_id || is_time { "…".to_owned() } else { word.to_owned() }
}

/// Commands that look. They are asked of one realm, directly and through a console.
const LOOKS: [(&str, &[&str]); 48] = [
    ("realm show", &["realm", "show"]),
    ("jobs list", &["jobs", "list"]),
    ("jobs list", &["jobs", "list", "o*"]),
    ("jobs show", &["jobs", "show", "größe/fails"]),
    ("jobs show", &["jobs", "show", "onse"]),
    ("workers list", &["workers", "list"]),
    ("workers list", &["workers", "list", "--where", "status:paused"]),
    ("triggers list", &["triggers", "list", "--where", "bucket:none"]),
    ("payloads list", &["payloads", "list", "--where", "key:*.sh since:1d"]),
    ("connections list", &["connections", "list", "--where", "colour:red"]),
    ("pools list", &["pools", "list"]),
    ("audit list", &["audit", "list", "--limit", "3"]),
    ("audit list", &["audit", "list", "--where", "no:such"]),
    ("audit show", &["audit", "show", "0123456789abc"]),
    ("runs list", &["runs", "list"]),
    ("runs list", &["runs", "list", "--where", "status:failed since:1d"]),
    ("runs list", &["runs", "list", "--status", "complete", "--limit", "1"]),
    ("runs show", &["runs", "show", "latest:chain"]),
    ("runs show", &["runs", "show", "latest:none"]),
    ("runs why", &["runs", "why", "latest:größe/fails"]),
    ("runs output", &["runs", "output", "latest:größe/fails"]),
    ("runs output --from", &["runs", "output", "latest:größe/fails", "--from", "3"]),
    ("runs export", &["runs", "export", "--where", "job:once"]),
    ("runs bulk list", &["runs", "bulk", "list"]),
    ("runs bulk show", &["runs", "bulk", "show", "none"]),
    ("schedules list", &["schedules", "list"]),
    ("schedules next", &["schedules", "next", "--from", "20270301", "--number", "4"]),
    ("schedules next", &["schedules", "next", "--from", "20270301", "--to", "20270201"]),
    ("schedules backfills list", &["schedules", "backfills", "list"]),
    ("schedules simulate", &["schedules", "simulate", "--down", "20270101", "20270103"]),
    ("schedules export", &["schedules", "export", "--format", "eventbridge"]),
    ("state get", &["state", "get", "seen/at"]),
    ("state get", &["state", "get", "none"]),
    ("state list", &["state", "list"]),
    ("triggers list", &["triggers", "list"]),
    ("triggers show", &["triggers", "show", "t"]),
    ("triggers test", &["triggers", "test", "in", "x"]),
    ("connections list", &["connections", "list"]),
    ("connections show", &["connections", "show", "values"]),
    ("secrets list", &["secrets", "list"]),
    ("payloads list", &["payloads", "list"]),
    ("dead list", &["dead", "list"]),
    ("failures", &["failures"]),
    ("render", &["render", "once", "-p", "x=1", "--now", "20270301"]),
    ("plan", &["plan", "changed.json"]),
    ("plan", &["plan", "broken.json"]),
    ("check", &["check", "changed.json"]),
    ("check", &["check", "bad.json"]),
];

#[test]
fn look_through_a_console_prints_what_it_prints_here() {
    let shown = Shown::of(a_lived_in_realm());
    for (command, arguments) in LOOKS {
        for format in ["json", "table", "wide", "yaml"] {
            let arguments = [arguments, &["-o", format]].concat();
            let (here, there) = (shown.pumice.run(&arguments), shown.ask(&arguments));
            assert_eq!(here.status, there.status, "{command} {format}: {here:?} {there:?}");
            match serde_json::from_str::<Value>(&here.out) {
                Ok(value) if format == "json" => {
                    assert_eq!(steady(&value), steady(&there.json()), "{command}");
                    assert!(value != json!({}), "{command} prints nothing");
                }
                _ => assert_eq!(here.out, there.out, "{command} {format}"),
            }
            if here.status != 0 {
                assert_eq!(here.err, there.err, "{command} {format}");
            }
        }
    }
    let id = shown.pumice.run(&["schedules", "backfills", "list", "-o", "json"]).json();
    let id = id["backfills"][0]["id"].as_str().expect("an id").to_owned();
    let entry = shown.pumice.run(&["audit", "list", "-o", "json"]).json();
    let entry = entry["entries"][0]["id"].as_str().expect("an id").to_owned();
    let act = shown.pumice.run(&["runs", "bulk", "list", "-o", "json"]).json();
    let act = act["bulk"][0]["id"].as_str().expect("an id").to_owned();
    let letter = shown.pumice.run(&["dead", "list", "-o", "json"]).json();
    let letter = letter["letters"][0]["id"].as_str().expect("an id").to_owned();
    for arguments in [
        &["schedules", "backfills", "show", &id][..],
        &["audit", "show", &entry],
        &["runs", "bulk", "show", &act],
        &["dead", "show", &letter],
        &["connections", "test", "values"],
        &["stats"],
        &["doctor"],
        &["metrics"],
    ] {
        let arguments = [arguments, &["-o", "json"]].concat();
        let (here, there) = (shown.pumice.run(&arguments), shown.ask(&arguments));
        assert_eq!(here.status, there.status, "{arguments:?}: {here:?} {there:?}");
        let (here, there) = (steady(&here.json()), steady(&there.json()));
        let names =
            |value: &Value| value.as_object().map(|fields| fields.keys().cloned().collect::<Vec<_>>());
        assert_eq!(names(&here), names(&there), "{arguments:?}");
    }
    // Documents go into files here.
    let (here, there) = (shown.pumice.run(&["export", "here"]), shown.ask(&["export", "there"]));
    assert_eq!((here.status, there.status), (0, 0), "{here:?} {there:?}");
    let read =
        |folder: &str| std::fs::read_to_string(shown.pumice.path().join(folder).join("jobs/once.json"));
    assert_eq!(read("here").ok(), read("there").ok());
}

/// Commands that change something. They are carried out in one realm directly, in another through a console.
const ACTS: [(&str, &[&str]); 45] = [
    ("apply", &["apply", "--dry-run", "changed.json"]),
    ("apply", &["apply", "changed.json"]),
    ("apply", &["apply", "bad.json"]),
    ("apply", &["apply", "broken.json"]),
    ("apply", &["apply", "--expect", "0123", "changed.json"]),
    ("apply", &["apply", "--prune", "--scope", "once", "changed.json"]),
    ("jobs pause", &["jobs", "pause", "o*", "--until", "20990101", "--why", "disk"]),
    ("jobs resume", &["jobs", "resume", "o*"]),
    ("workers pause", &["workers", "pause", "core"]),
    ("workers drain", &["workers", "drain", "core", "--dry-run"]),
    ("workers resume", &["workers", "resume", "core"]),
    ("maintenance on", &["maintenance", "on", "--why", "disk"]),
    ("maintenance off", &["maintenance", "off"]),
    ("dispatch", &["dispatch", "once", "chain"]),
    ("dispatch", &["dispatch", "once", "none", "-g", "a.b=1", "-p", "day=2026-03-01"]),
    ("dispatch", &["dispatch", "once", "--key", "night"]),
    ("dispatch", &["dispatch", "once", "--key", "night"]),
    ("dispatch", &["dispatch", "chain", "--key", "night-2", "--delay", "5m"]),
    ("dispatch", &["dispatch", "once", "--at", "20990101"]),
    ("dispatch", &["dispatch", "once", "--delay", "16m"]),
    ("dispatch", &["dispatch", "--file", "list", "--key", "batch"]),
    ("dispatch", &["dispatch", "--file", "list", "--key", "batch"]),
    ("runs cancel", &["runs", "cancel", "latest"]),
    ("runs cancel", &["runs", "cancel", "latest"]),
    ("runs cancel --where", &["runs", "cancel", "--where", "job:once"]),
    ("runs retry", &["runs", "retry", "latest", "--all"]),
    ("runs retry --where", &["runs", "retry", "--where", "job:once", "--dry-run"]),
    ("runs delete", &["runs", "delete", "--where", "job:once status:cancelled", "--dry-run"]),
    ("runs bulk stop", &["runs", "bulk", "stop", "none", "--why", "wrong jobs"]),
    ("runs bulk resume", &["runs", "bulk", "resume", "none", "--dry-run"]),
    ("schedules pause", &["schedules", "pause", "daily", "--why", "disk"]),
    ("schedules resume", &["schedules", "resume", "daily"]),
    ("schedules run", &["schedules", "run", "daily", "--at", "20990101"]),
    (
        "schedules backfill",
        &["schedules", "backfill", "daily", "--from", "20250501", "--to", "20250503", "--dry-run"],
    ),
    ("state put", &["state", "put", "n", "{\"a\": 1.0}"]),
    ("state put", &["state", "put", "lava.x", "1"]),
    ("state put", &["state", "put", "n", "2", "--dry-run"]),
    ("secrets set", &["secrets", "set", "k", "--dry-run"]),
    ("secrets delete", &["secrets", "delete", "k", "--dry-run"]),
    ("state delete", &["state", "delete", "n", "none"]),
    ("secrets delete", &["secrets", "delete", "k"]),
    ("triggers delete", &["triggers", "delete", "t", "u"]),
    ("connections delete", &["connections", "delete", "values"]),
    ("connections delete", &["connections", "delete", "values"]),
    ("jobs delete", &["jobs", "delete", "daily", "none"]),
];

#[test]
fn act_through_a_console_does_what_it_does_here() {
    let (here, there) = (a_realm(), Shown::of(a_realm()));
    for pumice in [&here, &there.pumice] {
        pumice.write("list", "once\n# note\n-x\nnone\nchain -g a=1\n{\"job_id\": 3}\n");
    }
    for (command, arguments) in ACTS {
        let arguments = [arguments, &["-o", "json"]].concat();
        let (one, other) = (here.run(&arguments), there.ask(&arguments));
        assert_eq!(one.status, other.status, "{arguments:?}: {one:?} {other:?}");
        match serde_json::from_str::<Value>(&one.out) {
            Ok(value) => assert_eq!(steady(&value), steady(&other.json()), "{command}: {one:?} {other:?}"),
            Err(_) => assert_eq!(one.out, other.out, "{command}"),
        }
        if one.status != 0 {
            let words =
                |printed: &Printed| steady(&json!(printed.err.replace(['"', '(', ')', ',', ':'], " ")));
            assert_eq!(words(&one), words(&other), "{command}");
        }
    }
    // A secret arrives as it is, and is not shown on its way.
    let set = there
        .pumice
        .feed(&["--url", &there.url, "--token-file", "token", "secrets", "set", "new"], "remote-new-canary");
    assert!(set.status == 0 && !set.out.contains("canary"), "{set:?}");
    let uses = json!({ "conn_id": "uses", "type": "generic", "enabled": true, "attributes": { "a": { "type": "secret", "value": "new" } } });
    there.pumice.write("uses.json", uses.to_string());
    // Both realms are the same in the end, by what they have themselves.
    for look in [
        &["jobs", "list"][..],
        &["state", "list"],
        &["triggers", "list"],
        &["connections", "list"],
        &["schedules", "list"],
    ] {
        let look = [look, &["-o", "json"]].concat();
        assert_eq!(steady(&here.run(&look).json()), steady(&there.pumice.run(&look).json()), "{look:?}");
    }
    // The audit has the actor: the name of the token, and never the token.
    let audit = there.pumice.run(&["audit", "list", "-o", "json", "--limit", "200"]);
    let by_console = |entry: &&Value| entry["who"] == "ed (editor)" && entry["from"] == "api";
    let entries = audit.json()["entries"].as_array().expect("entries").clone();
    assert!(entries.iter().filter(by_console).count() > 20, "{audit:?}");
    assert!(!audit.out.contains("canary"), "{audit:?}");
}

/// Operations that no table has, with the test or the reason.
const ELSEWHERE: [(&str, &str); 14] = [
    ("audit show", "look_through_a_console_prints_what_it_prints_here"),
    ("dead show", "look_through_a_console_prints_what_it_prints_here"),
    ("connections test", "look_through_a_console_prints_what_it_prints_here"),
    ("stats", "look_through_a_console_prints_what_it_prints_here"),
    ("doctor", "look_through_a_console_prints_what_it_prints_here"),
    ("metrics", "look_through_a_console_prints_what_it_prints_here"),
    ("export", "look_through_a_console_prints_what_it_prints_here"),
    ("schedules backfills show", "look_through_a_console_prints_what_it_prints_here"),
    ("secrets set", "act_through_a_console_does_what_it_does_here"),
    ("schedules backfills cancel", "schedules_through_a_console_go_on"),
    ("schedules backfills resume", "schedules_through_a_console_go_on"),
    ("dead redrive", "schedules_through_a_console_go_on"),
    ("dead drop", "schedules_through_a_console_go_on"),
    ("payloads put", "no console has it"),
];

#[test]
fn every_operation_is_tried_through_a_console() {
    let all: BTreeSet<&str> = operations().iter().map(|one| one.command).collect();
    let tables = LOOKS.iter().chain(&ACTS).map(|(command, _)| *command);
    let tried: BTreeSet<&str> =
        tables.chain(ELSEWHERE.iter().map(|(command, _)| *command)).chain(["payloads get"]).collect();
    assert_eq!(tried, all);
}

#[test]
fn schedules_through_a_console_go_on() {
    let shown = Shown::of(a_lived_in_realm());
    let id = shown.ask(&["schedules", "backfills", "list", "-o", "json"]).json();
    let id = id["backfills"][0]["id"].as_str().expect("an id").to_owned();
    let cancelled = shown.ask(&["schedules", "backfills", "cancel", &id, "-o", "json"]).json();
    assert_eq!(cancelled["backfill"]["state"], "cancelled", "{cancelled}");
    let resumed = shown.ask(&["schedules", "backfills", "resume", &id, "--dry-run", "-o", "json"]);
    assert_eq!((resumed.status, &resumed.json()["dry_run"]), (0, &json!(true)), "{resumed:?}");
    let dry = shown.ask(&["dead", "redrive", "--where", "job:once", "--dry-run", "-o", "json"]).json();
    assert_eq!(dry["count"], 1, "{dry}");
    let dropped = shown.ask(&["dead", "drop", "--where", "job:once", "--yes", "-o", "json"]).json();
    assert_eq!(dropped["done"], 1, "{dropped}");
}

#[test]
fn command_that_no_console_has_says_what_there_is_instead() {
    let shown = Shown::of(a_lived_in_realm());
    for (arguments, instead) in [
        (&["run", "once"][..], "`dispatch` asks the console"),
        (&["serve"], "of this machine"),
        (&["console"], "open the URL in a browser"),
        (&["backup", "b"], "with --home"),
        (&["restore", "b"], "with --home"),
        (&["template", "x"], "leave --url out"),
        (&["schema"], "leave --url out"),
        (&["completions", "bash"], "leave --url out"),
        (&["payloads", "put", "token", "--to", "x/"], "with --home or --aws"),
        (&["payloads", "get", "x", "y"], "with --home or --aws"),
        (&["runs", "show", "latest", "--html"], "its page in the browser"),
        (&["runs", "output", "latest", "-f"], "--from BYTE"),
        (&["workers", "drain", "core", "--wait"], "--dry-run"),
        (&["render", "once", "--jobs", "jobs.json"], "leave --url out"),
        (&["dispatch", "--file", "jobs.json", "--resume", "x-y"], "--key NAME"),
    ] {
        let refused = shown.ask(arguments);
        assert!(refused.status == 2 && refused.err.contains(instead), "{arguments:?}: {refused:?}");
        assert!(refused.err.contains("error: --") && refused.out.is_empty(), "{arguments:?}: {refused:?}");
    }
    // Every command without an operation is among them, or has no need of a realm.
    let apart: BTreeSet<&str> = WITHOUT_REALM.iter().map(|one| one.command).collect();
    let others = ["worker", "dag generate", "dag table"];
    let named = ["run", "serve", "console", "backup", "restore", "template", "schema", "completions"];
    assert_eq!(named.into_iter().chain(others).collect::<BTreeSet<_>>(), apart);
    // A file is given again by a name.
    shown.pumice.write("list", "once\nonce\n");
    let first = shown.ask(&["dispatch", "--file", "list", "--key", "n", "-o", "json"]).json();
    let again = shown.ask(&["dispatch", "--file", "list", "--key", "n", "-o", "json"]).json();
    let runs = |one: &Value| {
        one["accepted"].as_array().expect("runs").iter().map(|run| run["run_id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!((runs(&first).len(), runs(&first)), (2, runs(&again)));
}

#[test]
fn caller_without_the_right_gets_the_reason() {
    let shown = Shown::of(a_realm());
    for (token, arguments, status, wanted) in [
        (None, &["jobs", "list"][..], 3, "asks for a token: set PUMICE_TOKEN"),
        (Some(UNKNOWN), &["jobs", "list"], 3, "does not know the token"),
        (Some(VIEWER), &["jobs", "list"], 0, ""),
        (
            Some(VIEWER),
            &["state", "put", "n", "1"],
            3,
            "vi is logged in as viewer, and this asks for the role editor",
        ),
        (Some(VIEWER), &["dispatch", "once"], 3, "asks for the role operator"),
        (Some(VIEWER), &["apply", "changed.json"], 3, "asks for the role editor"),
        (Some(VIEWER), &["apply", "changed.json", "--dry-run"], 0, ""),
        (Some("short-canary"), &["jobs", "list"], 2, "PUMICE_TOKEN: a token has 20 characters"),
    ] {
        let printed = shown.ask_as(token, arguments);
        assert!(printed.status == status && printed.err.contains(wanted), "{arguments:?}: {printed:?}");
        assert!(!format!("{printed:?}").contains("canary"), "{printed:?}");
    }
    assert_eq!(shown.pumice.run(&["state", "get", "n"]).status, 2, "nothing was put");
    let option =
        |arguments: &[&str]| shown.pumice.run(&[&["--url", &shown.url, "jobs", "list"], arguments].concat());
    assert_eq!(option(&["--token", EDITOR]).status, 0);
    for (arguments, wanted) in [
        (&["--token", "short-canary"][..], "20 characters"),
        (&["--token-file", "none"], "--token-file none"),
        (&["--token-file", "jobs.json"], "printable ASCII"),
        (&["--token", EDITOR, "--token-file", "token"], "cannot be used with"),
        (&["--home", "x"], "cannot be used with"),
        (&["--realm", "other"], "shows realm"),
    ] {
        let arguments = if wanted == "shows realm" {
            [arguments, &["--token", EDITOR]].concat()
        } else {
            arguments.to_vec()
        };
        let printed = option(&arguments);
        assert!(printed.status == 2 && printed.err.contains(wanted), "{arguments:?}: {printed:?}");
        assert!(!printed.err.contains("canary"), "{printed:?}");
    }
    let alone = shown.pumice.run(&["jobs", "list", "--token", EDITOR]);
    assert!(alone.status == 2 && alone.err.contains("--url") && !alone.err.contains("canary"), "{alone:?}");
    for url in ["pumice.example.org", "ftp://x", "http://u:pass@x", "https://x?token=1"] {
        let printed = asked(&shown.pumice, url, Some(EDITOR), &["jobs", "list"]);
        assert!(printed.status == 2 && printed.err.contains("--url"), "{url}: {printed:?}");
    }
}

/// A server that reads a request's head and sends a text; with none it says nothing until the client goes.
fn answering(text: Option<&'static str>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count > 0) {
                head.push(byte[0]);
            }
            match text {
                Some(text) => drop(stream.write_all(text.as_bytes())),
                // The client closes when it has waited for long enough.
                None => drop(stream.read_to_end(&mut head)),
            }
        }
    });
    address
}

#[test]
fn server_that_is_not_a_console_is_reported() {
    let pumice = Pumice::new();
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    for (address, wanted) in [
        (closed, "is not reached"),
        (
            answering(Some("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>")),
            "is --url right?",
        ),
        (
            answering(Some(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1\r\n\r\n{",
            )),
            "cannot be read",
        ),
        (
            answering(Some(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
            )),
            "is not one that this version",
        ),
        (
            answering(Some(
                "HTTP/1.1 302 Found\r\nlocation: https://sso.example.org/x\r\ncontent-length: 0\r\n\r\n",
            )),
            "redirects to https://sso.example.org/x",
        ),
        (answering(Some("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n")), "answered 502"),
        (
            answering(Some(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{",
            )),
            "broke off",
        ),
        (answering(Some("no HTTP at all")), "did not answer"),
        (answering(None), "no response"),
    ] {
        let url = format!("http://{address}");
        let printed = asked(&pumice, &url, Some(EDITOR), &["jobs", "list", "--url-timeout", "2s"]);
        assert!(
            printed.status == 3 && printed.err.contains(wanted) && printed.out.is_empty(),
            "{wanted}: {printed:?}"
        );
        assert_eq!(printed.err.lines().count(), 1, "one message: {printed:?}");
        assert!(printed.err.contains(&url) && !printed.err.contains("canary"), "{printed:?}");
        assert!(!pumice.path().join(".pumice").exists(), "no folder is made here");
    }
    let write = asked(
        &pumice,
        &format!("http://{}", answering(None)),
        Some(EDITOR),
        &["state", "put", "a", "1", "--url-timeout", "1s"],
    );
    assert!(write.status == 3 && write.err.contains("whether it was done is not known"), "{write:?}");
}
