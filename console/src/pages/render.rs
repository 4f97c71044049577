//! Renders pages: what all of them have, and their templates.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use pumice_core::filter::Filter;
use pumice_core::glob::only_match;
use pumice_core::ids::{JobId, RunKey};
use pumice_core::secret::mask;
use pumice_core::text::escaped;
use serde_json::{Map, Value, json};

use crate::access::{Caller, Role};
use crate::answer::{Fault, RefusedForm, html};
use crate::app::App;
use crate::ask::{Ask, Fields, Taste, ZoneChoice};
use crate::assets;
use crate::view::{Clock, Words, mask_texts, run_link};

/// How many characters the id of a run has, without its steps.
const UUID: usize = 36;
/// The fields of forms that may have several lines.
const LONG_FIELDS: [&str; 3] = ["value", "globals", "params"];
/// The templates, by name.
const TEMPLATES: [(&str, &str); 36] = [
    ("base.html", include_str!("../../templates/base.html")),
    ("macros.html", include_str!("../../templates/macros.html")),
    ("audit.html", include_str!("../../templates/audit.html")),
    ("audit-entry.html", include_str!("../../templates/audit-entry.html")),
    ("backfill.html", include_str!("../../templates/backfill.html")),
    ("bulk.html", include_str!("../../templates/bulk.html")),
    ("bulks.html", include_str!("../../templates/bulks.html")),
    ("connection.html", include_str!("../../templates/connection.html")),
    ("connections.html", include_str!("../../templates/connections.html")),
    ("dead.html", include_str!("../../templates/dead.html")),
    ("doctor.html", include_str!("../../templates/doctor.html")),
    ("failures.html", include_str!("../../templates/failures.html")),
    ("fault.html", include_str!("../../templates/fault.html")),
    ("job.html", include_str!("../../templates/job.html")),
    ("job-edit.html", include_str!("../../templates/job-edit.html")),
    ("jobs.html", include_str!("../../templates/jobs.html")),
    ("letter.html", include_str!("../../templates/letter.html")),
    ("many.html", include_str!("../../templates/many.html")),
    ("retry.html", include_str!("../../templates/retry.html")),
    ("login.html", include_str!("../../templates/login.html")),
    ("now.html", include_str!("../../templates/now.html")),
    ("offline.html", include_str!("../../templates/offline.html")),
    ("output.html", include_str!("../../templates/output.html")),
    ("payloads.html", include_str!("../../templates/payloads.html")),
    ("run.html", include_str!("../../templates/run.html")),
    ("runs-cancel.html", include_str!("../../templates/runs-cancel.html")),
    ("realm.html", include_str!("../../templates/realm.html")),
    ("run-body.html", include_str!("../../templates/run-body.html")),
    ("runs.html", include_str!("../../templates/runs.html")),
    ("schedules.html", include_str!("../../templates/schedules.html")),
    ("secrets.html", include_str!("../../templates/secrets.html")),
    ("state.html", include_str!("../../templates/state.html")),
    ("stats.html", include_str!("../../templates/stats.html")),
    ("trigger.html", include_str!("../../templates/trigger.html")),
    ("triggers.html", include_str!("../../templates/triggers.html")),
    ("workers.html", include_str!("../../templates/workers.html")),
];

/// The templates: what they are given is escaped, and what they are not given is an error.
pub(crate) fn templates() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_syntax(
        SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().unwrap_or_default(),
    );
    for (name, text) in TEMPLATES {
        if let Err(error) = environment.add_template(name, text) {
            tracing::error!(%error, name, "a template of the console cannot be read");
        }
    }
    environment
}

/// The parts of a page around its own content.
pub(crate) struct Head {
    /// Its title.
    pub(crate) title: String,
    /// Its place in the navigation.
    pub(crate) nav: &'static str,
    /// The command that shows the same.
    pub(crate) command: String,
    /// When it is asked for anew: `runs` when any run changes, a run's id when that one does, `slow` now and then.
    pub(crate) live: String,
    /// How its times are shown, where it is about one job.
    pub(crate) clock: Option<Clock>,
}

impl Head {
    /// A page that is asked for anew now and then.
    pub(crate) fn new(title: impl Into<String>, nav: &'static str, command: &Words) -> Self {
        let title = escaped(&title.into()).into_owned();
        Self { title, nav, command: command.line(), live: "slow".to_owned(), clock: None }
    }

    /// The same, asked for anew when something changes.
    pub(crate) fn live(self, topic: impl Into<String>) -> Self {
        Self { live: topic.into(), ..self }
    }

    /// The same, whose times are shown so.
    pub(crate) fn by(self, clock: &Clock) -> Self {
        Self { clock: Some(*clock), ..self }
    }
}

