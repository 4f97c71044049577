//! A trigger's document: its fields, and what is wrong with one.

use std::sync::{Arc, LazyLock};

use pumice_template::Renderer;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};

use crate::duration::Span;
use crate::ids::{JobId, TriggerId};
use crate::job_type::unrendered_pattern;
use crate::ports::Doc;
use crate::problem::{JsonPath, Problem, SpecError, did_you_mean};
use crate::request::{DispatchRequest, check_globals};
use crate::schema;
use crate::size::parse_size;
use crate::spec::OneOrMany;
use crate::text::quoted;

/// The prefix of a trigger for a whole bucket (lava guide, Dispatching Jobs from S3 Events).
pub const WHOLE_BUCKET: &str = "*";
/// Longest key of an object, in bytes (S3 User Guide, Naming Amazon S3 objects).
pub const MAX_KEY_BYTES: usize = 1_024;
/// Longest name of a bucket, in bytes: that of the oldest buckets in S3, and of a folder.
pub const MAX_BUCKET_BYTES: usize = 255;
/// Most jobs of a trigger, and most patterns of a condition.
pub const MAX_ITEMS: usize = 100;

/// The `format` of [`ObjectSize`] in schemas.
pub(crate) const OBJECT_SIZE: &str = "object-size";

/// The kind of event that starts the jobs of a trigger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum TriggerType {
    /// Objects of a bucket.
    #[default]
    Object,
    /// Requests over HTTP.
    Http,
}

/// A trigger: one item of the s3triggers table (lava guide, The S3triggers Table).
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Trigger", extend("patternProperties" = { "^[xX]-": true }))]
pub struct TriggerFields {
    /// Its id, unique in the realm.
    pub trigger_id: TriggerId,
    /// The kind of event that starts its jobs.
    #[serde(default)]
    pub r#type: TriggerType,
    /// The bucket; in a folder, a name of the realm's `buckets`.
    #[serde(default)]
    pub bucket: Option<String>,
    /// The beginning of the keys that it is for, up to a `/` and without it, or a whole key; `*` for every key.
    #[serde(default)]
    pub prefix: Option<String>,
    /// The job or jobs that it starts; rendered.
    pub job_id: OneOrMany<String>,
    /// Whether it starts any.
    pub enabled: bool,
    /// How long runs wait before they start, at most 15 minutes.
    #[serde(default)]
    pub delay: Option<Span>,
    /// Globals over the job's own; rendered.
    #[serde(default)]
    pub globals: Option<Map<String, Value>>,
    /// Parameters over the job's own; rendered.
    #[serde(default)]
    pub parameters: Option<Map<String, Value>>,
    /// Whether job ids, globals and parameters are rendered; default: true.
    #[serde(default)]
    pub jinja: Option<bool>,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
    /// For people.
    #[serde(default)]
    pub owner: Option<String>,
    /// Only keys that match one of these patterns.
    #[serde(default)]
    pub if_fnmatch: Option<OneOrMany<String>>,
    /// Only keys that match none of these patterns.
    #[serde(default)]
    pub if_not_fnmatch: Option<OneOrMany<String>>,
    /// Only objects that are larger than this.
    #[serde(default)]
    pub if_size_gt: Option<ObjectSize>,
    /// Only objects that are not larger than this.
    #[serde(default)]
    pub if_not_size_gt: Option<ObjectSize>,
    /// Only events whose type matches one of these patterns.
    #[serde(default)]
    pub if_event_type: Option<OneOrMany<String>>,
    /// Only events whose type matches none of these patterns.
    #[serde(default)]
    pub if_not_event_type: Option<OneOrMany<String>>,
    /// Of type `http`: the name of the secret that requests are signed with.
    #[serde(default)]
    pub secret: Option<String>,
    /// Of type `http`: the header that has the signature; default: `X-Hub-Signature-256`.
    #[serde(default)]
    pub signature_header: Option<String>,
}

/// A trigger with the document that it was read from.
#[derive(Clone, Debug, PartialEq)]
pub struct TriggerSpec {
    /// Its fields.
    pub fields: TriggerFields,
    /// The document as given.
    pub document: Arc<Doc>,
}

/// The size of an object in bytes, written as a number or as a text with a unit, 0 or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectSize(pub u64);

