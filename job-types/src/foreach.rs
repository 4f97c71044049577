//! Job type `foreach`: one job, once for each item (lava guide, Job type: foreach).

use pumice_core::engine::MAX_STEPS;
use pumice_core::ids::{ConnId, JobId};
use pumice_core::job_type::{Composite, Given, JobError, JobType, Plan, PlanStep, Template};
use pumice_core::number::{Count, CountOrNone, Integer};
use pumice_core::problem::{JsonPath, Problem};
use pumice_core::spec::{JobSpec, Settings, is_reserved_global};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::dag;
use crate::job_list::Globs;

/// One item: a map of globals.
pub type Item = Map<String, Value>;

/// Where the items come from (lava guide, Foreach Value Generators).
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum Source {
    /// They stand in the job.
    Inline {
        /// The items: each a map of globals.
        values: Vec<Item>,
    },
    /// Numbers, as Python's range gives them.
    Range {
        /// The global that holds the number; without it there is only the index.
        #[serde(default)]
        name: Option<String>,
        /// The first number; default 0.
        #[serde(default)]
        start: Option<Integer>,
        /// The number before which it ends.
        stop: Integer,
        /// The step from one number to the next; default 1.
        #[serde(default)]
        step: Option<Integer>,
    },
    /// The rows of a CSV file, named by its first row.
    Csv {
        /// The file: seen from the work directory, or `s3://bucket/key`; it may be compressed, as its name says. Rendered.
        filename: Template<String>,
    },
    /// The lines of a file, each a JSON object.
    Jsonl {
        /// The file: seen from the work directory, or `s3://bucket/key`; it may be compressed, as its name says. Rendered.
        filename: Template<String>,
    },
    /// The rows of a query, named by its columns.
    Query {
        /// The connection to the database.
        conn_id: ConnId,
        /// The query. As in lava it is not rendered.
        query: String,
    },
    /// The objects of a bucket, each as `s3obj`.
    S3list {
        /// The bucket. Rendered.
        bucket: Template<String>,
        /// How the keys begin; default: all. Rendered.
        #[serde(default)]
        prefix: Option<Template<String>>,
        /// Patterns of which the key matches one; default: all.
        #[serde(default)]
        glob: Option<Globs>,
    },
}

/// Parameters of a foreach.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ForeachParameters")]
pub struct Parameters {
    /// Whether a failed run lets the others go on; default false.
    #[serde(default)]
    pub can_fail: Option<bool>,
    /// Where the items come from.
    pub foreach: Source,
    /// Whether file names are rendered; default true.
    #[serde(default)]
    pub jinja: Option<bool>,
    /// The most items; default: the realm's `FOREACH_LIMIT`.
    #[serde(default)]
    pub limit: Option<CountOrNone>,
    /// Whether each item is a run that any invocation or slot of the worker takes, rather than one that runs where the
    /// foreach does; default false.
    #[serde(default)]
    pub spread: Option<bool>,
    /// How many runs are under way at the same time; default 1: one after the other, as lava has it. With `spread`: all.
    #[serde(default)]
    pub workers: Option<Count>,
}

impl Source {
    /// Whether the items stand in the job, and need nothing to be looked up.
    #[must_use]
    pub fn is_listed(&self) -> bool {
        matches!(self, Self::Inline { .. } | Self::Range { .. })
    }

    /// The file of the items, where they stand in one, and how the file has them.
    #[must_use]
    pub fn file(&self) -> Option<(&str, Form)> {
        match self {
            Self::Csv { filename } => Some((&filename.0, Form::Csv)),
            Self::Jsonl { filename } => Some((&filename.0, Form::JsonLines)),
            Self::Inline { .. } | Self::Range { .. } | Self::Query { .. } | Self::S3list { .. } => None,
        }
    }
}

/// How a file holds its items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Rows, named by the first.
    Csv,
    /// Lines, each a JSON object.
    JsonLines,
}

impl Parameters {
    /// The most items.
    #[must_use]
    pub fn limit(&self, settings: &Settings) -> usize {
        self.limit.map_or(settings.foreach_limit, CountOrNone::as_usize)
    }
}

