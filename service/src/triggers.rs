//! `triggers`: lists, shows, tries and deletes what starts jobs for objects.

use pumice_core::duration::Span;
use pumice_core::filter::{ItemWord, Items};
use pumice_core::glob::matches;
use pumice_core::ids::TriggerId;
use pumice_core::ports::{Doc, DocumentChange};
use pumice_core::problem::did_you_mean;
use pumice_core::request::{DispatchRequest, When};
use pumice_core::spec::take_mark;
use pumice_core::text::quoted;
use pumice_core::trigger::{MAX_KEY_BYTES, ObjectEvent, TriggerVerdict, TriggeredStart, assess};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::audit::Act;
use crate::failure::Error;
use crate::if_match::{IfMatch, about_one, delete_if};
use crate::listed::{asked, enabled, in_use, text};
use crate::realm::Realm;

/// Which triggers to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListTriggers {
    /// Only triggers whose id matches: `*` any text, `?` one character.
    #[serde(default)]
    pub pattern: Option<String>,
    /// Only triggers of this bucket.
    #[serde(default)]
    pub bucket: Option<String>,
    /// Only triggers that these terms mean: `id:`, `type:`, `bucket:`, `job:`, `status:`.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

/// Triggers, as they are stored.
struct Triggers;

impl Items for Triggers {
    type Item = Doc;
    const NAME: &'static str = "triggers";
    const WORDS: &'static [ItemWord<Doc>] = &[
        ItemWord::pattern("id", |trigger| vec![id_of(trigger)]),
        ItemWord::one_of(
            "type",
            || vec!["object", "http"],
            // A trigger without a type is of objects.
            |trigger| vec![trigger.get("type").map_or("object", |kind| kind.as_str().unwrap_or_default())],
        ),
        ItemWord::pattern("bucket", |trigger| text(trigger, "bucket")),
        ItemWord::pattern("job", |trigger| match trigger.get("job_id") {
            Some(Value::Array(jobs)) => jobs.iter().filter_map(Value::as_str).collect(),
            one => one.and_then(Value::as_str).into_iter().collect(),
        }),
        ItemWord::one_of("status", in_use, |trigger| {
            vec![enabled(trigger.get("enabled").and_then(Value::as_bool).unwrap_or(false))]
        }),
    ];
}

/// Triggers, by id, as they are stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct TriggerList {
    /// Their documents.
    pub triggers: Vec<Doc>,
    /// How many the realm has.
    #[serde(skip)]
    pub all: usize,
}

/// One trigger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TriggerName {
    /// Its id.
    #[serde(deserialize_with = "TriggerId::deserialize_stored")]
    pub trigger: TriggerId,
}

/// Which triggers to delete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteTriggers {
    /// The triggers, by id.
    pub triggers: Vec<String>,
    /// The state of the one trigger that is meant: refused when it is another by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_match: Option<IfMatch>,
    /// Show what would be deleted, and delete nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// The outcome for the triggers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeletedTriggers {
    /// Each that was named.
    pub triggers: Vec<DeletedTrigger>,
    /// Whether nothing was deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// A trigger that was to be deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeletedTrigger {
    /// Its id, as it was given.
    pub trigger_id: String,
    /// Whether it was there.
    pub deleted: bool,
}

/// An object to try triggers with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestTriggers {
    /// The bucket.
    pub bucket: String,
    /// The object's key, as it is.
    pub key: String,
    /// Its size in bytes.
    #[serde(default)]
    pub size: u64,
    /// The event; default: `ObjectCreated:Put`.
    #[serde(default)]
    pub event_type: Option<String>,
}

/// The requests that a bucket's triggers would make for an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TestedTriggers {
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The prefixes that were looked for, in their order.
    pub levels: Vec<String>,
    /// The one that triggers were found under: theirs alone are used.
    pub level: Option<String>,
    /// The triggers found there.
    pub triggers: Vec<TestedTrigger>,
    /// The bucket's other triggers, with the reason why they are not used.
    pub others: Vec<TestedTrigger>,
    /// Why nothing is started whatever the triggers say: the realm in a folder has no such bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The requests that a trigger would make for an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TestedTrigger {
    /// Its id.
    pub trigger_id: String,
    /// Whether it is for the object.
    pub fits: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// Why it cannot be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The requests that it would make.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<TestedRequest>,
}

/// A request that a trigger would make.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TestedRequest {
    /// The job.
    pub job_id: String,
    /// How long the run waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Span>,
    /// Globals over the job's own.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub globals: Map<String, Value>,
    /// Parameters over the job's own.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Value>,
    /// Why the job would not be started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

fn id_of(doc: &Doc) -> &str {
    doc.get("trigger_id").and_then(Value::as_str).unwrap_or_default()
}

