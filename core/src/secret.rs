//! Secrets, and how they are kept out of everything that is written or printed.
//!
//! A value that came from a secret is remembered for as long as the process lives. [`mask`] takes the remembered values out
//! of a text, and [`mask_value`] out of a JSON value. Adapters call them where records, logs and results leave the process.

mod seeming;

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::glob::fnmatch;

pub use seeming::{mask_json_parts, mask_parts, mask_seeming, seeming_secrets};

/// The mask in place of a secret.
pub const MASK: &str = "*****";
/// Shortest text that is masked, in bytes: shorter ones occur everywhere by chance.
pub const MIN_MASKED: usize = 6;
/// Shortest line of a secret of several lines that is masked by itself, in bytes.
const MIN_LINE: usize = 12;
/// Most texts that are remembered of secrets, and of values that the realm marks; the ones that were remembered first go.
const MAX_REMEMBERED: usize = 4096;
/// How many bytes there are that a text may begin with.
const FIRST_BYTES: usize = 256;
/// Shortest half of a secret `ID,KEY` that is masked by itself, in bytes: the length of AWS's shortest ID of a key.
const MIN_HALF: usize = 16;
/// Fields of a secret that is a JSON object which say where to log in, as Secrets Manager writes them for databases: documents and
/// logs show these, and masking words such as `postgres` would spoil every record.
const OPEN_FIELDS: [&str; 11] = [
    "database",
    "dbClusterIdentifier",
    "dbInstanceIdentifier",
    "dbname",
    "engine",
    "host",
    "port",
    "serviceName",
    "sid",
    "user",
    "username",
];

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
    /// Those that came from a secret; the others stand under a name that the realm marks.
    secrets: BTreeSet<Arc<str>>,
    by_length: Vec<Arc<str>>,
    /// The secrets, and the others, by age: many marked values must not have a secret forgotten.
    by_age: [VecDeque<Arc<str>>; 2],
}

impl Remembered {
    fn add(&mut self, text: &str, is_secret: bool) {
        let first = self.by_length.partition_point(|known| known.len() > text.len());
        let same = self.by_length[first..].iter().take_while(|known| known.len() == text.len());
        let known = same.into_iter().find(|known| ***known == *text).cloned();
        let [secrets, marked] = &mut self.by_age;
        let text = match known {
            Some(known) if !is_secret || self.secrets.contains(&known) => return,
            // It has been a marked value so far.
            Some(known) => {
                marked.retain(|marked| *marked != known);
                known
            }
            None => {
                let text: Arc<str> = text.into();
                self.by_length.insert(first, text.clone());
                text
            }
        };
        if is_secret {
            self.secrets.insert(text.clone());
        }
        let by_age = if is_secret { secrets } else { marked };
        by_age.push_back(text);
        if by_age.len() > MAX_REMEMBERED
            && let Some(oldest) = by_age.pop_front()
        {
            self.by_length.retain(|known| *known != oldest);
            self.secrets.remove(&oldest);
        }
    }

    fn mask<'a>(&self, text: &'a str) -> Cow<'a, str> {
        mask_all(&self.by_length, text)
    }
}

/// A text with [`MASK`] in place of each of these, the longest of which come first.
fn mask_all<'a>(secrets: &[Arc<str>], text: &'a str) -> Cow<'a, str> {
    let mut masked = Cow::Borrowed(text);
    for secret in secrets {
        if secret.len() <= masked.len() && masked.contains(&**secret) {
            masked = Cow::Owned(masked.replace(&**secret, MASK));
        }
    }
    masked
}

/// Whether anything is remembered: most processes have no secret, and pay one load for that.
static ANY: AtomicBool = AtomicBool::new(false);
static REMEMBERED: RwLock<Option<Remembered>> = RwLock::new(None);
/// Counts the changes to what is remembered, so that a stream which is read for long masks what was learnt meanwhile.
static CHANGES: AtomicU64 = AtomicU64::new(0);
/// The patterns of names whose values the realm has masked.
static MARKED: RwLock<Vec<String>> = RwLock::new(Vec::new());