/// The payload: a job id.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Payload(pub JobId);

/// The job type `foreach`.
#[derive(Clone, Copy, Debug)]
pub struct Foreach;

impl JobType for Foreach {
    const NAME: &'static str = "foreach";
    const ABOUT: &'static str =
        "Runs a job once for each item of a list, one after the other, under one run id.";
    type Payload = Payload;
    type Parameters = Parameters;

    fn advise(&self, given: &Given<'_, Self>, settings: &Settings) -> Vec<Problem> {
        let path = JsonPath::root().field("parameters");
        let Some(parameters) = &given.parameters else { return Vec::new() };
        let limit = parameters.limit(settings);
        if limit > settings.foreach_max_limit {
            let most = settings.foreach_max_limit;
            let message =
                format!("{limit} is more than the realm's FOREACH_MAX_LIMIT of {most}: nothing would run");
            return vec![Problem::warning("too-many-items", path.field("limit"), message)];
        }
        if parameters.foreach.is_listed()
            && listed(&parameters.foreach, limit).is_ok_and(|items| items.len() > limit)
        {
            let message = format!("more than {limit} items, the limit: nothing would run");
            let warning = Problem::warning("too-many-items", path.field("foreach"), message);
            return vec![warning.with_hint("limit says how many there may be")];
        }
        Vec::new()
    }
}

impl Composite for Foreach {
    /// Items of a file are read once, when the run starts, and kept: the file may be gone later.
    const RESOLVED: bool = true;

    fn check_plan(&self, given: Given<'_, Self>) -> Vec<Problem> {
        let Given { job, payload: Some(payload), parameters: Some(parameters) } = given else {
            return Vec::new();
        };
        let foreach = JsonPath::root().field("parameters").field("foreach");
        let empty = match &parameters.foreach {
            Source::Query { query, .. } => Some(("query", query.as_str())),
            Source::S3list { bucket, .. } => Some(("bucket", bucket.0.as_str())),
            Source::Csv { filename } | Source::Jsonl { filename } => Some(("filename", filename.0.as_str())),
            Source::Inline { .. } | Source::Range { .. } => None,
        };
        if let Some((name, _)) = empty.filter(|(_, text)| text.trim().is_empty()) {
            return vec![Problem::new(foreach.field(name), "must not be empty")];
        }
        // Which items a file or a bucket has shows when the run starts.
        if !parameters.foreach.is_listed() {
            return Vec::new();
        }
        let path = JsonPath::root().field("parameters").field("foreach");
        let failed = self.plan(job, payload, parameters).err();
        failed.map(|error| Problem::new(path, error.message)).into_iter().collect()
    }

    fn jobs(&self, given: Given<'_, Self>) -> Vec<JobId> {
        given.payload.into_iter().map(|Payload(job_id)| job_id).collect()
    }

    fn plan(
        &self,
        job: &JobSpec,
        Payload(job_id): Payload,
        parameters: Parameters,
    ) -> Result<Plan, JobError> {
        if job_id == job.fields.job_id {
            return Err(JobError::permanent(format!("job {job_id} is a step of itself")));
        }
        let items = listed(&parameters.foreach, MAX_STEPS)?;
        let can_fail = if parameters.can_fail == Some(true) { vec!["*".to_owned()] } else { Vec::new() };
        let mut plan = Plan::in_order(vec![job_id; items.len()], can_fail);
        plan.spread = parameters.spread == Some(true);
        let workers = parameters.workers.map(Count::as_usize);
        plan.width = if plan.spread {
            workers.unwrap_or(MAX_STEPS)
        } else {
            workers.unwrap_or(1).min(dag::most_workers())
        };
        if plan.width > 1 {
            plan.steps.iter_mut().for_each(|step| step.after.clear());
        }
        for (index, (step, item)) in plan.steps.iter_mut().zip(items).enumerate() {
            if let Some(name) = item.keys().find(|name| is_reserved_global(name)) {
                return Err(JobError::permanent(format!(
                    "item {index} has the name {name:?}: names beginning with lava are reserved"
                )));
            }
            let PlanStep { foreach_index, globals, .. } = step;
            *foreach_index = u32::try_from(index).ok();
            *globals = item;
        }
        Ok(plan)
    }

