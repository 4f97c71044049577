//! Builds and renders a run's templates, apart from the threads that look after runs: a job can slow down its own
//! rendering, and no other's.

use std::sync::Arc;

use chrono::SubsecRound;
use serde_json::{Map, Value};

use super::jobs::Jobs;
use crate::Timestamp;
use crate::ids::StateId;
use crate::job_type::{
    JobError, LavaGlobals, Registry, Rendered, TemplateContext, Templates, has_templates, names_what_changes,
    on_pool,
};
use crate::permits::Permit;
use crate::ports::{StateType, StoreError};
use crate::problem::Invalid;
use crate::run::{Late, Run, Scheduled};
use crate::secret::{MASK, is_any_known, mask, mask_fields, mask_value, remember_marked, remember_value};
use crate::spec::{JobSpec, RealmSpec, RenderAt, WorkerKind};

/// The outcome of rendering a job at dispatch.
#[derive(Debug, Default)]
pub(super) struct AtDispatch {
    /// Payload and parameters, unless that is left to the worker.
    pub(super) rendered: Option<Rendered>,
    /// Whether each attempt renders them anew all the same.
    pub(super) anew: bool,
    /// Why a template failed.
    pub(super) error: Option<String>,
}

/// The values in whose place a rendering that is shown has [`MASK`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hidden {
    /// The ids of secure state items.
    pub state: Vec<String>,
    /// Whether the documents of job and realm have values that are masked, as under a name that the setting `REDACT` marks.
    pub marked: bool,
}

impl Hidden {
    /// Whether nothing is hidden.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.state.is_empty() && !self.marked
    }
}

impl Jobs {
    /// The template context of a run that starts at `start`, and the secure state items in it.
    pub(super) async fn scene(
        &self,
        run: &Run,
        job: &JobSpec,
        realm: &RealmSpec,
        start: Timestamp,
    ) -> Result<(TemplateContext, Vec<String>), StoreError> {
        let (state, secure) = self.state(job).await?;
        for document in [&*job.document, &*realm.document, &state] {
            remember_marked(document);
        }
        // As lava's times are (lava guide, Jinja Rendering): names and literals are made of them.
        let start = start.trunc_subsecs(0);
        let lineage = run.lineage.as_ref();
        let itself = || run.job_id.clone();
        let lava = LavaGlobals {
            master_job_id: lineage.map_or_else(itself, |l| l.master_job_id.clone()),
            master_start: lineage.map_or(start, |l| l.master_start.trunc_subsecs(0)),
            parent_job_id: lineage.map_or_else(itself, |l| l.parent_job_id.clone()),
            parent_start: lineage.map_or(start, |l| l.parent_start.trunc_subsecs(0)),
            iteration: run.attempt,
            foreach_index: run.foreach_index.or(lineage.and_then(|l| l.foreach_index)),
            master_sent: lineage.is_some_and(|l| l.master_sent || !run.is_child()),
            parent_sent: lineage.is_some() && !run.is_child(),
        };
        let zone = job.fields.timezone.map_or(self.site().zone, |zone| pumice_template::Zone::Named(zone.0));
        let scene = TemplateContext {
            job: job.document.clone(),
            realm: realm.document.clone(),
            realm_name: self.site().realm.to_string(),
            state,
            run_id: run.run_id,
            ts_dispatch: run.ts_dispatch.trunc_subsecs(0),
            start,
            lava,
            scheduled: run.scheduled.as_deref().cloned().or_else(|| run.late.as_deref().and_then(slot_of)),
            late: run.late.as_deref().cloned(),
            zone,
        };
        Ok((scene, secure))
    }

    /// A job and its template context for a rendering that is only shown: a caller's own template could change a value so
    /// that the mask does not know it, so that [`MASK`] takes the place of each that is secret before anything is rendered.
    pub(super) async fn scene_to_show(
        &self,
        run: &Run,
        job: &JobSpec,
        realm: &RealmSpec,
        start: Timestamp,
    ) -> Result<(JobSpec, TemplateContext, Hidden), StoreError> {
        let (mut scene, secure) = self.scene(run, job, realm, start).await?;
        for id in &secure {
            scene.state.insert(id.clone(), MASK.into());
        }
        let mut hidden = Hidden { state: secure, marked: false };
        for document in [&mut scene.job, &mut scene.realm] {
            if let Some(masked) = masked(document) {
                (*document, hidden.marked) = (Arc::new(masked), true);
            }
        }
        if let Some(masked) = masked(&scene.state) {
            (scene.state, hidden.marked) = (masked, true);
        }
        let mut job = job.clone();
        // Templates see these as variables, too.
        if let Some(vars) = job.fields.parameters.as_mut().and_then(|parameters| parameters.get_mut("vars")) {
            mask_value(vars);
        }
        Ok((job, scene, hidden))
    }

