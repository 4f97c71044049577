//! The variables that templates see, and their rendering.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use pumice_template::{Budget, Context, Renderer, TemplateError, Value as TemplateValue, Zone};
use serde_json::{Map, Value};

use crate::Timestamp;
use crate::ids::{JobId, RunId};
use crate::run::{Late, Scheduled};

/// The engine's own globals for templates, under `globals.lava` (lava guide, Globals Owned by Lava).
#[derive(Clone, Debug, PartialEq)]
pub struct LavaGlobals {
    /// The job at the top of the tree.
    pub master_job_id: JobId,
    /// When its run started.
    pub master_start: Timestamp,
    /// The job that started this one; itself when no job did.
    pub parent_job_id: JobId,
    /// When its run started.
    pub parent_start: Timestamp,
    /// The number of the attempt, from 1.
    pub iteration: u32,
    /// The place in a foreach, from 0.
    pub foreach_index: Option<u32>,
    /// Whether `master_start` came in a message: lava's is read from a text then, with the offset of its moment.
    pub master_sent: bool,
    /// The same of `parent_start`.
    pub parent_sent: bool,
}

/// Everything that a run's templates can see, save what a job type or an action adds.
#[derive(Clone, Debug)]
pub struct TemplateContext {
    /// The job's document, with the request's parameters and the merged globals.
    pub job: Arc<Map<String, Value>>,
    /// The realm's document.
    pub realm: Arc<Map<String, Value>>,
    /// The realm's name.
    pub realm_name: String,
    /// State items by id, defaults where there is none.
    pub state: Map<String, Value>,
    /// The run's id.
    pub run_id: RunId,
    /// When it was dispatched.
    pub ts_dispatch: Timestamp,
    /// When it starts.
    pub start: Timestamp,
    /// The engine's own globals.
    pub lava: LavaGlobals,
    /// The slot that the run was started for, when a schedule started it.
    pub scheduled: Option<Scheduled>,
    /// The limit that was broken, for `on_late` actions.
    pub late: Option<Late>,
    /// The zone of `start`: the job's, else the worker's.
    pub zone: Zone,
}

