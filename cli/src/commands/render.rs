//! `render` and `template`: what templates give, with nothing dispatched.

use std::path::Path;

use chrono::SubsecRound;
use pumice_core::Timestamp;
use pumice_core::ports::{Catalog, Clock, Doc};
use pumice_local::{Durability, Home, SystemClock};
use pumice_service::Instant;
use pumice_service::render::{self as service, RenderJob};
use pumice_service::specs::{self, Surroundings};
use pumice_template::{Context, Renderer, Value as TemplateValue, Zone};
use serde_json::Value;

use super::{given, instant, timezone};
use crate::args::{Format, Global, Moment, Render, Template};
use crate::failure::{Failure, of_option};
use crate::files::{self, Unreadable, parse_file, read_text};
use crate::output::{note, print, write_raw};
use crate::realm::{Realm, registry};
use crate::target::Target;
use crate::yaml::Part;

fn moment(moment: &Moment) -> Result<(Timestamp, Zone), Failure> {
    let zone = match timezone("--tz", moment.tz.as_deref())? {
        None => Zone::checked_system().map_err(|error| Failure::wrong(error.to_string()))?,
        Some(zone) => Zone::Named(zone.0),
    };
    let now = moment.now.as_deref().map(|text| instant("--now", text, zone)).transpose()?;
    Ok((now.unwrap_or_else(|| SystemClock.now().trunc_subsecs(0)), zone))
}

/// Shows payload and parameters of a job as they would run.
pub(super) async fn render(global: &Global, options: Render) -> Result<(), Failure> {
    let (globals, parameters) = given(&options.given)?;
    let (now, _) = moment(&options.moment)?;
    // A zone that no option names is the realm's: it may be a rule instead of a name.
    let zone = timezone("--tz", options.moment.tz.as_deref())?;
    let temporary = tempfile::tempdir()?;
    let realm = if options.jobs.is_empty() {
        Target::open_to_read(global).await?
    } else if global.url.is_some() {
        return Err(of_option("--url", "`render --jobs` reads files, and asks no realm: leave --url out"));
    } else {
        let read = files::documents(&options.jobs);
        let specs = specs::read(read, &*registry()?, SystemClock.now(), &Surroundings::default())?;
        // A realm among the files says what jobs are rendered by: its fields, its settings.
        let name = specs.realm.as_ref().map(|realm| &realm.fields.realm).or(global.realm.as_ref());
        let home = Home::open(temporary.path(), name, true, Durability::Normal).await?;
        if let Some(realm) = specs.realm.as_ref() {
            home.database().put_realm(Doc::clone(&realm.document)).await?;
        }
        home.database().put_jobs(specs.jobs, false).await?;
        Target::Here(Box::new(Realm::in_folder(home)?))
    };
    let now = Some(Instant(now));
    let rendered =
        realm.give(service::render, RenderJob { job: options.job, globals, parameters, now, zone }).await?;
    note(global, &rendered.when.iter().chain(&rendered.hidden).cloned().collect::<Vec<_>>());
    match global.output {
        Format::Yaml => print(Format::Yaml, &rendered, Vec::new),
        _ => print(Format::Json, &rendered, Vec::new),
    }
}

/// Renders a template with the variables of a file.
pub(super) fn template(global: &Global, options: &Template) -> Result<(), Failure> {
    let (now, zone) = moment(&options.moment)?;
    let mut context = Context::new(zone).with_now(now);
    context.insert("start", TemplateValue::local(now));
    context.insert("ustart", TemplateValue::timezone_utc(now));
    if let Some(file) = &options.context {
        let wrong = |why: Unreadable| of_option(&file.display().to_string(), why);
        let mut parts = parse_file(file).map_err(wrong)?.into_iter();
        let (Some(Part { value: Value::Object(variables), .. }), None) = (parts.next(), parts.next()) else {
            let message = "expected one object, with a field for each variable";
            return Err(wrong(Unreadable(message.to_owned())));
        };
        for (name, value) in variables {
            context.insert(name, value.into());
        }
    }
    let source = match options.text.as_str() {
        "-" => read_text(Path::new("-")).map_err(|why| Failure::wrong(why.to_string()))?,
        text => text.to_owned(),
    };
    let text =
        Renderer::default().render(&source, &context).map_err(|error| Failure::wrong(error.report()))?;
    match global.output {
        Format::Table | Format::Wide => write_raw(&format!("{text}\n")),
        format => print(format, &Value::String(text), Vec::new),
    }
}
