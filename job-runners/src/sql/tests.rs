use pumice_core::job_type::{Rendered, Resolver, Stop};
use serde::Deserialize;

use super::*;
use crate::fakes::World;

fn number(number: i64) -> Cell {
    Cell::Number(number.to_string())
}

fn text(text: &str) -> Cell {
    Cell::Text(text.to_owned())
}

/// A world with a database that knows a few statements.
fn world(kind: &str, payload: Value, parameters: Value) -> World {
    let mut given = json!({ "conn_id": "db" });
    given.as_object_mut().unwrap().extend(parameters.as_object().unwrap().clone());
    let mut world = World::of(kind, payload, given);
    world.connections.connection(&json!({
        "conn_id": "db", "type": "postgres", "enabled": true, "host": "h", "port": 5432, "database": "d", "user": "u",
        "password": "key",
    }));
    world
        .connections
        .connection(&json!({ "conn_id": "box", "type": "generic", "enabled": true, "attributes": {} }));
    world.connections.secret("key", "canary-of-sql");
    world.database.answers = vec![
        (
            "select a",
            Ok((vec!["a", "b"], vec![vec![number(1), text("x|y")], vec![Cell::Null, Cell::Bool(true)]])),
        ),
        ("select none", Ok((vec!["a"], Vec::new()))),
        (
            "select price",
            Ok((
                vec!["n"],
                ["10.25", "10.50", "3.00", "-0.10", "7", "18446744073709551615", "1e-05"]
                    .map(|digits| vec![Cell::Number(digits.to_owned())])
                    .to_vec(),
            )),
        ),
        ("select long", Ok((vec!["n"], vec![vec![Cell::Number("12345678901234567.89".to_owned())]]))),
        ("select nan", Ok((vec!["n"], vec![vec![Cell::Number("nan".to_owned())]]))),
        ("select quoted", Ok((vec!["a"], vec![vec![text("say \"x\"")]]))),
        (
            "bad",
            Err(DatabaseError {
                message: "syntax error for canary-of-sql".to_owned(),
                place: Some(9),
                retryable: false,
            }),
        ),
        ("select bad", Err(DatabaseError::lasting("syntax error for canary-of-sql"))),
        ("busy", Err(DatabaseError::passing("too busy"))),
    ];
    world
}

async fn run_in(world: &World) -> Result<Ended, JobError> {
    let parameters = Parameters::deserialize(Value::Object(world.job.parameters())).unwrap();
    let payload = Texts::deserialize(&world.job.fields.payload).unwrap();
    match world.job.fields.r#type.as_str() {
        "sql" => Sql.run(&world.context(), payload, parameters).await,
        _ => Sqli.run(&world.context(), payload, parameters).await,
    }
}

fn done(ended: Result<Ended, JobError>) -> Value {
    match ended {
        Ok(Ended::Done(result)) => result,
        other => panic!("{other:?}"),
    }
}

fn place(name: &str) -> String {
    format!("s3://bucket/tmp/top/{}/{name}", uuid::Uuid::from_u128(1))
}

#[tokio::test]
async fn statements_run_in_order_and_their_rows_are_kept() {
    let payload = json!(["insert 1; select a from t;\n;select none;", "select {{ vars.what }}"]);
    let world = world("sqli", payload, json!({ "vars": { "what": "a" }, "header": true, "dialect": "unix" }));
    let result = done(run_in(&world).await);
    let output = json!({ "0": [place("0.1.out"), place("0.3.out")], "1": [place("1.0.out")] });
    assert_eq!(result, json!({ "exit_status": 0, "output": output }));
    let rows = "a|b\n1|\"x|y\"\n|True\n";
    assert_eq!(world.kept.objects()[&place("0.1.out")], rows);
    assert_eq!(world.kept.objects()[&place("0.3.out")], "a\n");
    assert_eq!(std::fs::read_to_string(world.directory().join("1.0.out")).unwrap(), rows);
    let given = world.database.given();
    assert_eq!(
        given,
        ["connect u@h as lv-test-top", "insert 1", "select a from t", "select none", "select a", "close"]
    );
}

#[tokio::test]
async fn files_of_the_payload_area_run_by_name() {
    let mut world = world("sql", json!(["load/", "extra.sql"]), json!({ "output": "data" }));
    for (key, text) in [("load/b.sql", "select a"), ("load/a.sql", "insert 1"), ("extra.sql", "select none")]
    {
        world.kept.put(&format!("s3://bucket/payloads/{key}"), text);
    }
    world.settings.sql.output_suffix = ".csv".to_owned();
    let result = done(run_in(&world).await);
    let output = json!({ "a.sql": [], "b.sql": [place("data/b.sql.0.csv")], "extra.sql": [place("data/extra.sql.0.csv")] });
    assert_eq!(result["output"], output);
    assert!(world.directory().join("data/b.sql.0.csv").is_file());
    assert_eq!(world.database.given()[1..4], ["insert 1", "select a", "select none"]);
}

