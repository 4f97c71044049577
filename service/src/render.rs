//! `render`: payload and parameters of a job as they would run.

use std::sync::Arc;

use pumice_core::engine::{Dispatcher, Hidden, Preview};
use pumice_core::ids::JobId;
use pumice_core::job_type::Site;
use pumice_core::request::DispatchRequest;
use pumice_core::secret::MASK;
use pumice_core::spec::Timezone;
use pumice_core::text::shown;
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
    /// The values in whose place the templates had `*****`, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<String>,
}

/// Renders a job; nothing is dispatched. Templates have `*****` in place of secrets, for every caller: a
/// template of the caller's own could change a secret so that the mask does not know it.
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
    match dispatcher.preview(&request, now).await? {
        Preview::Rendered { rendered, when, hidden } => Ok(RenderedJob {
            payload: rendered.payload,
            parameters: rendered.parameters,
            when: Some(rendering_words(&when)),
            hidden: hidden_words(&hidden),
        }),
        Preview::Failed(error, hidden) => {
            let lines = error.data.get("template").and_then(Value::as_str).unwrap_or_default();
            let hidden = hidden_words(&hidden).map(|words| format!(" ({words})")).unwrap_or_default();
            Err(Error::invalid(format!("job {job}: {error}{hidden}\n{lines}").trim_end()))
        }
    }
}

/// What the templates of a rendering that is shown did not see, in words.
fn hidden_words(hidden: &Hidden) -> Option<String> {
    let items: Vec<_> = hidden.state.iter().map(|id| shown(id)).collect();
    let items = (!items.is_empty()).then(|| format!("secure state items ({})", items.join(", ")));
    let marked = hidden.marked.then(|| "values of job and realm that are masked".to_owned());
    let parts: Vec<String> = items.into_iter().chain(marked).collect();
    (!parts.is_empty()).then(|| format!("templates have {MASK} here in place of {}", parts.join(" and ")))
}