    /// The state items that a job declares: what is stored, else the default. With the ids of those that are secure.
    async fn state(&self, job: &JobSpec) -> Result<(Map<String, Value>, Vec<String>), StoreError> {
        let Some(declared) = job.fields.state.as_ref().filter(|state| !state.is_empty()) else {
            return Ok((Map::new(), Vec::new()));
        };
        let ids: Vec<StateId> = declared.keys().filter_map(|id| StateId::stored(id).ok()).collect();
        let found = self.site().ports.state.get(&ids, self.site().ports.clock.now()).await?;
        let mut state = declared.clone();
        let mut secure = Vec::new();
        for item in found.into_iter().flatten() {
            if item.r#type == StateType::Secure {
                secure.push(item.state_id.to_string());
                remember_value(&item.value);
            }
            state.insert(item.state_id.to_string(), item.value);
        }
        Ok((state, secure))
    }

    /// Payload and parameters filled in. Values without templates are done at once.
    pub(super) async fn render(&self, job: &JobSpec, templates: &Templates) -> Result<Rendered, JobError> {
        let parameters = job.fields.parameters.iter().flat_map(Map::values);
        if !std::iter::once(&job.fields.payload).chain(parameters).any(has_templates) {
            return render(self.registry(), job, templates);
        }
        let (registry, job, templates) = (self.registry().clone(), job.clone(), templates.clone());
        self.on_pool(move || render(&registry, &job, &templates)).await?
    }

    /// The result of a piece of work that may take long.
    pub(super) async fn on_pool<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JobError> {
        on_pool(&*self.site().ports.pool, "rendering", work).await
    }

    /// Renders at dispatch, unless the job is to be rendered at its start alone. A template that fails is left to the worker:
    /// its attempt may render well, else it fails, is recorded and has its actions.
    pub(super) async fn render_now(
        &self,
        run: &Run,
        job: &JobSpec,
        worker: WorkerKind,
        realm: &RealmSpec,
    ) -> Result<AtDispatch, StoreError> {
        if self.registry().job_type(&job.fields.r#type).is_none() {
            return Ok(AtDispatch::default());
        }
        let render_at = self.render_at(job);
        if render_at == RenderAt::Run || worker.is_lavas() {
            return Ok(AtDispatch::default());
        }
        let (scene, secure) = self.scene(run, job, realm, run.not_before).await?;
        if !secure.is_empty() {
            return Ok(AtDispatch::default());
        }
        let templates = Templates::new(self.registry().renderer().clone(), scene);
        let rendered = match self.render(job, &templates).await {
            Ok(rendered) => Some(rendered),
            Err(error) => return Ok(AtDispatch { error: Some(error.message), ..AtDispatch::default() }),
        };
        if let Some(shown) = &rendered
            && is_any_known()
        {
            shown.remember_marked();
            let masked = shown.masked();
            if masked != *shown {
                // Records have no value that the realm marks but those of specs and plans.
                return Ok(AtDispatch { rendered: Some(masked), anew: true, error: None });
            }
        }
        let changes = templates.asked_for_the_moment() || rendered_anew_for(job).is_some();
        let anew = rendered.is_some() && render_at == RenderAt::Auto && changes;
        Ok(AtDispatch { rendered, anew, error: None })
    }

    /// The permit that a run of a job takes, if it takes one.
    ///
    /// # Errors
    /// [`StoreError`] when what its key names cannot be read.
    pub(super) async fn permit(
        &self,
        run: &Run,
        job: &JobSpec,
        realm: &RealmSpec,
    ) -> Result<Option<Box<Permit>>, StoreError> {
        if let Some(pool) = &job.fields.pool {
            return Ok(Some(Box::new(Permit::of_pool(pool.clone()))));
        }
        let Some(concurrency) = &job.fields.concurrency else { return Ok(None) };
        let rendered = match &concurrency.key {
            None => Ok(job.fields.job_id.to_string()),
            Some(key) => {
                let (scene, _) = self.scene(run, job, realm, run.not_before).await?;
                let templates = Templates::new(self.registry().renderer().clone(), scene);
                let key = key.clone();
                let rendered = self.on_pool(move || templates.text(&key, &[])).await;
                let rendered = rendered.map_err(|error| error.message);
                rendered.and_then(|key| key.map_err(|error| format!("concurrency.key: {error}")))
            }
        };
        let rendered = match rendered {
            // Gates are kept as they are, and shown.
            Ok(key) if mask(&key) != key => {
                Err("concurrency.key holds a secret: name something else".to_owned())
            }
            rendered => rendered,
        };
        Ok(Some(Box::new(Permit::of_key(concurrency, rendered.map_err(Invalid)))))
    }

    /// When a job is rendered: as it says, else as the realm's setting `RENDER_AT` says.
    fn render_at(&self, job: &JobSpec) -> RenderAt {
        job.fields.render_at.unwrap_or(self.site().settings.render_at)
    }
}