/// Lists triggers.
///
/// # Errors
/// [`Error`] when the terms are invalid, or the store cannot be read.
pub async fn list(realm: &dyn Realm, request: &ListTriggers) -> Result<TriggerList, Error> {
    let meant = asked::<Triggers>(realm, request.filter.as_deref(), None).await?;
    let mut triggers = realm.triggers().all_triggers().await?;
    for trigger in &mut triggers {
        take_mark(trigger);
    }
    let all = triggers.len();
    triggers.retain(|doc| {
        let is_asked = request.pattern.as_deref().is_none_or(|pattern| matches(pattern, id_of(doc)));
        is_asked
            && meant.takes(doc)
            && request.bucket.as_ref().is_none_or(|bucket| doc.get("bucket").is_some_and(|it| it == bucket))
    });
    Ok(TriggerList { triggers, all })
}

/// A trigger as it is stored.
///
/// # Errors
/// [`Error`] when there is no such trigger, or the store cannot be read.
pub async fn show(realm: &dyn Realm, request: &TriggerName) -> Result<Doc, Error> {
    let all = realm.triggers().all_triggers().await?;
    let wanted = request.trigger.as_str();
    if let Some(found) = all.iter().find(|doc| id_of(doc) == wanted) {
        let mut found = found.clone();
        take_mark(&mut found);
        return Ok(found);
    }
    let hint = did_you_mean(wanted, all.iter().map(id_of)).map(|hint| format!(" ({hint})"));
    Err(Error::not_found(format!("no such trigger {}{}", quoted(wanted), hint.unwrap_or_default())))
}

/// Deletes triggers.
///
/// # Errors
/// [`Error`] when the store cannot be reached.
pub async fn delete(realm: &dyn Realm, request: &DeleteTriggers) -> Result<DeletedTriggers, Error> {
    let act = Act::new("triggers delete", request).on("trigger", &request.triggers).dry(request.dry_run);
    let work = async {
        let deleted = deleting(realm, request, &act).await?;
        act.refuse_without(deleted.triggers.iter().map(|trigger| trigger.deleted), "no such trigger");
        Ok(deleted)
    };
    act.record(realm, work).await
}

async fn deleting(realm: &dyn Realm, request: &DeleteTriggers, act: &Act) -> Result<DeletedTriggers, Error> {
    if let Some(if_match) = &request.if_match {
        return deleting_one(realm, request, if_match, act).await;
    }
    // A policy may allow to delete triggers and not to list them.
    let before = realm.triggers().all_triggers().await.unwrap_or_default();
    let ids: Vec<Option<TriggerId>> =
        request.triggers.iter().map(|text| TriggerId::stored(text).ok()).collect();
    let known = ids.iter().flatten().cloned().collect();
    let known: Vec<TriggerId> = known;
    let mut deleted = match request.dry_run {
        true => known.iter().map(|id| before.iter().any(|doc| id_of(doc) == id.as_str())).collect(),
        false => realm.triggers().delete_triggers(known).await?,
    }
    .into_iter();
    for trigger in &before {
        let id = trigger.get("trigger_id").and_then(serde_json::Value::as_str).unwrap_or_default();
        if request.triggers.iter().any(|asked| asked == id) {
            act.changed("trigger", id, Some(trigger), None);
        }
    }
    let deleted = request.triggers.iter().zip(ids).map(|(text, id)| DeletedTrigger {
        trigger_id: text.clone(),
        deleted: id.is_some() && deleted.next().unwrap_or(false),
    });
    Ok(DeletedTriggers { triggers: deleted.collect(), dry_run: request.dry_run })
}

/// Deletes the one trigger that is named, if it is as it is meant.
async fn deleting_one(
    realm: &dyn Realm,
    request: &DeleteTriggers,
    if_match: &IfMatch,
    act: &Act,
) -> Result<DeletedTriggers, Error> {
    let [asked] = request.triggers.as_slice() else { return Err(about_one()) };
    let all = realm.triggers().all_triggers().await?;
    let before = all.iter().find(|doc| id_of(doc) == asked);
    let id = TriggerId::stored(asked).ok();
    let change = id.filter(|_| before.is_some()).map(DocumentChange::DeleteTrigger);
    let about = format!("trigger {}", quoted(asked));
    delete_if(realm, (&about, if_match), change, before, request.dry_run).await?;
    act.changed("trigger", asked.as_str(), before, None);
    let triggers = vec![DeletedTrigger { trigger_id: asked.clone(), deleted: true }];
    Ok(DeletedTriggers { triggers, dry_run: request.dry_run })
}

