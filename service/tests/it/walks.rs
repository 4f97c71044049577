//! Rules for every operation of a kind: each list takes terms, and each change can be tried.

use pumice_service::{Error, ErrorKind, Operation, Realm as _, operations, specs};
use pumice_testing::folder::Folder;
use serde_json::{Value, json};

use crate::{given, job};

fn operation(command: &str) -> Operation {
    operations().into_iter().find(|one| one.command == command).unwrap()
}

async fn ask(realm: &Folder, command: &str, request: Value) -> Result<Value, Error> {
    operation(command).call(realm, request).await
}

fn lists() -> impl Iterator<Item = Operation> {
    operations().into_iter().filter(|one| one.command.ends_with(" list"))
}

#[tokio::test]
async fn every_list_takes_terms_and_refuses_other_words() {
    let realm = Folder::new().await;
    assert!(lists().count() > 13);
    for list in lists() {
        let command = list.command;
        assert!(list.request().pointer("/properties/where").is_some(), "{command} takes no terms");
        for bad in ["no-such-word:x", "  -no-such-word:x"] {
            let refused = list.call(&realm, json!({ "where": bad })).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Invalid, "{command}: {refused}");
            let lines: Vec<&str> = refused.message().lines().collect();
            let [first, text, caret] = lines.as_slice() else { panic!("{command}: {refused}") };
            assert!(first.starts_with("where: \"no-such-word\" is not "), "{command}: {refused}");
            assert!(first.contains("the words are ") && *text == format!("  {bad}"), "{command}: {refused}");
            assert_eq!(caret.find('^'), text.find("no-such-word"), "{command}: {refused}");
        }
        let (all, empty) = (json!({}), json!({ "where": "" }));
        assert_eq!(list.call(&realm, all).await.is_ok(), list.call(&realm, empty).await.is_ok(), "{command}");
    }
}

#[tokio::test]
async fn guide_has_the_words_of_each_list() {
    let realm = Folder::new().await;
    let guide = std::fs::read_to_string("../docs/guide.md").unwrap();
    // These have tables of their own.
    let apart = ["runs list", "dead list", "audit list"];
    for list in lists().filter(|list| !apart.contains(&list.command)) {
        let named = format!("`{}`", list.command);
        let is_of_it = |line: &&str| line.starts_with("| `") && line.contains(&named);
        let row = guide.lines().skip_while(|line| *line != "| list | words |").find(is_of_it);
        let row = row.unwrap_or_else(|| panic!("the guide has no row for {named}"));
        let refused = list.call(&realm, json!({ "where": "no-such-word:x" })).await.unwrap_err();
        let words = refused.message().lines().next().and_then(|line| line.split_once("the words are "));
        for word in words.unwrap().1.split(' ') {
            let word = format!("`{}`", word.trim_end_matches(':'));
            assert!(row.contains(&word), "{named} takes {word}: {row}");
        }
    }
}

/// A realm with some of everything that can be listed.
async fn furnished() -> Folder {
    let realm = Folder::new().await;
    let etl = job("etl/load", json!({ "schedule": "@daily", "pool": "db" }));
    let other = job("report", json!({ "worker": "gpu", "schedule": "@daily", "pool": "web" }));
    let trigger = |id: &str, more: Value| {
        let mut trigger = json!({ "trigger_id": id, "bucket": "raw", "prefix": "*", "job_id": "etl/load", "enabled": true });
        trigger.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        trigger
    };
    let ssh = json!({ "conn_id": "shop/box", "type": "ssh", "enabled": true, "ssh_key": "key" });
    let values =
        json!({ "conn_id": "values", "type": "generic", "enabled": false, "attributes": { "a": 1 } });
    let definition = json!({ "realm": realm.name(), "pools": { "db": { "size": 2 }, "web": { "size": 1 } } });
    let documents = [
        definition,
        etl,
        other,
        trigger("in/raw", json!({})),
        trigger("both", json!({ "bucket": "in", "job_id": ["report", "etl/load"], "enabled": false })),
        ssh,
        values,
    ];
    let apply = serde_json::from_value(json!({ "specs": given(&documents) })).unwrap();
    specs::apply(&realm, apply).await.unwrap();
    for (id, more) in [("etl/last", json!({})), ("seen", json!({ "raw": true, "publisher": "ada" }))] {
        let mut put = json!({ "id": id, "value": "x" });
        put.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ask(&realm, "state put", put).await.unwrap();
    }
    for name in ["/shop/token", "own"] {
        ask(&realm, "secrets set", json!({ "name": name, "value": "walk-canary" })).await.unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.sh");
    std::fs::write(&file, "true\n").unwrap();
    let files = json!([{ "key": "demo/a.sh", "path": file }, { "key": "other.txt", "path": file }]);
    ask(&realm, "payloads put", json!({ "files": files })).await.unwrap();
    for (one, by) in [("etl/load", "ada"), ("report", "bob")] {
        let (from, to) = ("2025-05-01T00:00:00Z", "2025-05-03T00:00:00Z");
        let begin = json!({ "job": one, "from": from, "to": to, "by": by });
        ask(&realm, "schedules backfill", begin).await.unwrap();
    }
    ask(&realm, "workers pause", json!({ "workers": ["gpu"] })).await.unwrap();
    realm
}

/// A list, the place of its items in the response, their name, terms, and the items that these mean.
type Case = (&'static str, &'static str, &'static str, &'static str, &'static [&'static str]);

