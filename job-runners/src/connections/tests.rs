//! Scripts are run against stand-ins for their clients, which print what they were given.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use pumice_core::job_type::{Ended, JobError, Leaf, ParametersOf};
use pumice_job_types::cmd;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::fakes::World;

/// A client that prints its arguments, one in a line, and some of its environment and files.
const CLIENT: &str = r#"#!/bin/sh
[ "$1" = --version ] && { echo "client $FLAVOUR"; exit; }
for argument; do
    echo "[$argument]"
    case $argument in --defaults-file=*) cat "${argument#*=}" ;; esac
done
for name in PGAPPNAME PGSSLMODE PGPASSWORD PGSSLROOTCERT SQLCMDPASSWORD GIT_SSH_COMMAND GIT_TERMINAL_PROMPT; do
    eval "value=\$$name"
    [ -z "$value" ] || echo "$name=$value"
done
for file in "$PGPASSFILE" "$AWS_CONFIG_FILE"; do [ -z "$file" ] || cat "$file"; done
previous=
for argument; do
    [ "$previous" != -i ] || cat "$argument"
    previous=$argument
done
exit 0
"#;

/// A world whose `PATH` has these clients and the ordinary programs.
fn world(clients: &[&str], flavour: &str) -> World {
    let mut world = World::of("cmd", json!("sh"), json!({}));
    let bin = world.folder.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    for client in clients {
        let path = bin.join(client);
        std::fs::write(&path, CLIENT).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    // The programs that the scripts need if the machine's clients must not be found.
    for program in ["basename", "cat", "sh"] {
        std::os::unix::fs::symlink(std::path::Path::new("/bin").join(program), bin.join(program)).unwrap();
    }
    world.environment.push(("PATH".into(), format!("{}:/usr/bin:/bin", bin.display()).into()));
    world.environment.push(("FLAVOUR".into(), flavour.into()));
    world
}

/// Runs a script, and gives what it prints. It prints into a file of its own: secrets are masked in what is kept of an output.
async fn run(world: &World, script: &str, connections: Value) -> Result<String, JobError> {
    let printed = world.folder.path().join("printed");
    let script = format!("exec > '{}'\n{script}", printed.display());
    let argv = ["sh", "-c", script.as_str()].map(str::to_owned).to_vec();
    let parameters = json!({ "connections": connections });
    let parameters = ParametersOf::<cmd::Cmd>::deserialize(parameters).unwrap();
    let ended = crate::cmd::Cmd.run(&world.context(), argv, parameters).await?;
    assert!(matches!(ended, Ended::Done(_)));
    Ok(std::fs::read_to_string(printed).unwrap())
}

fn with(document: &Value, more: &Value) -> Value {
    let mut document = document.clone();
    document.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    document
}

fn postgres() -> Value {
    json!({ "conn_id": "pg/main", "type": "Postgres", "enabled": true, "host": "db.example", "port": "5432",
            "database": "it's", "user": "ann:b", "password": "/lava/pg" })
}

#[tokio::test]
async fn script_of_postgres_runs_psql_with_a_password_file() {
    let world = world(&["psql"], "");
    world.connections.connection(&postgres());
    world.connections.secret("/lava/pg", "pg:canary\\1");
    let script = "echo $LAVA_CONNID_DB; stat -c %a \"$LAVA_CONN_DB\" \"${LAVA_CONN_DB%/*}\" \"${LAVA_CONN_DB%/*}/.pgpass\"; \"$LAVA_CONN_DB\" -c 'select 1'";
    let printed = run(&world, script, json!({ "db": "pg/main" })).await.unwrap();
    let wanted = "pg/main\n700\n700\n600\n[-h]\n[db.example]\n[-p]\n[5432]\n[-d]\n[it's]\n[-U]\n[ann:b]\n[--no-psqlrc]\n[--quiet]\n[--set]\n[ON_ERROR_STOP=on]\n[--pset]\n[footer=off]\n[-c]\n[select 1]\nPGAPPNAME=lv-test-top\nPGSSLMODE=prefer\ndb.example:5432:it's:ann\\:b:pg\\:canary\\\\1\n";
    assert_eq!(printed, wanted);
    assert_eq!(std::fs::read_dir(world.directory()).unwrap().count(), 0, "nothing is left where jobs work");
}

#[tokio::test]
async fn script_of_a_long_password_or_token_has_it_in_the_environment() {
    let long = "long-canary".repeat(20);
    for (more, user, password, mode) in [
        (json!({}), "ann:b", &*long, "prefer"),
        (json!({ "ssl": true, "ca_cert": "/c a.pem" }), "ann:b", &*long, "require"),
        (
            json!({ "type": "postgres-aurora", "password": null }),
            "ann:b",
            "token-canary-postgres-aurora",
            "require",
        ),
        (
            json!({ "type": "redshift-serverless", "password": null, "user": null }),
            "IAM:someone",
            "token-canary-redshift-serverless",
            "require",
        ),
    ] {
        let world = world(&["psql"], "");
        world.connections.connection(&with(&postgres(), &more));
        world.connections.secret("/lava/pg", &long);
        let printed = run(&world, "\"$LAVA_CONN_DB\"", json!({ "db": "pg/main" })).await.unwrap();
        for wanted in [format!("[{user}]"), format!("PGPASSWORD={password}"), format!("PGSSLMODE={mode}")] {
            assert!(printed.contains(&wanted), "{more}: {wanted}: {printed}");
        }
    }
}

#[tokio::test]
async fn script_of_mysql_goes_by_the_client_that_is_there() {
    let document = json!({ "conn_id": "my", "type": "mysql", "enabled": true, "host": "h", "port": 3306,
                           "user": "bob", "password": "my", "ssl": true, "database": "d b" });
    for (clients, flavour, ssl) in [
        (["mysql"], "Distrib 10.11-MariaDB", "[--ssl]"),
        (["mysql"], "Ver 8.4 for Linux", "[--ssl-mode=REQUIRED]"),
        (["mariadb"], "from 11.8-MariaDB", "[--ssl]"),
    ] {
        let world = world(&clients, flavour);
        world.connections.connection(&document);
        world.connections.secret("my", "my#\"can\\ary");
        let printed =
            run(&world, "PATH=${PATH%%:*} \"$LAVA_CONN_M\" -e x", json!({ "m": "my" })).await.unwrap();
        let wanted = "[client]\nuser=\"bob\"\npassword=\"my#\"can\\\\ary\"\n[--batch]\n[--host=h]\n[--port=3306]\n[--database=d b]\n[--connect-timeout=10]\n";
        assert!(printed.contains(wanted), "{flavour}: {printed}");
        assert!(printed.ends_with(&format!("{ssl}\n[-e]\n[x]\n")), "{flavour}: {printed}");
    }
}

#[tokio::test]
async fn script_of_ssh_and_git_has_the_key_with_its_lines() {
    let document = |kind: &str| json!({ "conn_id": "box", "type": kind, "enabled": true, "ssh_key": "key", "ssh_options": ["Port=22", "User=a b"] });
    for kind in ["ssh", "scp", "sftp"] {
        let world = world(&[kind], "");
        world.connections.connection(&document(kind));
        world.connections.secret("key", "-----BEGIN-----,key-canary-line,-----END-----");
        let printed = run(&world, "\"$LAVA_CONN_BOX\" host ls", json!({ "box": "box" })).await.unwrap();
        assert!(printed.starts_with("[-o]\n[Port=22]\n[-o]\n[User=a b]\n[-i]\n"), "{printed}");
        assert!(
            printed.ends_with("[host]\n[ls]\n-----BEGIN-----\nkey-canary-line\n-----END-----\n"),
            "{printed}"
        );
    }
    let world = world(&["git"], "");
    world.connections.connection(&document("git"));
    world.connections.secret("key", "-----BEGIN-----\nkey-canary-line\n-----END-----");
    let printed = run(&world, "\"$LAVA_CONN_BOX\" clone x", json!({ "box": "box" })).await.unwrap();
    assert!(printed.contains("GIT_SSH_COMMAND=ssh -o 'Port=22' -o 'User=a b' -i "), "{printed}");
    assert!(printed.contains("GIT_TERMINAL_PROMPT=0"), "{printed}");
}

#[tokio::test]
async fn script_of_a_generic_connection_prints_its_values_only() {
    let world = world(&[], "");
    let attributes = json!({ "a": "plain", "n": 1.5, "yes": true, "none": null,
        "b": { "type": "local", "value": "local" }, "c": { "type": "ssm", "parameter": "/p" }, "d": { "value": 7 } });
    world
        .connections
        .connection(&json!({ "conn_id": "g", "type": "generic", "enabled": true, "attributes": attributes }));
    world.connections.secret("/p", "generic-canary");
    let script = "for name in a n yes none b c d; do \"$LAVA_CONN_G\" $name; echo; done; for bad in ../get-attr-value x '' . ..; do \"$LAVA_CONN_G\" \"$bad\" 2>&1 || echo refused; done";
    let printed = run(&world, script, json!({ "g": "g" })).await.unwrap();
    let wanted = "plain\n1.5\nTrue\nNone\nlocal\ngeneric-canary\n7\n";
    assert!(printed.starts_with(wanted), "{printed}");
    assert_eq!(printed.matches("refused").count(), 5, "{printed}");
    assert!(!printed.contains("usage"), "{printed}");
}

#[tokio::test]
async fn script_of_aws_has_a_profile_of_its_own() {
    let keys = json!({ "conn_id": "aws", "type": "aws", "enabled": true, "access_keys": "keys", "region": "eu-west-1" });
    let role =
        json!({ "conn_id": "aws", "type": "aws", "enabled": true, "role_arn": "arn:aws:iam::1:role/r" });
    for (document, wanted) in [
        (keys, "aws_access_key_id=AKIACANARY\naws_secret_access_key=keys-canary,1\nregion=eu-west-1\n"),
        (role, "aws_secret_access_key=role-canary-lava.aws\naws_session_token=session-canary\n"),
    ] {
        let world = world(&["aws"], "");
        world.connections.connection(&document);
        world.connections.secret("keys", "AKIACANARY,keys-canary,1");
        let printed = run(&world, "\"$LAVA_CONN_X\" s3 ls", json!({ "x": "aws" })).await.unwrap();
        assert!(printed.starts_with("[--profile]\n[lava]\n[s3]\n[ls]\n"), "{printed}");
        assert!(printed.contains(wanted), "{printed}");
    }
}

#[tokio::test]
async fn script_of_databases_keeps_password_off_the_command_line() {
    let base = json!({ "conn_id": "o", "enabled": true, "host": "h", "port": 1521, "user": "u", "password": "pw", "database": "XE" });
    for (kind, client) in [("oracle", "sqlplus"), ("mssql", "sqlcmd")] {
        let world = world(&[client], "");
        world.connections.connection(&with(&base, &json!({ "type": kind })));
        world.connections.secret("pw", "other-canary");
        let printed = run(&world, "\"$LAVA_CONN_O\" @x", json!({ "o": "o" })).await.unwrap();
        let arguments: Vec<&str> = printed.lines().filter(|line| line.starts_with('[')).collect();
        assert!(arguments.contains(&"[@x]"), "{kind}: {printed}");
        assert!(arguments.iter().all(|argument| !argument.contains("canary")), "{kind}: {printed}");
    }
}

#[tokio::test]
async fn unusable_connection_fails_the_attempt_with_a_reason() {
    let missing = |name: &str| json!({ name: null });
    for (document, wanted) in [
        (with(&postgres(), &json!({ "conn_id": "other" })), "there is no connection \"pg/main\""),
        (with(&postgres(), &json!({ "enabled": false })), "connection \"pg/main\" is not enabled"),
        (with(&postgres(), &json!({ "type": "postgre" })), "is not a type of connection"),
        (with(&postgres(), &json!({ "port": "x" })), "port: expected a whole number"),
        (with(&postgres(), &json!({ "port": 70_000 })), "70000 is more than 65535"),
        (with(&postgres(), &json!({ "host": "a\nb" })), "must not have control characters"),
        (with(&postgres(), &json!({ "user": "x".repeat(3000) })), "is longer than 2048 bytes"),
        (with(&postgres(), &missing("host")), "the field \"host\" is missing"),
        (with(&postgres(), &missing("password")), "the field \"password\" is missing"),
        (with(&postgres(), &json!({ "password": "/gone" })), "there is no secret /gone"),
        (
            with(&postgres(), &json!({ "password": null, "secret_id": "bad-json" })),
            "secret bad-json is not a JSON object",
        ),
        (
            with(&postgres(), &json!({ "password": null, "secret_id": "empty" })),
            "neither the connection nor its secret has the field \"password\"",
        ),
        (
            json!({ "conn_id": "pg/main", "type": "aws", "enabled": true, "access_keys": "bad-json" }),
            "must be access_key_id,secret_access_key",
        ),
        (
            json!({ "conn_id": "pg/main", "type": "slack", "enabled": true, "webhook_url": "bad-json" }),
            "is not an http: or https: URL",
        ),
        (
            json!({ "conn_id": "pg/main", "type": "webhook", "enabled": true, "url": "https://x.example" }),
            "the action webhook uses it",
        ),
    ] {
        let world = world(&["psql"], "");
        world.connections.connection(&document);
        world.connections.secret("/lava/pg", "reason-canary");
        world.connections.secret("bad-json", "bad-json-canary");
        world.connections.secret("empty", "{}");
        let error = run(&world, "true", json!({ "db": "pg/main" })).await.unwrap_err();
        assert!(error.message.contains(wanted), "{wanted}: {error}");
        assert!(!error.message.contains("canary"), "{error}");
    }
}

#[tokio::test]
async fn secret_of_secrets_manager_fills_missing_fields() {
    let document = json!({ "conn_id": "pg/main", "type": "postgres", "enabled": true, "secret_id": "managed", "host": "own" });
    let world = world(&["psql"], "");
    world.connections.connection(&document);
    let secret = json!({ "username": "theirs", "password": "managed-canary", "host": "not this", "port": 5433, "dbname": "d" });
    world.connections.secret("managed", &secret.to_string());
    let printed = run(&world, "\"$LAVA_CONN_DB\"", json!({ "db": "pg/main" })).await.unwrap();
    assert!(printed.ends_with("own:5433:d:theirs:managed-canary\n"), "{printed}");
}

#[test]
fn script_word_is_one_word_of_a_shell() {
    let odd = "a'b\"c $x `y` \\ \n*";
    let script = format!("printf %s {}", super::word(odd));
    let printed = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), odd);
    assert!(Path::new("/bin/sh").exists());
}

