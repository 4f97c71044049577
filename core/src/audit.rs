//! The audit: the acts on a realm, each with its actor, its time and its origin.
//!
//! Each act of a person or a program that may change a realm has one [`AuditEntry`]. It is written before anything of the act is,
//! as [`ActOutcome::Asked`], and again once the act is over. So there is no change without an entry; an entry that stays
//! `asked` shows that its process stopped in the midst of it.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::Timestamp;
use crate::secret::{MASK, mask, mask_json_parts, mask_parts, mask_seeming, mask_value};

/// Longest name of an actor, and of its origin, in bytes.
pub const MAX_NAME: usize = 512;
/// Largest request that an entry keeps, in bytes of JSON.
pub const MAX_ASKED: usize = 8 * 1024;
/// Largest response that an entry keeps, in bytes of JSON.
pub const MAX_ANSWER: usize = 16 * 1024;
/// Largest value of a field before or after a change, in bytes of JSON.
pub const MAX_FIELD: usize = 4 * 1024;
/// Largest list of changes of an entry, in bytes of JSON: an item of DynamoDB holds 400 KB.
pub const MAX_CHANGES: usize = 128 * 1024;
/// Largest list of the things that an entry names as touched, in bytes of JSON; those beyond are counted.
pub const MAX_TARGETS: usize = 96 * 1024;
/// Longest error that an entry keeps, in bytes.
pub const MAX_ERROR: usize = 4 * 1024;

/// The way by which an act comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The `pumice` command.
    Cli,
    /// A page of the console.
    Console,
    /// The console's JSON API.
    Api,
    /// A program that has the service's functions in it.
    Program,
}

impl Origin {
    /// Every way.
    pub const ALL: [Self; 4] = [Self::Cli, Self::Console, Self::Api, Self::Program];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cli => "cli",
            Self::Console => "console",
            Self::Api => "api",
            Self::Program => "program",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An actor, and its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The user's name in the operating system, the name of a login at the console, or an ARN of AWS.
    pub who: String,
    /// The way by which the act comes.
    pub from: Origin,
    /// The machine that it comes from, where that is known.
    pub host: Option<String>,
}

/// The name of an entry, whose order follows the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AuditId(pub Uuid);

impl AuditId {
    /// Fewest characters that name an entry: they hold its time, to the millisecond.
    pub const SHORT: usize = 13;

    /// The beginning by which people name it.
    #[must_use]
    pub fn short(&self) -> String {
        self.0.to_string().chars().take(Self::SHORT).collect()
    }

    /// The first id that an entry of a time may have.
    #[must_use]
    pub fn first_at(at: Timestamp) -> Self {
        let millis = u128::try_from(at.timestamp_millis().max(0)).unwrap_or_default();
        Self(Uuid::from_u128((millis & 0xffff_ffff_ffff) << 80))
    }

    /// When it was made, to the millisecond; `None` for one that no clock has made.
    #[must_use]
    pub fn at(&self) -> Option<Timestamp> {
        let millis = i64::try_from(self.0.as_u128() >> 80).ok()?;
        Timestamp::from_timestamp_millis(millis)
    }

    /// The id just before this one.
    #[must_use]
    pub fn before(self) -> Self {
        Self(Uuid::from_u128(self.0.as_u128().saturating_sub(1)))
    }

    /// The first and the last id that begin with a text; `None` where it is too short, or not the beginning of one.
    #[must_use]
    pub fn beginning_with(text: &str) -> Option<(Self, Self)> {
        const FIRST: &str = "00000000-0000-0000-0000-000000000000";
        const LAST: &str = "ffffffff-ffff-ffff-ffff-ffffffffffff";
        let text = text.to_ascii_lowercase();
        if text.len() < Self::SHORT || text.len() > FIRST.len() || !text.is_ascii() {
            return None;
        }
        let whole = |rest: &str| Uuid::parse_str(&format!("{text}{}", &rest[text.len()..])).ok().map(Self);
        whole(FIRST).zip(whole(LAST))
    }
}

impl fmt::Display for AuditId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for AuditId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(Self)
    }
}