/// The slot at which a limit was broken.
fn slot_of(late: &Late) -> Option<Scheduled> {
    let (entry, zone, previous) = (Some(late.entry), late.zone, late.previous);
    late.slot.map(|slot| Scheduled { entry, slot, zone, previous, missed: None, backfill: None })
}

/// A document with [`MASK`] in it, where something in it is masked.
fn masked(document: &Map<String, Value>) -> Option<Map<String, Value>> {
    let mut masked = document.clone();
    mask_fields(&mut masked);
    (masked != *document).then_some(masked)
}

/// When a job is rendered, and why then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhenRendered {
    /// At dispatch or at the start of each attempt, as the job's field `render_at` says.
    Field(RenderAt),
    /// The same, as the realm's setting `RENDER_AT` says.
    Setting(RenderAt),
    /// At dispatch: it names nothing that changes until the start.
    Once,
    /// Anew at the start of each attempt: it names this.
    Names(String),
    /// Anew at the start of each attempt: it asks for the time or for chance.
    OfTheMoment,
}

impl WhenRendered {
    /// That of a job in a realm whose setting `RENDER_AT` is `default`, as far as its templates show without a rendering.
    #[must_use]
    pub fn of(job: &JobSpec, default: RenderAt) -> Self {
        match (job.fields.render_at, default) {
            (Some(RenderAt::Auto), _) | (None, RenderAt::Auto) => {
                rendered_anew_for(job).map_or(Self::Once, Self::Names)
            }
            (Some(chosen), _) => Self::Field(chosen),
            (None, chosen) => Self::Setting(chosen),
        }
    }

    /// The same where a rendering asked for the time or for chance, or did not.
    #[must_use]
    pub fn having_asked(self, asked_for_the_moment: bool) -> Self {
        if self == Self::Once && asked_for_the_moment { Self::OfTheMoment } else { self }
    }
}

/// The first name in a job's templates whose value may change until its run starts.
fn rendered_anew_for(job: &JobSpec) -> Option<String> {
    names_what_changes(
        std::iter::once(&job.fields.payload).chain(job.fields.parameters.iter().flat_map(|map| map.values())),
    )
}

fn render(registry: &Registry, job: &JobSpec, templates: &Templates) -> Result<Rendered, JobError> {
    match registry.job_type(&job.fields.r#type) {
        Some(job_type) => job_type.render(job, templates),
        None => Err(JobError::permanent(format!("no such job type {:?}", job.fields.r#type))),
    }
}

/// The fields of an action filled in.
pub(super) async fn action_fields(
    jobs: &Jobs,
    templates: &Templates,
    fields: Map<String, Value>,
    structures: &[String],
    result: Value,
) -> Result<Value, JobError> {
    if !fields.values().any(has_templates) {
        return Ok(Value::Object(fields));
    }
    let (templates, structures) = (templates.clone(), structures.to_vec());
    let rendering = jobs.on_pool(move || templates.fields(&fields, &structures, &[("result", result)]));
    rendering.await?.map_err(|error| JobError::failed(error.to_string()))
}
