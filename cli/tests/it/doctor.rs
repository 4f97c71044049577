//! How a realm is doing, as a person asks: doctor, failures, figures, metrics.

use serde_json::{Value, json};

use crate::pumice::{Pumice, shell};

/// The finding of a check.
fn finding(found: &Value, name: &str) -> String {
    let checks = found["checks"].as_array().expect("checks");
    let check =
        checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}: {found:#}"));
    check["finding"].as_str().expect("a word").to_owned()
}

fn realm() -> Pumice {
    let pumice = Pumice::new();
    pumice.write("jobs.json", json!([shell("etl/load", "exit 3"), shell("etl/save", "true")]).to_string());
    assert_eq!(pumice.run(&["apply", "jobs.json"]).status, 0);
    pumice
}

#[test]
fn doctor_finds_what_is_wrong_and_says_the_fix() {
    let pumice = realm();
    // Nothing serves it, and nothing waits: a warning.
    let printed = pumice.run(&["doctor", "-o", "json"]);
    let found = printed.json();
    assert_eq!(
        (printed.status, finding(&found, "store"), finding(&found, "store's file")),
        (0, "ok".to_owned(), "ok".to_owned()),
        "{found:#}"
    );
    assert_eq!(finding(&found, "server"), "warning");
    assert_eq!(pumice.run(&["doctor", "--strict"]).status, 1);
    // A run waits, and a connection lacks its secret.
    assert_eq!(pumice.run(&["dispatch", "etl/save"]).status, 0);
    pumice.write(
        "box.json",
        json!({ "conn_id": "box", "type": "ssh", "enabled": true, "ssh_key": "none" }).to_string(),
    );
    assert_eq!(pumice.run(&["apply", "box.json"]).status, 0);
    let printed = pumice.run(&["doctor"]);
    assert_eq!(printed.status, 1, "{printed:?}");
    for wanted in [
        "fault    server: nothing serves the folder, and runs wait",
        "pumice serve",
        "fault    connections: ",
        "pumice connections test box",
    ] {
        assert!(printed.out.contains(wanted), "{wanted}: {}", printed.out);
    }
    let home = pumice.run(&["doctor", "--home", ".pumice", "-o", "json"]).json();
    assert_eq!(finding(&home, "connections"), "fault");
}

#[test]
fn doctor_of_a_store_that_cannot_be_opened_says_so_first() {
    let pumice = realm();
    let file = pumice.path().join(".pumice/pumice.db");
    std::fs::write(&file, "this is a text and not a database, whatever its name says: it is long enough")
        .expect("written");
    let printed = pumice.run(&["doctor", "-o", "json"]);
    let found = printed.json();
    assert_eq!((printed.status, &found["checks"][0]["name"]), (1, &json!("store")), "{found:#}");
    assert_eq!(
        (finding(&found, "store"), finding(&found, "store's file")),
        ("fault".to_owned(), "fault".to_owned())
    );
    let nowhere = pumice.run(&["doctor", "--home", "nowhere"]);
    assert!(
        nowhere.status == 1
            && nowhere.out.contains("the realm cannot be opened: there is no realm in nowhere"),
        "{nowhere:?}"
    );
}

#[test]
fn night_with_failures_is_put_right_with_the_commands_alone() {
    let pumice = realm();
    let server = pumice.serve();
    for _ in 0..2 {
        pumice.run(&["dispatch", "etl/load", "--wait"]);
    }
    pumice.run(&["dispatch", "etl/save", "--wait"]);
    let found = pumice.run(&["failures", "-o", "json"]).json();
    let group = &found["groups"][0];
    assert_eq!(
        (&found["runs"], &group["count"], &group["reason"]),
        (&json!(2), &json!(2), &json!("exit status 3")),
        "{found:#}"
    );
    let fingerprint = group["fingerprint"].as_str().expect("a fingerprint");
    let shown = pumice.run(&["failures", "--since", "1h"]);
    assert!(shown.out.contains("of etl/load (2)") && shown.out.contains("2 runs failed"), "{shown:?}");
    let term = format!("fingerprint:{fingerprint}");
    assert_eq!(
        pumice.run(&["runs", "list", "--where", &term, "-o", "json"]).json()["runs"].as_array().map(Vec::len),
        Some(2)
    );
    pumice.write("jobs.json", json!([shell("etl/load", "true")]).to_string());
    assert_eq!(pumice.run(&["apply", "jobs.json"]).status, 0);
    let other = pumice.run(&["failures", "--retry", fingerprint, "--expect", "3"]);
    assert!(other.status == 2 && other.err.contains("2 runs are meant now, and not 3"), "{other:?}");
    let retried = pumice.run(&["failures", "--retry", fingerprint, "--expect", "2"]);
    assert!(retried.status == 0 && retried.out.contains("2 of 2 runs done again"), "{retried:?}");
    let again = pumice.run(&["failures", "--retry", fingerprint]);
    assert!(again.out.contains("2 dealt with before"), "{again:?}");
    let wrong = pumice.run(&["failures", "--retry", "x"]);
    assert!(wrong.status == 2 && wrong.err.contains("is not a fingerprint"), "{wrong:?}");
    crate::pumice::wait_until(|| {
        let stats = pumice.run(&["stats", "-o", "json"]).json();
        stats["all"]["complete"] == 3 && stats["all"]["failed"] == 2
    });
    let stats = pumice.run(&["stats"]).out;
    assert!(stats.starts_with("JOB") && stats.contains("2 (50.0 %)") && stats.contains("(all)"), "{stats}");
    assert!(stats.lines().all(|line| line.chars().count() <= 80), "{stats}");
    let metrics = pumice.run(&["metrics"]).out;
    for line in
        ["pumice_runs{status=\"failed\"} 2", "pumice_served 1", "# TYPE pumice_dead_letters_all gauge"]
    {
        assert!(metrics.lines().any(|one| one == line), "{line}: {metrics}");
    }
    drop(server);
}
