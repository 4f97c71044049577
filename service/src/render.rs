//! `render`: payload and parameters of a job as they would run.

use std::sync::Arc;

use pumice_core::engine::{Dispatcher, Preview};
use pumice_core::ids::JobId;
use pumice_core::job_type::Site;
use pumice_core::request::DispatchRequest;
use pumice_core::spec::Timezone;
use pumice_template::Zone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::failure::Error;
use crate::realm::{Realm, no_such_job};
use crate::specs::rendering_words;
use crate::time::Instant;

/// A job to render.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RenderJob {
    /// The job.
    pub job: JobId,
    /// Globals over the job's own.
    #[serde(default)]
    pub globals: Map<String, Value>,
    /// Parameters over the job's own.
    #[serde(default)]
    pub parameters: Map<String, Value>,
    /// The time of `start`; without it now.
    #[serde(default)]
    pub now: Option<Instant>,
    /// The zone of `start`; without it the realm's.
    #[serde(default)]
    pub zone: Option<Timezone>,
}

/// Payload and parameters of a job as they would run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RenderedJob {
    /// The payload.
    pub payload: Value,
    /// The parameters.
    pub parameters: Map<String, Value>,
    /// When a run is rendered, and why then, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
}

/// Renders a job; nothing is dispatched.
///
/// # Errors
/// [`Error`] when there is no such job, a template fails, with its lines, or the store cannot be read.
pub async fn render(realm: &dyn Realm, request: RenderJob) -> Result<RenderedJob, Error> {
    let RenderJob { job, globals, parameters, now, zone } = request;
    let mut site = Site::clone(&*realm.site().await?);
    if let Some(zone) = zone {
        site.zone = Zone::Named(zone.0);
    }
    let dispatcher = Dispatcher::new(Arc::new(site), realm.registry().clone());
    if realm.jobs().jobs(std::slice::from_ref(&job)).await?.pop().flatten().is_none() {
        return Err(no_such_job(realm.jobs(), &job).await?);
    }
    let request = DispatchRequest { globals, parameters, ..DispatchRequest::new(job.clone()) };
    let now = now.map_or_else(|| realm.now(), |now| now.0);
    let (rendered, rendering) = match dispatcher.preview(&request, now).await? {
        Preview::Rendered(rendered, rendering) => (rendered, rendering),
        Preview::Failed(error) => {
            let lines = error.data.get("template").and_then(Value::as_str).unwrap_or_default();
            return Err(Error::invalid(format!("job {job}: {error}\n{lines}").trim_end()));
        }
    };
    let when = Some(rendering_words(&rendering));
    Ok(RenderedJob { payload: rendered.payload, parameters: rendered.parameters, when })
}