#[tokio::test]
async fn files_of_the_payload_area_find_their_connections() {
    let mut world = world(&[], "");
    world.job = pumice_core::spec::JobSpec::parse(
        &json!({ "job_id": "top", "type": "exe", "worker": "core", "payload": "show" }),
    )
    .unwrap();
    world.connections.connection(
        &json!({ "conn_id": "g", "type": "generic", "enabled": true, "attributes": { "a": "of an exe" } }),
    );
    world.kept.put("s3://bucket/payloads/show", "#!/bin/sh\n\"$LAVA_CONN_G\" a; echo \" $LAVA_CONNID_G\"\n");
    let parameters =
        ParametersOf::<pumice_job_types::exe::Exe>::deserialize(json!({ "connections": { "g": "g" } }))
            .unwrap();
    let ended = crate::exe::Exe.run(&world.context(), vec!["show".to_owned()], parameters).await;
    assert!(ended.is_ok(), "{ended:?}");
    let kept = world.kept.objects();
    assert!(kept.values().any(|text| text == "of an exe g\n"), "{kept:?}");
}

#[tokio::test]
async fn script_of_a_file_in_s3_that_cannot_copy_says_why() {
    let world = world(&[], "");
    let aws = world.folder.path().join("bin/aws");
    std::fs::write(&aws, "#!/bin/sh\nexit 1").unwrap();
    std::fs::set_permissions(&aws, std::fs::Permissions::from_mode(0o755)).unwrap();
    world.connections.connection(
        &json!({ "conn_id": "lite", "type": "sqlite3", "enabled": true, "host": "s3://bucket/it's.db" }),
    );
    let error = run(&world, "\"$LAVA_CONN_L\" 'select 1'", json!({ "L": "lite" })).await.unwrap_err();
    let wanted = "cannot copy s3://bucket/it's.db: on AWS a job needs aws_credentials: true for it";
    assert!(error.message.contains(wanted), "{error}");
}
