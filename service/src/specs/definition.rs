//! `realm show`: the realm's definition, and where it stands.

use pumice_core::ids::RealmName;
use pumice_core::ports::Doc;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::failure::Error;
use crate::realm::Realm;

/// Which realm to show: the one that is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShowRealm {}

/// A realm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RealmShown {
    /// Its name.
    pub realm: RealmName,
    /// The zone of times that name none.
    pub zone: String,
    /// Whether it is on AWS.
    pub is_aws: bool,
    /// Whether a process runs its jobs; null where that cannot be known.
    pub is_served: Option<bool>,
    /// Its definition as it is stored; null when it has none.
    pub definition: Option<Doc>,
}

/// Shows a realm.
///
/// # Errors
/// [`Error`] when its definition cannot be read.
pub async fn show_realm(realm: &dyn Realm, _: &ShowRealm) -> Result<RealmShown, Error> {
    Ok(RealmShown {
        realm: realm.name().clone(),
        zone: realm.site().await?.zone.tz().name().to_owned(),
        is_aws: realm.is_aws(),
        is_served: realm.is_served(),
        definition: realm.catalog().realm_document().await?,
    })
}
