//! Renders templates apart from the threads that look after runs: a job can make its own slow, and nobody else's.

use serde_json::{Map, Value};

use super::dispatch::Dispatcher;
use crate::job_type::{JobError, Registry, Rendered, Templates, apart, has_templates};
use crate::spec::JobSpec;

impl Dispatcher {
    /// Payload and parameters filled in. What has no templates is done at once.
    pub(super) async fn render(&self, job: &JobSpec, templates: &Templates) -> Result<Rendered, JobError> {
        let parameters = job.fields.parameters.iter().flat_map(Map::values);
        if !std::iter::once(&job.fields.payload).chain(parameters).any(has_templates) {
            return render(self.registry(), job, templates);
        }
        let (registry, job, templates) = (self.registry().clone(), job.clone(), templates.clone());
        self.apart(move || render(&registry, &job, &templates)).await?
    }

    /// What a piece of work gives that may take long.
    pub(super) async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JobError> {
        apart(&*self.site().ports.pool, "rendering", work).await
    }
}

fn render(registry: &Registry, job: &JobSpec, templates: &Templates) -> Result<Rendered, JobError> {
    match registry.job_type(&job.fields.r#type) {
        Some(job_type) => job_type.render(job, templates),
        None => Err(JobError::permanent(format!("no such job type {:?}", job.fields.r#type))),
    }
}

/// The fields of an action filled in.
pub(super) async fn action_fields(
    dispatcher: &Dispatcher,
    templates: &Templates,
    fields: Map<String, Value>,
    structures: &[String],
    result: Value,
) -> Result<Value, JobError> {
    if !fields.values().any(has_templates) {
        return Ok(Value::Object(fields));
    }
    let (templates, structures) = (templates.clone(), structures.to_vec());
    let rendering = dispatcher.apart(move || templates.fields(&fields, &structures, &[("result", result)]));
    rendering.await?.map_err(|error| JobError::failed(error.to_string()))
}
