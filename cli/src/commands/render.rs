//! `render` and `template`: what templates give, with nothing dispatched.

use std::path::Path;
use std::sync::Arc;

use chrono::SubsecRound;
use pumice_core::Timestamp;
use pumice_core::engine::{Dispatcher, Preview};
use pumice_core::ports::{Catalog, Clock};
use pumice_core::request::DispatchRequest;
use pumice_core::spec::RenderAt;
use pumice_local::{Durability, Home, SystemClock};
use pumice_template::{Context, Renderer, Value as TemplateValue, Zone};
use serde_json::{Value, json};

use super::{given, instant, registry};
use crate::args::{Format, Global, Moment, Render, Template};
use crate::failure::Failure;
use crate::files::{self, parse_file, read_text};
use crate::output::{note, print, write_raw};
use crate::realm::Realm;
use crate::yaml::Part;

fn moment(moment: &Moment) -> Result<(Timestamp, Zone), Failure> {
    let zone = match &moment.tz {
        None => Zone::checked_system().map_err(|error| Failure::Wrong(error.to_string()))?,
        Some(name) => match name.parse::<pumice_core::spec::Timezone>() {
            Ok(zone) => Zone::Named(zone.0),
            Err(error) => return Err(Failure::Wrong(format!("--tz: {error}"))),
        },
    };
    let now = moment.now.as_deref().map(|text| instant("--now", text, zone)).transpose()?;
    Ok((now.unwrap_or_else(|| SystemClock.now().trunc_subsecs(0)), zone))
}

/// Shows payload and parameters of a job as they would run.
pub(super) async fn render(global: &Global, options: Render) -> Result<(), Failure> {
    let registry = registry()?;
    let (globals, parameters) = given(&options.given)?;
    let (now, zone) = moment(&options.moment)?;
    let temporary = tempfile::tempdir()?;
    let realm = if options.jobs.is_empty() {
        Realm::open_to_read(global).await?
    } else {
        let specs = files::load(&options.jobs, &registry, &files::Surroundings::default())?;
        let home = Home::open(temporary.path(), global.realm.as_ref(), true, Durability::Normal).await?;
        home.database().put_jobs(specs.jobs, false).await?;
        Realm::Folder(home)
    };
    let mut site = pumice_core::job_type::Site::clone(&*realm.site().await?);
    site.zone = zone;
    let dispatcher = Dispatcher::new(Arc::new(site), registry);
    let request = DispatchRequest { globals, parameters, ..DispatchRequest::new(options.job.clone()) };
    if realm.jobs().jobs(std::slice::from_ref(&options.job)).await?.pop().flatten().is_none() {
        return Err(super::specs::no_such_job(realm.jobs(), &options.job).await?);
    }
    let rendered = match dispatcher.preview(&request, now).await? {
        Preview::Rendered(rendered) => rendered,
        Preview::Failed(error) => {
            let lines = error.data.get("template").and_then(Value::as_str).unwrap_or_default();
            let why = format!("job {}: {error}\n{lines}", options.job);
            return Err(Failure::Wrong(why.trim_end().to_owned()));
        }
    };
    if let Some(Ok(job)) = realm.jobs().jobs(std::slice::from_ref(&options.job)).await?.pop().flatten() {
        note(global, &[about(&dispatcher.rendering(&job))]);
    }
    let value = json!({ "payload": rendered.payload, "parameters": rendered.parameters });
    match global.output {
        Format::Yaml => print(Format::Yaml, &value, Vec::new),
        _ => print(Format::Json, &value, Vec::new),
    }
}

/// When a job is rendered, and why then.
pub(super) fn about((at, named): &(RenderAt, Option<String>)) -> String {
    match (at, named) {
        (RenderAt::Dispatch, _) => "rendered at dispatch".to_owned(),
        (RenderAt::Run, _) => "rendered at the start of each attempt".to_owned(),
        (RenderAt::Auto, None) => {
            "rendered at dispatch: it names nothing that changes until the start".to_owned()
        }
        (RenderAt::Auto, Some(name)) => {
            format!("rendered anew at the start of each attempt: it names {name}")
        }
    }
}

/// Renders a template with the variables of a file.
pub(super) fn template(global: &Global, options: &Template) -> Result<(), Failure> {
    let (now, zone) = moment(&options.moment)?;
    let mut context = Context::new(zone).with_now(now);
    context.insert("start", TemplateValue::local(now));
    context.insert("ustart", TemplateValue::timezone_utc(now));
    if let Some(file) = &options.context {
        let wrong = |error: String| Failure::Wrong(format!("{}: {error}", file.display()));
        let mut parts = parse_file(file).map_err(wrong)?.into_iter();
        let (Some(Part { value: Value::Object(variables), .. }), None) = (parts.next(), parts.next()) else {
            return Err(wrong("expected one object, with a field for each variable".to_owned()));
        };
        for (name, value) in variables {
            context.insert(name, value.into());
        }
    }
    let source = match options.text.as_str() {
        "-" => read_text(Path::new("-")).map_err(Failure::Wrong)?,
        text => text.to_owned(),
    };
    let text =
        Renderer::default().render(&source, &context).map_err(|error| Failure::Wrong(error.report()))?;
    match global.output {
        Format::Table | Format::Wide => write_raw(&format!("{text}\n")),
        format => print(format, &Value::String(text), Vec::new),
    }
}