/// Has a text masked from now on: as it is, as it stands in JSON, as the filters of templates encode it, and its longer lines in
/// the same way. One shorter than [`MIN_MASKED`] bytes is not masked.
pub fn remember(text: &str) {
    remember_as(text, true);
}

fn remember_as(text: &str, is_secret: bool) {
    if text.len() < MIN_MASKED {
        return;
    }
    let lines = text.lines().map(str::trim).filter(|line| line.len() >= MIN_LINE);
    let texts: BTreeSet<&str> = [text, text.trim()].into_iter().chain(lines).collect();
    let texts = texts.into_iter().filter(|text| text.len() >= MIN_MASKED);
    let forms: Vec<String> = texts.flat_map(forms).collect();
    let mut remembered = REMEMBERED.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    let remembered = remembered.get_or_insert_default();
    for form in forms {
        remembered.add(&form, is_secret);
    }
    CHANGES.fetch_add(1, Ordering::Release);
    ANY.store(true, Ordering::Release);
}

/// A text as it is and as templates encode it, and each of these as it stands in JSON.
fn forms(text: &str) -> Vec<String> {
    let mut forms = pumice_template::encoded_forms(text);
    forms.push(text.to_owned());
    let quoted = forms.iter().map(|form| Value::from(form.as_str()).to_string());
    let quoted: Vec<String> = quoted.map(|quoted| quoted[1..quoted.len() - 1].to_owned()).collect();
    forms.extend(quoted);
    forms
}

/// Has every text of a JSON value masked from now on.
pub fn remember_value(value: &Value) {
    remember_value_as(value, true);
}

fn remember_value_as(value: &Value, is_secret: bool) {
    match value {
        Value::String(text) => remember_as(text, is_secret),
        Value::Number(number) => remember_as(&number.to_string(), is_secret),
        Value::Array(items) => items.iter().for_each(|item| remember_value_as(item, is_secret)),
        Value::Object(fields) => fields.values().for_each(|field| remember_value_as(field, is_secret)),
        Value::Null | Value::Bool(_) => {}
    }
}

/// Has the parts of a secret masked that programs print by themselves: the fields of a JSON object, but for those that only say where
/// to log in, and both halves of `ID,KEY`, as a connection to AWS takes it.
pub fn remember_parts(secret: &str) {
    if let Ok(Value::Object(fields)) = serde_json::from_str(secret) {
        let closed = fields.iter().filter(|(name, _)| !OPEN_FIELDS.contains(&name.as_str()));
        closed.for_each(|(_, value)| remember_value(value));
        return;
    }
    let is_half = |half: &str| half.len() >= MIN_HALF && half.bytes().all(|byte| byte.is_ascii_graphic());
    if let Some((id, key)) = secret.trim().split_once(',').map(|(id, key)| (id.trim(), key.trim()))
        && is_half(id)
        && is_half(key)
    {
        remember(id);
        remember(key);
    }
}

/// Has values masked that stand under these names, which are patterns of any case (realm setting `REDACT`).
pub fn mark_names(patterns: &[String]) {
    if patterns.is_empty() {
        return;
    }
    let mut marked = MARKED.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    for pattern in patterns.iter().map(|pattern| pattern.to_lowercase()) {
        if !marked.contains(&pattern) {
            marked.push(pattern);
        }
    }
    ANY.store(true, Ordering::Release);
}

/// Whether values under a name are masked, as the realm marks it (realm setting `REDACT`).
#[must_use]
pub fn is_marked(name: &str) -> bool {
    let marked = MARKED.read().unwrap_or_else(std::sync::PoisonError::into_inner);
    !marked.is_empty() && {
        let name = name.to_lowercase();
        marked.iter().any(|pattern| fnmatch(pattern, &name))
    }
}

/// Has the values in an object masked everywhere that stand under a name which the realm marks.
pub fn remember_marked(fields: &serde_json::Map<String, Value>) {
    if ANY.load(Ordering::Acquire) {
        fields.iter().for_each(|(name, value)| remember_if_marked(name, value));
    }
}