#[tokio::test]
async fn transaction_is_committed_or_rolled_back_as_a_whole() {
    let whole = world("sqli", json!("insert 1; insert 2"), json!({ "transaction": true }));
    done(run_in(&whole).await);
    assert_eq!(whole.database.given()[1..], ["transact", "insert 1", "insert 2", "COMMIT", "close"]);
    let broken = world("sqli", json!("insert 1; busy; insert 2"), json!({ "transaction": true }));
    run_in(&broken).await.unwrap_err();
    assert_eq!(broken.database.given()[1..], ["transact", "insert 1", "busy", "ROLLBACK"]);
    let single = world("sqli", json!("insert 1; busy; insert 2"), json!({}));
    run_in(&single).await.unwrap_err();
    assert_eq!(single.database.given()[1..], ["insert 1", "busy"]);
}

#[tokio::test]
async fn transaction_without_an_end_fails_the_job() {
    for (text, is_lost) in [
        ("begin; insert 1", true),
        ("begin; insert 1; commit; begin; insert 2", true),
        ("begin; insert 1; commit", false),
        ("insert 1", false),
    ] {
        let ended = run_in(&world("sqli", json!(text), json!({}))).await;
        assert_eq!(ended.is_err(), is_lost, "{text}");
        if let Err(error) = ended {
            assert!(error.message.contains("has no end") && !error.retryable, "{text}: {error}");
        }
    }
}

#[tokio::test]
async fn bad_statement_is_named_by_text_number_and_line() {
    for (payload, wanted, retryable) in [
        (
            json!("insert 1;\n\nbad one\n  two"),
            "payload, statement 2 (line 4): syntax error for *****: bad one two",
            false,
        ),
        (json!(["insert 1", "\nbusy"]), "payload[1], statement 1 (line 2): too busy: busy", true),
        (json!("insert 1;\n{{ 1 + }}"), "payload, statement 2 (line 2): ", false),
        (json!("select quoted"), "payload, statement 1 (line 1): a value has '\"'", true),
    ] {
        let world = world("sqli", payload, json!({}));
        let error = run_in(&world).await.unwrap_err();
        assert!(error.message.starts_with(wanted), "{wanted}: {error}");
        assert_eq!((error.retryable, &error.data["exit_status"]), (retryable, &json!(1)), "{error}");
    }
}

#[tokio::test]
async fn raw_text_is_sent_as_it_is() {
    let world = world("sqli", json!("insert 1; insert {{ 2 }};"), json!({ "raw": true, "jinja": false }));
    done(run_in(&world).await);
    assert_eq!(world.database.given()[1], "insert 1; insert {{ 2 }}");
}

#[tokio::test]
async fn rows_of_several_statements_share_a_file_only_if_asked() {
    let several = "select a && select none";
    let world_of = |payload: &str, parameters: Value| world("sqli", json!(payload), parameters);
    let error = run_in(&world_of(several, json!({}))).await.unwrap_err();
    let wanted = "payload, statement 1 (line 1): it gives the rows of several statements";
    assert!(error.message.starts_with(wanted), "{error}");
    for (payload, parameters) in
        [(several.to_owned(), json!({ "raw": true })), (format!("call {several}"), json!({}))]
    {
        let world = world_of(&payload, parameters);
        assert_eq!(done(run_in(&world).await)["output"], json!({ "0": [place("0.0.out")] }), "{payload}");
    }
}

#[tokio::test]
async fn byte_order_mark_of_a_file_is_not_sent() {
    let world = world("sql", json!("a.sql"), json!({}));
    world.kept.put("s3://bucket/payloads/a.sql", "\u{feff}insert 1");
    done(run_in(&world).await);
    assert_eq!(world.database.given()[1], "insert 1");
}

