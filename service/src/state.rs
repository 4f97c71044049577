//! State items: small named values that outlive runs.

use pumice_core::duration::Span;
use pumice_core::filter::{ItemWord, Items};
use pumice_core::ids::StateId;
use pumice_core::ports::{StateItem, StateType};
use pumice_core::secret::{MASK, is_marked, remember_marked};
use pumice_core::spec::is_reserved_global;
use pumice_core::text::shown;
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::audit::Act;
use crate::failure::Error;
use crate::if_match::{Current, IfMatch, about_one, changed_to, tag, tag_as};
use crate::listed::asked;
use crate::realm::Realm;
use crate::time::Instant;

/// One item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StateName {
    /// Its id.
    #[serde(deserialize_with = "StateId::deserialize_stored")]
    pub id: StateId,
}

/// An item to put, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PutState {
    /// Its id.
    pub id: StateId,
    /// Its value.
    pub value: Value,
    /// How long it lives; without it as long as the realm says.
    #[serde(default)]
    pub ttl: Option<Span>,
    /// Keep it as it is, instead of as JSON text.
    #[serde(default)]
    pub raw: bool,
    /// Encrypt it.
    #[serde(default)]
    pub secure: bool,
    /// The publisher.
    #[serde(default)]
    pub publisher: Option<String>,
    /// The value that it is meant to replace, by its tag: refused when it is another by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_match: Option<IfMatch>,
    /// Show what is there and what would replace it, and put nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// An item that was put, or would be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PutItem {
    /// Its id.
    pub state_id: StateId,
    /// When it expires.
    pub expires: Instant,
    /// Of a dry run: the item that is there. The value of a secure one is masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<StateShown>,
    /// Of a dry run: the item that would be there. The value of a secure one is masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<StateShown>,
    /// Whether nothing was put.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// Items to delete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteState {
    /// Their ids.
    #[serde(deserialize_with = "stored_ids")]
    pub ids: Vec<StateId>,
    /// The value of the one item that is meant, by its tag: refused when it is another by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_match: Option<IfMatch>,
    /// Show what would be deleted, and delete nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// Ids that may be stored under the rules of an earlier version.
fn stored_ids<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<StateId>, D::Error> {
    let ids = Vec::<String>::deserialize(deserializer)?;
    ids.into_iter().map(StateId::stored).collect::<Result<_, _>>().map_err(D::Error::custom)
}

/// The outcome for the items.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeletedState {
    /// Each item, in the order of the request.
    pub items: Vec<DeletedItem>,
    /// Whether nothing was deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// An item that was to be deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeletedItem {
    /// Its id.
    #[serde(deserialize_with = "StateId::deserialize_stored")]
    pub state_id: StateId,
    /// Whether it was there.
    pub deleted: bool,
}

/// An item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StateShown {
    /// Its id.
    #[serde(deserialize_with = "StateId::deserialize_stored")]
    pub state_id: StateId,
    /// Its form.
    pub r#type: StateType,
    /// Its value.
    pub value: Value,
    /// The publisher.
    pub publisher: Option<String>,
    /// When it was put.
    pub timestamp: Instant,
    /// When it expires.
    pub expires: Instant,
}