/// The outcome of an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActOutcome {
    /// It was asked for, and its end is not recorded: it is under way, or its process stopped.
    Asked,
    /// It was done.
    Done,
    /// It was refused: the request was at fault, and nothing or not all of it was done.
    Refused,
    /// The store failed: how much of it was done is not known.
    Failed,
}

impl ActOutcome {
    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::Asked, Self::Done, Self::Refused, Self::Failed];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for ActOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something that an act touches.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Target {
    /// Its kind: `job`, `run`, `worker`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

impl Target {
    /// A thing of a kind.
    #[must_use]
    pub fn new(kind: &str, name: impl Into<String>) -> Self {
        Self { kind: kind.to_owned(), name: name.into() }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.is_empty() { f.write_str(&self.kind) } else { write!(f, "{} {}", self.kind, self.name) }
    }
}

/// A field of a document before and after an act.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DocumentChange {
    /// The document.
    pub of: Target,
    /// The field.
    pub field: String,
    /// As it was; missing when it was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// As it is; missing when it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// The record of an act.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Its name.
    pub id: AuditId,
    /// When it began.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub at: Timestamp,
    /// The actor.
    pub who: String,
    /// By which way.
    pub from: Origin,
    /// From which machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The act: the words of the command.
    pub act: String,
    /// To what.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub what: Vec<Target>,
    /// To how many more things, which are not named.
    #[serde(default, skip_serializing_if = "crate::omit::is_default")]
    pub unnamed: u64,
    /// The request, masked.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub asked: Value,
    /// The documents' fields that were changed, masked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<DocumentChange>,
    /// Its outcome.
    pub outcome: ActOutcome,
    /// The response, masked.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub answer: Value,
    /// Why it was refused or failed, masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it was over.
    #[serde(
        default,
        with = "chrono::serde::ts_microseconds_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub ended: Option<Timestamp>,
    /// When it may be removed.
    #[serde(
        default,
        with = "chrono::serde::ts_microseconds_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub expires: Option<Timestamp>,
}

/// The things that an entry names as touched, masked, and how many more there are.
#[must_use]
pub fn kept_targets(targets: &[Target]) -> (Vec<Target>, u64) {
    let (mut named, mut size) = (Vec::new(), 0);
    for target in targets {
        let target = Target::new(&target.kind, mask(&target.name));
        size += serde_json::to_string(&target).map_or(0, |text| text.len() + 1);
        if size > MAX_TARGETS {
            break;
        }
        named.push(target);
    }
    let unnamed = u64::try_from(targets.len() - named.len()).unwrap_or(u64::MAX);
    (named, unnamed)
}

/// A value as an entry keeps it: masked, also where it only seems to be a secret, and with its size in its place where it is
/// longer than `most` bytes of JSON.
#[must_use]
pub fn kept(mut value: Value, most: usize) -> Value {
    mask_value(&mut value);
    mask_seeming("", &mut value);
    let size = value.to_string().len();
    if size <= most {
        return value;
    }
    match value {
        // Long values go, field by field; the rest shows the subject.
        Value::Object(fields) => {
            let each = most / fields.len().clamp(2, 16);
            let cut: Map<String, Value> =
                fields.into_iter().map(|(name, value)| (name, short(value, each))).collect();
            short(Value::Object(cut), most)
        }
        value => short(value, most),
    }
}

fn short(value: Value, most: usize) -> Value {
    let size = value.to_string().len();
    match value {
        value if size <= most => value,
        // The first items of a list show its subject.
        Value::Array(items) if items.first().is_some_and(|item| item.to_string().len() < most / 2) => {
            let (all, mut used) = (items.len(), 0);
            let fits = |item: &Value| {
                used += item.to_string().len() + 1;
                used + 40 <= most
            };
            let mut kept: Vec<Value> = items.into_iter().take_while(fits).collect();
            kept.push(json!({ "left_out": format!("{} more", all - kept.len()) }));
            Value::Array(kept)
        }
        _ => json!({ "left_out": format!("{size} bytes of JSON") }),
    }
}

