//! `check`: looks at job specs, and puts nothing.

use pumice_core::Timestamp;
use pumice_core::clock::{JobSchedule, describe};
use pumice_core::engine::WhenRendered;
use pumice_core::ids::{ConnId, JobId, TriggerId};
use pumice_core::job_type::Registry;
use pumice_core::spec::{RealmSpec, RenderAt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Documents, Specs, Surroundings, Warning, read, refuse_warnings, surroundings};
use crate::failure::Error;
use crate::realm::Realm;
use crate::time::Slot;

/// Specs to check.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckSpecs {
    /// The documents.
    pub specs: Documents,
    /// Fail when there are warnings.
    #[serde(default)]
    pub strict: bool,
}

/// The meaning of specs as they were read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Checked {
    /// The jobs.
    pub jobs: Vec<JobId>,
    /// The triggers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<TriggerId>,
    /// The connections.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connections: Vec<ConnId>,
    /// How many files they are from.
    pub files: usize,
    /// When each is rendered.
    pub rendering: Vec<Rendering>,
    /// The entries of their schedules. One that cannot be used has a warning.
    pub schedules: Vec<EntryShown>,
    /// Warnings: valid but probably unintended.
    pub warnings: Vec<Warning>,
}

/// When a job is rendered, and why then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rendering {
    /// The job.
    pub job_id: JobId,
    /// In words.
    pub when: String,
}

/// An entry of a schedule as it was understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EntryShown {
    /// The job.
    pub job_id: JobId,
    /// Its place in the schedule, from 0.
    pub entry: usize,
    /// Its meaning in words.
    pub what: String,
    /// Its next slot.
    pub next: Option<Slot>,
    /// Whether its job is enabled.
    pub enabled: bool,
    /// How many entries the schedule has.
    #[serde(default)]
    pub entries: usize,
}

/// Checks specs together with a realm.
///
/// # Errors
/// [`Error`] with every mistake, with the warnings when the check is strict, or when the realm cannot be read.
pub async fn check(realm: &dyn Realm, request: CheckSpecs) -> Result<Checked, Error> {
    check_in(realm.registry(), realm.now(), &surroundings(realm).await?, request)
}

/// Checks specs in surroundings that are known.
///
/// # Errors
/// [`Error`] with every mistake; with the warnings when the check is strict.
pub fn check_in(
    registry: &Registry,
    now: Timestamp,
    around: &Surroundings,
    request: CheckSpecs,
) -> Result<Checked, Error> {
    let specs = read(request.specs, registry, now, around)?;
    if request.strict {
        refuse_warnings(&specs.warnings)?;
    }
    let realm = specs.realm.as_ref().or(around.realm.as_ref());
    let render_at = realm.map(|realm| realm.settings.render_at).unwrap_or_default();
    let rendering = specs.jobs.iter().map(|job| Rendering {
        job_id: job.fields.job_id.clone(),
        when: rendering_words(&WhenRendered::of(job, render_at)),
    });
    Ok(Checked {
        jobs: specs.jobs.iter().map(|job| job.fields.job_id.clone()).collect(),
        triggers: specs.triggers.iter().map(|trigger| trigger.fields.trigger_id.clone()).collect(),
        connections: specs.connections.iter().map(|spec| spec.conn_id.clone()).collect(),
        files: specs.files,
        rendering: rendering.collect(),
        schedules: entries(&specs, around, now),
        warnings: specs.warnings,
    })
}

/// When a job is rendered, and why then, in words.
#[must_use]
pub fn rendering_words(rendering: &WhenRendered) -> String {
    let at = |at: &RenderAt| match at {
        RenderAt::Run => "rendered at the start of each attempt",
        RenderAt::Dispatch | RenderAt::Auto => "rendered at dispatch",
    };
    let anew = "rendered anew at the start of each attempt";
    match rendering {
        WhenRendered::Field(chosen) => format!("{}, as its render_at says", at(chosen)),
        WhenRendered::Setting(chosen) => format!("{}, as the realm's setting RENDER_AT says", at(chosen)),
        WhenRendered::Once => {
            "rendered at dispatch: it names nothing that changes until the start".to_owned()
        }
        WhenRendered::Names(name) => format!("{anew}: it names {name}"),
        WhenRendered::OfTheMoment => format!("{anew}: it asks for the time or for chance"),
    }
}

/// The entries of the jobs that were given, in the realm that was given or is there.
fn entries(specs: &Specs, around: &Surroundings, now: Timestamp) -> Vec<EntryShown> {
    let none = RealmSpec::parse(&json!({ "realm": "none" }));
    let Some(realm) = specs.realm.as_ref().or(around.realm.as_ref()).or(none.as_ref().ok()) else {
        return Vec::new();
    };
    let mut shown = Vec::new();
    for job in &specs.jobs {
        let plan = JobSchedule::of(job, realm, &realm.settings);
        for (entry, planned) in plan.entries.iter().enumerate() {
            let Ok(planned) = planned else { continue };
            shown.push(EntryShown {
                job_id: job.fields.job_id.clone(),
                entry,
                what: describe(planned),
                next: planned.entry(now).next(now).map(|slot| Slot(slot.at)),
                enabled: plan.enabled,
                entries: plan.entries.len(),
            });
        }
    }
    shown
}
