//! `audit list|show`: acts with their actor, time and origin.

use chrono::TimeDelta;
use pumice_core::audit::{ActOutcome, AuditEntry, AuditId, DocumentChange, Origin, Target};
use pumice_core::filter::AuditFilter;
use pumice_core::ports::AuditQuery;
use pumice_core::spec::Timezone;
use pumice_core::text::quoted;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::act::changed_only;
use crate::failure::Error;
use crate::realm::Realm;
use crate::time::Instant;

/// The limit of a list that names none.
pub const USUAL_LIMIT: usize = 50;
/// Most entries of a list.
const MAX_LIMIT: usize = 1_000;
/// How many entries are read at once.
const PAGE: usize = 200;
/// Most entries that one list looks at.
const MAX_LOOKED: usize = 20_000;
/// How far the clocks of writers of entries may be ahead.
const AHEAD: TimeDelta = TimeDelta::days(1);
/// How far back entries are looked for where no time is asked for.
const BACK: TimeDelta = TimeDelta::days(3_660);
/// Most entries to be named that begin as an id does.
const MAX_NAMED: usize = 5;

/// Which entries to list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListAudit {
    /// Only entries that these terms mean, as `who:ada act:"jobs *" what:etl/* since:2d from:console outcome:refused`.
    #[serde(default, rename = "where")]
    pub filter: Option<String>,
    /// The zone of times in it that name none, in place of the realm's.
    #[serde(default)]
    pub zone: Option<Timezone>,
    /// Where an earlier list ended, as it says with `next`.
    #[serde(default)]
    pub cursor: Option<String>,
    /// At most so many.
    #[serde(default = "usual_limit")]
    pub limit: usize,
    /// With requests, responses and changes.
    #[serde(default)]
    pub details: bool,
}

const fn usual_limit() -> usize {
    USUAL_LIMIT
}

impl Default for ListAudit {
    fn default() -> Self {
        Self { filter: None, zone: None, cursor: None, limit: USUAL_LIMIT, details: false }
    }
}

/// Entries, the newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuditList {
    /// The entries.
    pub entries: Vec<AuditShown>,
    /// The cursor with which the list goes on; null when it is complete.
    pub next: Option<String>,
    /// How many entries were looked at.
    pub looked_at: usize,
    /// Whether the list ends because so many entries were looked at: there may be more.
    pub is_cut: bool,
    /// How many of the entries do not name all that they are about, and may not be about what is asked for.
    #[serde(default)]
    pub unsure: usize,
}

/// Which entry to show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShowAudit {
    /// Its id, or the beginning of it: 13 characters or more.
    pub entry: String,
}

/// An entry of the audit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuditShown {
    /// Its id.
    pub id: String,
    /// When it began.
    pub at: Instant,
    /// The actor: a user's name, a login of the console, an ARN of AWS.
    pub who: String,
    /// By which way.
    pub from: Origin,
    /// From which machine, where that is known.
    pub host: Option<String>,
    /// What: the words of the command.
    pub act: String,
    /// To what.
    pub what: Vec<Target>,
    /// To how many more things, which are not named.
    #[serde(default)]
    pub unnamed: u64,
    /// Its outcome.
    pub outcome: ActOutcome,
    /// Why it was refused or failed.
    pub error: Option<String>,
    /// When it was over.
    pub ended: Option<Instant>,
    /// The request; secrets are masked, and what is long is left out.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub asked: Value,
    /// The places of documents that were changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<DocumentChange>,
    /// The response. Of `apply` without the documents that stayed as they were, whose number is in `unchanged`.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub answer: Value,
}

