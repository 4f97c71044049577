//! No process shows a secret that a command has printed, whether that process knows the secret or not.

use serde_json::{Value, json};

use crate::canary::files;
use crate::pumice::{Pumice, shell};
use crate::remote::Shown;

/// A field of a secret that is a JSON object.
const FIELD: &str = "canary-of-a-field-5161";
/// The halves of the keys of AWS.
const HALVES: [&str; 2] = ["AKIACANARYOFAHALF", "canary/of+a+half/5162"];
/// A secret that is replaced while the server still uses it, and the one that comes then.
const REPLACED: [&str; 2] = ["canary-that-was-replaced-5163", "canary-that-came-then-5164"];
/// A secret that only the server's environment has.
const VARIABLE: &str = "canary-of-a-variable-5165";

/// The jobs, and a part of the output of each. Connections have the same names.
const PRINTED: [(&str, &str); 4] = [
    ("database", "127.0.0.1:25432:postgres:lava:*****"),
    ("keys", "aws_secret_access_key=*****"),
    ("replaced", "token=*****"),
    ("variable", "token=*****"),
];

fn specs() -> Value {
    let generic = |id: &str| {
        json!({ "conn_id": id, "type": "generic", "enabled": true,
        "attributes": { "token": { "type": "ssm", "parameter": id } } })
    };
    let job = |id: &str, script: &str| {
        let mut job = shell(id, &format!("{script}; {script} >&2"));
        job["parameters"]["connections"] = json!({ "x": id });
        job
    };
    let token = "echo token=$(\"$LAVA_CONN_X\" token)";
    json!([
        { "conn_id": "database", "type": "postgres", "enabled": true, "secret_id": "login", "database": "postgres" },
        { "conn_id": "keys", "type": "aws", "enabled": true, "access_keys": "keys" },
        generic("replaced"),
        generic("variable"),
        job("database", "cat \"${LAVA_CONN_X%/*}/.pgpass\""),
        job("keys", "cat \"${LAVA_CONN_X%/*}/.aws_config\""),
        job("replaced", token),
        job("variable", token),
    ])
}

fn without_canary(what: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for canary in [&[FIELD, VARIABLE], &HALVES[..], &REPLACED[..]].concat() {
        assert!(!text.contains(canary), "{canary} stands in {what}: {text}");
    }
}

fn set(pumice: &Pumice, name: &str, value: &str) {
    let set = pumice.feed(&["secrets", "set", name], value);
    assert_eq!(set.status, 0, "{set:?}");
}

/// Runs a job to its end while its output is followed.
fn run(pumice: &Pumice, job: &str, wanted: &str) {
    let printed = pumice.run(&["dispatch", job, "--wait"]);
    let all = format!("{}{}", printed.out, printed.err);
    without_canary(&format!("dispatch {job} --wait"), all.as_bytes());
    assert!(printed.status == 0 && all.contains(wanted), "{job}: {printed:?}");
}

#[test]
fn secret_that_a_command_printed_is_shown_by_no_process() {
    let pumice = Pumice::new();
    let login = json!({ "username": "lava", "password": FIELD, "host": "127.0.0.1", "port": 25432 });
    set(&pumice, "login", &login.to_string());
    set(&pumice, "keys", &HALVES.join(","));
    set(&pumice, "replaced", REPLACED[0]);
    pumice.write("specs.json", specs().to_string());
    let applied = pumice.run(&["apply", "specs.json"]);
    assert_eq!(applied.status, 0, "{applied:?}");
    let server = pumice.serve_under(&[], &[("PUMICE_SECRET_VALUE_VARIABLE", VARIABLE)]);
    for (job, wanted) in PRINTED {
        run(&pumice, job, wanted);
    }
    // The server may go on with the value that it has for two minutes.
    set(&pumice, "replaced", REPLACED[1]);
    run(&pumice, "replaced", "token=*****");
    let deleted = pumice.run(&["secrets", "delete", "replaced"]);
    assert_eq!(deleted.status, 0, "{deleted:?}");
    drop(server);
    let listed = pumice.run(&["runs", "list", "-o", "json"]).json();
    let runs = listed["runs"].as_array().expect("runs").clone();
    assert_eq!(runs.len(), PRINTED.len() + 1);
    let shown = Shown::of(pumice);
    for run in &runs {
        let (id, job) = (run["run_id"].as_str().expect("an id"), run["job_id"].as_str().expect("a job"));
        let wanted = PRINTED.iter().find(|(of, _)| *of == job).map(|(_, wanted)| *wanted).expect("a job");
        for more in
            [&[][..], &["-f"], &["-f", "-o", "json"], &["--from", "0"], &["--from", "0", "--name", "stderr"]]
        {
            let command = [&["runs", "output", id], more].concat();
            let printed = shown.pumice.run(&command);
            let all = format!("{}{}", printed.out, printed.err);
            without_canary(&command.join(" "), all.as_bytes());
            assert!(all.contains(wanted), "{job} {command:?}: {printed:?}");
        }
        for name in ["stdout", "stderr"] {
            let printed = shown.ask(&["runs", "output", id, "--from", "0", "--name", name, "-o", "json"]);
            without_canary("the console's API", format!("{}{}", printed.out, printed.err).as_bytes());
            assert!(printed.out.contains(wanted), "{job} {name}: {printed:?}");
        }
    }
    let mut found = Vec::new();
    files(&shown.pumice.path().join(".pumice"), &mut found);
    assert!(found.iter().any(|path| path.ends_with("stdout")), "{found:?}");
    for path in found {
        without_canary(&path.display().to_string(), &std::fs::read(&path).expect("a file"));
    }
}
