//! Job type `dag`: jobs after their predecessors, independent ones at the same time (lava guide, Job type: dag).

use std::collections::HashMap;
use std::thread::available_parallelism;

use pumice_core::engine::MAX_STEPS;
use pumice_core::ids::JobId;
use pumice_core::job_type::{Composite, Given, JobError, JobType, Plan, PlanStep};
use pumice_core::number::Count;
use pumice_core::problem::{JsonPath, Problem};
use pumice_core::spec::{JobSpec, Settings};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};

use crate::job_list::Globs;

/// Most children at once, for each processor.
const MAX_WORKERS_PER_CPU: usize = 4;

fn cpus() -> usize {
    available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The most children at once where no setting says otherwise.
pub(crate) fn most_workers() -> usize {
    cpus() * MAX_WORKERS_PER_CPU
}

/// How many children of a dag run at once: its own `workers`, else the realm's `DAG_WORKERS`, at most `DAG_MAX_WORKERS`
/// (lava guide, Job type: dag, Parameters). Those that are spread do not share the processors of one host.
fn width(own: Option<Count>, spread: bool, settings: &Settings) -> usize {
    if spread {
        let most = settings.dag_max_workers.unwrap_or(MAX_STEPS);
        return own.map_or(MAX_STEPS, Count::as_usize).min(most);
    }
    let workers = own.map(Count::as_usize).or(settings.dag_workers).unwrap_or_else(cpus);
    workers.min(settings.dag_max_workers.unwrap_or_else(most_workers))
}

/// Each job and its predecessors (lava guide, Job type: dag, Payload).
#[derive(Debug)]
pub struct Edges(pub Vec<(String, Vec<String>)>);

impl<'de> Deserialize<'de> for Edges {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let edges = Map::deserialize(deserializer)?.into_iter().map(|(job, before)| {
            let before = match before {
                Value::Null => Vec::new(),
                Value::String(none) if none.is_empty() => Vec::new(),
                Value::String(one) => vec![one],
                list => Vec::deserialize(list).map_err(de::Error::custom)?,
            };
            Ok((job, before))
        });
        edges.collect::<Result<_, _>>().map(Self)
    }
}

impl JsonSchema for Edges {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Dag".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Each job id, with the job ids that it comes after: one, a list, or null or an empty text for none.",
            "type": "object",
            "additionalProperties": {
                "anyOf": [
                    { "type": "null" },
                    { "type": "string" },
                    { "type": "array", "items": { "type": "string", "minLength": 1 } }
                ]
            }
        })
    }
}

/// Parameters of a dag.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DagParameters")]
pub struct Parameters {
    /// Jobs that may fail without failing the dag or those after them.
    #[serde(default)]
    pub can_fail: Option<Globs>,
    /// Put before each job id.
    #[serde(default)]
    pub job_prefix: Option<String>,
    /// Whether each job is a run that any invocation or slot of the worker takes, rather than one that runs where the dag
    /// does; default false.
    #[serde(default)]
    pub spread: Option<bool>,
    /// How many jobs run at the same time; default: the realm's `DAG_WORKERS`, else the number of processors, with `spread`
    /// all that may; at most the realm's `DAG_MAX_WORKERS`.
    #[serde(default)]
    pub workers: Option<Count>,
}

/// The job type `dag`.
#[derive(Clone, Copy, Debug)]
pub struct Dag;

impl JobType for Dag {
    const NAME: &'static str = "dag";
    const ABOUT: &'static str =
        "Runs jobs after their predecessors, independent ones at the same time, under one run id.";
    type Payload = Edges;
    type Parameters = Parameters;

    fn advise(&self, given: &Given<'_, Self>, settings: &Settings) -> Vec<Problem> {
        let own = given.parameters.as_ref().and_then(|parameters| parameters.workers);
        let Some((own, most)) =
            own.zip(settings.dag_max_workers).filter(|(own, most)| own.as_usize() > *most)
        else {
            return Vec::new();
        };
        let path = JsonPath::root().field("parameters").field("workers");
        let message = format!("{own} is more than the realm's DAG_MAX_WORKERS: {most} jobs run at a time");
        vec![Problem::warning("too-many-workers", path, message)]
    }
}

impl Composite for Dag {
    fn plan(&self, job: &JobSpec, Edges(edges): Edges, parameters: Parameters) -> Result<Plan, JobError> {
        let spread = parameters.spread == Some(true);
        let width = parameters.workers.map_or_else(cpus, Count::as_usize);
        let steps = steps(&edges, parameters.job_prefix.as_deref().unwrap_or_default())?;
        if steps.iter().any(|step| step.job_id == job.fields.job_id) {
            return Err(JobError::permanent(format!("job {} is a step of itself", job.fields.job_id)));
        }
        if let Some(cycle) = find_cycle(&steps) {
            let names: Vec<&str> = cycle.iter().map(|step| steps[*step].job_id.as_str()).collect();
            return Err(JobError::permanent(format!(
                "the jobs wait for each other in a circle: {}",
                names.join(" after ")
            )));
        }
        Ok(Plan { steps, width, can_fail: parameters.can_fail.unwrap_or_default().0, limit: None, spread })
    }

    fn within(&self, plan: Plan, parameters: Parameters, settings: &Settings) -> Plan {
        Plan { width: width(parameters.workers, plan.spread, settings), ..plan }
    }
}

