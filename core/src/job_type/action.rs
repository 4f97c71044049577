//! Kinds of actions: what is done after an attempt ends.

use async_trait::async_trait;
use pumice_template::Renderer;
use serde_json::Value;

use super::context::{Dispatches, Site};
use super::survey::Named;
use crate::ids::{JobId, RunId};
use crate::problem::Problem;

/// What an action can reach.
pub struct ActionContext<'a> {
    /// The job whose attempt ended.
    pub job_id: &'a JobId,
    /// Its run.
    pub run_id: RunId,
    /// Starts other jobs.
    pub dispatches: &'a dyn Dispatches,
    /// The realm's settings and the world.
    pub site: &'a Site,
}

/// A kind of action: a plugin, known by its name (lava guide, Job Actions).
#[async_trait]
pub trait Action: Send + Sync {
    /// The name, as in an action's `action`.
    fn name(&self) -> &'static str;
    /// What it does, in a line.
    fn about(&self) -> &'static str;
    /// The fields that lava renders as structures even if they are texts. None by default.
    fn structures(&self) -> &'static [&'static str] {
        &[]
    }
    /// The JSON Schema of its fields, without `action`.
    fn schema(&self) -> Value;
    /// Checks an action's fields as they stand in a spec.
    fn check(&self, fields: &Value, renderer: &Renderer) -> Vec<Problem>;
    /// The jobs that it starts, as its fields name them. None by default.
    fn names(&self, fields: &Value) -> Vec<Named> {
        let _ = fields;
        Vec::new()
    }
    /// Does it. Every text of the fields has been rendered.
    ///
    /// # Errors
    /// Why it could not be done: a lower-case fragment.
    async fn perform(&self, context: &ActionContext<'_>, fields: &Value) -> Result<(), String>;
}
