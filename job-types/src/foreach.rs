//! Job type `foreach`: one job, once for each item (lava guide, Job type: foreach).

use async_trait::async_trait;
use pumice_core::ids::JobId;
use pumice_core::job_type::{
    Composite, JobContext, JobError, JobType, Kind, Named, Plan, PlanStep, Rendered, Templates, Uses,
    unknown_variables,
};
use pumice_core::number::{Count, CountOrNone, Integer};
use pumice_core::problem::{JsonPath, Problem};
use pumice_core::schema::schema_of;
use pumice_core::spec::{JobSpec, Settings, is_reserved_global};
use pumice_template::Renderer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::items::{self, Form, Item};
use crate::{dag, typed};

/// Where the items come from (lava guide, Foreach Value Generators).
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
enum Source {
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
        /// The file, seen from the work directory. Rendered.
        filename: String,
    },
    /// The lines of a file, each a JSON object.
    Jsonl {
        /// The file, seen from the work directory. Rendered.
        filename: String,
    },
}

/// Parameters of a foreach.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ForeachParameters")]
struct Parameters {
    /// Whether a failed run lets the others go on; default false.
    #[serde(default)]
    can_fail: Option<bool>,
    /// Where the items come from.
    foreach: Source,
    /// Whether file names are rendered; default true.
    #[serde(default, rename = "jinja")]
    #[expect(dead_code, reason = "read before the parameters are typed")]
    jinja: Option<bool>,
    /// The most items; default: the realm's `FOREACH_LIMIT`.
    #[serde(default)]
    limit: Option<CountOrNone>,
    /// How many runs are under way at the same time; default 1: one after the other, as lava has it.
    #[serde(default)]
    workers: Option<Count>,
}

impl Parameters {
    /// The most items.
    fn limit(&self, settings: &Settings) -> usize {
        self.limit.map_or(settings.foreach_limit, CountOrNone::as_usize)
    }
}

/// The payload: a job id.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
struct Payload(JobId);

/// The job type `foreach`.
pub(crate) struct Foreach;

impl JobType for Foreach {
    fn name(&self) -> &'static str {
        "foreach"
    }

    fn about(&self) -> &'static str {
        "Runs a job once for each item of a list, one after the other, under one run id."
    }

    fn schemas(&self) -> (Value, Value) {
        (schema_of::<Payload>(), schema_of::<Parameters>())
    }

    fn check(&self, job: &JobSpec, renderer: &Renderer) -> Vec<Problem> {
        let mut problems = typed::check::<Payload, Parameters>(job);
        let path = JsonPath::root().field("parameters").field("foreach");
        let Ok(parameters) = typed::parameters::<Parameters>(&job.parameters()) else { return problems };
        if let Source::Csv { filename } | Source::Jsonl { filename } = &parameters.foreach
            && let Err(error) = renderer.check(filename)
        {
            problems.push(Problem::template(&path.field("filename"), &error));
        }
        if let Source::Csv { filename } | Source::Jsonl { filename } = &parameters.foreach
            && let Some(why) = items::unreadable(filename)
        {
            problems.push(Problem::new(path.field("filename"), why));
        }
        let rendered = Rendered { payload: job.fields.payload.clone(), parameters: job.parameters() };
        if !needs_file(&parameters.foreach)
            && let Err(error) = self.plan(job, &rendered)
        {
            problems.push(Problem::new(path, error.message));
        }
        problems
    }

    fn advise(&self, job: &JobSpec, settings: &Settings, renderer: &Renderer) -> Vec<Problem> {
        let path = JsonPath::root().field("parameters");
        let Ok(parameters) = typed::parameters::<Parameters>(&job.parameters()) else { return Vec::new() };
        let limit = parameters.limit(settings);
        if limit > settings.foreach_max_limit {
            let most = settings.foreach_max_limit;
            let message =
                format!("{limit} is more than the realm's FOREACH_MAX_LIMIT of {most}: nothing would run");
            return vec![Problem::warning("too-many-items", path.field("limit"), message)];
        }
        match &parameters.foreach {
            Source::Csv { filename } | Source::Jsonl { filename } => {
                if job.parameters().get("jinja") == Some(&Value::Bool(false)) {
                    return Vec::new();
                }
                let place = path.field("foreach").field("filename");
                unknown_variables(job, renderer, &Value::from(filename.as_str()), &place, &[])
            }
            here => {
                if listed(here, limit).is_ok_and(|items| items.len() > limit) {
                    let message = format!("more than {limit} items, the limit: nothing would run");
                    let told = Problem::warning("too-many-items", path.field("foreach"), message);
                    return vec![told.with_hint("limit says how many there may be")];
                }
                Vec::new()
            }
        }
    }

    fn names(&self, job: &JobSpec) -> Vec<Named> {
        let job_id = typed::payload::<Payload>(&job.fields.payload).ok().map(|Payload(job_id)| job_id);
        let named = |job_id| Named { job_id, path: JsonPath::root().field("payload"), uses: Uses::Step };
        job_id.into_iter().map(named).collect()
    }

    fn render(&self, job: &JobSpec, templates: &Templates) -> Result<Rendered, JobError> {
        let mut parameters = job.parameters();
        if parameters.get("jinja") != Some(&Value::Bool(false))
            && let Some(filename) =
                parameters.get_mut("foreach").and_then(|foreach| foreach.get_mut("filename"))
        {
            *filename = templates
                .json(filename, &[])
                .map_err(|error| JobError::template("parameters.foreach.filename", &error))?;
        }
        Ok(Rendered { payload: job.fields.payload.clone(), parameters })
    }

    fn kind(&self) -> Kind<'_> {
        Kind::Composite(self)
    }
}