#[tokio::test]
async fn unreachable_database_fails_with_connection_but_no_secret() {
    for (change, wanted) in [
        (DatabaseError::passing("no route for canary-of-sql"), "connection db: no route for *****"),
        (DatabaseError::lasting("built without SQL"), "connection db: built without SQL"),
    ] {
        let mut world = world("sqli", json!("select a"), json!({}));
        world.database.refused = Some(change.clone());
        let error = run_in(&world).await.unwrap_err();
        assert_eq!((error.message.as_str(), error.retryable), (wanted, change.retryable));
    }
    for (conn_id, wanted) in [("gone", "there is no connection"), ("box", "which is not a database")] {
        let world = world("sqli", json!("select a"), json!({ "conn_id": conn_id }));
        let error = run_in(&world).await.unwrap_err();
        assert!(error.message.contains(wanted), "{error}");
    }
}

#[tokio::test]
async fn statement_that_hangs_ends_with_its_time_or_its_run() {
    let late = world("sqli", json!("hang"), json!({ "timeout": "0.05s" }));
    let error = run_in(&late).await.unwrap_err();
    assert!(error.message.starts_with("timed out"), "{error}");
    let cancelled = world("sqli", json!("hang"), json!({}));
    cancelled.cancel.stop(Stop::Cancelled);
    run_in(&cancelled).await.unwrap_err();
    assert!(!cancelled.database.given().contains(&"close".to_owned()));
}

#[tokio::test]
async fn link_in_place_of_a_file_of_rows_leads_nowhere() {
    let world = world("sqli", json!("select none"), json!({}));
    let elsewhere = world.folder.path().join("elsewhere");
    std::fs::write(&elsewhere, "kept").unwrap();
    std::os::unix::fs::symlink(&elsewhere, world.directory().join("0.0.out")).unwrap();
    done(run_in(&world).await);
    assert_eq!(std::fs::read_to_string(elsewhere).unwrap(), "kept");
}

async fn resolved(query: &str, limit: usize) -> Result<Value, JobError> {
    resolved_in(&world("foreach", json!("one"), json!({})), query, limit).await
}

async fn resolved_in(world: &World, query: &str, limit: usize) -> Result<Value, JobError> {
    let foreach = json!({ "type": "query", "conn_id": "db", "query": query });
    let rendered = Rendered {
        payload: json!("one"),
        parameters: json!({ "foreach": foreach, "limit": limit }).as_object().unwrap().clone(),
    };
    let resolved = crate::foreach::Foreach.resolve(&world.context(), &rendered).await?;
    Ok(resolved.unwrap().parameters["foreach"]["values"].clone())
}

#[tokio::test]
async fn rows_of_a_query_are_the_items_of_a_foreach() {
    assert_eq!(
        resolved("select a;", 2).await.unwrap(),
        json!([{ "a": 1, "b": "x|y" }, { "a": null, "b": true }])
    );
    assert_eq!(resolved("select none", 2).await.unwrap(), json!([]));
    // A column has numbers alone, whatever their digits.
    let items = resolved("select price", 9).await.unwrap();
    let numbers: Vec<&Value> = items.as_array().unwrap().iter().map(|item| &item["n"]).collect();
    let wanted = json!([10.25, 10.5, 3.0, -0.1, 7, u64::MAX, 1e-5]);
    assert_eq!(numbers, wanted.as_array().unwrap().iter().collect::<Vec<_>>());
    for (query, limit, wanted) in [
        ("select long", 2, "column n: 12345678901234567.89 is not a number that an item can have: cast"),
        ("select nan", 2, "column n: nan is not a number"),
        ("select none && select a", 2, "it gives the rows of several statements"),
        ("select a", 1, "there are more than 1 items"),
        ("select into t", 2, "gives no columns"),
        ("select bad", 2, "the query of the items: syntax error for *****"),
    ] {
        let error = resolved(query, limit).await.unwrap_err();
        assert!(error.message.contains(wanted), "{error}");
    }
}

#[tokio::test]
async fn query_of_items_only_reads() {
    let world = world("foreach", json!("one"), json!({}));
    resolved_in(&world, "select a;", 2).await.unwrap();
    let given = world.database.given();
    assert_eq!(given[1..], ["BEGIN READ ONLY", "select a"], "{given:?}");
    for query in
        ["insert into t values (1)", "delete from t returning a", "select a; delete from t", "call p()", ""]
    {
        let error = resolved_in(&world, query, 2).await.unwrap_err();
        assert!(error.message.contains("must be a single select") && !error.retryable, "{query}: {error}");
    }
    for query in ["select a into outfile '/tmp/a'", "select a /*! into dumpfile '/tmp/a' */"] {
        let error = resolved_in(&world, query, 2).await.unwrap_err();
        assert!(
            error.message.contains("writes a file of the server") && !error.retryable,
            "{query}: {error}"
        );
    }
    assert_eq!(world.database.given(), given, "nothing is asked of the database");
}
