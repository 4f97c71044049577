//! Warnings about the workers that jobs name, on AWS: each has a queue of its own, and perhaps hosts.

use pumice_core::spec::RealmSpec;

use super::nodes::without_hosts;
use super::queues::without_queues;
use super::{Specs, Warning};
use crate::failure::Error;
use crate::realm::Realm;

/// Warnings about jobs whose worker is not there, by the definition that is given or else the stored one. None in a
/// folder, where one process is every worker, and none for a realm that has no definition yet.
///
/// # Errors
/// [`Error`] when the store cannot be reached.
pub async fn without_workers(
    realm: &dyn Realm,
    specs: &Specs,
    stored: Option<&RealmSpec>,
) -> Result<Vec<Warning>, Error> {
    let (true, Some(definition)) = (realm.is_aws(), stored) else { return Ok(Vec::new()) };
    let definition = specs.realm.as_ref().unwrap_or(definition);
    let mut warnings = without_hosts(realm, specs, definition).await?;
    warnings.extend(without_queues(realm, specs, definition).await?);
    Ok(warnings)
}
