//! An act, and the entry of the audit that it leaves.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use pumice_core::audit::{
    ActOutcome, AuditEntry, AuditId, DocumentChange, MAX_ANSWER, MAX_ASKED, MAX_ERROR, MAX_NAME, Target,
    kept, kept_changes, kept_targets, kept_text,
};
use pumice_core::ports::Doc;
use pumice_core::secret::{MASK, mark_names, seeming_secrets};
use pumice_core::spec::{RealmSpec, Settings};
use serde::Serialize;
use serde_json::Value;

use crate::failure::Error;
use crate::realm::Realm;

/// An act of a person or a program that may change a realm. [`Act::record`] carries it out between the two writes of its
/// entry; a dry run leaves none.
#[derive(Debug)]
pub struct Act {
    command: &'static str,
    asked: Value,
    is_dry: bool,
    seen: Mutex<Seen>,
}

/// The response of an act. Of `apply` that without the documents which stayed as they were: they are counted.
pub(super) fn changed_only(command: &str, mut answer: Value) -> Value {
    const COUNT: &str = "unchanged";
    let Some(fields) = answer.as_object_mut().filter(|_| command == "apply") else { return answer };
    let stays = |value: &Value| value.get("change").is_some_and(|change| change == "unchanged");
    let mut count = 0_u64;
    for value in fields.values_mut() {
        if let Value::Array(rows) = value {
            let all = rows.len();
            rows.retain(|row| !stays(row));
            count += (all - rows.len()) as u64;
        } else if stays(value) {
            *value = Value::Null;
            count += 1;
        }
    }
    if count > 0 {
        fields.insert(COUNT.to_owned(), count.into());
    }
    answer
}

/// The documents that an act has touched so far.
#[derive(Debug, Default)]
struct Seen {
    targets: Vec<Target>,
    known: HashSet<Target>,
    changes: Vec<DocumentChange>,
    /// Why nothing of it was done, though it has an answer.
    refused: Option<String>,
}

impl Act {
    /// An act of a command, with its request.
    #[must_use]
    pub fn new(command: &'static str, request: &impl Serialize) -> Self {
        // A request that is not JSON is left out; the act goes on all the same.
        let asked = serde_json::to_value(request).unwrap_or_default();
        Self { command, asked, is_dry: false, seen: Mutex::default() }
    }

    /// The same, which leaves no entry where it is only tried.
    #[must_use]
    pub fn dry(mut self, is_dry: bool) -> Self {
        self.is_dry = is_dry;
        self
    }

    /// The same, which touches things of a kind.
    #[must_use]
    pub fn on<N: ToString>(self, kind: &str, names: impl IntoIterator<Item = N>) -> Self {
        names.into_iter().for_each(|name| self.touched(kind, name.to_string()));
        self
    }

    /// The same without the value of a field of its request, which no entry may keep.
    #[must_use]
    pub fn without(mut self, field: &str) -> Self {
        if let Some(value) = self.asked.get_mut(field) {
            *value = MASK.into();
        }
        self
    }

    /// All of it was refused: its answer says so for each part.
    pub fn refuse(&self, why: impl Into<String>) {
        self.seen().refused = Some(why.into());
    }

    /// All of it was refused, where none of its parts was done.
    pub fn refuse_without(&self, mut done: impl Iterator<Item = bool>, why: &str) {
        if !done.any(|is_done| is_done) {
            self.refuse(why);
        }
    }

    /// Something turned out to be touched.
    pub fn touched(&self, kind: &str, name: impl Into<String>) {
        let target = Target::new(kind, name);
        let mut seen = self.seen();
        if seen.known.insert(target.clone()) {
            seen.targets.push(target);
        }
    }

