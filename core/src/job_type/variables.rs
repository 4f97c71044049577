//! Unknown variables in templates.

use pumice_template::{Renderer, Variable};
use serde_json::Value;

use crate::problem::{JsonPath, Problem, did_you_mean, nearest};
use crate::schema;
use crate::spec::{JobFields, JobSpec};
use crate::text::quoted;

/// The variables of every template.
const ROOTS: [&str; 7] = ["globals", "job", "realm", "schedule", "state", "start", "ustart"];
/// The variables of the slot that a schedule started the run for.
const OF_SCHEDULE: [&str; 6] = ["backfill", "entry", "local", "missed", "previous", "slot"];
/// The variables of the job besides its document.
const OF_JOB: [&str; 7] = ["globals", "realm", "run_id", "state", "ts_dispatch", "ts_start", "ts_ustart"];
/// The engine's own globals.
const OF_LAVA: [&str; 8] = [
    "master_job_id",
    "master_start",
    "master_ustart",
    "parent_job_id",
    "parent_start",
    "parent_ustart",
    "iteration",
    "foreach_index",
];

/// Warnings of the variables that the templates of a structure at `path` name, and that the job cannot have.
/// `more` are names that its kind of template has besides. Names that a request or another job may give are
/// left alone, unless they look like a slip of one that is there.
#[must_use]
pub fn unknown_variables(
    job: &JobSpec,
    renderer: &Renderer,
    value: &Value,
    path: &JsonPath,
    more: &[&str],
) -> Vec<Problem> {
    all_unknown(Some(job), renderer, value, path, more)
}

/// The same of templates for the runs of any job.
pub(super) fn unknown_to_any_job(
    renderer: &Renderer,
    value: &Value,
    path: &JsonPath,
    more: &[&str],
) -> Vec<Problem> {
    all_unknown(None, renderer, value, path, more)
}

fn all_unknown(
    job: Option<&JobSpec>,
    renderer: &Renderer,
    value: &Value,
    path: &JsonPath,
    more: &[&str],
) -> Vec<Problem> {
    let mut found = Vec::new();
    visit(value, path, &mut |text, path| {
        // `check_template` reports syntax errors.
        for used in renderer.variables(text).unwrap_or_default() {
            if let Some(told) = unknown(job, &used, path, more)
                && !found.contains(&told)
            {
                found.push(told);
            }
        }
    });
    found
}

fn visit(value: &Value, path: &JsonPath, each: &mut dyn FnMut(&str, &JsonPath)) {
    match value {
        Value::String(text) => each(text, path),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                visit(item, &path.item(index), each);
            }
        }
        Value::Object(fields) => {
            for (name, item) in fields {
                let path = path.field(name);
                each(name, &path);
                visit(item, &path, each);
            }
        }
        _ => {}
    }
}

