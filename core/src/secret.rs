//! Secrets, and how they are kept out of everything that is written or printed.
//!
//! A value that came from a secret is remembered for as long as the process lives. [`mask`] takes the remembered values out
//! of a text, and [`mask_value`] out of a JSON value. Adapters call them where records, logs and results leave the process.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

use serde::{Serialize, Serializer};
use serde_json::Value;

/// What stands in place of a secret.
pub const MASK: &str = "*****";
/// Shortest text that is masked, in bytes: shorter ones occur everywhere by chance.
pub const MIN_MASKED: usize = 6;
/// Shortest line of a secret of several lines that is masked by itself, in bytes.
const MIN_LINE: usize = 12;
/// Most texts that are remembered; the ones that were remembered first go.
const MAX_REMEMBERED: usize = 4096;

/// A text that is never shown: neither `Debug` nor `Serialize` gives it away.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(Arc<str>);

impl SecretText {
    /// Takes a text, and has it masked from now on.
    #[must_use]
    pub fn new(text: impl AsRef<str>) -> Self {
        let text = text.as_ref();
        remember(text);
        Self(text.into())
    }

    /// Takes a text that stands in a document for all to see: it is not shown here, and not masked elsewhere.
    #[must_use]
    pub fn unmasked(text: impl AsRef<str>) -> Self {
        Self(text.as_ref().into())
    }

    /// The text itself, for what must have it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

/// The texts that are masked, the longest first, so that none is cut by one that is part of it.
#[derive(Default)]
struct Remembered {
    by_length: Vec<Arc<str>>,
    by_age: VecDeque<Arc<str>>,
}

impl Remembered {
    fn add(&mut self, text: &str) {
        if self.by_length.iter().any(|known| **known == *text) {
            return;
        }
        let text: Arc<str> = text.into();
        let place = self.by_length.partition_point(|known| known.len() >= text.len());
        self.by_length.insert(place, text.clone());
        self.by_age.push_back(text);
        if self.by_age.len() > MAX_REMEMBERED
            && let Some(oldest) = self.by_age.pop_front()
        {
            self.by_length.retain(|known| *known != oldest);
        }
    }

    fn mask<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut masked = Cow::Borrowed(text);
        for secret in &self.by_length {
            if secret.len() <= masked.len() && masked.contains(&**secret) {
                masked = Cow::Owned(masked.replace(&**secret, MASK));
            }
        }
        masked
    }
}

/// Whether anything is remembered: most processes have no secret, and pay one load for that.
static ANY: AtomicBool = AtomicBool::new(false);
static REMEMBERED: RwLock<Option<Remembered>> = RwLock::new(None);

/// Has a text masked from now on: as it is, as it stands in JSON, and its longer lines. One shorter than [`MIN_MASKED`]
/// bytes is not masked.
pub fn remember(text: &str) {
    if text.len() < MIN_MASKED {
        return;
    }
    let quoted = Value::from(text).to_string();
    let lines = text.lines().map(str::trim).filter(|line| line.len() >= MIN_LINE);
    let forms = [text, text.trim(), &quoted[1..quoted.len() - 1]];
    let mut remembered = REMEMBERED.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    let remembered = remembered.get_or_insert_default();
    for form in forms.into_iter().chain(lines).filter(|form| form.len() >= MIN_MASKED) {
        remembered.add(form);
    }
    ANY.store(true, Ordering::Release);
}

/// Has every text of a JSON value masked from now on.
pub fn remember_value(value: &Value) {
    match value {
        Value::String(text) => remember(text),
        Value::Number(number) => remember(&number.to_string()),
        Value::Array(items) => items.iter().for_each(remember_value),
        Value::Object(fields) => fields.values().for_each(remember_value),
        Value::Null | Value::Bool(_) => {}
    }
}

/// Whether anything is masked at all.
#[must_use]
pub fn is_any_known() -> bool {
    ANY.load(Ordering::Acquire)
}

/// The length of the longest text that is masked, in bytes; 0 when there is none.
#[must_use]
pub fn longest() -> usize {
    read(|remembered| remembered.by_length.first().map_or(0, |text| text.len())).unwrap_or(0)
}

fn read<T>(look: impl FnOnce(&Remembered) -> T) -> Option<T> {
    if !ANY.load(Ordering::Acquire) {
        return None;
    }
    REMEMBERED.read().unwrap_or_else(std::sync::PoisonError::into_inner).as_ref().map(look)
}

/// The text with [`MASK`] in place of each secret.
#[must_use]
pub fn mask(text: &str) -> Cow<'_, str> {
    read(|remembered| remembered.mask(text)).unwrap_or(Cow::Borrowed(text))
}

/// Whether a text has a secret in it.
#[must_use]
pub fn holds_secret(text: &str) -> bool {
    matches!(mask(text), Cow::Owned(_))
}

/// Puts [`MASK`] in place of each secret in the texts, names and numbers of a value.
pub fn mask_value(value: &mut Value) {
    if ANY.load(Ordering::Acquire) {
        mask_within(value);
    }
}

fn mask_within(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(masked) = mask(text) {
                *text = masked;
            }
        }
        Value::Number(number) => {
            // A longer number that has the secret's digits in it is another one.
            if mask(&number.to_string()) == MASK {
                *value = MASK.into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask_within),
        Value::Object(fields) => {
            if fields.keys().any(|name| holds_secret(name)) {
                let given = std::mem::take(fields);
                fields.extend(given.into_iter().map(|(name, value)| (mask(&name).into_owned(), value)));
            }
            fields.values_mut().for_each(mask_within);
        }
        Value::Null | Value::Bool(_) => {}
    }
}

/// Whether a value has a secret anywhere in it.
#[must_use]
pub fn value_holds_secret(value: &Value) -> bool {
    let mut masked = value.clone();
    mask_value(&mut masked);
    masked != *value
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secret_text_is_masked_wherever_it_stands() {
        let secret = SecretText::new("canary-7f\"\\3");
        assert_eq!(format!("{secret:?} {}", serde_json::to_string(&secret).unwrap()), "***** \"*****\"");
        assert_eq!(mask("a canary-7f\"\\3 b"), "a ***** b");
        assert_eq!(mask(r#"{"a":"canary-7f\"\\3"}"#), r#"{"a":"*****"}"#);
        let mut value =
            json!({ "canary-7f\"\\3": ["x canary-7f\"\\3", { "b": "canary-7f\"\\3" }], "c": "canary" });
        assert!(value_holds_secret(&value));
        mask_value(&mut value);
        assert_eq!(value, json!({ "*****": ["x *****", { "b": "*****" }], "c": "canary" }));
        assert!(!value_holds_secret(&value));
    }

    #[test]
    fn secret_within_another_leaves_nothing_of_the_longer_one() {
        remember("inner-91");
        remember("outer-inner-91-outer");
        assert_eq!(mask("outer-inner-91-outer inner-91"), "***** *****");
    }

    #[test]
    fn secret_of_several_lines_is_masked_by_line() {
        remember("-----BEGIN KEY-----\nbGluZS1vbmU1\nx\n");
        assert_eq!(mask("got bGluZS1vbmU1!"), "got *****!");
        assert_eq!(mask("x"), "x");
    }

    #[test]
    fn secret_that_is_short_or_a_number_is_masked_as_documented() {
        remember("ab");
        assert_eq!(mask("ab"), "ab");
        remember_value(&json!({ "pin": 90_417 }));
        let mut value = json!([90_417, 1]);
        mask_value(&mut value);
        assert_eq!(value, json!(["*****", 1]));
    }
}
