//! Looks up the items of a `foreach` that stand in a file.

use async_trait::async_trait;
use pumice_core::job_type::{JobContext, JobError, ParametersOf, Rendered, Resolver};
use pumice_job_types::foreach::{self, listed, unreadable};
use serde_json::json;

use crate::items;

/// Resolves jobs of type `foreach`.
pub(crate) struct Foreach;

#[async_trait]
impl Resolver for Foreach {
    type Of = foreach::Foreach;

    async fn resolve(
        &self,
        context: &JobContext<'_>,
        rendered: &Rendered,
    ) -> Result<Option<Rendered>, JobError> {
        let parameters: ParametersOf<Self::Of> = rendered.parameters()?;
        let settings = context.settings;
        let limit = parameters.limit(settings);
        if limit > settings.foreach_max_limit {
            let message = format!(
                "a limit of {limit} is more than the realm's FOREACH_MAX_LIMIT of {}",
                settings.foreach_max_limit
            );
            return Err(JobError::permanent(message));
        }
        let file = parameters.foreach.file();
        let items = match file {
            Some((filename, form)) => {
                if let Some(why) = unreadable(filename) {
                    return Err(JobError::permanent(why));
                }
                let path = context.directories.work().await?.join(filename);
                let name = path.display().to_string();
                let reading = move || items::read(&path, form, limit);
                context.read_apart(&name, items::MAX_TIME, reading).await??
            }
            None => listed(&parameters.foreach, limit)?,
        };
        if items.len() > limit {
            let error = format!("foreach value list exceeds limit of {limit}");
            let data = json!({ "exit_status": 1, "error": error });
            let failed = JobError::permanent(format!("there are more than {limit} items; nothing was run"));
            return Err(failed.worded(error).with_data(data));
        }
        if file.is_none() {
            return Ok(None);
        }
        let mut resolved = rendered.clone();
        resolved.parameters.insert("foreach".to_owned(), json!({ "type": "inline", "values": items }));
        Ok(Some(resolved))
    }
}
