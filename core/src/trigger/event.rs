//! Events of objects, as S3, SNS, SQS and EventBridge report them.

use percent_encoding::percent_decode_str;
use pumice_template::Value as TemplateValue;
use serde_json::{Value, json};

use crate::Timestamp;
use crate::document::parse_json;
use crate::ids::TriggerId;
use crate::problem::kind;
use crate::text::shown;

use super::document::{MAX_BUCKET_BYTES, MAX_KEY_BYTES};

/// How deep events may be wrapped: S3 in SNS in SQS is two deep.
const MAX_WRAPS: usize = 4;

/// An event of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectEvent {
    /// The bucket.
    pub bucket: String,
    /// The key, decoded.
    pub key: String,
    /// The size in bytes; an object that was removed has none.
    pub size: Option<u64>,
    /// The event, as `ObjectCreated:Put`: of EventBridge `detail-type` and `reason` (lava guide, About S3 Event Types).
    pub event_type: String,
    /// When.
    pub time: Option<Timestamp>,
    /// The address of the client that did it.
    pub source_ip: Option<String>,
    /// The AWS region.
    pub aws_region: Option<String>,
    /// The object's version, where the bucket has versions.
    pub version: Option<String>,
    /// The mark that distinguishes this event from every other one of the key and version.
    pub mark: String,
    /// Where the object is: `s3://bucket/key`, or a path in a folder.
    pub location: String,
    /// The event as it came.
    pub raw: Value,
}

/// An event of S3's that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an S3 event is malformed: {0}")]
pub struct BadObject(pub String);

/// The objects that a message is about: none for the test event that S3 sends to a new destination.
pub type ObjectEvents = Vec<Result<ObjectEvent, BadObject>>;

impl ObjectEvent {
    /// The name of what a trigger makes of it: the same when the event is delivered again, by whatever way.
    #[must_use]
    pub fn name(&self, trigger_id: &TriggerId) -> String {
        let version = self.version.as_deref().unwrap_or_default();
        format!("object:{trigger_id}\0{}\0{}\0{version}\0{}", self.bucket, self.key, self.mark)
    }

    /// The variables of templates.
    pub(super) fn roots(&self) -> [(&'static str, TemplateValue); 4] {
        [
            ("bucket", TemplateValue::text(self.bucket.as_str())),
            ("key", TemplateValue::text(self.key.as_str())),
            ("event", self.raw.clone().into()),
            ("info", self.info()),
        ]
    }

    /// The variable `info` of templates (lava guide, Rendering of Dispatch Parameters), with Pumice's `location`.
    #[must_use]
    pub fn info(&self) -> TemplateValue {
        let text = |text: &Option<String>| TemplateValue::from(json!(text));
        let fields = [
            ("bucket", TemplateValue::text(self.bucket.as_str())),
            ("key", TemplateValue::text(self.key.as_str())),
            ("size", json!(self.size).into()),
            ("event_time", self.time.map_or_else(|| Value::Null.into(), TemplateValue::utc)),
            ("event_type", TemplateValue::text(self.event_type.as_str())),
            ("source_ip", text(&self.source_ip)),
            ("aws_region", text(&self.aws_region)),
            ("location", TemplateValue::text(self.location.as_str())),
        ];
        TemplateValue::map(fields.map(|(name, value)| (name.to_owned(), value)))
    }
}

/// The objects that a text is about; `None` when it is not an event of S3's.
#[must_use]
pub fn objects_in_text(text: &str) -> Option<ObjectEvents> {
    objects_of_text(text, 0)
}

/// The objects that a JSON value is about: a notification of S3's, an event of EventBridge, or one of them as SNS wraps
/// it for SQS (lava guide, Dispatching Jobs from S3 Events). `None` when it is not an event of S3's.
#[must_use]
pub fn objects_of(value: &Value) -> Option<ObjectEvents> {
    objects_of_value(value, 0)
}

fn objects_of_text(text: &str, wraps: usize) -> Option<ObjectEvents> {
    let is_object = text.trim_start_matches('\u{feff}').trim_start().starts_with('{');
    objects_of_value(&parse_json(text).ok().filter(|_| is_object)?, wraps)
}

fn objects_of_value(value: &Value, wraps: usize) -> Option<ObjectEvents> {
    if wraps > MAX_WRAPS {
        return None;
    }
    if value["Event"] == "s3:TestEvent" {
        return Some(Vec::new());
    }
    if value["Type"] == "Notification"
        && let Some(message) = value["Message"].as_str()
    {
        return objects_of_text(message, wraps + 1);
    }
    if value["source"] == "aws.s3" && value.get("detail-type").is_some() {
        return Some(vec![of_eventbridge(value)]);
    }
    let records = value["Records"].as_array()?;
    let is_s3 = |record: &Value| record["eventSource"] == "aws:s3" || record.get("s3").is_some();
    records.iter().any(is_s3).then(|| records.iter().map(of_notification).collect())
}

/// The text of a member, which must be there.
fn text(value: &Value, path: &str) -> Result<String, BadObject> {
    match value.pointer(path) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        Some(Value::String(_)) => Err(BadObject(format!("{} is empty", dotted(path)))),
        None => Err(BadObject(format!("{} is missing", dotted(path)))),
        Some(other) => Err(BadObject(format!("{} is {}, not a text", dotted(path), kind(other)))),
    }
}

