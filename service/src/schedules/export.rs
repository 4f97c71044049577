//! `schedules export`: CloudFormation with schedules of EventBridge Scheduler, which invoke the dispatcher for the same
//! slots: both together make one run.

use pumice_core::clock::{Expression, Native, Standing, describe, native, standings, utc};
use pumice_core::ids::{JobId, RealmName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Scheduled, UnreadJob, Which, find};
use crate::failure::Error;
use crate::realm::Realm;

/// The placeholder that Scheduler replaces with the time that a start is for.
const SCHEDULED_TIME: &str = "<aws.scheduler.scheduled-time>";
/// Most characters of a job's id in the name of a resource.
const MAX_NAME: usize = 40;

/// Whose schedules to export.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportSchedules {
    /// Only jobs whose id matches: `*` any text, `?` one character.
    #[serde(default)]
    pub job: Option<String>,
}

/// A template of CloudFormation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CloudFormationTemplate {
    /// The version of its form.
    #[serde(rename = "AWSTemplateFormatVersion")]
    pub version: String,
    /// Which realm it is of.
    pub description: String,
    /// Remarks about the entries; CloudFormation ignores them. None where they are reported in another way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// Its parameters.
    pub parameters: Map<String, Value>,
    /// A schedule for each expression.
    pub resources: Map<String, Value>,
}

/// A template's remarks about the entries that it was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Metadata {
    /// The entries, expressed or not.
    pub entries: Vec<EntryRemarks>,
    /// The jobs that cannot be read, whose entries are missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<UnreadJob>,
}

/// Remarks about an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EntryRemarks {
    /// The job.
    #[serde(deserialize_with = "JobId::deserialize_stored")]
    pub job_id: JobId,
    /// Its place in the schedule, from 0.
    pub entry: usize,
    /// Its meaning in words; empty where it cannot be used.
    pub what: String,
    /// The names of its resources; empty when no schedule can express it.
    pub resources: Vec<String>,
    /// Differences from Pumice, or why there is no schedule.
    pub remarks: Vec<String>,
}

/// An entry as Scheduler can express it.
struct Entry<'a> {
    job: &'a Scheduled,
    standing: Standing<'a>,
    native: Native,
}

/// Makes a template of CloudFormation with schedules that start the same runs.
///
/// # Errors
/// [`Error`] when the store cannot be read.
pub async fn export(realm: &dyn Realm, request: &ExportSchedules) -> Result<CloudFormationTemplate, Error> {
    let found = find(realm, Which::Matching(request.job.as_deref())).await?;
    let mut entries = Vec::new();
    for job in &found.scheduled {
        for standing in standings(&job.plan, &job.timetable, found.now) {
            let native = match standing.planned {
                Some(planned) => native(planned, standing.cursor.since, found.now),
                None => Native { schedules: Vec::new(), remarks: standing.silence().into_iter().collect() },
            };
            entries.push(Entry { job, standing, native });
        }
    }
    Ok(template(realm.name(), &entries, found.unread()))
}

fn template(realm: &RealmName, entries: &[Entry<'_>], unread: Vec<UnreadJob>) -> CloudFormationTemplate {
    let parameter = |name: &str| {
        let about = format!("Output {name} of the realm");
        (name.to_owned(), json!({ "Type": "String", "Description": about }))
    };
    CloudFormationTemplate {
        version: "2010-09-09".to_owned(),
        metadata: Some(Metadata { entries: entries.iter().map(Entry::with_remarks).collect(), unread }),
        description: format!(
            "Schedules of the Pumice realm {realm}. Scheduler knows nothing of pauses, halts and edits in Pumice: export them anew"
        ),
        parameters: ["ScheduleGroup", "DispatcherArn", "ScheduleRoleArn"]
            .map(parameter)
            .into_iter()
            .collect(),
        resources: entries.iter().flat_map(Entry::resources).collect(),
    }
}

impl Entry<'_> {
    fn with_remarks(&self) -> EntryRemarks {
        EntryRemarks {
            job_id: self.job.job_id.clone(),
            entry: self.standing.entry,
            what: self.standing.planned.map(describe).unwrap_or_default(),
            resources: self.resources().keys().cloned().collect(),
            remarks: self.remarks(),
        }
    }

    fn remarks(&self) -> Vec<String> {
        let mut remarks = self.native.remarks.clone();
        if self.native.schedules.is_empty() {
            remarks.insert(0, "no schedule can express it".to_owned());
        } else if !self.starts() {
            remarks.extend(self.standing.silence().map(|why| format!("its schedule is disabled: {why}")));
        }
        if self.native.schedules.len() > 1
            && self.standing.planned.is_some_and(|planned| planned.spec.crontab.is_some())
        {
            remarks.push("several schedules together: where two name one time, it is one run".to_owned());
        }
        remarks
    }

    /// Whether the entry starts anything now.
    fn starts(&self) -> bool {
        self.standing.word() == "active"
    }

    fn resources(&self) -> Map<String, Value> {
        let schedules = self.native.schedules.iter().enumerate();
        schedules.map(|(number, schedule)| (self.name(number), self.resource(schedule))).collect()
    }

    /// The name of a resource: letters and digits alone, so it also has a digest.
    fn name(&self, number: usize) -> String {
        let id = self.job.job_id.as_str();
        let words: String = id.chars().filter(char::is_ascii_alphanumeric).take(MAX_NAME).collect();
        let digest = Uuid::new_v5(&Uuid::NAMESPACE_OID, id.as_bytes()).simple().to_string();
        let part = if number == 0 { String::new() } else { format!("P{number}") };
        format!("Job{words}{}E{}{part}", &digest[..8], self.standing.entry)
    }

    fn resource(&self, schedule: &Expression) -> Value {
        let mut properties = json!({
            "GroupName": { "Ref": "ScheduleGroup" },
            "ScheduleExpression": schedule.expression,
            "ScheduleExpressionTimezone": schedule.zone,
            "FlexibleTimeWindow": { "Mode": "OFF" },
            "State": if self.starts() { "ENABLED" } else { "DISABLED" },
            "Target": {
                "Arn": { "Ref": "DispatcherArn" },
                "RoleArn": { "Ref": "ScheduleRoleArn" },
                "Input": self.input().to_string(),
            },
        });
        for (name, at) in [("StartDate", schedule.start), ("EndDate", schedule.end)] {
            if let Some(at) = at {
                properties[name] = utc(at).into();
            }
        }
        json!({ "Type": "AWS::Scheduler::Schedule", "Properties": properties })
    }

    /// The request that the dispatcher gets: with the same globals and parameters as the clock gives, so that the key is the same.
    fn input(&self) -> Value {
        let mut input = json!({ "job_id": self.job.job_id, "scheduled_at": SCHEDULED_TIME });
        if let Some(planned) = self.standing.planned {
            for (name, given) in
                [("globals", &planned.spec.globals), ("parameters", &planned.spec.parameters)]
            {
                if let Some(given) = given {
                    input[name] = Value::Object(given.clone());
                }
            }
        }
        input
    }
}
