//! The renderings of one attempt of one job: within one budget, through every job type and the lists of actions, and
//! text by text or as a structure, as lava does.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use pumice_core::ids::{JobId, RunId};
use pumice_core::job_type::{LavaGlobals, Registry, TemplateContext, Templates};
use pumice_core::spec::JobSpec;
use pumice_template::Zone;
use serde_json::{Map, Value, json};

const LARGE: &str = "{{ 'a' * 8000000 }}";
const LARGE_FOR_A_WHILE: &str = "{{ ('a' * 8000000)|length }}";
const MANY_STEPS: &str = "{% for i in range(100000) %}{% endfor %}";

fn registry() -> Registry {
    pumice_job_types::registry().expect("a registry")
}

fn templates(registry: &Registry, job: &JobSpec) -> Templates {
    let start: DateTime<Utc> = "2026-03-01T04:05:06Z".parse().expect("a time");
    let job_id = JobId::new("top").expect("an id");
    let scene = TemplateContext {
        job: job.document.clone(),
        realm: Arc::default(),
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
    Templates::new(registry.renderer().clone(), scene)
}

fn render(job_type: &str, payload: &Value, parameters: &Value) -> Result<(), String> {
    let document = json!({ "job_id": "top", "type": job_type, "worker": "w", "payload": payload, "parameters": parameters });
    let job = JobSpec::parse(&document).expect("a job");
    let registry = registry();
    let templates = templates(&registry, &job);
    let rendered = registry.job_type(job_type).expect("a job type").render(&job, &templates);
    rendered.map(|_| ()).map_err(|error| error.message)
}

fn many(template: &str, count: usize) -> Vec<String> {
    vec![template.to_owned(); count]
}

#[test]
fn many_large_parts_of_a_job_are_refused_together() {
    // On a busy machine the time may be up first.
    for (template, limit) in
        [(LARGE, "memory_bytes"), (LARGE_FOR_A_WHILE, "memory_bytes"), (MANY_STEPS, "steps")]
    {
        let env: Map<String, Value> = (0..400).map(|n| (format!("N{n}"), template.into())).collect();
        let quoted = format!("\"{template}\"");
        let half: Map<String, Value> = (0..10).map(|n| (format!("N{n}"), template.into())).collect();
        for (job_type, payload, parameters) in [
            ("cmd", json!("x"), json!({ "args": many(template, 400) })),
            ("cmd", json!("x"), json!({ "env": env })),
            ("cmd", json!(format!("x {}", many(&quoted, 400).join(" "))), json!({})),
            (
                "cmd",
                json!(format!("x {quoted} {quoted}")),
                json!({ "args": many(template, 10), "env": half }),
            ),
            ("dispatch", json!("y"), json!({ "parameters": { "args": many(template, 400) } })),
        ] {
            let error = render(job_type, &payload, &parameters).unwrap_err();
            let wanted = [format!("(limit {limit})"), "(limit deadline)".to_owned()];
            assert!(wanted.iter().any(|limit| error.contains(limit)), "{job_type} {template}: {error}");
        }
        render("cmd", &json!("x"), &json!({ "args": [template] })).unwrap();
    }
}

#[test]
fn many_large_actions_are_refused_together() {
    let registry = registry();
    let document = json!({ "job_id": "top", "type": "log", "worker": "w", "payload": "" });
    let job = JobSpec::parse(&document).unwrap();
    let templates = templates(&registry, &job);
    let action = json!({ "message": LARGE }).as_object().cloned().unwrap();
    let mut done = 0;
    let error = loop {
        // The engine gives each action a clone.
        match templates.clone().fields(&action, &[], &[]) {
            Ok(_) => done += 1,
            Err(error) => break error.to_string(),
        }
    };
    assert!(done < 4, "{done}");
    assert!(error.contains("(limit memory_bytes)") || error.contains("(limit deadline)"), "{error}");
}

#[test]
fn rendering_that_asks_for_the_moment_is_noticed_in_every_clone() {
    let registry = registry();
    for (argument, wanted) in [
        ("{{ utils.parsedate.parse('10:00') }}", true),
        ("{{ utils['parse' ~ 'date']['par' ~ 'se']('10:00') }}", true),
        ("{{ lipsum(1) }}", true),
        ("{{ globals.x }}", false),
    ] {
        let document = json!({ "job_id": "top", "type": "cmd", "worker": "w", "payload": "x",
            "parameters": { "args": [argument] } });
        let job = JobSpec::parse(&document).unwrap();
        let templates = templates(&registry, &job);
        registry.job_type("cmd").unwrap().render(&job, &templates.clone()).unwrap();
        assert_eq!(templates.asked_for_the_moment(), wanted, "{argument}");
    }
}

#[test]
fn name_set_in_another_argument_is_not_there() {
    let registry = registry();
    let parameters = json!({ "args": ["{% set q = 5 %}x", "{{ q|default(7) }}"],
        "env": { "A": "{% set q = 5 %}x", "B": "{{ q|default(7) }}" } });
    let document =
        json!({ "job_id": "top", "type": "cmd", "worker": "w", "payload": "x", "parameters": parameters });
    let job = JobSpec::parse(&document).unwrap();
    let cmd = registry.job_type("cmd").unwrap();
    assert_eq!(cmd.check(&job, registry.renderer()), []);
    let rendered = cmd.render(&job, &templates(&registry, &job)).unwrap();
    assert_eq!(rendered.payload, json!(["x", "x", "7"]));
    assert_eq!(rendered.parameters["env"], json!({ "A": "x", "B": "7" }));
}

#[test]
fn name_set_in_another_string_is_refused_at_rendering() {
    let registry = registry();
    let structure = json!({ "a": "{% set q = 5 %}x", "b": "{{ q }}" });
    let document = json!({ "job_id": "top", "type": "dispatch", "worker": "w", "payload": "y",
        "parameters": { "parameters": structure } });
    let job = JobSpec::parse(&document).unwrap();
    let templates = templates(&registry, &job);
    let fields = json!({ "value": structure, "parameters": structure }).as_object().cloned().unwrap();
    let one = |name: &str| [(name.to_owned(), fields[name].clone())].into_iter().collect();
    let errors = [
        registry.job_type("dispatch").unwrap().render(&job, &templates).unwrap_err().message,
        templates.json(&structure, &[]).unwrap_err().to_string(),
        templates.structure(&structure, &[]).unwrap_err().to_string(),
        templates.fields(&one("value"), &["value".to_owned()], &[]).unwrap_err().to_string(),
        templates.fields(&one("parameters"), &[], &[]).unwrap_err().to_string(),
    ];
    for error in errors {
        assert!(error.contains("is set in another string of the structure"), "{error}");
    }
}

#[test]
fn argument_not_text_is_refused_by_check_and_runs_as_in_lava() {
    let registry = registry();
    for (argument, shown) in [
        (json!(null), "None"),
        (json!([1, null, "a"]), "[1, None, 'a']"),
        (json!({ "a": true }), "{'a': True}"),
    ] {
        for jinja in [true, false] {
            let parameters = json!({ "args": ["a", argument], "jinja": jinja });
            let document = json!({ "job_id": "top", "type": "cmd", "worker": "w", "payload": "x", "parameters": parameters });
            let job = JobSpec::parse(&document).unwrap();
            let settings = pumice_core::spec::Settings::default();
            assert_eq!(registry.check_runnable(&job, &settings), []);
            let told = registry.check_job(&job, &settings);
            assert!(told.len() == 1 && told[0].to_string().contains("args[1]"), "{told:?}");
            let cmd = registry.job_type("cmd").unwrap();
            let rendered = cmd.render(&job, &templates(&registry, &job)).unwrap();
            assert_eq!(rendered.payload, json!(["x", "a", shown]), "{argument}");
        }
    }
}