    /// A document was put: each place of it that is not what it was. One that stays as it was is not touched.
    pub fn changed(&self, kind: &str, name: impl Into<String>, before: Option<&Doc>, after: Option<&Doc>) {
        let (of, none) = (Target::new(kind, name), Doc::new());
        let fields = crate::specs::places(before.unwrap_or(&none), after.unwrap_or(&none));
        if fields.is_empty() && before.is_some() == after.is_some() {
            return;
        }
        self.touched(kind, of.name.clone());
        // The entry of an act that marks names and puts values under them must not have these.
        if kind == "realm"
            && !self.is_dry
            && let Some(Ok(realm)) = after.map(|after| RealmSpec::stored(after.clone(), &[]))
        {
            mark_names(&realm.settings.redact);
        }
        let fields = match kind {
            "connection" => {
                crate::connections::masked(fields, before.unwrap_or(&none), after.unwrap_or(&none))
            }
            _ => fields,
        };
        // Of a value that stands next to its name, a change has the value alone.
        let seeming: HashSet<String> =
            [before, after].into_iter().flatten().flat_map(seeming_secrets).collect();
        let is_closed = |field: &str| field.ends_with(".value") && seeming.contains(field);
        let changes = fields.into_iter().map(|one| {
            let closed = |value: Option<Value>| value.map(|_| Value::from(MASK));
            let (before, after) = match is_closed(&one.field) {
                true => (closed(one.before), closed(one.after)),
                false => (one.before, one.after),
            };
            DocumentChange { of: of.clone(), field: one.field, before, after }
        });
        self.seen().changes.extend(changes);
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        // Lists of whole values.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries the act out. Its entry is written before anything of it is, and once it is over.
    ///
    /// # Errors
    /// [`Error`] as the act gives it; or when its entry cannot be begun, in which case nothing is done.
    pub async fn record<A: Serialize>(
        &self,
        realm: &dyn Realm,
        work: impl Future<Output = Result<A, Error>> + Send,
    ) -> Result<A, Error> {
        let Some(entry) = self.begin(realm).await? else { return work.await };
        let outcome = work.await;
        let refused = self.seen().refused.take();
        let (ended, answer) = match &outcome {
            Ok(_) if refused.is_some() => (ActOutcome::Refused, Err(refused.as_deref().unwrap_or_default())),
            Ok(answer) => (ActOutcome::Done, Ok(serde_json::to_value(answer).unwrap_or_default())),
            Err(error) if error.kind().is_of_request() => (ActOutcome::Refused, Err(error.message())),
            Err(error) => (ActOutcome::Failed, Err(error.message())),
        };
        self.end(realm, entry, ended, answer).await;
        outcome
    }

    /// Writes the entry before the act; gives it, unless this is a dry run.
    ///
    /// # Errors
    /// [`Error`] when it cannot be written: the act must not be carried out then.
    pub async fn begin(&self, realm: &dyn Realm) -> Result<Option<AuditEntry>, Error> {
        if self.is_dry {
            return Ok(None);
        }
        let (at, actor) = (realm.now(), realm.actor().await?);
        // A definition that cannot be read may be what this act mends.
        let kept_for =
            realm.site().await.map_or(Settings::default().audit_ttl, |site| site.settings.audit_ttl);
        let (what, unnamed) = kept_targets(&self.seen().targets);
        let entry = AuditEntry {
            id: AuditId(realm.random().uuid(at)),
            at,
            who: kept_text(&actor.who, MAX_NAME),
            from: actor.from,
            host: actor.host.map(|host| kept_text(&host, MAX_NAME)),
            act: self.command.to_owned(),
            what,
            unnamed,
            asked: kept(self.asked.clone(), MAX_ASKED),
            changes: Vec::new(),
            outcome: ActOutcome::Asked,
            answer: Value::Null,
            error: None,
            ended: None,
            expires: Some(at + kept_for.delta()),
        };
        let begun = realm.audit().begin(&entry).await.map_err(Error::from);
        begun.map_err(|error| {
            let why = format!("nothing is done, as the audit cannot be written: {error}");
            error.because(why)
        })?;
        Ok(Some(entry))
    }

    /// Writes the entry once the act is over: with its response, or with why it was refused or failed.
    pub async fn end(
        &self,
        realm: &dyn Realm,
        entry: AuditEntry,
        outcome: ActOutcome,
        answer: Result<Value, &str>,
    ) {
        let changes = if outcome == ActOutcome::Done { self.seen().changes.clone() } else { Vec::new() };
        let (answer, error) = match answer {
            Ok(answer) => (kept(changed_only(self.command, answer), MAX_ANSWER), None),
            Err(error) => (Value::Null, Some(kept_text(error, MAX_ERROR))),
        };
        let (what, unnamed) = kept_targets(&self.seen().targets);
        let ended = Some(realm.now());
        let entry = AuditEntry {
            what,
            unnamed,
            changes: kept_changes(changes),
            outcome,
            answer,
            error,
            ended,
            ..entry
        };
        if let Err(error) = realm.audit().finish(&entry).await {
            // The act cannot be undone: the entry keeps saying that it was asked for.
            let id = entry.id;
            tracing::error!(%error, %id, act = self.command, "the end of an act is not in the audit");
        }
    }
}
