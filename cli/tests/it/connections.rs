//! Connections and secrets, as people use them.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::pumice::{Printed, Pumice};

fn guide() -> String {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/connections.md");
    std::fs::read_to_string(guide).expect("the guide")
}

/// The first block of a kind.
fn block(kind: &str) -> String {
    let guide = guide();
    let after = guide.split(&format!("```{kind}\n")).nth(1).expect("a block").to_owned();
    after.split("```").next().unwrap_or_default().to_owned()
}

fn applied(pumice: &Pumice, documents: &Value) -> Printed {
    pumice.write("given.json", documents.to_string());
    pumice.run(&["apply", "given.json"])
}

#[test]
fn example_of_the_guide_does_what_it_says() {
    let pumice = Pumice::new();
    pumice.write("shop.yaml", block("yaml"));
    let secret = pumice.feed(&["secrets", "set", "/lava/shop/token"], "s3cr3t-token\n");
    assert_eq!(secret.status, 0, "{secret:?}");
    let commands = block("sh");
    assert!(commands.starts_with("echo s3cr3t-token | pumice secrets set /lava/shop/token\n"), "{commands}");
    let _server = pumice.serve();
    for command in commands.lines().skip(1) {
        let words: Vec<&str> = command.split(' ').skip(1).collect();
        let printed = pumice.run(&words);
        assert_eq!(printed.status, 0, "{command}: {printed:?}");
        if words[..2] == ["runs", "output"] {
            let quoted = format!("`{}`", printed.out.trim());
            assert!(guide().contains(&format!("prints {quoted}")), "{printed:?}");
        }
    }
    let left = std::fs::read_to_string(pumice.path().join(".pumice/secrets.json")).expect("the file");
    assert!(!left.contains("s3cr3t-token"), "{left}");
}

#[test]
fn secret_is_set_listed_and_deleted_and_never_printed() {
    let pumice = Pumice::new();
    let canary = "cli-canary-81";
    let mut printed = vec![
        pumice.feed(&["secrets", "set", "a"], format!("{canary}\r\n")),
        pumice.feed(&["secrets", "set", "a", "-o", "json"], canary),
    ];
    assert_eq!(printed[1].json(), json!({ "name": "a", "replaced": true }));
    let file = pumice.write("b.txt", format!("{canary}\nand more\n"));
    printed.push(pumice.run(&["secrets", "set", "b", "--file", &file.display().to_string()]));
    let list = pumice.run(&["secrets", "list", "-o", "json"]);
    let listed = list.json();
    let names: Vec<&Value> = listed.as_array().expect("a list").iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["a", "b"]);
    printed.extend([list, pumice.run(&["secrets", "list"]), pumice.run(&["secrets", "delete", "a"])]);
    // A dry run reads no secret, and stores none.
    for (words, wanted) in [
        (&["secrets", "set", "b"][..], "would replace secret b"),
        (&["secrets", "set", "a"], "would set secret a"),
        (&["secrets", "delete", "b"], "would delete secret b"),
        (&["secrets", "list", "--where", "name:b"], "1 secret\n"),
    ] {
        let is_list = words.contains(&"list");
        let tried = pumice.run(&[words, if is_list { &[][..] } else { &["--dry-run"][..] }].concat());
        assert!(tried.out.contains(wanted) || (is_list && tried.err.contains(wanted)), "{tried:?}");
        printed.push(tried);
    }
    for one in &printed {
        assert_eq!(one.status, 0, "{one:?}");
        assert!(!one.out.contains(canary) && !one.err.contains(canary), "{one:?}");
    }
    for (arguments, input, wanted) in [
        (vec!["secrets", "set", "c"], "", "the value of secret c is empty"),
        (vec!["secrets", "set", "c"], &*"x".repeat(20_000), "is longer than"),
        (vec!["secrets", "set", ""], "x", "must not be empty"),
        (vec!["secrets", "set", "c", "--file", "none"], "", "cannot read none"),
        (vec!["secrets", "delete", "gone"], "", "no such secret gone"),
    ] {
        let refused = pumice.feed(&arguments, input);
        assert!(refused.status > 0 && refused.err.contains(wanted), "{arguments:?}: {refused:?}");
    }
    let keys = ["secrets.json", "secrets.key"].map(|name| pumice.path().join(".pumice").join(name));
    for path in keys {
        assert_eq!(
            path.metadata().expect("a file").permissions().mode() & 0o777,
            0o600,
            "{}",
            path.display()
        );
    }
}

