//! Records of runs for other programs, page by page.

use pumice_core::ports::{Order, PageCursor, RunPage, RunQuery};
use pumice_core::spec::Timezone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::whole::whole_with_spec;
use super::{RunShown, Viewpoint, asked};
use crate::failure::Error;
use crate::realm::Realm;

/// How many runs a page has that does not say.
pub const EXPORT_PAGE: usize = 200;
/// Most runs of a page.
const MAX_PAGE: usize = 1_000;

/// Which runs to export.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportRuns {
    /// Only runs that these terms mean, as `job:etl/* since:90d`.
    #[serde(default, rename = "where")]
    pub filter: Option<String>,
    /// The zone of times in it that name none, in place of the realm's.
    #[serde(default)]
    pub zone: Option<Timezone>,
    /// Children of chains and the like, too.
    #[serde(default)]
    pub children: bool,
    /// Where the page before ended, as it says with `next`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub cursor: Option<PageCursor>,
    /// At most so many.
    #[serde(default = "usual_page")]
    pub limit: usize,
}

const fn usual_page() -> usize {
    EXPORT_PAGE
}

impl Default for ExportRuns {
    fn default() -> Self {
        Self { filter: None, zone: None, children: false, cursor: None, limit: EXPORT_PAGE }
    }
}

/// A page of runs, the oldest first, each whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExportedRuns {
    /// The runs, with payload, parameters, result and log.
    pub runs: Vec<RunShown>,
    /// The cursor with which the export goes on; null at its end.
    #[schemars(with = "Option<String>")]
    pub next: Option<PageCursor>,
    /// Parts that the store lacked, such as an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Gives the records of runs, the oldest first, a page at a time: of the runs that there were at the first page it misses
/// none and has none twice.
///
/// # Errors
/// [`Error`] when the filter is invalid, no run can match, the limit is too high, or the store cannot be read.
pub async fn export(realm: &dyn Realm, request: &ExportRuns) -> Result<ExportedRuns, Error> {
    if request.limit == 0 || request.limit > MAX_PAGE {
        return Err(Error::invalid(format!("limit: {} is not from 1 to {MAX_PAGE}", request.limit)));
    }
    let filter = asked::parsed(request.filter.as_deref())?;
    let query = asked::query(realm, filter, request.zone, request.children).await?;
    let query =
        RunQuery { order: Order::Oldest, cursor: request.cursor.clone(), limit: request.limit, ..query };
    let RunPage { runs: found, next, note, .. } = realm.runs().page(&query).await?;
    let from = Viewpoint { now: realm.now(), served: realm.is_served() };
    let mut runs = Vec::with_capacity(found.len());
    for run in found {
        // A list leaves out what is large; a record may have expired since.
        if let Some((whole, spec)) = whole_with_spec(realm.runs(), &run.key).await? {
            runs.push(RunShown::of(&whole, Some(&spec), from));
        }
    }
    Ok(ExportedRuns { runs, next, note })
}