/// A text as an entry keeps it: masked, and cut after so many bytes.
#[must_use]
pub fn kept_text(text: &str, most: usize) -> String {
    let known = mask(text);
    let json = mask_json_parts(&known);
    let masked = mask_parts(&json);
    if masked.len() <= most {
        return masked.into_owned();
    }
    let end = masked.floor_char_boundary(most);
    format!("{}… ({} bytes)", &masked[..end], masked.len())
}

/// Whether the field of a change names a secret: a name may be shown.
fn names_a_secret(change: &DocumentChange) -> bool {
    ["connection", "trigger"].contains(&&*change.of.kind)
        && ["secret", "access_keys"].contains(&&*change.field)
}

/// The name of the field that a path leads to, or of the list that it is an item of.
fn last_name(path: &str) -> &str {
    let mut path = path;
    while let Some((list, index)) = path.strip_suffix(']').and_then(|path| path.rsplit_once('['))
        && index.bytes().all(|byte| byte.is_ascii_digit())
    {
        path = list;
    }
    match path.strip_suffix("\"]").and_then(|path| path.rsplit_once("[\"")) {
        Some((_, name)) => name,
        None => path.rsplit('.').next().unwrap_or(path),
    }
}

/// The changes of an entry, masked and within its bounds; those after what fits are counted in a last one.
#[must_use]
pub fn kept_changes(changes: Vec<DocumentChange>) -> Vec<DocumentChange> {
    let all = changes.len();
    let (mut kept_ones, mut size) = (Vec::new(), 0);
    for change in changes {
        let seeming = if names_a_secret(&change) { "" } else { last_name(&change.field) };
        let of = Target { kind: change.of.kind.clone(), name: mask(&change.of.name).into_owned() };
        // A name may be marked, and its value then is masked as a whole.
        let value = |given: Option<Value>| {
            let named = given.map(|value| json!({ (change.field.clone()): value }));
            let masked = named.map(|mut named| {
                mask_value(&mut named);
                named.as_object().and_then(|fields| fields.values().next().cloned()).unwrap_or(MASK.into())
            });
            masked.map(|mut value| {
                mask_seeming(seeming, &mut value);
                short(value, MAX_FIELD)
            })
        };
        let (before, after) = (value(change.before), value(change.after));
        let one = DocumentChange { of, field: mask(&change.field).into_owned(), before, after };
        size += serde_json::to_string(&one).map_or(0, |text| text.len());
        if size > MAX_CHANGES {
            let of = Target::new("more", format!("{} changes", all - kept_ones.len()));
            kept_ones.push(DocumentChange { of, field: String::new(), before: None, after: None });
            return kept_ones;
        }
        kept_ones.push(one);
    }
    kept_ones
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_bounds_follow_the_time_and_the_beginning() {
        let at = Timestamp::from_timestamp_millis(1_798_761_600_123).unwrap();
        let first = AuditId::first_at(at);
        assert_eq!(first.at(), Some(at));
        let id: AuditId = "019ad2c4-f3a1-7000-8000-000000000001".parse().unwrap();
        assert_eq!(id.short(), "019ad2c4-f3a1");
        let (from, to) = AuditId::beginning_with("019AD2C4-F3A1").unwrap();
        assert!(from <= id && id <= to, "{from} {to}");
        assert_eq!(AuditId::beginning_with(&id.to_string()), Some((id, id)));
        for bad in ["019ad2c4", "019ad2c4-f3aX", "", "019ad2c4-f3a1-7000-8000-0000000000012", "ü19ad2c4-f3a1"]
        {
            assert_eq!(AuditId::beginning_with(bad), None, "{bad}");
        }
    }

    #[test]
    fn long_values_are_left_out_with_their_size() {
        let long = json!({ "job": "a", "text": "x".repeat(10_000) });
        let told = kept(long, 1_000);
        assert_eq!(told["job"], "a");
        assert_eq!(told["text"]["left_out"], "10002 bytes of JSON");
        let many: Map<String, Value> = (0..1_000).map(|n| (format!("k{n}"), json!(n))).collect();
        assert!(kept(Value::Object(many), 1_000).to_string().len() <= 1_000);
        assert!(kept_text(&"ü".repeat(600), 100).len() < 130);
    }

    #[test]
    fn things_beyond_the_limit_are_counted() {
        let all: Vec<Target> = (0..5_000).map(|n| Target::new("job", format!("big/{n}"))).collect();
        let (named, unnamed) = kept_targets(&all);
        assert!(named.len() > 2_000 && serde_json::to_string(&named).unwrap().len() <= MAX_TARGETS + 1);
        assert_eq!((named.as_slice(), unnamed), (&all[..named.len()], 5_000 - named.len() as u64));
        assert_eq!(kept_targets(&all[..1_500]), (all[..1_500].to_vec(), 0));
    }

    #[test]
    fn changes_end_with_how_many_are_left_out() {
        let one = |n: usize| DocumentChange {
            of: Target::new("job", format!("j{n}")),
            field: "payload".to_owned(),
            before: None,
            after: Some("x".repeat(4_000).into()),
        };
        let told = kept_changes((0..100).map(one).collect());
        assert!(told.len() < 40, "{}", told.len());
        assert_eq!(told.last().map(|last| last.of.kind.as_str()), Some("more"));
        assert_eq!(kept_changes(vec![one(1)]).len(), 1);
        let large = DocumentChange { after: Some("x".repeat(5_000).into()), ..one(1) };
        assert_eq!(kept_changes(vec![large])[0].after.as_ref().unwrap()["left_out"], "5002 bytes of JSON");
    }

    /// Values that only seem to be secrets, by the rule that environments are checked by, are masked in every part of an entry.
    #[test]
    fn value_that_seems_secret_is_kept_nowhere() {
        let value = json!({ "globals": { "password": "plain-pw" }, "steps": [{ "env": { "API_TOKEN": "plain-pw" } }] });
        let entry = kept(value, 1_000);
        assert_eq!(entry["globals"]["password"], MASK);
        assert_eq!(entry["steps"][0]["env"]["API_TOKEN"], MASK);
        assert_eq!(
            kept_text("cannot run load --token=plain-pw now", 100),
            format!("cannot run load --token={MASK} now")
        );
        let change = |kind: &str, field: &str, after: Value| {
            let of = Target::new(kind, "x");
            let change = DocumentChange {
                of,
                field: field.to_owned(),
                before: Some("was".into()),
                after: Some(after),
            };
            let change = kept_changes(vec![change]).remove(0);
            (change.before.unwrap(), change.after.unwrap())
        };
        let both = (json!(MASK), json!(MASK));
        for field in
            ["parameters.env.DB_PASSWORD", "password", "globals.tokens[3]", "globals[\"my password\"]"]
        {
            assert_eq!(change("job", field, json!("plain-pw")), both, "{field}");
        }
        let whole = change("job", "globals", json!({ "db": { "passwd": "plain-pw" }, "n": 1 })).1;
        assert_eq!(whole, json!({ "db": { "passwd": MASK }, "n": 1 }));
        for (kind, field, value) in [
            ("trigger", "secret", "hooks/git"),
            ("connection", "access_keys", "keys"),
            ("job", "globals.secret_id", "db"),
            ("job", "globals.compass", "north"),
        ] {
            assert_eq!(change(kind, field, json!(value)), (json!("was"), json!(value)), "{kind} {field}");
        }
    }

    #[test]
    fn secret_is_kept_nowhere() {
        crate::secret::remember("audit-canary-7731");
        crate::secret::mark_names(&["*_audited_token".to_owned()]);
        let value = json!({ "a": ["audit-canary-7731"], "my_audited_token": "plain" });
        assert_eq!(kept(value, 1_000), json!({ "a": [MASK], "my_audited_token": MASK }));
        assert_eq!(kept_text("it is audit-canary-7731", 100), format!("it is {MASK}"));
        let change = DocumentChange {
            of: Target::new("state", "x"),
            field: "my_audited_token".to_owned(),
            before: Some(json!("old")),
            after: Some(json!({ "b": "audit-canary-7731" })),
        };
        let told = serde_json::to_string(&kept_changes(vec![change])).unwrap();
        assert!(!told.contains("canary") && !told.contains("old"), "{told}");
    }
}