impl From<StateItem> for StateShown {
    fn from(item: StateItem) -> Self {
        let StateItem { state_id, r#type, value, publisher, timestamp, expires } = item;
        let (timestamp, expires) = (Instant(timestamp), Instant(expires));
        Self { state_id, r#type, value, publisher, timestamp, expires }
    }
}

/// A value as people see it: masked as a whole where the realm marks the item's id.
#[must_use]
pub fn masked(id: &StateId, value: Value) -> Value {
    if is_marked(id.as_str()) && !value.is_null() { MASK.into() } else { value }
}

/// Has the value of an item masked from now on whose id the realm marks.
fn remember(item: &StateItem) {
    if is_marked(item.state_id.as_str()) {
        remember_marked(&Map::from_iter([(item.state_id.to_string(), item.value.clone())]));
    }
}

/// The tag of an item's value, made as that of anything masked where the realm marks its id.
fn tag_of(item: &StateItem) -> String {
    if is_marked(item.state_id.as_str()) { tag_as(&item.value, true) } else { tag(&item.value) }
}

/// Refuses to go on when the item has another value than the one that is meant.
fn check(if_match: &IfMatch, id: &StateId, there: Option<&StateItem>) -> Result<(), Error> {
    let tag = there.map(tag_of);
    if if_match.takes(tag.as_deref()) { Ok(()) } else { Err(changed(id, there)) }
}

/// The error of a write that was meant for another value.
fn changed(id: &StateId, now: Option<&StateItem>) -> Error {
    let document = now.map(|item| masked(id, item.value.clone()));
    let current = Current { tag: now.map(tag_of), document };
    changed_to(&about(id), current)
}

/// Which items to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListState {
    /// Only items that these terms mean: `id:`, `type:`, `publisher:`, `since:`, `until:`. The time is that at which it was put.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

/// State items.
struct StateItems;

impl Items for StateItems {
    type Item = StateItem;
    const NAME: &'static str = "state items";
    const WORDS: &'static [ItemWord<StateItem>] = &[
        ItemWord::pattern("id", |item| vec![item.state_id.as_str()]),
        ItemWord::one_of("type", || TYPES.to_vec(), |item| vec![type_word(item.r#type)]),
        ItemWord::pattern("publisher", |item| item.publisher.as_deref().into_iter().collect()),
        ItemWord::since(|item| Some(item.timestamp)),
        ItemWord::until(|item| Some(item.timestamp)),
    ];
}

/// The words for the forms of items.
const TYPES: [&str; 3] = ["json", "raw", "secure"];

const fn type_word(form: StateType) -> &'static str {
    let [json, raw, secure] = TYPES;
    match form {
        StateType::Json => json,
        StateType::Raw => raw,
        StateType::Secure => secure,
    }
}

/// The value of an item, which its tag is made of. [`masked`] says how people see it.
///
/// # Errors
/// [`Error`] when there is no such item, or the store cannot be read.
pub async fn get(realm: &dyn Realm, request: &StateName) -> Result<Value, Error> {
    let found = one(realm, &request.id).await?;
    let missing = || Error::not_found(format!("no such state item {}", shown(request.id.as_str())));
    found.map(|item| item.value).ok_or_else(missing)
}

/// The item, of which a dry run shows no secret.
fn without_secret(item: StateItem) -> StateShown {
    let item = StateShown::from(item);
    let is_secret = item.r#type == StateType::Secure;
    let value = if is_secret { MASK.into() } else { masked(&item.state_id, item.value) };
    StateShown { value, ..item }
}

/// Puts an item, whole (lava guide, The State Table).
///
/// # Errors
/// [`Error`] when the id is reserved, or the store cannot be reached.
pub async fn put(realm: &dyn Realm, request: PutState) -> Result<PutItem, Error> {
    let act = Act::new("state put", &request).on("state", [&request.id]).dry(request.dry_run);
    let act = if request.secure || is_marked(request.id.as_str()) { act.without("value") } else { act };
    act.record(realm, putting(realm, request)).await
}

async fn putting(realm: &dyn Realm, request: PutState) -> Result<PutItem, Error> {
    let PutState { id, value, ttl, raw, secure, publisher, if_match, dry_run } = request;
    if is_reserved_global(id.as_str()) {
        return Err(Error::invalid(format!(
            "the state id {} is reserved: ids beginning with lava are the engine's own",
            shown(id.as_str())
        )));
    }
    let settings = &realm.site().await?.settings;
    let ttl = ttl.unwrap_or(settings.state_ttl).min(settings.state_max_ttl);
    let now = realm.now();
    let item = StateItem {
        state_id: id,
        r#type: match (secure, raw) {
            (true, true) => return Err(Error::invalid("a state item is raw or secure, not both")),
            (true, false) => StateType::Secure,
            (false, true) => StateType::Raw,
            (false, false) => StateType::Json,
        },
        value,
        publisher,
        timestamp: now,
        expires: now + ttl.delta(),
    };
    let (state_id, expires) = (item.state_id.clone(), Instant(item.expires));
    if dry_run {
        refuse_unfit(realm, &item)?;
        let before = one(realm, &state_id).await?;
        if let Some(if_match) = &if_match {
            check(if_match, &state_id, before.as_ref())?;
        }
        let (before, after) = (before.map(without_secret), Some(without_secret(item)));
        return Ok(PutItem { state_id, expires, before, after, dry_run });
    }
    match if_match {
        None => realm.state().put(item).await?,
        Some(if_match) => change(realm, &state_id, &if_match, Some(item)).await?,
    }
    Ok(PutItem { state_id, expires, before: None, after: None, dry_run })
}

/// Refuses an item that the store would refuse.
fn refuse_unfit(realm: &dyn Realm, item: &StateItem) -> Result<(), Error> {
    let about = about(&item.state_id);
    match item.r#type {
        StateType::Secure if realm.is_aws() => {
            Err(Error::invalid(format!("{about}: secure items need KMS, which Pumice does not use yet")))
        }
        StateType::Secure => Ok(item.check_secure_size(&item.value.to_string())?),
        StateType::Raw | StateType::Json => Ok(()),
    }
}

/// The item of an id, where there is one.
async fn one(realm: &dyn Realm, id: &StateId) -> Result<Option<StateItem>, Error> {
    Ok(realm.state().get(std::slice::from_ref(id), realm.now()).await?.pop().flatten().inspect(remember))
}

/// The name of an item in messages.
fn about(id: &StateId) -> String {
    format!("state item {}", shown(id.as_str()))
}

/// Puts or removes an item in the store, on the condition that the store has the one that is meant.
async fn change(
    realm: &dyn Realm,
    id: &StateId,
    if_match: &IfMatch,
    after: Option<StateItem>,
) -> Result<(), Error> {
    let Some(before) = one(realm, id).await? else { return Err(changed(id, None)) };
    check(if_match, id, Some(&before))?;
    match realm.catalog().change_state(&before, after).await? {
        true => Ok(()),
        false => Err(changed(id, one(realm, id).await?.as_ref())),
    }
}

/// Lists the items that have not expired, by id.
///
/// # Errors
/// [`Error`] when the terms are invalid, or the store cannot be read.
pub async fn list(realm: &dyn Realm, request: ListState) -> Result<Vec<StateShown>, Error> {
    let meant = asked::<StateItems>(realm, request.filter.as_deref(), None).await?;
    let items = realm.catalog().all_state(realm.now()).await?;
    let shown = items.into_iter().filter(|item| meant.takes(item)).map(|item| {
        remember(&item);
        let shown = StateShown::from(item);
        StateShown { value: masked(&shown.state_id, shown.value), ..shown }
    });
    Ok(shown.collect())
}

/// Deletes items.
///
/// # Errors
/// [`Error`] when the store cannot be reached.
pub async fn delete(realm: &dyn Realm, request: DeleteState) -> Result<DeletedState, Error> {
    let act = Act::new("state delete", &request).on("state", &request.ids).dry(request.dry_run);
    let work = async {
        let deleted = deleting(realm, request).await?;
        act.refuse_without(deleted.items.iter().map(|item| item.deleted), "no such state item");
        Ok(deleted)
    };
    act.record(realm, work).await
}

async fn deleting(realm: &dyn Realm, request: DeleteState) -> Result<DeletedState, Error> {
    if let Some(if_match) = &request.if_match {
        let [id] = request.ids.as_slice() else { return Err(about_one()) };
        match request.dry_run {
            true => {
                check(if_match, id, one(realm, id).await?.as_ref())?;
            }
            false => change(realm, id, if_match, None).await?,
        }
        let items = vec![DeletedItem { state_id: id.clone(), deleted: true }];
        return Ok(DeletedState { items, dry_run: request.dry_run });
    }
    let mut items = Vec::with_capacity(request.ids.len());
    for id in request.ids {
        let deleted = match request.dry_run {
            true => one(realm, &id).await?.is_some(),
            false => realm.catalog().delete_state(id.clone()).await?,
        };
        items.push(DeletedItem { state_id: id, deleted });
    }
    Ok(DeletedState { items, dry_run: request.dry_run })
}
