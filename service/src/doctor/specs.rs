//! Checks of what people put: job specs, connections and the secrets that they name.

use futures_util::stream::{self, StreamExt};
use pumice_core::connection::{Connections, Secrets};
use pumice_core::ids::{ConnId, JobId};
use pumice_core::text::{counted, shown};

use super::{Check, few};
use crate::failure::Error;
use crate::realm::Realm;
use crate::specs::{CheckSpecs, Document, Documents, check};

/// Most jobs that are looked at.
const MAX_JOBS: usize = 20_000;
/// Most jobs that are read at once.
const PAGE: usize = 500;
/// Most connections that are looked at: each may cost a look at several secrets.
const MAX_CONNECTIONS: usize = 50;
/// How many are looked at at once.
const AT_ONCE: usize = 8;

/// Whether the specs of jobs can be run, and still pass the checks of this version.
pub(super) async fn jobs(realm: &dyn Realm) -> Result<Check, Error> {
    const NAME: &str = "job specs";
    let mut documents = realm.catalog().all_jobs().await?;
    documents.truncate(MAX_JOBS);
    let ids: Vec<JobId> = documents.iter().map(|(id, _)| id.clone()).collect();
    let mut invalid = Vec::new();
    for page in ids.chunks(PAGE) {
        let found = realm.jobs().jobs(page).await?;
        let broken = page.iter().zip(found).filter(|(_, job)| matches!(job, Some(Err(_))));
        invalid.extend(broken.map(|(id, _)| id.to_string()));
    }
    if let Some(first) = invalid.first() {
        let says = format!("jobs have invalid specs and cannot run: {}", few(&invalid));
        return Ok(Check::fault(NAME, says).fix(["jobs", "show", first]));
    }
    let of = |(id, document): (JobId, _)| Document {
        file: format!("job {}", shown(id.as_str())),
        path: String::new(),
        allowed: Vec::new(),
        document: serde_json::Value::Object(document),
    };
    let specs = Documents { documents: documents.into_iter().map(of).collect(), ..Documents::default() };
    Ok(match check(realm, CheckSpecs { specs, strict: false }).await {
        Ok(checked) if checked.warnings.is_empty() => {
            Check::ok(NAME, format!("{} can run", counted(ids.len(), "job")))
        }
        Ok(checked) => Check::ok(
            NAME,
            format!("{} can run; warnings of `check`: {}", counted(ids.len(), "job"), checked.warnings.len()),
        ),
        Err(error) if error.kind().is_of_request() => {
            let mut lines = error.message().lines();
            let first = lines.next().unwrap_or_default().to_owned();
            let more = lines.count();
            let rest = if more > 0 { format!(" (and {more} more lines)") } else { String::new() };
            Check::warning(
                NAME,
                format!("specs run, but would not be applied again as they are: {first}{rest}"),
            )
        }
        Err(error) => return Err(error),
    })
}

/// Whether connections are valid, and their secrets are there. Nothing is connected to.
pub(super) async fn connections(realm: &dyn Realm) -> Result<Check, Error> {
    const NAME: &str = "connections";
    let site = realm.site().await?;
    let all = realm.connections().all_connections().await?;
    let is_on = |doc: &pumice_core::ports::Doc| {
        doc.get("enabled").and_then(serde_json::Value::as_bool).unwrap_or(true)
    };
    let ids: Vec<ConnId> =
        all.iter().filter(|(_, doc)| is_on(doc)).map(|(id, _)| id.clone()).take(MAX_CONNECTIONS).collect();
    let count = ids.len();
    let looked = ids.into_iter().map(|id| opened(realm, &*site.ports.secrets, id));
    let looked: Vec<Option<(String, String)>> = stream::iter(looked).buffered(AT_ONCE).collect().await;
    let bad: Vec<(String, String)> = looked.into_iter().flatten().collect();
    Ok(match bad.first() {
        None => Check::ok(NAME, format!("{} have what they name", counted(count, "connection"))),
        Some((id, why)) => {
            let names: Vec<String> = bad.iter().map(|(id, _)| id.clone()).collect();
            let says = format!("connections cannot be used: {}; {}: {why}", few(&names), shown(id));
            Check::fault(NAME, says).fix(["connections", "test", id])
        }
    })
}

/// Why a connection cannot be used, with its id.
async fn opened(realm: &dyn Realm, secrets: &dyn Secrets, id: ConnId) -> Option<(String, String)> {
    let connections = Connections { store: realm.connections(), secrets };
    connections.open(&id).await.err().map(|error| (id.to_string(), error.to_string()))
}
