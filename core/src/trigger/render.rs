//! The starts that a trigger asks for on an object or a request: its job ids, globals and parameters, filled in.

use pumice_template::{Context, Renderer, TemplateError, Zone};
use serde_json::{Map, Value};

use crate::ids::JobId;
use crate::problem::{Invalid, JsonPath, SpecError};
use crate::request::{DispatchRequest, When, check_globals};

use super::document::TriggerFields;
use super::event::ObjectEvent;

/// One job that a trigger starts.
#[derive(Clone, Debug, PartialEq)]
pub struct TriggeredStart {
    /// The job, as it was rendered.
    pub job_id: String,
    /// The request, or why there is none.
    pub request: Result<DispatchRequest, Invalid>,
}

/// The starts that a trigger asks for on an object. A job id that fails fails by itself.
///
/// # Errors
/// Why nothing can be asked: a template of its globals or parameters fails, or they hold what they may not.
pub fn starts(
    fields: &TriggerFields,
    event: &ObjectEvent,
    renderer: &Renderer,
    zone: Zone,
) -> Result<Vec<TriggeredStart>, Invalid> {
    starts_with(fields, event.roots(), renderer, zone)
}

/// The starts that a trigger asks for on an event of which templates see this.
pub(super) fn starts_with<const N: usize>(
    fields: &TriggerFields,
    roots: [(&'static str, pumice_template::Value); N],
    renderer: &Renderer,
    zone: Zone,
) -> Result<Vec<TriggeredStart>, Invalid> {
    let rendering = Rendering::new(fields, roots, renderer, zone);
    let globals = rendering.map("globals", fields.globals.as_ref())?;
    let parameters = rendering.map("parameters", fields.parameters.as_ref())?;
    let check = |text: SpecError| text.to_string();
    SpecError::check(check_globals(&globals)).map_err(check)?;
    let when = fields.delay.map_or(Ok(When::Now), DispatchRequest::after);
    let when = when.map_err(|error| error.to_string())?;
    let request = |job_id: JobId| DispatchRequest {
        globals: globals.clone(),
        parameters: parameters.clone(),
        when,
        ..DispatchRequest::new(job_id)
    };
    let start = |template: &String| match rendering.text(template) {
        Err(error) => {
            TriggeredStart { job_id: template.clone(), request: Err(format!("job_id: {error}").into()) }
        }
        Ok(job_id) => {
            let read = JobId::new(&job_id).map_err(|error| Invalid(format!("job_id: {error}")));
            TriggeredStart { request: read.map(request), job_id }
        }
    };
    Ok(fields.job_id.iter().map(start).collect())
}

struct Rendering<'a> {
    renderer: &'a Renderer,
    /// `None` where nothing is rendered.
    context: Option<Context>,
    budget: pumice_template::Budget,
}

impl<'a> Rendering<'a> {
    fn new<const N: usize>(
        fields: &TriggerFields,
        roots: [(&'static str, pumice_template::Value); N],
        renderer: &'a Renderer,
        zone: Zone,
    ) -> Self {
        let context = (fields.jinja != Some(false)).then(|| {
            let mut context = Context::new(zone);
            for (name, value) in roots {
                context.insert(name, value);
            }
            context
        });
        Self { renderer, context, budget: renderer.budget() }
    }

    fn text(&self, source: &str) -> Result<String, TemplateError> {
        let Some(context) = &self.context else { return Ok(source.to_owned()) };
        self.renderer.render_within(source, context, &self.budget)
    }

    /// A map whose texts and keys are rendered as JSON text, as lava does.
    fn map(&self, name: &str, map: Option<&Map<String, Value>>) -> Result<Map<String, Value>, String> {
        let Some(map) = map else { return Ok(Map::new()) };
        let Some(context) = &self.context else { return Ok(map.clone()) };
        let whole = Value::Object(map.clone());
        match self.renderer.render_structure_within(&whole, context, &self.budget) {
            Ok(Value::Object(rendered)) => Ok(rendered),
            Ok(_) => Err(format!("{name}: is not a map once it is rendered")),
            Err(error) => {
                Err(crate::problem::Problem::template(&JsonPath::root().field(name), &error).to_string())
            }
        }
    }
}
