//! Runs that are waited for through a console.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::json;

use crate::pumice::{Pumice, Server, shell, wait_until};
use crate::remote::{Shown, a_realm};

#[test]
fn run_is_waited_for_through_a_console() {
    let shown = Shown::of(a_realm());
    let server = shown.pumice.serve();
    for (job, status, runs) in [("chain", 0, 3), ("größe/fails", 1, 1)] {
        let waited = shown.ask(&["dispatch", job, "--wait", "-o", "json"]);
        assert_eq!(waited.status, status, "{waited:?}");
        let (there, id) =
            (waited.json(), waited.json()["accepted"][0]["run_id"].as_str().expect("an id").to_owned());
        let here = shown.pumice.run(&["runs", "show", &id, "-o", "json"]).json();
        assert_eq!(
            (there["runs"].as_array().map(Vec::len), &there["runs"]),
            (Some(runs), &here["runs"]),
            "{job}"
        );
    }
    let table = shown.ask(&["dispatch", "once", "chain", "--wait"]);
    assert!(table.status == 0 && table.out.matches("complete").count() == 4, "{table:?}");
    assert_eq!(shown.ask(&["schedules", "run", "daily", "--wait"]).status, 0);
    // The output goes where it went.
    let (here, there) =
        (shown.pumice.run(&["runs", "output", "latest:once"]), shown.ask(&["runs", "output", "latest:once"]));
    assert_eq!((here.out.as_str(), &here.out, &here.err), ("out\nmore\n", &there.out, &there.err));
    drop(server);
}

#[test]
fn waiting_goes_on_with_a_console_that_is_started_anew() {
    let pumice = Pumice::new();
    let go = pumice.path().join("go").display().to_string();
    let waits = shell("waits", &format!("while [ ! -e {go} ]; do sleep 0.05; done"));
    pumice.write("jobs.json", json!([waits]).to_string());
    assert_eq!(pumice.run(&["apply", "jobs.json"]).status, 0);
    let server = pumice.serve();
    let shown = Shown::of(pumice);
    let mut command = shown.pumice.command(&["--url", &shown.url, "--token-file", "token"]);
    let mut client = Server(
        command.args(["dispatch", "waits", "--wait"]).stderr(Stdio::piped()).spawn().expect("the command"),
    );
    let mut said = BufReader::new(client.0.stderr.take().expect("stderr")).lines().map_while(Result::ok);
    let runs = || shown.pumice.run(&["runs", "list", "--status", "running", "-o", "json"]).json();
    wait_until(|| runs()["runs"].as_array().is_some_and(|runs| !runs.is_empty()));
    let shown = shown.started_anew(|pumice| {
        assert!(said.any(|line| line.contains("the console does not answer")), "it waits no more");
        pumice.write("go", "");
    });
    assert_eq!(client.end(), 0);
    drop((server, shown));
}
