//! `schedules export`: CloudFormation with schedules of EventBridge Scheduler, which invoke the dispatcher for the same slots:
//! both together make one run.

use std::fmt::Write as _;

use pumice_core::clock::{Expression, Native, Standing, describe, native, standings, utc};
use pumice_core::text::escaped;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Scheduled, Which, find};
use crate::args::{Format, Global};
use crate::failure::Failure;
use crate::output::{note, print, write_raw, yaml};
use crate::realm::Realm;

/// Most resources of a template (AWS CloudFormation quotas).
const MAX_RESOURCES: usize = 500;
/// What Scheduler puts in the place of this is the time that a start is for.
const SCHEDULED_TIME: &str = "<aws.scheduler.scheduled-time>";
/// Most characters of a job's id in the name of a resource.
const MAX_NAME: usize = 40;

/// An entry with its resources.
struct Entry<'a> {
    job: &'a Scheduled,
    standing: Standing<'a>,
    native: Native,
}

/// Prints the template.
pub(super) async fn export(global: &Global, realm: &Realm, pattern: Option<&str>) -> Result<(), Failure> {
    let found = find(realm, Which::Matching(pattern)).await?;
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
    if global.output == Format::Json {
        let mut template = head(realm);
        let resources = entries.iter().flat_map(Entry::resources).collect();
        template.insert("Resources".to_owned(), Value::Object(resources));
        print(Format::Json, &Value::Object(template), Vec::new)?;
    } else {
        write_raw(&template(realm, &entries)?)?;
    }
    found.warn(global);
    let count: usize = entries.iter().map(|entry| entry.native.schedules.len()).sum();
    let without = entries.iter().filter(|entry| entry.native.schedules.is_empty()).count();
    let mut notes =
        vec![format!("{count} schedules of {} entries; {without} cannot be expressed", entries.len())];
    if count > MAX_RESOURCES {
        notes.push(format!("a template has {MAX_RESOURCES} resources at most: export fewer jobs with --job"));
    }
    note(global, &notes);
    Ok(())
}

/// The parts of the template before its resources.
fn head(realm: &Realm) -> Map<String, Value> {
    let parameter = |about: &str| json!({ "Type": "String", "Description": about });
    let head = json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": format!("Schedules of the Pumice realm {}", realm.name()),
        "Parameters": {
            "ScheduleGroup": parameter("Output ScheduleGroup of the realm"),
            "DispatcherArn": parameter("Output DispatcherArn of the realm"),
            "ScheduleRoleArn": parameter("Output ScheduleRoleArn of the realm"),
        },
    });
    match head {
        Value::Object(head) => head,
        _ => Map::new(),
    }
}

/// The template as YAML, with what is otherwise than in Pumice beside each entry.
fn template(realm: &Realm, entries: &[Entry<'_>]) -> Result<String, Failure> {
    let mut text = yaml(&Value::Object(head(realm)))?;
    let is_empty = entries.iter().all(|entry| entry.native.schedules.is_empty());
    text.push_str(if is_empty { "Resources: {}\n" } else { "Resources:\n" });
    for entry in entries {
        let what =
            entry.standing.planned.map(|planned| format!(": {}", describe(planned))).unwrap_or_default();
        let name = format!("{} entry {}{what}", entry.job.job_id, entry.standing.entry);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "\n  # {}", escaped(&name));
        for remark in &entry.remarks() {
            let _ = writeln!(text, "  # - {}", escaped(remark));
        }
        for (name, resource) in entry.resources() {
            let block = yaml(&json!({ name: resource }))?;
            text.extend(block.lines().map(|line| format!("  {line}\n")));
        }
    }
    Ok(text)
}

impl Entry<'_> {
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

    fn resources(&self) -> Vec<(String, Value)> {
        let schedules = self.native.schedules.iter().enumerate();
        schedules.map(|(number, schedule)| (self.name(number), self.resource(schedule))).collect()
    }

    /// The name of a resource: letters and digits alone, so it has a digest besides.
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

    /// What the dispatcher gets: with the same globals and parameters as the clock gives, so that the key is the same.
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
