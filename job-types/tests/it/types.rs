//! The specs of job types and actions: checks, warnings, the jobs that they name, their plans, and how their templates
//! are rendered.

use std::collections::BTreeSet;

use pumice_core::ids::{JobId, RunId};
use pumice_core::job_type::{LavaGlobals, Named, Registry, Rendered, TemplateContext, Templates, Uses};
use pumice_core::spec::{JobSpec, Settings};
use pumice_template::Zone;
use serde_json::{Map, Value, json};

fn registry() -> Registry {
    pumice_job_types::registry().expect("a registry")
}

fn job(job_type: &str, payload: Value, parameters: Value) -> JobSpec {
    let document = json!({ "job_id": "top", "type": job_type, "worker": "w", "enabled": true, "globals": { "x": "gx" }, "payload": payload, "parameters": parameters });
    JobSpec::parse(&document).expect("a job")
}

/// The problems that `check` finds in a job, and whether a stored one would be refused for it.
fn checked(job: &JobSpec) -> (Vec<String>, bool) {
    let (registry, settings) = (registry(), Settings::default());
    let told = registry.check_job(job, &settings).iter().map(ToString::to_string).collect();
    (told, !registry.check_runnable(job, &settings).is_empty())
}

#[track_caller]
fn holds(job_type: &str, payload: Value, parameters: Value) {
    let (told, _) = checked(&job(job_type, payload.clone(), parameters.clone()));
    assert_eq!(told, [] as [&str; 0], "{job_type} {payload} {parameters}");
}

/// The only thing that is wrong begins like this.
#[track_caller]
fn refused(job_type: &str, payload: Value, parameters: Value, wanted: &str) {
    let (told, fatal) = checked(&job(job_type, payload.clone(), parameters.clone()));
    assert!(
        told.len() == 1 && told[0].starts_with(wanted) && fatal,
        "{job_type} {payload} {parameters}: {told:?}"
    );
}

fn advised(job: &JobSpec, config: &Value) -> Vec<String> {
    let settings = Settings::from_config(config.as_object().expect("an object")).expect("settings");
    registry().advise_job(job, &settings).iter().map(ToString::to_string).collect()
}