    fn within(&self, plan: Plan, parameters: Parameters, settings: &Settings) -> Plan {
        Plan { limit: Some(parameters.limit(settings)), ..plan }
    }
}

/// The items that need no file, one more than `limit` at most.
///
/// # Errors
/// [`JobError`] when the step of a range is 0, or the items stand in a file.
pub fn listed(source: &Source, limit: usize) -> Result<Vec<Item>, JobError> {
    match source {
        Source::Inline { values } => Ok(values.clone()),
        Source::Range { name, start, stop, step } => {
            let (start, step) = (start.map_or(0, Integer::get), step.map_or(1, Integer::get));
            let stop = &stop.get();
            if step == 0 {
                return Err(JobError::permanent("the step of a range must not be 0"));
            }
            let numbers = std::iter::successors(Some(start), |number| number.checked_add(step))
                .take_while(|number| if step > 0 { number < stop } else { number > stop });
            let item = |number: i64| name.iter().map(|name| (name.clone(), number.into())).collect();
            Ok(numbers.take(limit.saturating_add(1)).map(item).collect())
        }
        Source::Csv { filename: Template(place) }
        | Source::Jsonl { filename: Template(place) }
        | Source::S3list { bucket: Template(place), .. } => {
            Err(JobError::failed(format!("the items of {place} were not read")))
        }
        Source::Query { conn_id, .. } => {
            Err(JobError::failed(format!("the query of connection {conn_id} was not made")))
        }
    }
}

#[cfg(test)]
mod tests {
    use pumice_core::job_type::{ChildState, Next};
    use serde_json::json;

    use super::*;

    fn range(start: Option<i64>, stop: i64, step: Option<i64>) -> Vec<i64> {
        let range = json!({ "type": "range", "name": "n", "start": start, "stop": stop, "step": step });
        let source = Source::deserialize(range).unwrap();
        listed(&source, 100).unwrap().iter().filter_map(|item| item["n"].as_i64()).collect()
    }

    #[test]
    fn ranges_are_pythons() {
        assert_eq!(range(None, 3, None), [0, 1, 2]);
        assert_eq!(range(Some(5), 0, Some(-2)), [5, 3, 1]);
        assert_eq!(range(Some(5), 5, None), Vec::<i64>::new());
        assert_eq!(range(Some(i64::MAX - 1), i64::MAX, Some(10)), [i64::MAX - 1]);
        assert_eq!(range(None, i64::MAX, None).len(), 101);
    }

    fn next(workers: &Value, spread: bool) -> Next {
        let parameters =
            json!({ "foreach": { "type": "range", "stop": 4 }, "workers": workers, "spread": spread });
        let document = json!({ "job_id": "top", "type": "foreach", "worker": "w", "payload": "one", "parameters": parameters });
        let job = JobSpec::parse(&document).unwrap();
        let Given { payload, parameters, .. } = Given::<Foreach>::of(&job);
        let plan = Foreach.plan(&job, payload.unwrap(), parameters.unwrap()).unwrap();
        assert_eq!(plan.spread, spread);
        plan.next(&vec![ChildState::Missing; plan.steps.len()], false)
    }

    #[test]
    fn workers_let_items_run_at_the_same_time() {
        assert_eq!(next(&Value::Null, false), Next::Start(vec![0]));
        assert_eq!(next(&json!(1), false), Next::Start(vec![0]));
        assert_eq!(next(&json!(3), false), Next::Start(vec![0, 1, 2]));
        assert_eq!(next(&json!(1000), false), Next::Start(vec![0, 1, 2, 3]));
    }

    #[test]
    fn spread_items_are_all_under_way_unless_workers_says_how_many() {
        assert_eq!(next(&Value::Null, true), Next::Start(vec![0, 1, 2, 3]));
        assert_eq!(next(&json!(1), true), Next::Start(vec![0]));
        assert_eq!(next(&json!(3), true), Next::Start(vec![0, 1, 2]));
    }
}