impl Ask {
    /// How times are shown on this page.
    ///
    /// # Errors
    /// [`Fault`] when the realm's definition cannot be read.
    pub(crate) async fn clock(&self) -> Result<Clock, Fault> {
        let zone = match self.taste.zone {
            ZoneChoice::Own(zone) => zone,
            ZoneChoice::Realm | ZoneChoice::Job => self.realm().site().await?.zone.tz(),
        };
        Ok(Clock { zone, now: self.realm().now() })
    }

    /// How times that are about these jobs are shown.
    ///
    /// # Errors
    /// [`Fault`] when the realm's definition or the jobs cannot be read.
    pub(crate) async fn clocks(&self, jobs: impl Iterator<Item = &JobId>) -> Result<Clocks, Fault> {
        let common = self.clock().await?;
        let mut own = HashMap::new();
        if self.taste.zone == ZoneChoice::Job {
            let ids: Vec<JobId> = jobs.cloned().collect::<BTreeSet<_>>().into_iter().collect();
            let found = self.realm().jobs().jobs(&ids).await?;
            own.extend(ids.into_iter().zip(found).filter_map(|(id, job)| {
                let zone = job?.ok()?.fields.timezone?.0;
                Some((id, Clock { zone, ..common }))
            }));
        }
        Ok(Clocks { common, own })
    }

    /// How times are shown on a page that is about these jobs, where it is one job alone.
    ///
    /// # Errors
    /// [`Fault`] when the realm's definition or the job cannot be read.
    pub(crate) async fn clock_of(&self, job: Option<&JobId>) -> Result<Clock, Fault> {
        Ok(*self.clocks(job.into_iter()).await?.of_some(job))
    }

    /// How times are shown on a list, and read that are typed into its filter without a zone: where the filter means one job
    /// alone, as those about that job.
    ///
    /// # Errors
    /// [`Fault`] when the realm's definition or the job cannot be read.
    pub(crate) async fn clock_of_list(&self, fields: &Fields) -> Result<Clock, Fault> {
        self.clock_of(meant_job(fields).as_ref()).await
    }

    /// A command of this realm.
    pub(crate) fn words(&self, words: &[&str]) -> Words {
        Words::new(&self.app.words, words)
    }
}

/// The job that the fields of a list mean alone, by `job` or by terms in `where`.
fn meant_job(fields: &Fields) -> Option<JobId> {
    let filter = fields.get("where").and_then(|text| Filter::parse(text).ok());
    let terms = filter.as_ref().and_then(Filter::jobs).unwrap_or_default();
    let mut meant = terms.iter().map(String::as_str).chain(fields.get("job"));
    let first = only_match(meant.next()?)?;
    let is_one = meant.all(|pattern| only_match(pattern).as_ref() == Some(&first));
    JobId::stored(&first).ok().filter(|_| is_one)
}

/// How times are shown that are about one job or another.
pub(crate) struct Clocks {
    pub(crate) common: Clock,
    own: HashMap<JobId, Clock>,
}

impl Clocks {
    /// All times in one way.
    pub(crate) fn all(clock: &Clock) -> Self {
        Self { common: *clock, own: HashMap::new() }
    }

    /// How times that are about a job are shown.
    pub(crate) fn of(&self, job: &JobId) -> &Clock {
        self.own.get(job).unwrap_or(&self.common)
    }

    /// The same where there may be no job.
    pub(crate) fn of_some(&self, job: Option<&JobId>) -> &Clock {
        job.map_or(&self.common, |job| self.of(job))
    }
}

/// A page.
///
/// # Errors
/// [`Fault`] when its template lacks something.
pub(crate) async fn render(ask: &Ask, template: &str, head: Head, own: Value) -> Result<Response, Fault> {
    // Times that are about one job or another are each in the zone of theirs.
    let is_mixed = head.clock.is_none() && ask.taste.zone == ZoneChoice::Job;
    let clock = match head.clock {
        Some(clock) => clock,
        None => ask.clock().await?,
    };
    let notice = if ask.is_head { None } else { ask.app.logins.take_notice(&ask.caller) };
    let mut context = frame(&ask.app, Some(&ask.caller), &ask.taste, &head);
    context.extend([
        (
            "zone".to_owned(),
            json!({ "name": clock.zone.name(), "choice": ask.taste.zone.name(),
            "is_own": matches!(ask.taste.zone, ZoneChoice::Own(_)), "is_mixed": is_mixed }),
        ),
        ("notice".to_owned(), json!(notice)),
        ("here".to_owned(), json!(ask.here)),
        ("served".to_owned(), json!(ask.realm().is_served())),
        ("now".to_owned(), json!(clock.moment(clock.now))),
    ]);
    if let Value::Object(own) = own {
        context.extend(own);
    }
    text_of(&ask.app, template, context).map(|text| html(StatusCode::OK, text))
}