const CASES: [Case; 37] = [
    ("state list", "", "state_id", "id:etl/*", &["etl/last"]),
    ("state list", "", "state_id", "-id:etl/* type:raw,secure", &["seen"]),
    ("state list", "", "state_id", "publisher:a*", &["seen"]),
    ("state list", "", "state_id", "since:1h", &["etl/last", "seen"]),
    ("state list", "", "state_id", "until:1h", &[]),
    ("triggers list", "", "trigger_id", "id:in/*", &["in/raw"]),
    ("triggers list", "", "trigger_id", "bucket:in,none", &["both"]),
    ("triggers list", "", "trigger_id", "job:report", &["both"]),
    ("triggers list", "", "trigger_id", "job:etl/* type:object", &["both", "in/raw"]),
    ("triggers list", "", "trigger_id", "type:http", &[]),
    ("triggers list", "", "trigger_id", "status:enabled", &["in/raw"]),
    ("connections list", "", "conn_id", "id:shop/*", &["shop/box"]),
    ("connections list", "", "conn_id", "-type:ssh", &["values"]),
    ("connections list", "", "conn_id", "status:disabled", &["values"]),
    ("secrets list", "", "name", "name:/shop/*", &["/shop/token"]),
    ("secrets list", "", "name", "since:1h -name:/*", &["own"]),
    ("secrets list", "", "name", "until:1h", &[]),
    ("payloads list", "/payloads", "key", "key:*.sh", &["demo/a.sh"]),
    ("payloads list", "/payloads", "key", "-key:demo/* since:1h", &["other.txt"]),
    ("payloads list", "/payloads", "key", "until:1h", &[]),
    ("workers list", "/workers", "worker", "worker:g*", &["gpu"]),
    ("workers list", "/workers", "worker", "status:active", &["core"]),
    ("workers list", "/workers", "worker", "-status:active worker:core", &[]),
    ("workers list", "/workers", "worker", "since:1d", &[]),
    ("pools list", "/pools", "pool", "pool:d*", &["db"]),
    ("pools list", "/pools", "pool", "job:report", &["web"]),
    ("pools list", "/pools", "pool", "job:report pool:db", &[]),
    ("schedules backfills list", "/backfills", "job_id", "job:etl/*", &["etl/load"]),
    ("schedules backfills list", "/backfills", "job_id", "who:b?b status:active", &["report"]),
    ("schedules backfills list", "/backfills", "job_id", "-status:active", &[]),
    ("schedules backfills list", "/backfills", "job_id", "until:1h", &[]),
    ("jobs list", "/jobs", "job_id", "worker:gpu", &["report"]),
    ("jobs list", "/jobs", "job_id", "-worker:gpu type:cmd", &["etl/load"]),
    ("schedules list", "/schedules", "job_id", "job:etl/*,none", &["etl/load"]),
    ("runs bulk list", "/bulk", "id", "act:cancel,retry status:active who:*", &[]),
    ("dead list", "/letters", "id", "worker:core since:1d", &[]),
    ("runs list", "/runs", "job_id", "job:none", &[]),
];