fn dotted(path: &str) -> String {
    path.trim_start_matches('/').replace('/', ".")
}

fn may_be_text(value: &Value, path: &str) -> Option<String> {
    value.pointer(path).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn size(value: &Value, path: &str) -> Result<Option<u64>, BadObject> {
    match value.pointer(path) {
        None | Some(Value::Null) => Ok(None),
        Some(size) => match size.as_u64() {
            Some(size) => Ok(Some(size)),
            None => Err(BadObject(format!("{} is {size}, not a size", dotted(path)))),
        },
    }
}

fn time(value: &Value, path: &str) -> Result<Option<Timestamp>, BadObject> {
    let Some(text) = may_be_text(value, path) else { return Ok(None) };
    let time = chrono::DateTime::parse_from_rfc3339(&text);
    let bad = |_| BadObject(format!("{} is {}, not a time", dotted(path), shown(&text)));
    time.map(|time| Some(time.to_utc())).map_err(bad)
}

/// The version of an object, where its bucket has versions: S3 calls what was put before that `null`.
fn version(value: &Value, path: &str) -> Option<String> {
    may_be_text(value, path).filter(|version| version != "null")
}

fn checked(event: ObjectEvent) -> Result<ObjectEvent, BadObject> {
    if event.key.len() > MAX_KEY_BYTES {
        let bytes = event.key.len();
        return Err(BadObject(format!("the key has {bytes} bytes, more than {MAX_KEY_BYTES}")));
    }
    if event.bucket.len() > MAX_BUCKET_BYTES {
        return Err(BadObject(format!("the bucket's name is longer than {MAX_BUCKET_BYTES} bytes")));
    }
    Ok(event)
}

/// The mark of an event among those of its object: the sequencer, which is the same in every delivery by every way;
/// without one, the request of S3's that caused it; else its time and type.
fn mark(sequencer: Option<String>, request: Option<String>, time: Option<Timestamp>, what: &str) -> String {
    // `ObjectRestore:Post` here is `Object Restore Initiated` there.
    let family: String = what.split(':').next().unwrap_or_default().chars().take(13).collect();
    match (sequencer, request, time) {
        (Some(sequencer), ..) => format!("sequencer:{sequencer}"),
        (None, Some(request), _) => format!("request:{request}:{family}"),
        (None, None, Some(time)) => format!("time:{}:{family}", time.timestamp_micros()),
        (None, None, None) => format!("type:{what}"),
    }
}

/// The key of a notification, which is encoded as a form's field is (S3 User Guide, Event message structure).
fn decoded(key: &str) -> Result<String, BadObject> {
    let spaced = key.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    let bad = |_| BadObject(format!("s3.object.key {} is not UTF-8 once it is decoded", shown(key)));
    decoded.map(std::borrow::Cow::into_owned).map_err(bad)
}

/// One record of a notification (S3 User Guide, Event message structure).
fn of_notification(record: &Value) -> Result<ObjectEvent, BadObject> {
    let (bucket, key) = (text(record, "/s3/bucket/name")?, decoded(&text(record, "/s3/object/key")?)?);
    let event_type = text(record, "/eventName")?;
    let time = time(record, "/eventTime")?;
    let sequencer = may_be_text(record, "/s3/object/sequencer");
    let request = may_be_text(record, "/responseElements/x-amz-request-id");
    checked(ObjectEvent {
        size: size(record, "/s3/object/size")?,
        time,
        source_ip: may_be_text(record, "/requestParameters/sourceIPAddress"),
        aws_region: may_be_text(record, "/awsRegion"),
        version: version(record, "/s3/object/versionId"),
        mark: mark(sequencer, request, time, &event_type),
        location: format!("s3://{bucket}/{key}"),
        raw: record.clone(),
        bucket,
        key,
        event_type,
    })
}

/// An event of EventBridge (S3 User Guide, EventBridge event message structure). Its key is as it is.
fn of_eventbridge(event: &Value) -> Result<ObjectEvent, BadObject> {
    let (bucket, key) = (text(event, "/detail/bucket/name")?, text(event, "/detail/object/key")?);
    let what = [text(event, "/detail-type").ok(), may_be_text(event, "/detail/reason")];
    let what: Vec<String> = what.into_iter().flatten().collect();
    let event_type: String = what.join(":").split_whitespace().collect();
    let time = time(event, "/time")?;
    let sequencer = may_be_text(event, "/detail/object/sequencer");
    let request = may_be_text(event, "/detail/request-id");
    checked(ObjectEvent {
        size: size(event, "/detail/object/size")?,
        time,
        source_ip: may_be_text(event, "/detail/source-ip-address"),
        aws_region: may_be_text(event, "/region"),
        version: version(event, "/detail/object/version-id"),
        mark: mark(sequencer, request, time, &event_type),
        location: format!("s3://{bucket}/{key}"),
        raw: event.clone(),
        bucket,
        key,
        event_type,
    })
}