impl<'de> Deserialize<'de> for ObjectSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let size = match Value::deserialize(deserializer)? {
            Value::Number(number) => parse_size(&number.to_string()),
            Value::String(text) => parse_size(&text),
            other => return Err(de::Error::custom(format!("expected a size, got {other}"))),
        };
        let size = size.map_err(de::Error::custom)?;
        u64::try_from(size)
            .map(Self)
            .map_err(|_| de::Error::custom(format!("a size must be 0 or more, not {size}")))
    }
}

impl JsonSchema for ObjectSize {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ObjectSize".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["number", "string"], "format": OBJECT_SIZE })
    }
}

static SCHEMA: LazyLock<Value> = LazyLock::new(schema::schema_of::<TriggerFields>);

impl TriggerSpec {
    /// Reads and checks a document. A stored one is held to the same, as lava does: a field that it does not know may be
    /// a condition that was misspelt.
    ///
    /// # Errors
    /// [`SpecError`] with every mistake found.
    pub fn parse(document: &Value, renderer: &Renderer) -> Result<Self, SpecError> {
        SpecError::check(schema::check(&SCHEMA, document))?;
        let document = document.as_object().cloned().unwrap_or_default();
        let known = document.iter().filter(|(name, _)| !schema::is_own(name));
        let known: Doc = known.map(|(name, value)| (name.clone(), value.clone())).collect();
        let fields: TriggerFields = schema::read_unchecked(&Value::Object(known))?;
        SpecError::check(problems(&fields, renderer))?;
        Ok(Self { fields, document: Arc::new(document) })
    }

    /// The jobs that it names without a template.
    pub fn named_jobs(&self) -> impl Iterator<Item = &str> {
        let is_rendered = self.fields.jinja != Some(false);
        self.fields.job_id.iter().map(String::as_str).filter(move |id| !(is_rendered && is_template(id)))
    }

    /// Warnings: valid but probably unintended.
    #[must_use]
    pub fn advice(&self, renderer: &Renderer) -> Vec<Problem> {
        let fields = &self.fields;
        let mut advice = Vec::new();
        let prefix = fields.prefix.as_deref().unwrap_or_default();
        if prefix != WHOLE_BUCKET && prefix.contains(['*', '?', '[']) {
            let path = JsonPath::root().field("prefix");
            let message = format!("{} is compared letter by letter: it is not a pattern", quoted(prefix));
            let problem = Problem::warning("trigger-prefix", path, message);
            advice.push(problem.with_hint("patterns stand in if_fnmatch"));
        }
        for name in ["if_fnmatch", "if_not_fnmatch"] {
            let patterns = self.document.get(name).into_iter();
            advice
                .extend(patterns.flat_map(|value| unrendered_pattern(value, &JsonPath::root().field(name))));
        }
        if fields.jinja != Some(false) {
            let mut unknown = Vec::new();
            each_text(fields, &mut |path, text| {
                unknown.extend(unknown_variables(renderer, text, path, fields.r#type))
            });
            advice.append(&mut unknown);
        }
        if !fields.enabled {
            let path = JsonPath::root().field("enabled");
            advice.push(Problem::warning(
                "not-enabled",
                path,
                "the trigger starts nothing: it is not enabled",
            ));
        }
        advice
    }
}

/// Whether a text is one that rendering may change.
fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

/// Calls with every text that is rendered, and its place.
fn each_text(fields: &TriggerFields, each: &mut dyn FnMut(&JsonPath, &str)) {
    fn visit(value: &Value, path: &JsonPath, each: &mut dyn FnMut(&JsonPath, &str)) {
        match value {
            Value::String(text) => each(path, text),
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(index, item)| visit(item, &path.item(index), each));
            }
            Value::Object(fields) => {
                for (name, item) in fields {
                    each(&path.field(name), name);
                    visit(item, &path.field(name), each);
                }
            }
            _ => {}
        }
    }
    let root = JsonPath::root();
    for (path, id) in job_ids(fields) {
        each(&path, id);
    }
    for (name, map) in [("globals", &fields.globals), ("parameters", &fields.parameters)] {
        for (key, value) in map.iter().flatten() {
            let path = root.field(name).field(key);
            each(&path, key);
            visit(value, &path, each);
        }
    }
}