/// The values for the frame of every page.
fn frame(app: &App, caller: Option<&Caller>, taste: &Taste, head: &Head) -> Map<String, Value> {
    let may = |role| caller.is_some_and(|caller| !app.is_read_only && caller.role >= role);
    let value = json!({
        "realm": app.realm.name().as_str(),
        "is_aws": app.realm.is_aws(),
        "is_read_only": app.is_read_only,
        "is_offline": false,
        "user": caller.map(|caller| json!({ "name": caller.name, "role": caller.role.as_str(),
            "has_session": caller.session.is_some() })),
        "may_operate": may(Role::Operator),
        "may_edit": may(Role::Editor),
        "theme": taste.theme,
        "title": head.title,
        "nav": head.nav,
        "command": head.command,
        "live": head.live,
        "css": assets::url("console.css"),
        "js": assets::url("console.js"),
        "morph": assets::url("idiomorph.js"),
        "icon": assets::url("icon.svg"),
        "zone": Value::Null,
        "notice": Value::Null,
        "here": "/",
        "served": Value::Null,
        "now": Value::Null,
    });
    if let Value::Object(context) = value { context } else { Map::new() }
}

/// The text of a template, in which secrets are masked.
///
/// # Errors
/// [`Fault`] when it lacks something.
pub(crate) fn text_of(app: &App, template: &str, context: Map<String, Value>) -> Result<String, Fault> {
    let mut context = Value::Object(context);
    mask_texts(&mut context);
    let rendered = app.templates.get_template(template).and_then(|one| one.render(Serde(&context)));
    rendered.map_err(|error| {
        tracing::error!(error = %format!("{error:#}"), template, "a page of the console cannot be made");
        Fault::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the page {template} cannot be made: {error}"))
    })
}

/// A page that is shown without the rest of the console: the login.
///
/// # Errors
/// [`Fault`] when its template lacks something.
pub(crate) fn bare(
    app: &App,
    taste: &Taste,
    template: &str,
    title: &str,
    own: Value,
) -> Result<String, Fault> {
    let head =
        Head { title: title.to_owned(), nav: "", command: String::new(), live: String::new(), clock: None };
    let mut context = frame(app, None, taste, &head);
    if let Value::Object(own) = own {
        context.extend(own);
    }
    text_of(app, template, context)
}

/// A line of a message, masked, in parts: an id of a run has its link.
fn words(line: &str, is_linked: bool) -> Vec<Value> {
    let mut parts = Vec::new();
    for word in line.split_inclusive(' ') {
        let id = word.trim_end_matches([' ', ',', ';', ':', '.']);
        let is_run = is_linked && id.len() >= UUID && id.parse::<RunKey>().is_ok();
        if is_run {
            parts.push(json!({ "text": id, "href": run_link(id) }));
        }
        let rest = if is_run { &word[id.len()..] } else { word };
        parts.push(json!({ "text": escaped(rest), "href": Value::Null }));
    }
    parts
}

/// A form that was refused, to be corrected. A value in which something is masked is left out: it would be sent masked.
fn refused_form(form: &RefusedForm) -> Value {
    let unmasked = |value: &str| if mask(value) == value { value.to_owned() } else { String::new() };
    let shown = form.shown.iter().map(|(name, label, value)| {
        json!({ "name": name, "label": label, "value": unmasked(value),
            "is_long": value.contains('\n') || LONG_FIELDS.contains(name) })
    });
    let hidden = form.hidden.iter().map(|(name, value)| json!({ "name": name, "value": unmasked(value) }));
    json!({ "path": form.path, "shown": shown.collect::<Vec<_>>(), "hidden": hidden.collect::<Vec<_>>() })
}

/// The page for what could not be answered.
pub(crate) fn fault(app: &Arc<App>, caller: Option<Caller>, fault: &Fault) -> Response {
    let title = fault.status.canonical_reason().unwrap_or("Error");
    let head =
        Head { title: title.to_owned(), nav: "", command: String::new(), live: String::new(), clock: None };
    let mut context = frame(app, caller.as_ref(), &Taste::default(), &head);
    if caller.is_none() {
        // A caller without a login may be a page of another site.
        context.extend([("realm".to_owned(), json!("")), ("is_aws".to_owned(), json!(false))]);
    }
    let is_linked = caller.is_some();
    let lines: Vec<Vec<Value>> = fault.message.lines().map(|line| words(&mask(line), is_linked)).collect();
    let form = fault.form.as_deref().map(refused_form);
    context
        .insert("fault".to_owned(), json!({ "status": fault.status.as_u16(), "lines": lines, "form": form }));
    match text_of(app, "fault.html", context) {
        Ok(text) => html(fault.status, text),
        Err(_) => html(StatusCode::INTERNAL_SERVER_ERROR, "the page cannot be made".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_file_of_templates_is_read() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/templates");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let files: BTreeSet<String> = files.map(|name| name.into_string().unwrap()).collect();
        let read: BTreeSet<String> = TEMPLATES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(read, files, "`TEMPLATES` (console/src/pages/render.rs) and console/templates");
        assert_eq!(templates().templates().count(), TEMPLATES.len());
    }
}
