//! Writes on the condition that a document is as it was read (RFC 9110, If-Match).

use std::borrow::Cow;
use std::str::FromStr;
use std::sync::OnceLock;

use hmac::{Hmac, KeyInit, Mac};
use pumice_core::ports::{Doc, DocumentChange, DocumentWrite};
use pumice_core::secret::mask_value;
use pumice_core::spec::APPLIED;
use pumice_core::text::{hex, quoted};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use sha2::Sha256;
use uuid::Uuid;

use crate::failure::Error;
use crate::realm::Realm;

/// Longest condition, in bytes.
const MAX_TEXT: usize = 2_000;
/// The key of tags of documents in which nothing is masked: those are shown as a whole, and the tag gives nothing away.
const PLAIN: &[u8] = b"pumice";
/// Digits of a tag.
const DIGITS: usize = 32;

/// Which states of a document a write is meant for: any, or those that have one of some tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// It is there, in whichever state.
    Any,
    /// It is there, and has one of these tags. Weak tags are not among them: they match nothing.
    Tags(Vec<String>),
}

/// A text that is not such a condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is neither * nor a list of entity tags, as in \"5f1d\"")]
pub struct BadIfMatch(String);

impl IfMatch {
    /// Whether a document with this tag is meant; `None` of one that is not there.
    #[must_use]
    pub fn takes(&self, tag: Option<&str>) -> bool {
        match (self, tag) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::Tags(tags), Some(tag)) => tags.iter().any(|one| one == tag),
        }
    }

    /// Refuses to go on when the document is another than the one that is meant.
    ///
    /// # Errors
    /// [`Error`] of kind [`Changed`](crate::ErrorKind::Changed), with what is there now.
    pub(crate) fn check(&self, about: &str, there: Option<&Value>) -> Result<(), Error> {
        match self.takes(there.map(tag).as_deref()) {
            true => Ok(()),
            false => Err(changed(about, there.cloned())),
        }
    }
}

/// The error of a write that was meant for another state of a document.
pub(crate) fn changed(about: &str, now: Option<Value>) -> Error {
    changed_to(about, Current { tag: now.as_ref().map(tag), document: now })
}

/// The same, where the document is shown in another form than its tag is made of.
pub(crate) fn changed_to(about: &str, current: Current) -> Error {
    let message = match &current.document {
        Some(_) => format!("{about} has changed since it was read: nothing was done"),
        None => format!("{about} is not there: nothing was done"),
    };
    Error::changed(message, current)
}

/// The error of a condition about several documents.
pub(crate) fn about_one() -> Error {
    Error::invalid("if_match: it is about one document: name that alone; nothing was done")
}

/// Removes a document in the store, on the condition that the store has it as it was read and that this is the state that is
/// meant. A dry run only checks that.
///
/// # Errors
/// [`Error`] of kind [`Changed`](crate::ErrorKind::Changed) when it is another, or the store's.
pub(crate) async fn delete_if(
    realm: &dyn Realm,
    (about, if_match): (&str, &IfMatch),
    change: Option<DocumentChange>,
    before: Option<&Doc>,
    is_dry: bool,
) -> Result<(), Error> {
    if_match.check(about, before.map(shown).as_ref())?;
    let Some(change) = change else { return Err(changed(about, None)) };
    if is_dry {
        return Ok(());
    }
    let write = DocumentWrite { change: change.clone(), before: before.cloned() };
    match realm.catalog().write_documents(vec![write]).await?.moved {
        None => Ok(()),
        Some(_) => Err(changed(about, there(realm, &change).await?.as_ref().map(shown))),
    }
}

/// The document that a removal is about, as it is stored now.
async fn there(realm: &dyn Realm, change: &DocumentChange) -> Result<Option<Doc>, Error> {
    let is_trigger = |doc: &Doc, id: &str| doc.get("trigger_id").is_some_and(|one| one == id);
    Ok(match change {
        DocumentChange::DeleteJob(id) => {
            let all = realm.catalog().all_jobs().await?;
            all.into_iter().find(|(one, _)| one == id).map(|(_, doc)| doc)
        }
        DocumentChange::DeleteTrigger(id) => {
            let all = realm.triggers().all_triggers().await?;
            all.into_iter().find(|doc| is_trigger(doc, id.as_str()))
        }
        DocumentChange::DeleteConnection(id) => realm.connections().connection(id).await?,
        _ => None,
    })
}

/// The current state of the document that a write was meant for.
#[derive(Clone, Debug, PartialEq)]
pub struct Current {
    /// The document as it is shown; `None` when there is none. Secrets in it are not masked.
    pub document: Option<Value>,
    /// Its tag.
    pub tag: Option<String>,
}

/// A stored document as people see it.
pub(crate) fn shown(document: &Doc) -> Value {
    // A refusal shows what there is.
    crate::connections::remember_secrets(document);
    let mut document = document.clone();
    document.shift_remove(APPLIED);
    Value::Object(document)
}

/// The tag of a document as it is shown, before anything in it is masked. Another document has another tag.
///
/// The tag of one that holds a secret is made with a key that only this process has: with the tag alone, and a digest that
/// everyone can make, the secret could be guessed without asking.
#[must_use]
pub fn tag(document: &Value) -> String {
    let mut masked = document.clone();
    mask_value(&mut masked);
    tag_as(document, masked != *document)
}