fn job_ids(fields: &TriggerFields) -> Vec<(JsonPath, &str)> {
    let path = JsonPath::root().field("job_id");
    match &fields.job_id {
        OneOrMany::One(one) => vec![(path, one)],
        OneOrMany::Many(many) => {
            many.iter().enumerate().map(|(index, id)| (path.item(index), id.as_str())).collect()
        }
    }
}

/// The variables of a trigger's templates (lava guide, Rendering of Dispatch Parameters).
const ROOTS: [&str; 4] = ["bucket", "event", "info", "key"];
/// The same of a trigger of type `http`.
const HTTP_ROOTS: [&str; 2] = ["event", "info"];

/// The members of `info`.
pub(super) const OF_INFO: [&str; 8] =
    ["aws_region", "bucket", "event_time", "event_type", "key", "location", "size", "source_ip"];

/// The members of `info` of a trigger of type `http`.
const OF_HTTP_INFO: [&str; 4] = ["content_type", "delivery", "event_time", "event_type"];

/// The variables of a type's templates, and the members of `info`.
const fn seen_by(kind: TriggerType) -> (&'static [&'static str], &'static [&'static str]) {
    match kind {
        TriggerType::Object => (&ROOTS, &OF_INFO),
        TriggerType::Http => (&HTTP_ROOTS, &OF_HTTP_INFO),
    }
}

fn unknown_variables(renderer: &Renderer, text: &str, path: &JsonPath, kind: TriggerType) -> Vec<Problem> {
    let (roots, of_info) = seen_by(kind);
    let mut found = Vec::new();
    for used in renderer.variables(text).unwrap_or_default() {
        let name = used.name.as_str();
        let member = used.members.first().map(String::as_str);
        let (whole, known): (String, Vec<&str>) = match member {
            _ if !roots.contains(&name) => {
                (name.to_owned(), roots.iter().copied().chain(["utils"]).collect())
            }
            Some(member) if name == "info" && !of_info.contains(&member) => {
                (format!("info.{member}"), of_info.to_vec())
            }
            _ => continue,
        };
        let last = whole.rsplit('.').next().unwrap_or_default();
        let hint = did_you_mean(last, known.iter().copied())
            .unwrap_or_else(|| format!("known: {}", known.join(", ")));
        let message = format!("unknown variable {}", quoted(&whole));
        found.push(Problem::warning("unknown-variable", path.clone(), message).with_hint(hint));
    }
    found
}

/// Mistakes that the schema cannot express.
fn problems(fields: &TriggerFields, renderer: &Renderer) -> Vec<Problem> {
    let mut problems = of_type(fields);
    if let Some(bucket) = &fields.bucket {
        problems.extend(bad_bucket(bucket));
    }
    if let Some(prefix) = &fields.prefix {
        problems.extend(bad_prefix(prefix));
    }
    problems.extend(bad_jobs(fields));
    if let Some(Err(error)) = fields.delay.map(DispatchRequest::after) {
        // A trigger has no `at`.
        let message = error.to_string().split(';').next().unwrap_or_default().to_owned();
        problems.push(Problem::new(JsonPath::root().field("delay"), message));
    }
    problems.extend(check_globals(fields.globals.as_ref().unwrap_or(&Map::new())));
    for (name, patterns) in [
        ("if_fnmatch", &fields.if_fnmatch),
        ("if_not_fnmatch", &fields.if_not_fnmatch),
        ("if_event_type", &fields.if_event_type),
        ("if_not_event_type", &fields.if_not_event_type),
    ] {
        let Some(patterns) = patterns else { continue };
        let path = JsonPath::root().field(name);
        match patterns.iter().count() {
            0 => problems.push(Problem::new(path, "the list is empty: leave it out, or name a pattern")),
            count if count > MAX_ITEMS => {
                problems.push(Problem::new(path, format!("{count} patterns are more than {MAX_ITEMS}")));
            }
            _ if patterns.iter().any(String::is_empty) => {
                problems.push(Problem::new(path, "a pattern must not be empty: no key and no type is"));
            }
            _ => {}
        }
    }
    if fields.jinja != Some(false) {
        each_text(fields, &mut |path, text| {
            problems.extend(renderer.check(text).err().map(|error| Problem::template(path, &error)));
        });
    }
    problems
}