/// Every job that is named anywhere, once, in the order in which it is first named.
fn steps(edges: &[(String, Vec<String>)], prefix: &str) -> Result<Vec<PlanStep>, JobError> {
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    let mut steps: Vec<PlanStep> = Vec::new();
    for name in edges.iter().flat_map(|(job, before)| std::iter::once(job).chain(before)) {
        if !numbers.contains_key(name.as_str()) {
            let job_id = JobId::new(format!("{prefix}{name}"))
                .map_err(|error| JobError::permanent(error.to_string()))?;
            numbers.insert(name, steps.len());
            steps.push(PlanStep { job_id, after: Vec::new(), foreach_index: None, globals: Map::new() });
        }
    }
    if steps.is_empty() {
        return Err(JobError::permanent("the dag has no jobs"));
    }
    for (job, before) in edges {
        let mut after: Vec<usize> = before.iter().map(|name| numbers[name.as_str()]).collect();
        after.sort_unstable();
        after.dedup();
        steps[numbers[job.as_str()]].after = after;
    }
    Ok(steps)
}

/// Steps that wait for each other, from one round to itself again.
fn find_cycle(steps: &[PlanStep]) -> Option<Vec<usize>> {
    /// How far the search has come with a step.
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let mut marks = vec![Mark::New; steps.len()];
    for start in 0..steps.len() {
        // Each entry: a step, and how many of its predecessors were followed. No recursion: a long
        // line of jobs must not overflow the stack.
        let mut path: Vec<(usize, usize)> = vec![(start, 0)];
        while let Some((step, followed)) = path.last_mut() {
            let step = *step;
            if *followed == 0 && marks[step] == Mark::Done {
                path.pop();
                continue;
            }
            marks[step] = Mark::Open;
            match steps[step].after.get(*followed) {
                Some(&before) => {
                    *followed += 1;
                    if marks[before] == Mark::Open {
                        let from = path.iter().position(|(on_path, _)| *on_path == before).unwrap_or(0);
                        let mut cycle: Vec<usize> =
                            path[from..].iter().map(|(on_path, _)| *on_path).collect();
                        cycle.push(before);
                        return Some(cycle);
                    }
                    if marks[before] == Mark::New {
                        path.push((before, 0));
                    }
                }
                None => {
                    marks[step] = Mark::Done;
                    path.pop();
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plan(payload: Value) -> Result<Plan, JobError> {
        let spec = json!({ "job_id": "top", "type": "dag", "worker": "w", "payload": payload });
        let job = JobSpec::parse(&spec).unwrap();
        let parameters = Parameters::deserialize(json!({})).unwrap();
        Dag.plan(&job, Edges::deserialize(payload).unwrap(), parameters)
    }

    #[test]
    fn width_is_own_else_the_realms_at_most_the_realms() {
        let width = |workers: Value, config: Value| {
            let settings = Settings::from_config(config.as_object().unwrap()).unwrap();
            let parameters = Parameters::deserialize(json!({ "workers": workers })).unwrap();
            Dag.within(plan(json!({ "a": null })).unwrap(), parameters, &settings).width
        };
        for (workers, config, wanted) in [
            (json!(null), json!({}), cpus()),
            (json!(100_000), json!({}), cpus() * 4),
            (json!(null), json!({ "DAG_WORKERS": 3, "DAG_MAX_WORKERS": 50 }), 3),
            (json!(null), json!({ "dag_workers": "3", "DAG_MAX_WORKERS": 50.0 }), 3),
            (json!(7), json!({ "DAG_WORKERS": 3, "DAG_MAX_WORKERS": 50 }), 7),
            (json!("7"), json!({ "DAG_MAX_WORKERS": "5" }), 5),
            (json!(null), json!({ "DAG_WORKERS": 9, "DAG_MAX_WORKERS": 5 }), 5),
        ] {
            assert_eq!(width(workers.clone(), config.clone()), wanted, "{workers} {config}");
        }
    }

    #[test]
    fn empty_predecessor_means_none() {
        let plan = plan(json!({ "a": "", "b": "a" })).unwrap();
        assert_eq!(plan.steps.len(), 2);
        assert_eq!((plan.steps[0].after.clone(), plan.steps[1].after.clone()), (vec![], vec![0]));
    }

    #[test]
    fn every_job_named_anywhere_is_a_step_once() {
        let plan = plan(json!({ "c": ["a", "b", "a"], "d": "c", "e": null, "f": [] })).unwrap();
        let ids: Vec<&str> = plan.steps.iter().map(|step| step.job_id.as_str()).collect();
        assert_eq!(ids, ["c", "a", "b", "d", "e", "f"]);
        assert_eq!(plan.steps[0].after, [1, 2]);
        assert_eq!(plan.steps[3].after, [0]);
    }

    #[test]
    fn cycles_are_named() {
        let error = plan(json!({ "a": "b", "b": ["x", "c"], "c": "a" })).unwrap_err();
        assert_eq!(error.message, "the jobs wait for each other in a circle: a after b after c after a");
        assert!(plan(json!({ "a": "a" })).is_err());
        assert!(plan(json!({ "a": "top" })).is_err());
        assert!(plan(json!({})).is_err());
    }

    #[test]
    fn very_long_line_of_jobs_is_planned() {
        let line: Map<String, Value> =
            (0..50_000).map(|n| (format!("j{n}"), json!(format!("j{}", n + 1)))).collect();
        assert_eq!(plan(Value::Object(line)).unwrap().steps.len(), 50_001);
    }
}