impl AuditShown {
    fn of(entry: AuditEntry, details: bool) -> Self {
        let AuditEntry {
            id,
            at,
            who,
            from,
            host,
            act,
            what,
            unnamed,
            asked,
            changes,
            outcome,
            answer,
            error,
            ended,
            ..
        } = entry;
        let (asked, changes, answer) =
            if details { (asked, changes, answer) } else { (Value::Null, Vec::new(), Value::Null) };
        // One of an earlier version has all of it.
        let answer = changed_only(&act, answer);
        let (id, at, ended) = (id.to_string(), Instant(at), ended.map(Instant));
        Self { id, at, who, from, host, act, what, unnamed, outcome, error, ended, asked, changes, answer }
    }
}

/// Lists entries of the audit, the newest first.
///
/// # Errors
/// [`Error`] when the filter is invalid, no entry can match, or the store cannot be read.
pub async fn list(realm: &dyn Realm, request: &ListAudit) -> Result<AuditList, Error> {
    let text = request.filter.as_deref().unwrap_or_default();
    let filter = AuditFilter::parse(text).map_err(|error| Error::invalid(format!("where: {error}")))?;
    if request.limit == 0 || request.limit > MAX_LIMIT {
        return Err(Error::invalid(format!("limit: {} is not from 1 to {MAX_LIMIT}", request.limit)));
    }
    let zone = match request.zone {
        Some(zone) => zone.0,
        None if filter.asks_for_zone() => realm.site().await?.zone.tz(),
        None => chrono_tz::UTC,
    };
    let now = realm.now();
    let (since, until) = filter.times(now, zone).map_err(|error| Error::invalid(error.to_string()))?;
    let first = AuditId::first_at(since.unwrap_or(now - BACK));
    let mut last = AuditId::first_at(until.unwrap_or(now + AHEAD)).before();
    if let Some(cursor) = &request.cursor {
        let bad = |_| Error::invalid(format!("cursor: {} is not one that a list gave", quoted(cursor)));
        last = last.min(cursor.parse::<AuditId>().map_err(bad)?.before());
    }
    let mut found = AuditList { entries: Vec::new(), next: None, looked_at: 0, is_cut: false, unsure: 0 };
    loop {
        let page = realm.audit().entries(&AuditQuery { first, last, limit: PAGE }).await?;
        let is_last = page.len() < PAGE;
        for entry in page {
            if found.entries.len() == request.limit {
                found.next = Some(last.to_string());
                return Ok(found);
            }
            found.looked_at += 1;
            last = entry.id;
            // The cursor names the last entry that was looked at; its time bounds it as well.
            if filter.holds(&entry) && since.is_none_or(|since| entry.at >= since) {
                found.unsure += usize::from(filter.is_unsure(&entry));
                found.entries.push(AuditShown::of(entry, request.details));
            }
        }
        if is_last {
            return Ok(found);
        }
        if found.looked_at >= MAX_LOOKED {
            (found.next, found.is_cut) = (Some(last.to_string()), true);
            return Ok(found);
        }
        last = last.before();
    }
}

/// Shows an entry of the audit, with its request, its response and what it changed.
///
/// # Errors
/// [`Error`] when there is no such entry, several begin so, or the store cannot be read.
pub async fn show(realm: &dyn Realm, request: &ShowAudit) -> Result<AuditShown, Error> {
    let text = quoted(&request.entry);
    let bad = || {
        let least = AuditId::SHORT;
        Error::invalid(format!(
            "{text} is not the id of an entry, nor {least} or more characters of its beginning"
        ))
    };
    let (first, last) = AuditId::beginning_with(&request.entry).ok_or_else(bad)?;
    let mut found = realm.audit().entries(&AuditQuery { first, last, limit: MAX_NAMED }).await?;
    match found.len() {
        0 => Err(Error::not_found(format!("no entry of the audit has the id {text}"))),
        1 => Ok(AuditShown::of(found.remove(0), true)),
        _ => {
            let ids: Vec<String> = found.iter().map(|entry| entry.id.to_string()).collect();
            Err(Error::invalid(format!("{text} is the beginning of several ids: {}", ids.join(", "))))
        }
    }
}