/// Fields that a type needs, and those that it has no use for.
fn of_type(fields: &TriggerFields) -> Vec<Problem> {
    let object = [
        ("bucket", fields.bucket.is_some(), true),
        ("prefix", fields.prefix.is_some(), true),
        ("if_fnmatch", fields.if_fnmatch.is_some(), false),
        ("if_not_fnmatch", fields.if_not_fnmatch.is_some(), false),
        ("if_size_gt", fields.if_size_gt.is_some(), false),
        ("if_not_size_gt", fields.if_not_size_gt.is_some(), false),
    ];
    let http = [
        ("secret", fields.secret.is_some(), true),
        ("signature_header", fields.signature_header.is_some(), false),
    ];
    let (own, others): (&[_], &[_]) = match fields.r#type {
        TriggerType::Object => (&object, &http),
        TriggerType::Http => (&http, &object),
    };
    let other_type = match fields.r#type {
        TriggerType::Object => "http",
        TriggerType::Http => "object",
    };
    let missing = own
        .iter()
        .filter(|(_, given, needed)| *needed && !given)
        .map(|(name, ..)| Problem::new(JsonPath::root(), format!("the field {name:?} is missing")));
    let useless = others.iter().filter(|(_, given, _)| *given).map(|(name, ..)| {
        Problem::new(JsonPath::root().field(name), format!("only triggers of type {other_type} have it"))
    });
    let mut problems: Vec<Problem> = missing.chain(useless).collect();
    if fields.secret.as_deref().is_some_and(|secret| secret.trim().is_empty()) {
        problems.push(Problem::new(JsonPath::root().field("secret"), "must not be empty"));
    }
    let is_token = |name: &str| {
        !name.is_empty() && name.len() <= 100 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    if let Some(header) = fields.signature_header.as_deref().filter(|header| !is_token(header)) {
        let message = format!("{} is not the name of a header", quoted(header));
        problems.push(Problem::new(JsonPath::root().field("signature_header"), message));
    }
    problems
}

fn bad_bucket(bucket: &str) -> Option<Problem> {
    let path = JsonPath::root().field("bucket");
    let problem = |message: String| Some(Problem::new(path.clone(), message));
    if let Some(name) = bucket.strip_prefix("s3://") {
        let hint = format!("write {}", quoted(name.trim_end_matches('/')));
        return problem(format!("{} is an address, not a name", quoted(bucket)))
            .map(|problem| problem.with_hint(hint));
    }
    if bucket.is_empty() {
        return problem("must not be empty".to_owned());
    }
    if bucket.len() > MAX_BUCKET_BYTES {
        return problem(format!("is longer than {MAX_BUCKET_BYTES} bytes"));
    }
    let is_bad = bucket.contains(|c: char| c == '/' || c.is_control()) || bucket.trim() != bucket;
    is_bad.then(|| problem(format!("{} is not the name of a bucket", quoted(bucket)))).flatten()
}

fn bad_prefix(prefix: &str) -> Option<Problem> {
    let path = JsonPath::root().field("prefix");
    if prefix.is_empty() {
        let problem = Problem::new(path, "must not be empty");
        return Some(problem.with_hint("write \"*\" for the whole bucket"));
    }
    if prefix.len() > MAX_KEY_BYTES {
        return Some(Problem::new(path, format!("is longer than {MAX_KEY_BYTES} bytes, the longest key")));
    }
    let bare = prefix.trim_end_matches('/');
    if bare.len() < prefix.len() {
        let bare = if bare.is_empty() { WHOLE_BUCKET } else { bare };
        let message = format!("{} ends with a /: it would fit no key", quoted(prefix));
        return Some(Problem::new(path, message).with_hint(format!("write {}", quoted(bare))));
    }
    None
}

fn bad_jobs(fields: &TriggerFields) -> Vec<Problem> {
    let ids = job_ids(fields);
    let path = JsonPath::root().field("job_id");
    if ids.is_empty() {
        return vec![Problem::new(path, "the list is empty: the trigger would start nothing")];
    }
    if ids.len() > MAX_ITEMS {
        return vec![Problem::new(path, format!("{} jobs are more than {MAX_ITEMS}", ids.len()))];
    }
    let is_plain = |id: &str| fields.jinja == Some(false) || !is_template(id);
    let bad = |(path, id): (JsonPath, &str)| JobId::new(id).err().map(|e| Problem::new(path, e.to_string()));
    ids.into_iter().filter(|(_, id)| is_plain(id)).filter_map(bad).collect()
}
