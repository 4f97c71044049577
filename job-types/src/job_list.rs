//! A list of job ids, as payloads give it.

use pumice_core::ids::{BadName, JobId};
use pumice_core::job_type::PATTERN;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;

/// Job ids: a list of them, or a text in which commas stand between them (lava guide, Job type: chain).
#[derive(Clone, Debug, PartialEq)]
pub struct JobIds(pub Vec<String>);

impl<'de> Deserialize<'de> for JobIds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ids = match Value::deserialize(deserializer)? {
            Value::String(text) => text.split(',').map(|id| id.trim().to_owned()).collect(),
            Value::Array(items) => items
                .into_iter()
                .map(|item| {
                    item.as_str().map(str::to_owned).ok_or_else(|| de::Error::custom("expected job ids"))
                })
                .collect::<Result<Vec<_>, _>>()?,
            _ => {
                return Err(de::Error::custom(
                    "expected a list of job ids, or a text with commas between them",
                ));
            }
        };
        Ok(Self(ids))
    }
}

impl JsonSchema for JobIds {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "JobIds".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Job ids: a list, or a text with commas between them.",
            "anyOf": [
                { "type": "string", "minLength": 1 },
                { "type": "array", "items": { "type": "string", "minLength": 1 } }
            ]
        })
    }
}

/// A list that names no jobs, or what cannot be one.
#[derive(Debug, thiserror::Error)]
pub enum BadJobList {
    /// The list has no jobs.
    #[error("the list of jobs is empty")]
    Empty,
    /// One is not a job id.
    #[error(transparent)]
    NotAnId(#[from] BadName),
}

impl JobIds {
    /// The ids with a prefix before each.
    ///
    /// # Errors
    /// [`BadJobList`] naming the first that is not a job id, or for an empty list.
    pub fn prefixed(&self, prefix: Option<&str>) -> Result<Vec<JobId>, BadJobList> {
        if self.0.is_empty() {
            return Err(BadJobList::Empty);
        }
        let prefix = prefix.unwrap_or_default();
        self.0.iter().map(|id| Ok(JobId::new(format!("{prefix}{id}"))?)).collect()
    }
}

/// A pattern or a list of patterns, over job ids or keys of objects. Jobs are warned of templates in them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Globs(pub Vec<String>);

impl<'de> Deserialize<'de> for Globs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(glob) => Ok(Self(vec![glob])),
            list => Vec::deserialize(list).map(Self).map_err(de::Error::custom),
        }
    }
}

impl JsonSchema for Globs {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Globs".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A pattern, or a list of them: * any text, ? one character, [seq] one of a set.",
            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }],
            (PATTERN): true
        })
    }
}