/// Says which triggers an object would fit, what they would ask, and why the others are not for it. Nothing is started. The
/// function that decides is the one that decides about events.
///
/// # Errors
/// [`Error`] when the key is too long, or the store cannot be read.
pub async fn test(realm: &dyn Realm, request: &TestTriggers) -> Result<TestedTriggers, Error> {
    if request.key.is_empty() || request.key.len() > MAX_KEY_BYTES {
        return Err(Error::invalid(format!(
            "a key has 1 to {MAX_KEY_BYTES} bytes, not {}",
            request.key.len()
        )));
    }
    let triggers = realm.triggers().of_bucket(&request.bucket).await?;
    let (event, note) = event_of(realm, request).await?;
    let zone = realm.site().await?.zone;
    let assessment = assess(&triggers, &event, realm.registry().renderer(), zone);
    let mut tested = Vec::new();
    for assessed in assessment.found {
        tested.push(tested_trigger(realm, assessed.trigger_id, assessed.verdict).await?);
    }
    let levels = assessment.levels;
    let level = assessment.level.as_deref();
    let other = |(trigger_id, prefix): (String, String)| TestedTrigger {
        trigger_id,
        fits: false,
        reasons: vec![why_unused(&prefix, &levels, level)],
        error: None,
        requests: Vec::new(),
    };
    let others = assessment.others.into_iter().map(other).collect();
    let (bucket, key) = (request.bucket.clone(), request.key.clone());
    Ok(TestedTriggers {
        bucket,
        key,
        level: level.map(str::to_owned),
        levels,
        triggers: tested,
        others,
        note,
    })
}

/// Why a trigger under another prefix is not used.
fn why_unused(prefix: &str, levels: &[String], level: Option<&str>) -> String {
    match level {
        Some(level) if levels.iter().any(|known| known == prefix) => {
            format!(
                "its prefix {} is not looked at: there are triggers under {}",
                quoted(prefix),
                quoted(level)
            )
        }
        _ => format!("the key is not below its prefix {}", quoted(prefix)),
    }
}

/// The event that is assumed, and why it could not come.
async fn event_of(realm: &dyn Realm, request: &TestTriggers) -> Result<(ObjectEvent, Option<String>), Error> {
    let event_type = request.event_type.clone().unwrap_or_else(|| "ObjectCreated:Put".to_owned());
    let mut note = None;
    let location = match realm.is_aws() {
        true => format!("s3://{}/{}", request.bucket, request.key),
        false => {
            let definition = realm.jobs().realm().await?;
            let folders = definition.fields.buckets.as_ref();
            let folder = folders.and_then(|folders| folders.get(&request.bucket));
            if folder.is_none() {
                let bucket = quoted(&request.bucket);
                note =
                    Some(format!("the realm's buckets have no folder for {bucket}: no object comes there"));
            }
            let folder = folder.map_or(request.bucket.as_str(), String::as_str);
            realm.site().await?.ports.objects.located(&format!("{folder}/{}", request.key))
        }
    };
    let event = ObjectEvent {
        bucket: request.bucket.clone(),
        key: request.key.clone(),
        size: Some(request.size),
        raw: json!({ "eventName": event_type, "s3": {
            "bucket": { "name": request.bucket }, "object": { "key": request.key, "size": request.size } } }),
        event_type,
        time: Some(realm.now()),
        source_ip: None,
        aws_region: None,
        version: None,
        mark: "test".to_owned(),
        location,
    };
    Ok((event, note))
}

async fn tested_trigger(
    realm: &dyn Realm,
    trigger_id: String,
    verdict: TriggerVerdict,
) -> Result<TestedTrigger, Error> {
    let mut tested =
        TestedTrigger { trigger_id, fits: false, reasons: Vec::new(), error: None, requests: Vec::new() };
    match verdict {
        TriggerVerdict::Unfit(reasons) => tested.reasons = reasons,
        TriggerVerdict::Failed(error) => tested.error = Some(error),
        TriggerVerdict::Fits(_, starts) => {
            tested.fits = true;
            for start in starts {
                tested.requests.push(tested_request(realm, start).await?);
            }
        }
    }
    Ok(tested)
}

async fn tested_request(realm: &dyn Realm, start: TriggeredStart) -> Result<TestedRequest, Error> {
    let TriggeredStart { job_id, request } = start;
    let request = match request {
        Ok(request) => request,
        Err(error) => {
            let (globals, parameters) = (Map::new(), Map::new());
            return Ok(TestedRequest { job_id, delay: None, globals, parameters, error: Some(error.into()) });
        }
    };
    let job = realm.jobs().jobs(std::slice::from_ref(&request.job_id)).await?.pop().flatten();
    let error = match job {
        None => Some(crate::realm::no_such_job(realm.jobs(), &request.job_id).await?.message().to_owned()),
        Some(Err(error)) => Some(format!("the spec of the job is invalid: {error}")),
        Some(Ok(job)) if job.fields.enabled == pumice_core::spec::Enabled::Static(false) => {
            Some("the job is not enabled: its run is skipped".to_owned())
        }
        Some(Ok(_)) => None,
    };
    let DispatchRequest { globals, parameters, when, .. } = request;
    let delay = match when {
        When::After(delay) => Some(delay),
        When::Now | When::At(_) => None,
    };
    Ok(TestedRequest { job_id, delay, globals, parameters, error })
}