fn needs_file(source: &Source) -> bool {
    matches!(source, Source::Csv { .. } | Source::Jsonl { .. })
}

#[async_trait]
impl Composite for Foreach {
    /// Items of a file are read once, when the run starts, and kept: the file may be gone later.
    async fn resolve(
        &self,
        context: &JobContext<'_>,
        rendered: &Rendered,
    ) -> Result<Option<Rendered>, JobError> {
        let parameters: Parameters = typed::parameters(&rendered.parameters)?;
        let settings = &context.site.settings;
        let limit = parameters.limit(settings);
        if limit > settings.foreach_max_limit {
            let message = format!(
                "a limit of {limit} is more than the realm's FOREACH_MAX_LIMIT of {}",
                settings.foreach_max_limit
            );
            return Err(JobError::permanent(message));
        }
        if let Source::Csv { filename } | Source::Jsonl { filename } = &parameters.foreach
            && let Some(why) = items::unreadable(filename)
        {
            return Err(JobError::permanent(why));
        }
        let items = match &parameters.foreach {
            Source::Csv { filename } => {
                items::read(context.directory().await?.join(filename), Form::Csv, limit).await?
            }
            Source::Jsonl { filename } => {
                items::read(context.directory().await?.join(filename), Form::JsonLines, limit).await?
            }
            here => listed(here, limit)?,
        };
        if items.len() > limit {
            let error = format!("foreach value list exceeds limit of {limit}");
            let data = json!({ "exit_status": 1, "error": error });
            let failed = JobError::permanent(format!("there are more than {limit} items; nothing was run"));
            return Err(failed.worded(error).with_data(data));
        }
        if !needs_file(&parameters.foreach) {
            return Ok(None);
        }
        let mut resolved = rendered.clone();
        resolved.parameters.insert("foreach".to_owned(), json!({ "type": "inline", "values": items }));
        Ok(Some(resolved))
    }

    fn plan(&self, job: &JobSpec, rendered: &Rendered) -> Result<Plan, JobError> {
        let Payload(job_id) = typed::payload(&rendered.payload)?;
        if job_id == job.fields.job_id {
            return Err(JobError::permanent(format!("job {job_id} is a step of itself")));
        }
        let parameters: Parameters = typed::parameters(&rendered.parameters)?;
        let items = listed(&parameters.foreach, pumice_core::engine::MAX_STEPS)?;
        let can_fail = if parameters.can_fail == Some(true) { vec!["*".to_owned()] } else { Vec::new() };
        let mut plan = Plan::in_order(vec![job_id; items.len()], can_fail);
        if let Some(workers) = parameters.workers.map(Count::as_usize).filter(|workers| *workers > 1) {
            plan.width = workers.min(dag::most_workers());
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

    fn within(&self, plan: Plan, rendered: &Rendered, settings: &Settings) -> Plan {
        let given = typed::parameters::<Parameters>(&rendered.parameters).ok();
        Plan { limit: Some(given.map_or(settings.foreach_limit, |given| given.limit(settings))), ..plan }
    }
}

/// The items that need no file, one more than `limit` at most.
fn listed(source: &Source, limit: usize) -> Result<Vec<Item>, JobError> {
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
        Source::Csv { filename } | Source::Jsonl { filename } => {
            Err(JobError::failed(format!("the items of {filename} were not read")))
        }
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn workers_let_items_run_at_the_same_time() {
        use pumice_core::job_type::{ChildState, Next};
        let next = |workers: Value| {
            let parameters = json!({ "foreach": { "type": "range", "stop": 4 }, "workers": workers });
            let document = json!({ "job_id": "top", "type": "foreach", "worker": "w", "payload": "one", "parameters": parameters });
            let job = JobSpec::parse(&document).unwrap();
            let rendered = Rendered { payload: job.fields.payload.clone(), parameters: job.parameters() };
            let plan = Foreach.plan(&job, &rendered).unwrap();
            plan.next(&vec![ChildState::Missing; plan.steps.len()], false)
        };
        assert_eq!(next(Value::Null), Next::Start(vec![0]));
        assert_eq!(next(json!(1)), Next::Start(vec![0]));
        assert_eq!(next(json!(3)), Next::Start(vec![0, 1, 2]));
        assert_eq!(next(json!(1000)), Next::Start(vec![0, 1, 2, 3]));
    }
}
