//! How many runs run at once: by a key that jobs give, and in pools of the realm.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::number::Whole;
use crate::permits::MAX_PERMITS;

/// How many permits there are: 1 to 1,000.
pub type PermitCount = Whole<1, { MAX_PERMITS as i64 }>;

/// How many runs with the same key run at once.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Concurrency {
    /// A template; default: the job's id. Jobs that give the same key are limited together.
    #[serde(default)]
    pub key: Option<String>,
    /// How many run at once: 1 to 1,000.
    pub max: PermitCount,
}

impl Concurrency {
    /// How many run at once.
    #[must_use]
    pub fn max(&self) -> u32 {
        self.max.as_u32()
    }
}

/// A pool of a realm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// How many runs of it run at once: 1 to 1,000.
    pub size: PermitCount,
}