fn named(job: &JobSpec) -> Vec<(String, String, Uses)> {
    let named = registry().job_type(&job.fields.r#type).expect("a type").names(job);
    named
        .into_iter()
        .map(|Named { job_id, path, uses }| (job_id.to_string(), path.to_string(), uses))
        .collect()
}

fn rendered(job: &JobSpec) -> Result<Rendered, String> {
    let start = chrono::DateTime::UNIX_EPOCH;
    let job_id = JobId::new("top").expect("an id");
    let scene = TemplateContext {
        job: job.document.clone(),
        realm: std::sync::Arc::default(),
        realm_name: "test".to_owned(),
        state: Map::new(),
        run_id: RunId(uuid::Uuid::nil()),
        ts_dispatch: start,
        start,
        lava: LavaGlobals {
            master_job_id: job_id.clone(),
            master_start: start,
            parent_job_id: job_id,
            parent_start: start,
            iteration: 1,
            foreach_index: None,
            master_sent: false,
            parent_sent: false,
        },
        scheduled: None,
        late: None,
        zone: Zone::Utc,
    };
    let registry = registry();
    let templates = Templates::new(registry.renderer().clone(), scene);
    let rendered = registry.job_type(&job.fields.r#type).expect("a type").render(job, &templates);
    rendered.map_err(|error| error.message)
}

/// As given: nothing of such a job is rendered.
#[track_caller]
fn left_alone(job: &JobSpec) {
    let given = Rendered { payload: job.fields.payload.clone(), parameters: job.parameters() };
    assert_eq!(rendered(job), Ok(given));
}

#[test]
fn every_type_parameter_unknown_or_of_the_wrong_type_is_refused() {
    let least = [
        ("chain", json!("a"), json!({})),
        ("cmd", json!("a"), json!({})),
        ("dag", json!({ "a": null }), json!({})),
        ("dispatch", json!("a"), json!({})),
        ("exe", json!("a"), json!({})),
        ("foreach", json!("a"), json!({ "foreach": { "type": "range", "stop": 1 } })),
        ("http", json!("https://a.example"), json!({})),
        ("lambda", json!("a"), json!({})),
        ("pkg", json!("a.zip"), json!({ "command": "a" })),
        ("sql", json!("a.sql"), json!({ "conn_id": "db" })),
        ("sqlc", json!("a.sql"), json!({ "conn_id": "db" })),
        ("sqli", json!("select 1"), json!({ "conn_id": "db" })),
    ];
    let covered = least.iter().map(|(name, ..)| *name).chain(["log"]).collect::<BTreeSet<_>>();
    let registry = registry();
    assert_eq!(covered, registry.job_types().map(|one| one.name()).collect(), "log takes anything");
    for (job_type, payload, least) in least {
        holds(job_type, payload.clone(), least.clone());
        let mut more = least.clone();
        more["no_such"] = json!(1);
        refused(job_type, payload.clone(), more, "parameters.no_such: no such field");
        let (told, fatal) = checked(&job(job_type, json!(5), least));
        assert!(fatal && told[0].starts_with("payload: expected"), "{job_type}: {told:?}");
    }
    for (job_type, payload, name) in [
        ("chain", json!("a"), "can_fail"),
        ("chain", json!("a"), "job_prefix"),
        ("chain", json!("a"), "start"),
        ("cmd", json!("a"), "args"),
        ("cmd", json!("a"), "env"),
        ("cmd", json!("a"), "jinja"),
        ("cmd", json!("a"), "aws_credentials"),
        ("cmd", json!("a"), "vars"),
        ("dag", json!({ "a": null }), "can_fail"),
        ("dag", json!({ "a": null }), "job_prefix"),
        ("dispatch", json!("a"), "jinja"),
        ("dispatch", json!("a"), "job_prefix"),
        ("dispatch", json!("a"), "parameters"),
        ("exe", json!("a"), "args"),
        ("exe", json!("a"), "connections"),
        ("http", json!("https://a.example"), "headers"),
        ("http", json!("https://a.example"), "method"),
        ("pkg", json!("a.zip"), "command"),
    ] {
        refused(job_type, payload, json!({ name: -1 }), &format!("parameters.{name}: expected"));
    }
}

#[test]
fn log_takes_anything_and_renders_nothing() {
    for (payload, parameters) in
        [(Value::Null, json!({})), (json!({ "a": "{{ broken" }), json!({ "b": ["{%"] }))]
    {
        holds("log", payload.clone(), parameters.clone());
        left_alone(&job("log", payload, parameters));
    }
    assert_eq!(named(&job("log", json!("a"), json!({}))), []);
    assert_eq!(advised(&job("log", json!("{{ nowhere }}"), json!({})), &json!({})), [] as [&str; 0]);
}

#[test]
fn chain_checks_its_plan_and_names_its_steps() {
    holds("chain", json!(["a", "b"]), json!({ "job_prefix": "p/", "start": "b", "can_fail": ["p/*"] }));
    for (payload, parameters, wanted) in [
        (json!([]), json!({}), "payload: the list of jobs is empty"),
        (json!("a,top"), json!({}), "payload: job top is a step of itself"),
        (json!("a"), json!({ "start": "b" }), "payload: the start job \"b\" is not in the chain"),
    ] {
        refused("chain", payload, parameters, wanted);
    }
    let step = |id: &str| (id.to_owned(), "payload".to_owned(), Uses::Step);
    let chain = job("chain", json!("a, a, b"), json!({ "job_prefix": "p/" }));
    assert_eq!(named(&chain), [step("p/a"), step("p/b")]);
    left_alone(&job("chain", json!("{{ a }}"), json!({ "job_prefix": "{{ globals.x }}" })));
}

#[test]
fn dag_checks_its_plan_and_warns_of_too_many_workers() {
    holds("dag", json!({ "a": "b", "c": ["a", "b"] }), json!({ "workers": 3 }));
    for (payload, wanted) in [
        (json!({}), "payload: the dag has no jobs"),
        (
            json!({ "a": "b", "b": "a" }),
            "payload: the jobs wait for each other in a circle: a after b after a",
        ),
        (json!({ "a": "top" }), "payload: job top is a step of itself"),
    ] {
        refused("dag", payload, json!({}), wanted);
    }
    refused("dag", json!({ "a": null }), json!({ "workers": 0 }), "parameters.workers: 0 is less than 1");
    let dag = job("dag", json!({ "a": "b" }), json!({ "workers": 9 }));
    let told = advised(&dag, &json!({ "DAG_MAX_WORKERS": 4 }));
    assert!(told.len() == 1 && told[0].contains("more than the realm's DAG_MAX_WORKERS"), "{told:?}");
    assert_eq!(advised(&dag, &json!({ "DAG_MAX_WORKERS": 9 })), [] as [&str; 0]);
    assert_eq!(named(&dag).iter().map(|one| one.0.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    left_alone(&dag);
}

#[test]
fn dispatch_checks_jobs_and_delay_and_names_its_jobs() {
    holds("dispatch", json!("a"), json!({ "delay": "15m", "parameters": { "a": "{{ globals.x }}" } }));
    for (payload, parameters, wanted) in [
        (json!([]), json!({}), "payload: the list of jobs is empty"),
        (json!("top"), json!({}), "payload: job top may not dispatch itself"),
        (json!("a"), json!({ "delay": "16m" }), "parameters.delay: a delay of 16m is more than 15m"),
        (json!("a"), json!({ "parameters": { "b": ["{{ x"] } }), "parameters.parameters.b[0]: "),
    ] {
        refused("dispatch", payload, parameters, wanted);
    }
    holds("dispatch", json!("a"), json!({ "parameters": { "b": "{{ x" }, "jinja": false }));
    for (delay, uses) in [(json!(null), Uses::Start), (json!("1s"), Uses::StartLater)] {
        let dispatch = job("dispatch", json!("a"), json!({ "job_prefix": "p/", "delay": delay }));
        assert_eq!(named(&dispatch), [("p/a".to_owned(), "payload".to_owned(), uses)]);
    }
}

#[test]
fn dispatch_renders_the_parameters_that_it_sends_alone() {
    let parameters = |jinja: Value| json!({ "parameters": { "a": ["{{ globals.x }}"] }, "job_prefix": "{{ globals.x }}", "jinja": jinja });
    let given = rendered(&job("dispatch", json!("{{ a }}"), parameters(Value::Null))).unwrap();
    assert_eq!(given.payload, json!("{{ a }}"));
    assert_eq!(given.parameters["parameters"], json!({ "a": ["gx"] }));
    assert_eq!(given.parameters["job_prefix"], json!("{{ globals.x }}"));
    left_alone(&job("dispatch", json!("a"), parameters(json!(false))));
    let failing = job("dispatch", json!("a"), json!({ "parameters": { "a": "{{ nowhere.x }}" } }));
    assert!(rendered(&failing).unwrap_err().starts_with("parameters.parameters.a: "));
    let told = advised(&failing, &json!({}));
    assert!(
        told.len() == 1 && told[0].starts_with("parameters.parameters.a: unknown variable \"nowhere\""),
        "{told:?}"
    );
}

#[test]
fn foreach_checks_its_source_and_names_its_job() {
    let from = |source: Value| json!({ "foreach": source });
    for source in [
        json!({ "type": "inline", "values": [{ "a": 1 }] }),
        json!({ "type": "range", "start": 5, "stop": 0, "step": -1 }),
        json!({ "type": "csv", "filename": "{{ globals.x }}.csv" }),
        json!({ "type": "jsonl", "filename": "x.jsonl" }),
    ] {
        holds("foreach", json!("a"), from(source));
    }
    for (source, wanted) in [
        (
            json!({ "type": "sql", "query": "x" }),
            "parameters.foreach.type: \"sql\" is none of inline, range, csv, jsonl, query, s3list",
        ),
        (
            json!({ "type": "range", "stop": 3, "step": 0 }),
            "parameters.foreach: the step of a range must not be 0",
        ),
        (json!({ "type": "inline", "values": [{ "lava_x": 1 }] }), "parameters.foreach: item 0 has the name"),
        (json!({ "type": "csv", "filename": "{{ x" }), "parameters.foreach.filename: "),
        (json!({ "type": "jsonl", "filename": "{{ x" }), "parameters.foreach.filename: "),
        (json!({ "type": "s3list" }), "parameters.foreach: the field \"bucket\" is missing"),
        (json!({ "type": "s3list", "bucket": "{{ x" }), "parameters.foreach.bucket: "),
        (json!({ "type": "s3list", "bucket": "b", "glob": 3 }), "parameters.foreach.glob"),
    ] {
        refused("foreach", json!("a"), from(source), wanted);
    }
    refused(
        "foreach",
        json!("top"),
        from(json!({ "type": "range", "stop": 1 })),
        "parameters.foreach: job top is a step of itself",
    );
    for source in [json!({ "type": "csv", "filename": "x" }), json!({ "type": "range", "stop": 3 })] {
        let foreach = job("foreach", json!("a"), from(source));
        assert_eq!(named(&foreach), [("a".to_owned(), "payload".to_owned(), Uses::Step)]);
    }
}

#[test]
fn foreach_renders_the_name_of_its_file_alone() {
    for kind in ["csv", "jsonl"] {
        let from = |jinja: Value| json!({ "foreach": { "type": kind, "filename": "{{ globals.x }}.f" }, "jinja": jinja });
        let given = rendered(&job("foreach", json!("a"), from(Value::Null))).unwrap();
        assert_eq!(given.parameters["foreach"], json!({ "type": kind, "filename": "gx.f" }));
        left_alone(&job("foreach", json!("a"), from(json!(false))));
        let failing =
            job("foreach", json!("a"), json!({ "foreach": { "type": kind, "filename": "{{ nowhere.x }}" } }));
        assert!(rendered(&failing).unwrap_err().starts_with("parameters.foreach.filename: "));
        let told = advised(&failing, &json!({}));
        assert!(
            told.len() == 1 && told[0].starts_with("parameters.foreach.filename: unknown variable"),
            "{told:?}"
        );
    }
    left_alone(&job(
        "foreach",
        json!("a"),
        json!({ "foreach": { "type": "inline", "values": [{ "filename": "{{ globals.x }}" }] } }),
    ));
}

#[test]
fn foreach_warns_of_more_items_than_its_limit() {
    let range = |stop: u32, limit: Value| {
        job("foreach", json!("a"), json!({ "foreach": { "type": "range", "stop": stop }, "limit": limit }))
    };
    for (foreach, wanted) in [
        (range(4, json!(3)), "parameters.foreach: more than 3 items"),
        (range(1, json!(100_000)), "parameters.limit: 100000 is more than the realm's FOREACH_MAX_LIMIT"),
    ] {
        let told = advised(&foreach, &json!({}));
        assert!(told.len() == 1 && told[0].starts_with(wanted), "{told:?}");
    }
    assert_eq!(advised(&range(3, json!(3)), &json!({})), [] as [&str; 0]);
}

#[test]
fn cmd_checks_its_line_arguments_and_environment() {
    holds(
        "cmd",
        json!("sh -c 'echo \"{{ globals.x }}\"'"),
        json!({ "args": ["a", 1, true], "env": { "A": 1 } }),
    );
    holds("cmd", json!("{{ x"), json!({ "args": ["{{ y"], "jinja": false }));
    for (payload, parameters, wanted) in [
        (json!(""), json!({}), "payload: must not be empty"),
        (json!("a 'b"), json!({}), "payload: "),
        (json!("echo {{ x"), json!({}), "payload: in the argument \"{{\""),
        (json!("a"), json!({ "args": ["x", "{{ y"] }), "parameters.args[1]: "),
        (json!("a"), json!({ "env": { "A": "{{ y" } }), "parameters.env.A: "),
        (json!("a"), json!({ "file_size": "0" }), "parameters.file_size: a size must be more than 0"),
        (json!("a"), json!({ "timeout": "soon" }), "parameters.timeout: "),
    ] {
        let (told, fatal) = checked(&job("cmd", payload.clone(), parameters.clone()));
        assert!(
            told.iter().any(|told| told.starts_with(wanted)) && fatal,
            "{payload} {parameters}: {told:?}"
        );
    }
    let torn = job("cmd", json!("echo {{ globals.x }}"), json!({}));
    assert!(checked(&torn).0[0].contains("put quotes around an argument whose template has blanks"));
}

#[test]
fn cmd_renders_words_arguments_and_environment_each_by_itself() {
    let parameters = json!({ "args": ["{{ vars.day }}", 5, true], "env": { "A": "{{ globals.x }}", "B": false },
        "vars": { "day": "today" }, "timeout": "5s" });
    let given =
        rendered(&job("cmd", json!("run '{{ globals.x }} y' \"{{ vars.day }}\""), parameters)).unwrap();
    assert_eq!(given.payload, json!(["run", "gx y", "today", "today", "5", "True"]));
    let wanted = json!({ "env": { "A": "gx", "B": "False" }, "vars": { "day": "today" }, "timeout": "5s" });
    assert_eq!(Value::Object(given.parameters), wanted);
    let plain =
        rendered(&job("cmd", json!("a '{{ b }}'"), json!({ "args": ["{{ c }}"], "jinja": false }))).unwrap();
    assert_eq!(plain.payload, json!(["a", "{{ b }}", "{{ c }}"]));
    for (payload, parameters, place) in [
        ("a '{{ n.x }}'", json!({}), "payload"),
        ("a", json!({ "args": ["b", "{{ n.x }}"] }), "parameters.args[1]: "),
        ("a", json!({ "env": { "A": "{{ n.x }}" } }), "parameters.env.A: "),
    ] {
        let error = rendered(&job("cmd", json!(payload), parameters)).unwrap_err();
        assert!(error.starts_with(place), "{error}");
    }
}

#[test]
fn cmd_warns_of_variables_shells_and_timeouts() {
    for (payload, parameters, wanted) in [
        (json!("/bin/a '{{ globls.x }}'"), json!({}), "payload: unknown variable \"globls\""),
        (
            json!("/bin/a"),
            json!({ "args": ["{{ vras.x }}"] }),
            "parameters.args[0]: unknown variable \"vras\"",
        ),
        (json!("/bin/a"), json!({ "env": { "A": "{{ nowhere }}" } }), "parameters.env.A: unknown variable"),
        (json!("/bin/a && b"), json!({}), "payload: && means nothing here"),
        (json!("/bin/a"), json!({ "timeout": 0 }), "parameters.timeout: a timeout of 0"),
        (
            json!("/bin/a"),
            json!({ "env": { "A": "${#x} #}" } }),
            "parameters.env.A: {# of ${# begins a comment",
        ),
    ] {
        let told = advised(&job("cmd", payload.clone(), parameters.clone()), &json!({}));
        assert!(told.len() == 1 && told[0].starts_with(wanted), "{payload} {parameters}: {told:?}");
    }
    let parameters = json!({ "args": ["{{ vars.day }} {{ globals.x }}"], "vars": { "day": 1 } });
    assert_eq!(advised(&job("cmd", json!("/bin/a"), parameters), &json!({})), [] as [&str; 0]);
    let off = json!({ "args": ["{{ nowhere }}"], "jinja": false });
    assert_eq!(advised(&job("cmd", json!("/bin/a"), off), &json!({})), [] as [&str; 0]);
}

fn action_problems(action: Value) -> Vec<String> {
    let document =
        json!({ "job_id": "top", "type": "log", "worker": "w", "payload": null, "on_fail": [action] });
    let job = JobSpec::parse(&document).expect("a job");
    registry().check_job(&job, &Settings::default()).iter().map(ToString::to_string).collect()
}

#[test]
fn every_action_is_checked_by_its_fields_and_templates() {
    let actions = [
        json!({ "action": "log", "message": "{{ result.error }}" }),
        json!({ "action": "dispatch", "job_id": "a", "delay": "15m", "parameters": { "a": "{{ result }}" } }),
        json!({ "action": "email", "to": ["a@b.c", "d@e.f"], "subject": "{{ job.job_id }}", "message": "m" }),
        json!({ "action": "event", "detail": { "a": "{{ result }}" } }),
        json!({ "action": "slack", "slack_conn": "chat", "subject": "s", "message": "m" }),
        json!({ "action": "sns", "topic": "arn:aws:sns:eu-west-1:1:t", "message": { "a": 1 }, "subject": "s" }),
        json!({ "action": "sqs", "queue": "q", "message": "m" }),
        json!({ "action": "state", "state_id": "a", "value": null, "type": "raw", "ttl": "", "publisher": "x" }),
        json!({ "action": "webhook", "url": "https://a.example", "body": { "a": 1 } }),
    ];
    let covered: BTreeSet<&str> = actions.iter().filter_map(|action| action["action"].as_str()).collect();
    assert_eq!(covered, registry().actions().map(|one| one.name()).collect());
    for action in actions {
        assert_eq!(action_problems(action.clone()), [] as [&str; 0], "{action}");
        let mut unknown = action.clone();
        unknown["no_such"] = json!(1);
        assert!(action_problems(unknown)[0].starts_with("on_fail[0].no_such: no such field"), "{action}");
    }
    for (action, wanted) in [
        (json!({ "action": "log" }), "on_fail[0]: the field \"message\" is missing"),
        (json!({ "action": "log", "message": 1 }), "on_fail[0].message: expected a string"),
        (json!({ "action": "log", "message": "{{ x" }), "on_fail[0].message: "),
        (json!({ "action": "dispatch" }), "on_fail[0]: the field \"job_id\" is missing"),
        (json!({ "action": "dispatch", "job_id": "a", "delay": "16m" }), "on_fail[0].delay: a delay of 16m"),
        (
            json!({ "action": "dispatch", "job_id": "a", "parameters": { "b": "{{ x" } }),
            "on_fail[0].parameters.b: ",
        ),
        (json!({ "action": "state", "state_id": "a" }), "on_fail[0]: the field \"value\" is missing"),
        (
            json!({ "action": "state", "state_id": "lava_x", "value": 1 }),
            "on_fail[0].state_id: the state id \"lava_x\" is reserved",
        ),
        (
            json!({ "action": "state", "state_id": "a", "value": 1, "type": "odd" }),
            "on_fail[0].type: \"odd\" is none of",
        ),
        (json!({ "action": "state", "state_id": "a", "value": "{{ x" }), "on_fail[0].value: "),
    ] {
        refused_action(&action, wanted);
    }
}

/// The one problem that an action has.
fn refused_action(action: &Value, wanted: &str) {
    let problems = action_problems(action.clone());
    assert!(problems.len() == 1 && problems[0].starts_with(wanted), "{action}: {problems:?}");
}

#[test]
fn actions_that_can_never_reach_their_target_are_refused() {
    for (action, wanted) in [
        (
            json!({ "action": "email", "to": "nobody", "subject": "s", "message": "m" }),
            "on_fail[0].to: \"nobody\" is not an e-mail address",
        ),
        (
            json!({ "action": "email", "to": "a@b.c", "message": "m" }),
            "on_fail[0]: the field \"subject\" is missing",
        ),
        (json!({ "action": "sns", "message": "m" }), "on_fail[0]: the field \"topic\" is missing"),
        (json!({ "action": "sqs", "message": "m" }), "on_fail[0]: the field \"queue\" is missing"),
        (json!({ "action": "slack", "slack_conn": 5, "message": "m" }), "on_fail[0].slack_conn: expected"),
        (json!({ "action": "webhook" }), "on_fail[0]: the field \"url\" is missing"),
        (
            json!({ "action": "webhook", "url": "http://a", "webhook_conn": "c" }),
            "on_fail[0].webhook_conn: url is given too",
        ),
        (json!({ "action": "webhook", "url": "http://" }), "on_fail[0].url: the URL has no host"),
        (
            json!({ "action": "webhook", "url": "http://user:pw@host/x" }),
            "on_fail[0].url: the URL has a user name in it",
        ),
        (
            json!({ "action": "webhook", "url": "http://169.254.169.254/latest" }),
            "on_fail[0].url: the address 169.254.169.254 is link-local",
        ),
        (
            json!({ "action": "webhook", "url": "http://a", "secret": "x".repeat(256) }),
            "on_fail[0].secret: 256 characters are more than 255, the limit",
        ),
        (
            json!({ "action": "email", "to": "a@b.c, nobody", "subject": "s", "message": "m" }),
            "on_fail[0].to: \"nobody\" is not an e-mail address",
        ),
        (
            json!({ "action": "email", "to": "a@b.c", "subject": "s", "message": "m", "attachments": ["/a", "rel.txt"] }),
            "on_fail[0].attachments[1]: \"rel.txt\" is not a whole path",
        ),
        (json!({ "action": "sns", "topic": "t", "message": "" }), "on_fail[0].message: must not be empty"),
        (json!({ "action": "sqs", "queue": "q", "message": "" }), "on_fail[0].message: must not be empty"),
        (
            json!({ "action": "slack", "slack_conn": "c", "message": "m", "colour": "purple-ish" }),
            "on_fail[0].colour: \"purple-ish\" is not a colour",
        ),
        (json!({ "action": "webhook", "url": "{{ x" }), "on_fail[0].url: "),
    ] {
        refused_action(&action, wanted);
    }
}

#[test]
fn actions_name_their_jobs_and_structured_fields() {
    let registry = registry();
    let names = |fields: Value| {
        let named = registry.action("dispatch").expect("it is there").names(&fields);
        named
            .into_iter()
            .map(|one| (one.job_id.to_string(), one.path.to_string(), one.uses))
            .collect::<Vec<_>>()
    };
    for (delay, uses) in [(json!(null), Uses::Start), (json!("1s"), Uses::StartLater)] {
        let wanted = [("a".to_owned(), "job_id".to_owned(), uses)];
        assert_eq!(names(json!({ "job_id": "a", "delay": delay })), wanted);
    }
    for name in ["log", "state"] {
        let action = registry.action(name).expect("it is there");
        assert!(action.names(&json!({ "job_id": "a", "message": "a", "state_id": "a" })).is_empty());
    }
    for (name, wanted) in [("log", vec![]), ("dispatch", vec![]), ("state", vec!["value"])] {
        assert_eq!(registry.action(name).expect("it is there").structures(), wanted, "{name}");
    }
}

#[test]
fn registry_has_each_type_and_action_once() {
    let registry = registry();
    let types: Vec<&str> = registry.job_types().map(|one| one.name()).collect();
    let names = [
        "chain", "cmd", "dag", "dispatch", "exe", "foreach", "http", "lambda", "log", "pkg", "sql", "sqlc",
        "sqli",
    ];
    assert_eq!(types, names);
    let composite = registry.job_types().filter(|one| one.planner().is_some()).map(|one| one.name());
    assert_eq!(composite.collect::<Vec<_>>(), ["chain", "dag", "foreach"]);
    let actions: Vec<&str> = registry.actions().map(|one| one.name()).collect();
    assert_eq!(actions, ["dispatch", "email", "event", "log", "slack", "sns", "sqs", "state", "webhook"]);
}

#[test]
fn sql_jobs_are_checked_field_by_field() {
    let with = |more: Value| {
        let mut parameters = json!({ "conn_id": "db" });
        parameters.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        parameters
    };
    let csv = json!({ "delimiter": ",", "quotechar": "'", "escapechar": null, "doublequote": true, "quoting": "all",
        "dialect": "excel-tab", "header": true, "batch_size": "10", "output": "data_1", "raw": false, "timeout": "1h" });
    for (kind, payload) in
        [("sql", json!("a.sql")), ("sql", json!(["a/", "b.sql"])), ("sqli", json!(["a", "b"]))]
    {
        holds(kind, payload.clone(), with(json!({})));
        holds(kind, payload, with(csv.clone()));
    }
    holds("sqlc", json!("a.sql"), with(json!({ "args": ["-q", 1], "timeout": "1m", "vars": {} })));
    for (kind, payload, parameters, wanted) in [
        ("sql", json!([]), with(json!({})), "payload: there is no payload"),
        ("sqlc", json!([]), with(json!({})), "payload: there is no payload"),
        ("sqli", json!([]), with(json!({})), "payload: there is no statement"),
        ("pkg", json!([]), json!({}), "payload: there is no payload"),
        ("sql", json!("a b\n"), with(json!({})), "payload: \"a b\\n\" has a control character"),
        ("sqlc", json!("a b\n"), with(json!({})), "payload: \"a b\\n\" has a control character"),
        ("pkg", json!("a b\n"), json!({}), "payload: \"a b\\n\" has a control character"),
        (
            "sqli",
            json!("select 1"),
            with(json!({ "output": "a".repeat(256) })),
            "parameters.output: 256 bytes",
        ),
        ("http", json!("http:///x"), json!({}), "payload: the URL has no host"),
        (
            "foreach",
            json!("one"),
            json!({ "foreach": { "type": "query", "conn_id": "db", "query": "  " } }),
            "parameters.foreach.query: must not be empty",
        ),
        (
            "foreach",
            json!("one"),
            json!({ "foreach": { "type": "s3list", "bucket": "" } }),
            "parameters.foreach.bucket: must not be empty",
        ),
        ("sql", json!("a.sql"), json!({}), "parameters"),
        ("sql", json!("../a.sql"), with(json!({})), "payload"),
        ("sql", json!(["a.sql", ""]), with(json!({})), "payload[1]"),
        ("sqlc", json!("/a"), with(json!({})), "payload"),
        ("sqli", json!(" "), with(json!({})), "payload: there is no statement"),
        ("sqli", json!("select {{ 1 + }}; select 2"), with(json!({})), "payload"),
        ("sqli", json!("select 1"), with(json!({ "output": "a/b" })), "parameters.output"),
        ("sqli", json!("select 1"), with(json!({ "delimiter": "||" })), "parameters.delimiter"),
        ("sqli", json!("select 1"), with(json!({ "quoting": "some" })), "parameters.quoting"),
        ("sqli", json!("select 1"), with(json!({ "dialect": "mac" })), "parameters.dialect"),
        ("sqli", json!("select 1"), with(json!({ "header": "maybe" })), "parameters.header"),
        ("sqli", json!("select 1"), with(json!({ "conn": "db" })), "parameters.conn"),
        (
            "foreach",
            json!("one"),
            json!({ "foreach": { "type": "query", "conn_id": "db" } }),
            "parameters.foreach",
        ),
    ] {
        refused(kind, payload, parameters, wanted);
    }
}