fn unknown(job: Option<&JobSpec>, used: &Variable, path: &JsonPath, more: &[&str]) -> Option<Problem> {
    let warning = |whole: &str, hint: Option<String>| {
        let told =
            Problem::warning("unknown-variable", path.clone(), format!("unknown variable {}", quoted(whole)));
        Some(Problem { hint, ..told })
    };
    let whole =
        || std::iter::once(&used.name).chain(&used.members).map(String::as_str).collect::<Vec<_>>().join(".");
    let name = used.name.as_str();
    if !ROOTS.contains(&name) && !more.contains(&name) {
        let known = || ROOTS.into_iter().chain(more.iter().copied()).chain(["utils"]);
        let hint = did_you_mean(name, known())
            .or_else(|| Some(format!("known: {}", known().collect::<Vec<_>>().join(", "))));
        return warning(name, hint);
    }
    let member = used.members.first()?.as_str();
    let keys = |value: Option<&Value>| -> Vec<String> {
        value.and_then(Value::as_object).into_iter().flat_map(|fields| fields.keys().cloned()).collect()
    };
    match name {
        "job" => {
            let job = job?;
            let known = || job.document.keys().map(String::as_str).chain(OF_JOB).chain(schema_fields());
            (!known().any(|known| known == member))
                .then(|| warning(&whole(), did_you_mean(member, known())))?
        }
        "state" => {
            let declared = keys(job?.document.get("state"));
            let known = || declared.iter().map(String::as_str);
            let hint = || {
                did_you_mean(member, known()).or_else(|| {
                    Some("templates see the state items that the job declares under state".to_owned())
                })
            };
            (!known().any(|known| known == member)).then(|| warning(&whole(), hint()))?
        }
        "schedule" => {
            (!OF_SCHEDULE.contains(&member)).then(|| warning(&whole(), did_you_mean(member, OF_SCHEDULE)))?
        }
        "globals" if member == "lava" => {
            let own = used.members.get(1)?;
            (!OF_LAVA.contains(&own.as_str())).then(|| warning(&whole(), did_you_mean(own, OF_LAVA)))?
        }
        "globals" | "vars" => {
            let job = job?;
            let parameters = job.parameters();
            let given =
                keys(if name == "vars" { parameters.get("vars") } else { job.document.get("globals") });
            let known = || given.iter().map(String::as_str);
            if known().any(|known| known == member) {
                return None;
            }
            let near = nearest(member, known())?;
            warning(&whole(), Some(format!("did you mean {}?", quoted(near))))
        }
        _ => None,
    }
}

/// The fields that a job may have.
fn schema_fields<'a>() -> impl Iterator<Item = &'a str> {
    static FIELDS: std::sync::LazyLock<Vec<String>> = std::sync::LazyLock::new(|| {
        let schema = schema::schema_of::<JobFields>();
        schema["properties"].as_object().into_iter().flat_map(|fields| fields.keys().cloned()).collect()
    });
    FIELDS.iter().map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(text: &str) -> Vec<String> {
        let job = json!({ "job_id": "a", "type": "cmd", "worker": "w", "payload": "x", "x-team": 1,
            "globals": { "region": 1 }, "state": { "etl/last": 0 }, "parameters": { "vars": { "day": 1 } } });
        let job = JobSpec::parse(&job).unwrap();
        let path = JsonPath::root().field("payload");
        unknown_variables(&job, &Renderer::default(), &json!([text]), &path, &["vars"])
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn unknown_variables_are_warned_of() {
        for (text, wanted) in [
            ("{{ globls.region }}", "payload[0]: unknown variable \"globls\" (did you mean \"globals\"?)"),
            ("{{ nowhere }}", "(known: globals, job, realm, schedule, state, start, ustart, vars, utils)"),
            ("{{ result.error }}", "\"result\""),
            ("{{ job.jobid }}", "\"job.jobid\" (did you mean \"job_id\"?)"),
            ("{{ state['etl/lst'] }}", "(did you mean \"etl/last\"?)"),
            ("{{ state.nothing }}", "declares under state"),
            ("{{ globals.lava.itration }}", "(did you mean \"iteration\"?)"),
            ("{{ globals.regoin }}", "(did you mean \"region\"?)"),
            ("{{ vars.dya }}", "(did you mean \"day\"?)"),
        ] {
            let told = told(text);
            assert!(told.len() == 1 && told[0].contains(wanted), "{text}: {told:?}");
        }
    }

    #[test]
    fn variables_that_something_may_give_are_left_alone() {
        for text in [
            "{{ globals.region }} {{ globals.customer }} {{ globals.lava.iteration }} {{ vars.day }} {{ vars.other }}",
            "{{ job.job_id }} {{ job['x-team'] }} {{ job.owner }} {{ job.run_id }} {{ job.ts_start.year }}",
            "{{ state['etl/last'] }} {{ realm.realm }} {{ realm.anything }} {{ start.date() }} {{ utils.uuid() }}",
            "{% set x = 1 %}{{ x }}{{ nowhere | default('') }}{% if nobody is defined %}{% endif %}",
            "{{ broken",
        ] {
            assert_eq!(told(text), [] as [&str; 0], "{text}");
        }
    }
}