#[test]
fn key_of_the_environment_is_used_and_no_command_gets_it() {
    let pumice = Pumice::new();
    let key = "3c".repeat(32);
    let with_key = |arguments: &[&str]| {
        let mut command = pumice.command(arguments);
        command.env("PUMICE_SECRET_KEY", &key).env("PUMICE_SECRET_VALUE_FROM_ENV", "value-canary-17");
        command
    };
    pumice.write("canary", "key-canary-17");
    let set: Printed =
        with_key(&["secrets", "set", "own", "--file", "canary"]).output().expect("it runs").into();
    assert_eq!(set.status, 0, "{set:?}");
    assert!(!pumice.path().join(".pumice/secrets.key").exists());
    let connection = json!({ "conn_id": "g", "type": "generic", "enabled": true, "attributes": {
        "own": { "type": "ssm", "parameter": "own" }, "env": { "type": "ssm", "parameter": "/from/env" } } });
    let script = "env | grep -c PUMICE_SECRET; for name in own env; do \"$LAVA_CONN_G\" $name | wc -c; done";
    let job = json!({ "job_id": "j", "type": "cmd", "worker": "w", "enabled": true, "payload": format!("sh -c '{script}'"),
        "parameters": { "connections": { "g": "g" } } });
    pumice.write("jobs.json", json!([connection, job]).to_string());
    let run: Printed = with_key(&["run", "--jobs", "jobs.json", "j"]).output().expect("it runs").into();
    assert_eq!(run.status, 0, "{run:?}");
    let all = format!("{}{}", run.out, run.err);
    assert!(all.contains("0") && all.contains("13") && all.contains("15"), "{run:?}");
    let other: Printed = pumice
        .command(&["run", "--jobs", "jobs.json", "j"])
        .env("PUMICE_SECRET_KEY", "4d".repeat(32))
        .env("PUMICE_SECRET_VALUE_FROM_ENV", "value-canary-17")
        .output()
        .expect("it runs")
        .into();
    assert_eq!(other.status, 1, "{other:?}");
    assert!(
        other.err.contains("cannot decrypt secret own") || other.out.contains("cannot decrypt secret own"),
        "{other:?}"
    );
}

#[test]
fn variable_of_two_secrets_is_refused() {
    let pumice = Pumice::new();
    let secret = |name: &str| json!({ "type": "ssm", "parameter": name });
    let one = json!({ "conn_id": "one", "type": "generic", "enabled": true, "attributes": { "a": secret("/a/b") } });
    let two = json!({ "conn_id": "two", "type": "generic", "enabled": true,
        "attributes": { "a": secret("/a/b"), "b": secret("a-b") } });
    assert_eq!(applied(&pumice, &json!([one, two])).status, 0);
    let test = |id: &str| {
        let mut command = pumice.command(&["connections", "test", id]);
        command.env("PUMICE_SECRET_VALUE_A_B", "canary-of-two");
        Printed::from(command.output().expect("it runs"))
    };
    assert_eq!(test("one").status, 0);
    let refused = test("two");
    let wanted =
        "the variable PUMICE_SECRET_VALUE_A_B names both secret a-b and secret /a/b: rename one of them";
    assert!(refused.status == 1 && refused.out.contains(wanted), "{refused:?}");
    // One that is in the file is another secret too.
    assert_eq!(pumice.feed(&["secrets", "set", "a.b"], "canary-of-three").status, 0);
    let refused = test("one");
    assert!(
        refused.status == 1 && refused.out.contains("names both secret /a/b and secret a.b"),
        "{refused:?}"
    );
}

#[test]
fn connections_are_applied_listed_shown_and_deleted() {
    let pumice = Pumice::new();
    let ssh = json!({ "conn_id": "box", "type": "ssh", "enabled": true, "ssh_key": "k", "x-team": 1 });
    let job = json!({ "job_id": "j", "type": "cmd", "worker": "w", "enabled": true, "payload": "true",
        "parameters": { "connections": { "b": "box" } } });
    let printed = applied(&pumice, &json!([ssh, job]));
    assert_eq!(printed.status, 0, "{printed:?}");
    assert!(printed.out.contains("added     connection box\n2 added, 0 updated"), "{printed:?}");
    let list = pumice.run(&["connections", "list", "-o", "json"]).json();
    assert_eq!(list, json!([{ "conn_id": "box", "type": "ssh", "enabled": true, "description": null }]));
    assert_eq!(pumice.run(&["connections", "show", "box"]).json(), ssh);
    let changed = json!({ "conn_id": "box", "type": "ssh", "enabled": false, "ssh_key": "k" });
    pumice.write("given.json", changed.to_string());
    let dry = pumice.run(&["apply", "given.json", "--dry-run"]);
    assert!(
        dry.out.contains("updated   connection box\n    - enabled: true\n    + enabled: false"),
        "{dry:?}"
    );
    let deleted = pumice.run(&["connections", "delete", "box"]);
    assert!(deleted.status == 0 && deleted.err.contains("job j still names it"), "{deleted:?}");
    let gone = pumice.run(&["connections", "show", "box"]);
    assert!(gone.status == 2 && gone.err.contains("no such connection box"), "{gone:?}");
    let warned = applied(&pumice, &json!([job]));
    assert!(warned.err.contains("there is no connection \"box\" [unknown-connection]"), "{warned:?}");
}

