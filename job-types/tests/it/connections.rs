//! The connections that jobs name.

use pumice_core::spec::JobSpec;
use serde_json::{Value, json};

#[test]
fn connections_of_a_job_are_found_in_every_place() {
    let registry = pumice_job_types::registry().expect("a registry");
    let found = |document: Value| -> Vec<String> {
        let job = JobSpec::parse(&document).expect("a job");
        registry.connections_of(&job).iter().map(|(path, id)| format!("{path} {id}")).collect()
    };
    let labels = json!({ "connections": { "X": "a", "Y": "b" } });
    let query = json!({ "foreach": { "type": "query", "conn_id": "a", "query": "select 1" } });
    for (job_type, parameters, wanted) in [
        ("cmd", labels.clone(), vec!["parameters.connections.X a", "parameters.connections.Y b"]),
        ("exe", labels.clone(), vec!["parameters.connections.X a", "parameters.connections.Y b"]),
        ("pkg", labels, vec!["parameters.connections.X a", "parameters.connections.Y b"]),
        ("foreach", query, vec!["parameters.foreach.conn_id a"]),
        ("sql", json!({ "conn_id": "a" }), vec!["parameters.conn_id a"]),
        ("sqlc", json!({ "conn_id": "a" }), vec!["parameters.conn_id a"]),
        ("sqli", json!({ "conn_id": "a" }), vec!["parameters.conn_id a"]),
    ] {
        let document = json!({ "job_id": "top", "type": job_type, "worker": "w", "payload": "x", "parameters": parameters });
        assert_eq!(found(document), wanted, "{job_type}");
    }
    let document = json!({ "job_id": "top", "type": "log", "worker": "w", "payload": null,
        "on_fail": [{ "action": "email", "email_conn": "a" }, { "action": "slack", "slack_conn": "b" }],
        "on_late": [{ "action": "webhook", "webhook_conn": "c" }, { "action": "slack", "slack_conn": "{{ x }}" }] });
    assert_eq!(
        found(document),
        ["on_fail[0].email_conn a", "on_fail[1].slack_conn b", "on_late[0].webhook_conn c"]
    );
}