/// The same of a document in which something is masked, or nothing.
pub(crate) fn tag_as(document: &Value, is_masked: bool) -> String {
    static KEY: OnceLock<[u8; 16]> = OnceLock::new();
    let key = if is_masked { KEY.get_or_init(|| *Uuid::new_v4().as_bytes()) } else { PLAIN };
    let mut sorted = document.clone();
    sorted.sort_all_objects();
    // A key may have any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    mac.update(sorted.to_string().as_bytes());
    hex(&mac.finalize().into_bytes()[..DIGITS / 2])
}

impl FromStr for IfMatch {
    type Err = BadIfMatch;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadIfMatch(quoted(text));
        if text.len() > MAX_TEXT {
            return Err(bad());
        }
        if is_blank_around(text, "*") {
            return Ok(Self::Any);
        }
        let (mut tags, mut rest, mut count) = (Vec::new(), text, 0);
        loop {
            // A list may have empty elements (RFC 9110, 5.6.1.2).
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if rest.is_empty() {
                break;
            }
            let (is_weak, quote) = match rest.strip_prefix("W/") {
                Some(after) => (true, after),
                None => (false, rest),
            };
            let (opaque, after) =
                quote.strip_prefix('"').and_then(|one| one.split_once('"')).ok_or_else(bad)?;
            let is_tag_char = |c: char| c > ' ' && c != '\u{7f}';
            let after = after.trim_start_matches([' ', '\t']);
            if !opaque.chars().all(is_tag_char) || !(after.is_empty() || after.starts_with(',')) {
                return Err(bad());
            }
            count += 1;
            if !is_weak {
                tags.push(opaque.to_owned());
            }
            rest = after;
        }
        if count == 0 { Err(bad()) } else { Ok(Self::Tags(tags)) }
    }
}

fn is_blank_around(text: &str, word: &str) -> bool {
    text.trim_matches([' ', '\t']) == word
}

impl std::fmt::Display for IfMatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            // A list of weak tags alone.
            Self::Tags(tags) if tags.is_empty() => f.write_str("W/\"\""),
            Self::Tags(tags) => {
                let tags: Vec<String> = tags.iter().map(|one| format!("\"{one}\"")).collect();
                f.write_str(&tags.join(", "))
            }
        }
    }
}

impl Serialize for IfMatch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for IfMatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text: Cow<'_, str> = Deserialize::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for IfMatch {
    fn schema_name() -> Cow<'static, str> {
        "IfMatch".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": MAX_TEXT,
            "description": "The document must have one of these entity tags, or with * be there: as the header If-Match." })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn condition_is_read_as_the_header_has_it() {
        let tags = |all: &[&str]| Ok(IfMatch::Tags(all.iter().map(|&one| one.to_owned()).collect()));
        for (text, expected) in [
            ("*", Ok(IfMatch::Any)),
            (" * ", Ok(IfMatch::Any)),
            ("\"a\"", tags(&["a"])),
            ("\"a\",\"b\"", tags(&["a", "b"])),
            (", \"a\" ,, \"b,c\",", tags(&["a", "b,c"])),
            ("W/\"a\"", tags(&[])),
            ("W/\"a\", \"b\"", tags(&["b"])),
            ("\"\"", tags(&[""])),
        ] {
            assert_eq!(text.parse(), expected, "{text}");
        }
        for bad in [
            "",
            " ",
            ",",
            "a",
            "\"a",
            "a\"",
            "\"a\" \"b\"",
            "\"a b\"",
            "w/\"a\"",
            "W/ \"a\"",
            "*, \"a\"",
            "\"a\", *",
            "\"a\u{7f}\"",
        ] {
            assert!(bad.parse::<IfMatch>().is_err(), "{bad}");
        }
        assert!("\"x\",".repeat(MAX_TEXT).parse::<IfMatch>().is_err());
    }

    #[test]
    fn weak_tag_and_missing_document_match_nothing() {
        let read = |text: &str| text.parse::<IfMatch>().unwrap();
        assert!(read("\"b\", \"a\"").takes(Some("a")) && read("*").takes(Some("a")));
        assert!(!read("W/\"a\"").takes(Some("a")) && !read("\"b\"").takes(Some("a")));
        assert!(!read("*").takes(None) && !read("\"a\"").takes(None));
        for text in ["*", "\"a\", \"b\"", "W/\"a\""] {
            let condition = read(text);
            assert_eq!(condition.to_string().parse(), Ok(condition), "{text}");
        }
    }

    #[test]
    fn tag_follows_the_document_and_not_its_order() {
        let (one, same) =
            (json!({ "a": 1, "b": { "c": 2, "d": 3 } }), json!({ "b": { "d": 3, "c": 2 }, "a": 1 }));
        assert_eq!((tag(&one), tag(&one).len()), (tag(&same), DIGITS));
        for other in [json!({ "a": 1 }), json!({ "a": "1", "b": { "c": 2, "d": 3 } }), json!(null)] {
            assert_ne!(tag(&one), tag(&other));
        }
    }

    #[test]
    fn tag_of_a_secret_cannot_be_made_elsewhere() {
        let document = json!({ "password": "if-match-canary-4711" });
        let public = tag(&document);
        pumice_core::secret::remember("if-match-canary-4711");
        assert_ne!(tag(&document), public);
        assert_eq!(tag(&document), tag(&document));
    }
}