/// The same for the objects in any value.
pub fn remember_marked_in(value: &Value) {
    if ANY.load(Ordering::Acquire) {
        remember_if_marked("", value);
    }
}

fn remember_if_marked(name: &str, value: &Value) {
    if is_marked(name) {
        return remember_value_as(value, false);
    }
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| remember_if_marked(name, value)),
        Value::Array(items) => items.iter().for_each(|item| remember_if_marked("", item)),
        _ => {}
    }
}

/// Whether anything is masked at all.
#[must_use]
pub fn is_any_known() -> bool {
    ANY.load(Ordering::Acquire)
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

/// The same in the fields of an object.
pub fn mask_fields(fields: &mut serde_json::Map<String, Value>) {
    if ANY.load(Ordering::Acquire) {
        mask_within_fields(fields);
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
        Value::Object(fields) => mask_within_fields(fields),
        Value::Null | Value::Bool(_) => {}
    }
}

fn mask_within_fields(fields: &mut serde_json::Map<String, Value>) {
    if fields.keys().any(|name| holds_secret(name)) {
        let given = std::mem::take(fields);
        fields.extend(given.into_iter().map(|(name, value)| (mask(&name).into_owned(), value)));
    }
    for (name, value) in fields.iter_mut() {
        match is_marked(name) && !value.is_null() {
            true => *value = MASK.into(),
            false => mask_within(value),
        }
    }
}

/// Whether a value has, anywhere in it, text that came from a secret. Text that only stands under a name that the
/// realm marks does not count: its document has it for all to see.
#[must_use]
pub fn value_holds_secret(value: &Value) -> bool {
    let holds = |text: &str| {
        let found =
            |remembered: &Remembered| remembered.secrets.iter().any(|secret| text.contains(&**secret));
        read(found).unwrap_or(false)
    };
    match value {
        Value::String(text) => holds(text),
        Value::Array(items) => items.iter().any(value_holds_secret),
        Value::Object(fields) => fields.iter().any(|(name, value)| holds(name) || value_holds_secret(value)),
        _ => false,
    }
}

/// Whether a value shows, anywhere in it, text that came from a secret, or that the realm marks elsewhere. Text under a name that
/// the realm marks is masked wherever the value is shown, and counts only where it came from a secret.
#[must_use]
pub fn value_shows_masked(value: &Value) -> bool {
    let shows = |(name, value): (&String, &Value)| {
        holds_secret(name)
            || if is_marked(name) { value_holds_secret(value) } else { value_shows_masked(value) }
    };
    match value {
        Value::String(text) => holds_secret(text),
        // As in `mask_value`: a longer number is another one.
        Value::Number(number) => mask(&number.to_string()) == MASK,
        Value::Array(items) => items.iter().any(value_shows_masked),
        Value::Object(fields) => fields.iter().any(shows),
        Value::Null | Value::Bool(_) => false,
    }
}

/// The longest text that is masked, in bytes; 0 where nothing is.
#[must_use]
pub fn longest() -> usize {
    read(|remembered| remembered.by_length.first().map_or(0, |secret| secret.len())).unwrap_or(0)
}

/// Masks a stream of bytes, in which a secret may come in parts. Bytes that cannot be part of one are given at once.
pub struct Masker {
    /// The texts by their first byte, the longest first; empty where nothing is masked.
    secrets: Vec<Vec<Arc<str>>>,
    longest: usize,
    held: Vec<u8>,
    /// How many of the next bytes are read and not given, and how many after those are given.
    skipped: u64,
    left: u64,
    /// Which change of what is remembered it has seen.
    seen: u64,
}

impl Default for Masker {
    fn default() -> Self {
        Self::new()
    }
}

impl Masker {
    /// Masks what is remembered, and what will be.
    #[must_use]
    pub fn new() -> Self {
        let mut masker = Self {
            secrets: Vec::new(),
            longest: 0,
            held: Vec::new(),
            skipped: 0,
            left: u64::MAX,
            seen: CHANGES.load(Ordering::Acquire),
        };
        masker.learn();
        masker
    }

    /// The same for a stream of which so many bytes at the beginning are only read, so that a secret which begins among them
    /// is known: of one that ends after them [`MASK`] is given.
    #[must_use]
    pub const fn skipping(mut self, bytes: u64) -> Self {
        self.skipped = bytes;
        self
    }

    /// The same for a stream of which only so many bytes are given, those that are skipped not among them: the bytes
    /// behind them show whether a secret goes on there.
    #[must_use]
    pub const fn taking(mut self, bytes: u64) -> Self {
        self.left = bytes;
        self
    }

    fn learn(&mut self) {
        let known = read(|remembered| remembered.by_length.clone()).unwrap_or_default();
        self.longest = known.first().map_or(0, |secret| secret.len());
        self.secrets = if known.is_empty() { Vec::new() } else { vec![Vec::new(); FIRST_BYTES] };
        for secret in known {
            if let Some(first) = secret.bytes().next() {
                self.secrets[usize::from(first)].push(secret);
            }
        }
    }

    /// The texts that begin with the first of these bytes.
    fn candidates(&self, rest: &[u8]) -> &[Arc<str>] {
        let first = rest.first().copied().map_or(FIRST_BYTES, usize::from);
        self.secrets.get(first).map_or(&[], Vec::as_slice)
    }

    /// Whether a secret may begin with all of these bytes, and go on.
    fn may_begin(&self, rest: &[u8]) -> bool {
        let goes_on = |secret: &Arc<str>| secret.len() > rest.len() && secret.as_bytes().starts_with(rest);
        self.candidates(rest).iter().any(goes_on)
    }

    /// Takes bytes, and gives those that cannot be part of a secret any more, masked.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let changes = CHANGES.load(Ordering::Acquire);
        if self.seen != changes {
            self.seen = changes;
            self.learn();
        }
        if self.secrets.is_empty() && self.held.is_empty() && self.skipped == 0 && self.left == u64::MAX {
            return bytes.to_vec();
        }
        self.held.extend_from_slice(bytes);
        self.take(false)
    }

    /// Gives the rest.
    pub fn finish(&mut self) -> Vec<u8> {
        self.take(true)
    }

    /// How many bytes it has taken and not given yet, as they may belong to a secret.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.held.len()
    }

    fn take(&mut self, is_end: bool) -> Vec<u8> {
        let held = std::mem::take(&mut self.held);
        let (mut given, mut at) = (Vec::with_capacity(held.len()), 0);
        while at < held.len() {
            let rest = &held[at..];
            // Most bytes begin no secret.
            let plain = rest.iter().take_while(|byte| self.candidates(&[**byte]).is_empty()).count();
            if plain > 0 {
                let skipped = usize::try_from(self.skipped).unwrap_or(plain).min(plain);
                let shown = usize::try_from(self.left).unwrap_or(plain).min(plain - skipped);
                given.extend_from_slice(&rest[skipped..skipped + shown]);
                self.skipped -= skipped as u64;
                self.left = self.left.saturating_sub((plain - skipped) as u64);
                at += plain;
                continue;
            }
            if !is_end && rest.len() < self.longest && self.may_begin(rest) {
                break;
            }
            let found = self.candidates(rest).iter().find(|secret| rest.starts_with(secret.as_bytes()));
            let taken = found.map_or(1, |secret| secret.len());
            let shown = (taken as u64).saturating_sub(self.skipped);
            if shown > 0 && self.left > 0 {
                match found {
                    Some(_) => given.extend_from_slice(MASK.as_bytes()),
                    None => given.push(rest[0]),
                }
            }
            self.skipped = self.skipped.saturating_sub(taken as u64);
            self.left = self.left.saturating_sub(shown);
            at += taken;
        }
        self.held = held[at..].to_vec();
        given
    }
}

#[cfg(test)]
mod tests;