impl TemplateContext {
    fn globals(&self) -> TemplateValue {
        let lava = &self.lava;
        let text = |id: &JobId| TemplateValue::text(id.as_str());
        let start = |at: Timestamp, sent: bool| {
            if sent { TemplateValue::sent(at, self.zone) } else { TemplateValue::local(at) }
        };
        let mut own = vec![
            ("master_job_id".to_owned(), text(&lava.master_job_id)),
            ("parent_job_id".to_owned(), text(&lava.parent_job_id)),
            ("master_start".to_owned(), start(lava.master_start, lava.master_sent)),
            ("master_ustart".to_owned(), TemplateValue::utc(lava.master_start)),
            ("parent_start".to_owned(), start(lava.parent_start, lava.parent_sent)),
            ("parent_ustart".to_owned(), TemplateValue::utc(lava.parent_start)),
            ("iteration".to_owned(), Value::from(lava.iteration).into()),
        ];
        if let Some(index) = lava.foreach_index {
            own.push(("foreach_index".to_owned(), Value::from(index).into()));
        }
        let given = self.job.get("globals").and_then(Value::as_object);
        let given = given.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone().into()));
        TemplateValue::map(given.chain([("lava".to_owned(), TemplateValue::map(own))]))
    }

    /// The slot of a schedule; empty for a run that none started.
    fn schedule(&self) -> TemplateValue {
        let Some(scheduled) = &self.scheduled else { return TemplateValue::map([]) };
        let or_none = |value: Option<TemplateValue>| value.unwrap_or_else(|| Value::Null.into());
        let missed = scheduled.missed.as_ref().map(|missed| {
            TemplateValue::map([
                ("kind".to_owned(), serde_json::to_value(missed.kind).unwrap_or_default().into()),
                ("from".to_owned(), TemplateValue::utc(missed.from)),
                ("to".to_owned(), TemplateValue::utc(missed.to)),
                ("count".to_owned(), Value::from(missed.count).into()),
            ])
        });
        TemplateValue::map([
            ("entry".to_owned(), or_none(scheduled.entry.map(|entry| Value::from(entry).into()))),
            ("slot".to_owned(), TemplateValue::utc(scheduled.slot)),
            (
                "local".to_owned(),
                TemplateValue::offset(scheduled.slot.with_timezone(&scheduled.zone.0).fixed_offset()),
            ),
            ("previous".to_owned(), or_none(scheduled.previous.map(TemplateValue::utc))),
            ("missed".to_owned(), or_none(missed)),
            ("backfill".to_owned(), or_none(scheduled.backfill.as_deref().map(|id| Value::from(id).into()))),
        ])
    }

    /// The limit that was broken.
    fn late(late: &Late) -> TemplateValue {
        let or_none = |value: Option<TemplateValue>| value.unwrap_or_else(|| Value::Null.into());
        TemplateValue::map([
            ("limit".to_owned(), TemplateValue::text(late.limit.field())),
            ("entry".to_owned(), Value::from(late.entry).into()),
            ("by".to_owned(), TemplateValue::utc(late.by)),
            ("slot".to_owned(), or_none(late.slot.map(TemplateValue::utc))),
            ("run_id".to_owned(), or_none(late.run_id.map(|id| TemplateValue::text(id.to_string())))),
            ("status".to_owned(), or_none(late.status.map(|status| TemplateValue::text(status.as_str())))),
            ("why".to_owned(), TemplateValue::text(late.why.as_str())),
        ])
    }

    /// The fields of a job that its spec does not give (lava's `get_job_spec`).
    fn defaults(&self) -> impl Iterator<Item = (&'static str, Value)> + '_ {
        let is_empty = |name: &str| match self.job.get(name) {
            None | Some(Value::Null) => true,
            Some(Value::String(text)) => text.is_empty(),
            _ => false,
        };
        let absent = |name: &str| !self.job.contains_key(name);
        [
            ("owner", "".into(), is_empty("owner")),
            ("description", "".into(), is_empty("description")),
            ("parameters", Value::Object(Map::new()), is_empty("parameters")),
            ("max_tries", 0.into(), absent("max_tries")),
            ("enabled", false.into(), absent("enabled")),
        ]
        .into_iter()
        .filter(|(_, _, applies)| *applies)
        .map(|(name, value, _)| (name, value))
    }

    fn context(&self) -> Context {
        let globals = self.globals();
        let state: TemplateValue = Value::Object(self.state.clone()).into();
        let start = TemplateValue::local(self.start);
        // lava gives ustart the zone of Python's own library, and job.ts_ustart that of dateutil.
        let ustart = TemplateValue::timezone_utc(self.start);
        let given = self.job.iter().filter(|(name, _)| !matches!(name.as_str(), "globals" | "state"));
        let given = given.map(|(name, value)| (name.clone(), value.clone().into()));
        let defaults = self.defaults().map(|(name, value)| (name.to_owned(), value.into()));
        // Another worker may perform the actions of a broken limit, and the spec is pinned for that one.
        let own = self.late.as_ref().and_then(|late| late.worker.as_ref());
        let own = own.map(|worker| ("worker".to_owned(), TemplateValue::text(worker.as_str())));
        let job = given.chain(defaults).chain(own).chain([
            ("globals".to_owned(), globals.clone()),
            ("state".to_owned(), state.clone()),
            ("realm".to_owned(), TemplateValue::text(self.realm_name.as_str())),
            ("run_id".to_owned(), TemplateValue::text(self.run_id.to_string())),
            ("ts_dispatch".to_owned(), TemplateValue::sent(self.ts_dispatch, self.zone)),
            ("ts_start".to_owned(), start.clone()),
            ("ts_ustart".to_owned(), TemplateValue::utc(self.start)),
        ]);
        let mut context = Context::new(self.zone);
        context.insert("job", TemplateValue::map(job));
        context.insert("globals", globals);
        context.insert("realm", Value::Object(Map::clone(&self.realm)).into());
        context.insert("schedule", self.schedule());
        if let Some(late) = &self.late {
            context.insert("late", Self::late(late));
        }
        context.insert("state", state);
        context.insert("start", start);
        context.insert("ustart", ustart);
        context
    }
}

/// Renders one run's templates, all at the expense of one budget: clones share it. The variables are put together when
/// the first template needs them.
#[derive(Clone, Debug)]
pub struct Templates {
    renderer: Renderer,
    scene: TemplateContext,
    context: OnceLock<Context>,
    budget: Arc<Budget>,
    asked: Arc<AtomicBool>,
}