#[test]
fn document_of_a_connection_is_checked_field_by_field() {
    let pumice = Pumice::new();
    let base = json!({ "conn_id": "c", "type": "postgres", "enabled": true, "host": "h", "port": 5432, "database": "d", "user": "u", "password": "p" });
    let with = |more: Value| {
        let mut document = base.clone();
        document.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
        document
    };
    for (document, wanted) in [
        (with(json!({ "hots": "h" })), "hots: no such field (did you mean \"host\"?)"),
        (with(json!({ "type": "postgre" })), "type: \"postgre\" is not a type of connection"),
        (with(json!({ "type": 5 })), "type: expected a string"),
        (with(json!({ "conn_id": " c" })), "must not begin or end with blanks"),
        (with(json!({ "conn_id": "" })), "conn_id: "),
        (with(json!({ "enabled": "yes" })), "enabled: expected true or false"),
        (with(json!({ "port": 0 })), "port: 0 is less than 1"),
        (with(json!({ "port": "5432x" })), "port: expected a whole number"),
        (with(json!({ "host": ["h"] })), "host: expected a string"),
        (with(json!({ "host": "x".repeat(5000) })), "is longer than 2048 bytes"),
        (with(json!({ "user": null })), "the field \"user\" is missing"),
        (with(json!({ "ssl": 1 })), "ssl: expected true or false"),
        (json!({ "conn_id": "c", "enabled": true }), "the field \"type\" is missing"),
        (
            json!({ "conn_id": "c", "type": "ssh", "ssh_key": "k", "ssh_options": "Port=1" }),
            "ssh_options: expected a list",
        ),
        (json!({ "conn_id": "c", "type": "ssh" }), "the field \"ssh_key\" is missing"),
        (json!({ "conn_id": "c", "type": "aws" }), "the field \"access_keys\" is missing"),
        (
            json!({ "conn_id": "c", "type": "generic", "attributes": { "../x": 1 } }),
            "must begin with a letter",
        ),
        (
            json!({ "conn_id": "c", "type": "generic", "attributes": { "a": { "type": "ssm" } } }),
            "has the field \"parameter\"",
        ),
        (json!({ "conn_id": "c", "type": "generic", "attributes": { "a": [1] } }), "attributes.a: expected"),
        (
            json!({ "conn_id": "c", "type": "slack", "webhook_url": "ftp://x" }),
            "webhook_url: the scheme ftp: is not http: or https:",
        ),
        (
            json!({ "conn_id": "c", "type": "slack", "webhook_url": "https://x.example", "style": "loud" }),
            "\"loud\" is none of block, attachment, plain",
        ),
        (json!({ "conn_id": "c", "type": "email", "subtype": "smtp" }), "the field \"host\" is missing"),
        (
            json!({ "conn_id": "c", "type": "email", "host": "h", "user": "u" }),
            "the field \"password\" is missing",
        ),
        (json!({ "conn_id": "c", "type": "webhook", "url": "https://" }), "the URL has no host"),
        (
            json!({ "conn_id": "c", "type": "webhook", "url": "http://169.254.169.254/" }),
            "url: the address 169.254.169.254 is link-local",
        ),
        (
            json!({ "conn_id": "c", "type": "sqlite3", "host": "rel.db" }),
            "host: \"rel.db\" is not an absolute path",
        ),
        (with(json!({ "conn_id": null, "x-none": 1 })), "conn_id: "),
        (json!({ "type": "sqlite3", "host": "/a.db" }), "the field \"conn_id\" is missing"),
    ] {
        let printed = applied(&pumice, &document);
        assert_eq!(printed.status, 2, "{document}: {printed:?}");
        assert!(printed.err.contains(wanted), "{wanted}: {printed:?}");
    }
}

#[test]
fn labels_of_connections_are_checked_and_a_password_in_the_clear_is_warned_of() {
    let pumice = Pumice::new();
    let base = json!({ "conn_id": "c", "type": "postgres", "enabled": true, "host": "h", "port": 5432, "database": "d", "user": "u", "password": "p" });
    for labels in [
        json!({ "a-b": "c" }),
        json!({ "": "c" }),
        json!({ "a": "c", "A": "c" }),
        json!({ "a": 5 }),
        json!(["c"]),
    ] {
        let job = json!({ "job_id": "j", "type": "cmd", "worker": "w", "payload": "true", "parameters": { "connections": labels } });
        let printed = applied(&pumice, &json!([base, job]));
        assert_eq!(printed.status, 2, "{labels}: {printed:?}");
        assert!(printed.err.contains("parameters.connections"), "{labels}: {printed:?}");
    }
    let mut document = base;
    document["password"] = json!("p@ss w0rd!");
    let warned = applied(&pumice, &document);
    assert!(warned.err.contains("[secret-in-spec]"), "{warned:?}");
}