#[tokio::test]
async fn terms_of_each_list_mean_the_items_they_say() {
    let realm = furnished().await;
    for (command, place, name, terms, wanted) in CASES {
        let listed = ask(&realm, command, json!({ "where": terms })).await.unwrap();
        let items = listed.pointer(place).and_then(Value::as_array).unwrap();
        let mut found: Vec<&str> = items.iter().map(|item| item[name].as_str().unwrap()).collect();
        found.sort_unstable();
        assert_eq!(found, wanted, "{command} --where '{terms}'");
    }
    let tried: Vec<&str> = CASES.iter().map(|case| case.0).collect();
    for list in lists().filter(|list| list.command != "audit list") {
        assert!(tried.contains(&list.command), "{} is not tried here", list.command);
    }
    for (command, terms, wanted) in [
        ("state list", "type:jsn", "\"jsn\" is not a value of type: did you mean \"json\"? it is one of"),
        ("schedules backfills list", "status:over", "it is one of active, complete, cancelled, stopped"),
        ("runs bulk list", "act:dispatch", "it is one of cancel, retry, delete"),
        ("dead list", "status:bad", "it is one of "),
    ] {
        let refused = ask(&realm, command, json!({ "where": terms })).await.unwrap_err();
        assert!(refused.message().contains(wanted), "{command}: {refused}");
    }
}

/// Whether a request says by a field of its own, or of a part of it, that it is only tried.
fn can_be_tried(schema: &Value) -> bool {
    let has = |schema: &Value| schema.pointer("/properties/dry_run").is_some();
    let parts = || schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let part = |(_, part): (&String, &Value)| {
        let place = part.get("$ref").and_then(Value::as_str).and_then(|place| place.strip_prefix('#'));
        place.and_then(|place| schema.pointer(place)).is_some_and(has)
    };
    has(schema) || parts().any(part)
}

#[test]
fn every_change_can_be_tried() {
    let changes = operations().into_iter().filter(|one| one.access.changes());
    let missing: Vec<&str> =
        changes.filter(|one| !can_be_tried(&one.request())).map(|one| one.command).collect();
    assert_eq!(missing, [""; 0], "these have no dry run");
}

#[tokio::test]
async fn put_set_or_deleted_for_trial_changes_nothing() {
    let realm = furnished().await;
    ask(&realm, "state put", json!({ "id": "sealed", "value": "walk-canary", "secure": true }))
        .await
        .unwrap();
    let looks = ["state list", "secrets list", "payloads list", "audit list"];
    let mut before = Vec::new();
    for look in looks {
        before.push(ask(&realm, look, json!({})).await.unwrap());
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("b.sh");
    std::fs::write(&file, "false\n").unwrap();
    for (command, request, place, wanted) in [
        ("state put", json!({ "id": "seen", "value": 2 }), "/before/value", json!("x")),
        ("state put", json!({ "id": "seen", "value": 2 }), "/after/value", json!(2)),
        ("state put", json!({ "id": "new", "value": 2 }), "/before", Value::Null),
        (
            "state put",
            json!({ "id": "new", "value": "other", "secure": true }),
            "/after/value",
            json!("*****"),
        ),
        ("state put", json!({ "id": "sealed", "value": 2 }), "/before/value", json!("*****")),
        ("secrets set", json!({ "name": "own" }), "/replaced", json!(true)),
        ("secrets set", json!({ "name": "new", "value": "walk-canary" }), "/replaced", json!(false)),
        ("secrets delete", json!({ "name": "own" }), "/dry_run", json!(true)),
        (
            "payloads put",
            json!({ "files": [{ "key": "demo/a.sh", "path": file }] }),
            "/payloads/0/replaced",
            json!(true),
        ),
    ] {
        let mut request = request;
        request["dry_run"] = json!(true);
        let tried = ask(&realm, command, request.clone()).await.unwrap();
        assert_eq!(*tried.pointer(place).unwrap_or(&Value::Null), wanted, "{command} {request}: {tried}");
        assert!(!tried.to_string().contains("canary"), "{command}: {tried}");
    }
    for (command, request, wanted) in [
        ("state put", json!({ "id": "lava.x", "value": 1, "dry_run": true }), "is reserved"),
        (
            "state put",
            json!({ "id": "x", "value": "y".repeat(5_000), "secure": true, "dry_run": true }),
            "4096",
        ),
        ("secrets delete", json!({ "name": "none", "dry_run": true }), "no such secret"),
        ("secrets set", json!({ "name": "none" }), "value: it is missing"),
    ] {
        let refused = ask(&realm, command, request).await.unwrap_err();
        assert!(refused.message().contains(wanted), "{command}: {refused}");
    }
    for (look, before) in looks.into_iter().zip(before) {
        let mut after = ask(&realm, look, json!({})).await.unwrap();
        if look == "audit list" {
            // The one that was not a dry run, and was refused.
            let entry = after["entries"].as_array_mut().unwrap().remove(0);
            assert_eq!((&entry["act"], &entry["outcome"]), (&json!("secrets set"), &json!("refused")));
            after["looked_at"] = before["looked_at"].clone();
        }
        assert_eq!(after, before, "{look}");
    }
}