impl Templates {
    /// Templates of a run.
    #[must_use]
    pub fn new(renderer: Renderer, scene: TemplateContext) -> Self {
        let budget = Arc::new(renderer.budget());
        Self { renderer, scene, context: OnceLock::new(), budget, asked: Arc::default() }
    }

    /// The template context.
    #[must_use]
    pub fn scene(&self) -> &TemplateContext {
        &self.scene
    }

    /// Whether anything that was rendered asked for the time or for chance, by whatever name: it may have another value
    /// when it is rendered again.
    #[must_use]
    pub fn asked_for_the_moment(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// The variables, with others besides.
    #[must_use]
    pub fn context(&self, others: &[(&str, Value)]) -> Context {
        let of_scene = || self.scene.context().with_asked(self.asked.clone());
        let mut context = self.context.get_or_init(of_scene).clone();
        for (name, value) in others {
            context.insert(*name, value.clone().into());
        }
        context
    }

    /// Renders one text.
    ///
    /// # Errors
    /// [`TemplateError`] when the template does not parse or fails.
    pub fn text(&self, source: &str, others: &[(&str, Value)]) -> Result<String, TemplateError> {
        if is_plain(source) {
            return Ok(source.to_owned());
        }
        self.renderer.render_within(source, &self.context(others), &self.budget)
    }

    /// Renders every text and key of a structure, each by itself.
    ///
    /// # Errors
    /// [`TemplateError`] with the place of the template that does not parse or fails.
    pub fn json(&self, value: &Value, others: &[(&str, Value)]) -> Result<Value, TemplateError> {
        if all_plain(value) {
            return Ok(value.clone());
        }
        self.renderer.render_json_within(value, &self.context(others), &self.budget)
    }

    /// As [`json`](Self::json), for what lava renders as a structure even if it is a lone text.
    ///
    /// # Errors
    /// [`TemplateError`] with the place of the template that does not parse or fails.
    pub fn structure(&self, value: &Value, others: &[(&str, Value)]) -> Result<Value, TemplateError> {
        if all_plain(value) {
            return Ok(value.clone());
        }
        self.renderer.render_structure_within(value, &self.context(others), &self.budget)
    }

    /// Renders the fields of an action, each by itself as lava does: a text is a template, a map or a list a structure, and
    /// so is a text in one of the fields that `structures` names.
    ///
    /// # Errors
    /// [`TemplateError`] with the place of the template that does not parse or fails.
    pub fn fields(
        &self,
        fields: &Map<String, Value>,
        structures: &[String],
        others: &[(&str, Value)],
    ) -> Result<Value, TemplateError> {
        let mut rendered = Map::new();
        for (name, value) in fields {
            let value = if all_plain(value) {
                value.clone()
            } else if structures.contains(name) {
                self.structure(value, others)?
            } else {
                self.json(value, others)?
            };
            rendered.insert(name.clone(), value);
        }
        Ok(Value::Object(rendered))
    }

    /// Splits a command line as a shell does, then renders each argument by itself.
    ///
    /// # Errors
    /// [`TemplateError`] when a quote is not closed, or a template does not parse or fails.
    pub fn args(&self, command_line: &str, others: &[(&str, Value)]) -> Result<Vec<String>, TemplateError> {
        self.renderer.render_args_within(command_line, &self.context(others), &self.budget)
    }

    /// Whether an `enabled` template says true, and the text it rendered to.
    ///
    /// # Errors
    /// [`TemplateError`] when the template does not parse or fails.
    pub fn condition(&self, source: &str) -> Result<(bool, String), TemplateError> {
        self.renderer.render_condition_within(source, &self.context(&[]), &self.budget)
    }
}

/// Whether a text has nothing that a template engine would change: no tag, and no line end that
/// Jinja would drop or rewrite.
fn is_plain(text: &str) -> bool {
    !text.contains("{{") && !text.contains("{%") && !text.contains("{#") && !text.contains(['\r', '\n'])
}

/// Whether a value has anything that a template engine would change.
#[must_use]
pub fn has_templates(value: &Value) -> bool {
    !all_plain(value)
}

fn all_plain(value: &Value) -> bool {
    match value {
        Value::String(text) => is_plain(text),
        Value::Array(items) => items.iter().all(all_plain),
        Value::Object(fields) => fields.iter().all(|(name, value)| is_plain(name) && all_plain(value)),
        _ => true,
    }
}
