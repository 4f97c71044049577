//! The events that AWS hands to the function, and the dispatch requests in them.

use pumice_core::Timestamp;
use pumice_core::document::parse_json;
use pumice_core::ids::JobId;
use pumice_core::problem::{JsonPath, Problem, SpecError};
use pumice_core::request::{
    BadRequest, Parsed, SCHEDULED_AT, SlotRequests, parse_body, parse_scheduled, parse_value,
};
use pumice_core::schema::is_own;
use pumice_core::trigger::{ObjectEvents, objects_in_text, objects_of};
use serde_json::Value;

/// An event that holds no request: of no shape that the function knows, or broken.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadEvent(String);

/// Longest part of an event, in bytes, that an error quotes. Lambda shows the error, and the log has it in a line.
const MAX_SHOWN: usize = 1_000;

impl BadEvent {
    fn new(message: impl Into<String>) -> Self {
        let message = message.into();
        if message.len() <= MAX_SHOWN {
            return Self(message);
        }
        let start = &message[..message.floor_char_boundary(MAX_SHOWN)];
        Self(format!("{start}… ({} bytes in all)", message.len()))
    }
}

/// Reads the payload of an invocation. A key that is given twice and an integer beyond 64 bits are refused, as in every
/// other reader.
///
/// # Errors
/// [`BadEvent`] with the place in the text.
pub fn payload(text: &str) -> Result<Value, BadEvent> {
    parse_json(text).map_err(|error| BadEvent::new(String::from(error)))
}

/// Requests that came together, under the name that they have among all events: the same when AWS
/// delivers them again.
#[derive(Debug)]
pub struct Record {
    /// The name.
    pub name: String,
    /// The place of a queue's message in the order of its group, where the queue keeps one.
    pub queued: Option<Queued>,
    /// The requests, each with its own mistakes.
    pub requests: Vec<Parsed>,
    /// The changed objects of S3, for the triggers.
    pub objects: ObjectEvents,
}

impl Record {
    fn of_requests(name: String, requests: Vec<Parsed>) -> Self {
        Self { name, queued: None, requests, objects: ObjectEvents::new() }
    }

    fn of_objects(name: String, objects: ObjectEvents) -> Self {
        Self { name, queued: None, requests: Vec::new(), objects }
    }

    /// A message: changes of objects if S3 sent it, by any way, else requests.
    fn of_message(name: String, message: &str, zone: chrono_tz::Tz) -> Self {
        match objects_in_text(message) {
            Some(objects) => Self::of_objects(name, objects),
            None => Self::of_requests(name, parse_body(message, zone)),
        }
    }

    /// A queue's message. One that a topic put there, without raw delivery, is the topic's, by whatever queue it comes
    /// and however often it is put back (SNS Developer Guide, Raw message delivery).
    fn of_queue(record: &Value, zone: chrono_tz::Tz) -> Result<Self, BadEvent> {
        let id = record["messageId"].as_str().filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| BadEvent::new("a record of a queue has no messageId".to_owned()))?;
        let body = record["body"].as_str().unwrap_or_default();
        let read = match notification(body) {
            Some((topic_id, message)) => Self::of_message(format!("sns:{topic_id}"), &message, zone),
            None => Self::of_message(format!("sqs:{id}"), body, zone),
        };
        let is_fifo = record["eventSourceARN"].as_str().is_some_and(|arn| arn.ends_with(".fifo"));
        let group = record["attributes"]["MessageGroupId"].as_str().filter(|_| is_fifo);
        let queued = Queued { id: id.to_owned(), group: group.map(str::to_owned) };
        Ok(Self { queued: Some(queued), ..read })
    }
}

/// A message as its queue knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    /// Its id, by which it is asked for again.
    pub id: String,
    /// The group whose messages come one after the other: of FIFO queues.
    pub group: Option<String>,
}

/// The id and the message of a topic's message on a queue; `None` for another body.
fn notification(body: &str) -> Option<(String, String)> {
    let Ok(Value::Object(envelope)) = parse_json(body) else { return None };
    let text = |name: &str| envelope.get(name)?.as_str().map(str::to_owned);
    let is_one = text("Type").as_deref() == Some("Notification") && envelope.contains_key("TopicArn");
    if is_one { Some((text("MessageId")?, text("Message")?)) } else { None }
}

/// A job whose spec was put, changed or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecChange {
    /// The job.
    pub job_id: JobId,
    /// When.
    pub at: Timestamp,
}

/// An invocation's task.
#[derive(Debug)]
pub enum Event {
    /// To look at runs whose time has passed, and at the clock.
    Sweep,
    /// To look at the schedules of jobs whose specs were changed.
    Changed(Vec<SpecChange>),
    /// Requests by a caller.
    Direct(Direct),
    /// Requests by EventBridge, a schedule or SNS, or events of S3's: their outcomes reach no caller, so that the
    /// invocation must fail to report a failure.
    Delivered(Vec<Record>),
    /// Requests of a queue, which gives each record again whose requests were not all taken.
    Queued(Vec<Record>),
}

/// Requests by a caller of the function.
#[derive(Debug)]
pub struct Direct {
    /// The requests, each with its own mistakes.
    pub requests: Vec<Parsed>,
    /// Whether the caller says that it waits for the outcomes. Lambda does not say (Lambda Developer Guide, Invoking a
    /// function asynchronously).
    pub waits: bool,
}

/// The field of what is a body elsewhere.
const REQUEST: &str = "request";
/// Most fields that one error names.
const MAX_NAMED: usize = 10;
/// The field by which a caller says that it waits for the outcomes.
const WAITS: &str = "waits";

/// The requests of a caller's object.
fn direct(fields: &serde_json::Map<String, Value>, zone: chrono_tz::Tz) -> Result<Event, BadEvent> {
    let mut fields = fields.clone();
    let waits = match fields.remove(WAITS) {
        None => false,
        Some(Value::Bool(waits)) => waits,
        Some(other) => return Err(BadEvent::new(format!("{WAITS}: {other} is neither true nor false"))),
    };
    let requests = requests(&Value::Object(fields), zone);
    Ok(Event::Direct(Direct { requests, waits }))
}

/// How often a record of a failed invocation may have another one in it: each redrive without a waiting caller wraps it
/// once.
const MAX_WRAPPED: usize = 8;

/// The event of a failed invocation and that invocation's request id, taken from a record that Lambda or the function
/// itself sent to the dead letters (Lambda Developer Guide, Capturing records of asynchronous invocations); `None` for
/// another event.
#[must_use]
pub fn put_aside(event: &Value) -> Option<(&str, &Value)> {
    let (mut found, mut record) = (None, event);
    for _ in 0..MAX_WRAPPED {
        let id = record["requestContext"]["requestId"].as_str().filter(|id| !id.is_empty());
        let Some((id, payload)) = id.zip(record.get("requestPayload")) else { break };
        (found, record) = (Some((id, payload)), payload);
    }
    found
}

impl Event {
    /// Reads an event. `zone` is the zone of instants that name none.
    ///
    /// # Errors
    /// [`BadEvent`] saying what the function takes.
    pub fn read(event: &Value, zone: chrono_tz::Tz) -> Result<Self, BadEvent> {
        let Value::Object(fields) = event else {
            return match event {
                Value::Array(_) => {
                    Ok(Self::Direct(Direct { requests: parse_value(event, zone), waits: false }))
                }
                _ => Err(unknown(event)),
            };
        };
        if fields.contains_key("sweep") {
            return match fields["sweep"] {
                Value::Bool(true) if fields.len() == 1 => Ok(Self::Sweep),
                _ => Err(BadEvent::new(
                    "to look at what is due say {\"sweep\": true}, and nothing else".to_owned(),
                )),
            };
        }
        // Of S3 directly, or by EventBridge. Those that SNS and SQS deliver have records of their own.
        if let Some(objects) = objects_of(event) {
            return Ok(Self::Delivered(vec![Record::of_objects("s3".to_owned(), objects)]));
        }
        if let Some(records) = fields.get("Records") {
            return records_of(event, records, zone);
        }
        if let Some(detail) = fields.get("detail").filter(|_| fields.contains_key("detail-type")) {
            let id = fields.get("id").and_then(Value::as_str).filter(|id| !id.is_empty());
            let id =
                id.ok_or_else(|| BadEvent::new("not a whole EventBridge event: id is missing".to_owned()))?;
            if detail.as_object().is_some_and(serde_json::Map::is_empty) {
                let message = "the event has no detail: give the rule an input with a job_id and, as scheduled_at, the event's time";
                return Err(BadEvent::new(message.to_owned()));
            }
            let requests = requests(detail, zone);
            return Ok(Self::Delivered(vec![Record::of_requests(format!("eventbridge:{id}"), requests)]));
        }
        if fields.contains_key(SCHEDULED_AT) {
            return scheduled(fields, zone);
        }
        if fields.contains_key(REQUEST) || fields.contains_key("job_id") {
            return direct(fields, zone);
        }
        Err(unknown(event))
    }
}

fn unknown(event: &Value) -> BadEvent {
    let text = event.to_string();
    let start = &text[..text.floor_char_boundary(100)];
    BadEvent::new(format!(
        "the event is not a dispatch request: expected an object with a job_id, a list of them, {{\"request\": \"JOB_ID …\"}}, {{\"sweep\": true}}, or an event of EventBridge, S3, SNS or SQS; got {start}"
    ))
}

/// The requests of a value: objects, or, under `request`, what is a body elsewhere.
fn requests(value: &Value, zone: chrono_tz::Tz) -> Vec<Parsed> {
    let Some(inner) = value.get(REQUEST) else { return parse_value(value, zone) };
    let others = value.as_object().into_iter().flat_map(serde_json::Map::keys);
    let others: Vec<&String> = others.filter(|name| *name != REQUEST && !is_own(name)).collect();
    if !others.is_empty() {
        return vec![Err(misplaced(&others))];
    }
    match inner {
        Value::String(text) => parse_body(text, zone),
        inner => parse_value(inner, zone),
    }
}

/// Fields next to `request`: a run without what they ask for would be another one than the caller means.
fn misplaced(names: &[&String]) -> BadRequest {
    let problem = |name: &&String| {
        Problem::new(
            JsonPath::root().field(name),
            "is next to request; put it into the request itself, as in {\"request\": [{\"job_id\": …}]}",
        )
    };
    let problems = names.iter().take(MAX_NAMED).map(problem).collect();
    BadRequest { place: REQUEST.to_owned(), error: SpecError { problems } }
}

fn records_of(event: &Value, records: &Value, zone: chrono_tz::Tz) -> Result<Event, BadEvent> {
    let source = |name: &str| records.get(0).and_then(|record| record.get(name)).and_then(Value::as_str);
    if source("eventSource") == Some("aws:sqs") {
        let records = records.as_array().into_iter().flatten();
        return records
            .map(|record| Record::of_queue(record, zone))
            .collect::<Result<_, _>>()
            .map(Event::Queued);
    }
    if source("eventSource") == Some("aws:dynamodb") {
        return Ok(Event::Changed(changes(records)));
    }
    if source("EventSource") == Some("aws:sns") {
        let read = |record: &Value| {
            let part = |name: &str| record["Sns"][name].as_str();
            let (id, message) = part("MessageId").zip(part("Message")).ok_or_else(|| {
                BadEvent::new("not a whole SNS event: Sns.MessageId or Sns.Message is missing".to_owned())
            })?;
            Ok(Record::of_message(format!("sns:{id}"), message, zone))
        };
        let records = records.as_array().into_iter().flatten();
        return records.map(read).collect::<Result<_, _>>().map(Event::Delivered);
    }
    Err(unknown(event))
}

/// The changed jobs in a stream's records that have or had a schedule (DynamoDB Streams API Reference, Record). A
/// record without a valid job id is skipped: it would come again and again.
fn changes(records: &Value) -> Vec<SpecChange> {
    let scheduled = |image: &Value| match &image["schedule"] {
        Value::Null => false,
        schedule => schedule["NULL"] != true && schedule["S"] != "" && schedule["S"] != "--",
    };
    let change = |record: &Value| {
        let told = &record["dynamodb"];
        let images = ["OldImage", "NewImage"].map(|name| &told[name]);
        // A stream of keys alone does not show whether a job has a schedule.
        let is_bare = images.iter().all(|image| image.is_null());
        if !is_bare && !images.into_iter().any(scheduled) {
            return None;
        }
        let job_id = JobId::stored(told["Keys"]["job_id"]["S"].as_str()?).ok()?;
        let millis = told["ApproximateCreationDateTime"].as_f64()? * 1_000.0;
        Some(SpecChange { job_id, at: Timestamp::from_timestamp_millis(millis as i64)? })
    };
    records.as_array().into_iter().flatten().filter_map(change).collect()
}

/// A request of a schedule of EventBridge Scheduler: delivered twice, it runs once.
fn scheduled(fields: &serde_json::Map<String, Value>, zone: chrono_tz::Tz) -> Result<Event, BadEvent> {
    let SlotRequests { name, requests } = parse_scheduled(fields.clone(), zone).map_err(|error| {
        let text = fields.get(SCHEDULED_AT).and_then(Value::as_str).unwrap_or_default();
        let hint = if text.starts_with("<aws.scheduler.") {
            ": only EventBridge Scheduler puts a time in its place"
        } else {
            ""
        };
        BadEvent::new(format!("{SCHEDULED_AT}: {error}{hint}"))
    })?;
    Ok(Event::Delivered(vec![Record::of_requests(name, requests)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const UTC: chrono_tz::Tz = chrono_tz::UTC;

    fn read(event: Value) -> Event {
        Event::read(&event, UTC).unwrap()
    }

    fn jobs(requests: &[Parsed]) -> Vec<String> {
        requests
            .iter()
            .map(|parsed| match parsed {
                Ok(request) => request.job_id.to_string(),
                Err(bad) => bad.place.clone(),
            })
            .collect()
    }

    fn key(event: Value) -> String {
        let Event::Delivered(mut records) = read(event) else { panic!("it is delivered") };
        records.remove(0).requests.remove(0).unwrap().idempotency_key.unwrap()
    }

    #[test]
    fn payload_that_would_lose_something_is_refused() {
        for (text, wanted) in [
            (r#"{"job_id": "a", "globals": {"x": 18446744073709551616}}"#, "more than 64 bits"),
            (r#"{"job_id": "a", "job_id": "b"}"#, "given twice"),
            (r#"[{"job_id": "a", "globals": {"x": 1e400}}]"#, "larger than any float"),
        ] {
            let error = payload(text).unwrap_err().to_string();
            assert!(error.contains(wanted), "{text}: {error}");
        }
        assert_eq!(payload(r#"{"x": [1e20, -0]}"#).unwrap().to_string(), r#"{"x":[1e+20,0]}"#);
    }

    /// The runtime of Lambda reads payloads this way.
    #[test]
    fn payload_reaches_the_function_as_it_was_sent() {
        let text = r#"{"x": 1e20, "y": 18446744073709551616}"#;
        let mut reader = serde_json::Deserializer::from_slice(text.as_bytes());
        let raw: Box<serde_json::value::RawValue> = serde_path_to_error::deserialize(&mut reader).unwrap();
        assert_eq!(raw.get(), text);
    }

    #[test]
    fn record_of_a_failed_invocation_has_its_name_and_its_event() {
        let record = |id: &str, event: Value| json!({ "requestContext": { "requestId": id }, "requestPayload": event });
        let event = json!({ "job_id": "a" });
        assert_eq!(put_aside(&record("r", event.clone())), Some(("r", &event)));
        assert_eq!(put_aside(&record("again", record("r", event.clone()))), Some(("r", &event)));
        assert_eq!(put_aside(&record("", event.clone())), None);
        assert_eq!(put_aside(&event), None);
        assert_eq!(put_aside(&json!([event])), None);
    }

    #[test]
    fn callers_give_objects_lists_and_text() {
        for (event, expected) in [
            (json!({ "job_id": "a" }), vec!["a"]),
            (json!([{ "job_id": "a" }, { "job": "b" }]), vec!["a", "request 2"]),
            (json!({ "request": "a -p x=1\n# note\nb" }), vec!["a", "b"]),
            (json!({ "request": [{ "job_id": "a" }] }), vec!["a"]),
        ] {
            let Event::Direct(direct) = read(event) else { panic!("it is direct") };
            assert_eq!(jobs(&direct.requests), expected);
            assert!(!direct.waits);
        }
    }

    /// Without it `delay` and the like would be dropped, and the job would run at once.
    #[test]
    fn field_next_to_request_is_refused_by_name() {
        let others = json!({ "job_id": "b", "parameters": {}, "globals": {}, "delay": "10m", "foo": 1,
            "at": "2030-01-01T00:00:00Z", "idempotency_key": "k" });
        for (name, value) in others.as_object().unwrap() {
            for inner in [json!("a"), json!({ "job_id": "a" }), json!([{ "job_id": "a" }])] {
                let asked = json!({ "request": inner, name: value });
                let mut waits = asked.clone();
                waits["waits"] = json!(true);
                let bus = json!({ "id": "1", "detail-type": "ask", "detail": asked });
                for event in [asked, waits, bus] {
                    let requests = match read(event.clone()) {
                        Event::Direct(direct) => direct.requests,
                        Event::Delivered(mut records) => records.remove(0).requests,
                        other => panic!("{other:?}"),
                    };
                    let [Err(bad)] = &requests[..] else { panic!("{event}: {requests:?}") };
                    assert!(bad.to_string().starts_with(&format!("request: {name}: ")), "{bad}");
                }
            }
        }
        let Event::Direct(direct) = read(json!({ "request": "a", "x-note": "mine" })) else { panic!() };
        assert_eq!(jobs(&direct.requests), ["a"]);
    }

    #[test]
    fn error_quotes_no_more_than_part_of_an_event() {
        let long = "x".repeat(300_000);
        let at = |name: &str| json!({ "job_id": "a", name: long });
        let source = json!({ "Records": [{ "eventSource": long }] });
        for event in [at("waits"), at("scheduled_at"), json!(long), json!({ "a": long }), source] {
            let error = Event::read(&event, UTC).unwrap_err().to_string();
            assert!(error.len() < 2 * MAX_SHOWN, "{} bytes", error.len());
        }
        let twice = format!("{{\"{long}\": 1, \"{long}\": 2}}");
        assert!(payload(&twice).unwrap_err().to_string().len() < 2 * MAX_SHOWN);
    }

    #[test]
    fn caller_says_that_it_waits() {
        for (event, waits) in [
            (json!({ "job_id": "a", "waits": true }), true),
            (json!({ "request": [{ "job_id": "a" }], "waits": true }), true),
            (json!({ "request": "a", "waits": false }), false),
        ] {
            let Event::Direct(direct) = read(event.clone()) else { panic!("it is direct") };
            assert_eq!(jobs(&direct.requests), ["a"], "{event}");
            assert_eq!(direct.waits, waits, "{event}");
        }
        for bad in [json!("yes"), json!(1), json!(null)] {
            let error = Event::read(&json!({ "job_id": "a", "waits": bad }), UTC).unwrap_err().to_string();
            assert!(error.starts_with("waits: "), "{error}");
        }
    }

    #[test]
    fn record_of_a_queue_needs_its_id_and_nothing_else() {
        let bare = json!({ "messageId": "m", "body": "a", "eventSource": "aws:sqs" });
        let mut whole = bare.clone();
        whole["eventSourceARN"] = json!("arn:aws:sqs:eu-west-1:1:q");
        whole["attributes"] = json!({ "ApproximateReceiveCount": "1", "MessageGroupId": "fair" });
        whole["messageAttributes"] = json!({ "x": { "stringValue": "1", "stringListValues": null,
            "binaryListValues": null, "binaryValue": null, "dataType": "String" } });
        let mut nulls = bare.clone();
        for name in ["attributes", "messageAttributes", "md5OfBody", "awsRegion", "receiptHandle"] {
            nulls[name] = json!(null);
        }
        for record in [bare, whole, nulls] {
            let Event::Queued(records) = read(json!({ "Records": [record] })) else { panic!("queued") };
            let queued = Queued { id: "m".to_owned(), group: None };
            assert_eq!((records[0].name.as_str(), records[0].queued.as_ref()), ("sqs:m", Some(&queued)));
            assert_eq!(jobs(&records[0].requests), ["a"]);
        }
        let nameless = json!({ "Records": [{ "body": "a", "eventSource": "aws:sqs", "messageId": null }] });
        assert!(Event::read(&nameless, UTC).unwrap_err().to_string().contains("messageId"));
    }

    #[test]
    fn topic_behind_a_queue_is_read_with_and_without_raw_delivery() {
        let envelope = json!({ "Type": "Notification", "MessageId": "t", "TopicArn": "arn:aws:sns:r:1:t",
            "Message": "a -p x=1", "Subject": null, "MessageAttributes": {} });
        let read = |body: String| {
            let record = json!({ "messageId": "m", "body": body, "eventSource": "aws:sqs" });
            let Event::Queued(mut records) = read(json!({ "Records": [record] })) else { panic!("queued") };
            let record = records.remove(0);
            (record.name, jobs(&record.requests))
        };
        assert_eq!(read(envelope.to_string()), ("sns:t".to_owned(), vec!["a".to_owned()]));
        assert_eq!(read("a -p x=1".to_owned()), ("sqs:m".to_owned(), vec!["a".to_owned()]));
        let mut json = envelope;
        json["Message"] = json!(r#"[{"job_id": "a"}, {"job_id": "b"}]"#);
        assert_eq!(read(json.to_string()).1, ["a", "b"]);
        // A request for a job with the name of an envelope's field is not an envelope.
        assert_eq!(read(r#"{"job_id": "Notification"}"#.to_owned()).0, "sqs:m");
    }

    #[test]
    fn message_of_a_fifo_queue_has_its_group() {
        let record = json!({ "messageId": "m", "body": "a", "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:r:1:q.fifo", "attributes": { "MessageGroupId": "g" } });
        let Event::Queued(records) = read(json!({ "Records": [record] })) else { panic!("queued") };
        assert_eq!(records[0].queued.as_ref().and_then(|queued| queued.group.as_deref()), Some("g"));
    }

    #[test]
    fn schedules_have_keys_that_follow_from_their_time() {
        let of = |more: Value| {
            let mut event = json!({ "job_id": "a", "scheduled_at": "2026-01-01T05:00:00Z" });
            event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            key(event)
        };
        assert_eq!(of(json!({})), "schedule:2026-01-01T05:00:00Z");
        assert_eq!(of(json!({ "scheduled_at": "2026-01-01T06:00:00+01:00" })), of(json!({})));
        assert_ne!(of(json!({ "globals": { "x": 1 } })), of(json!({})));
        assert_ne!(of(json!({ "schedule": "hourly" })), of(json!({ "schedule": "daily" })));
        assert_eq!(of(json!({ "idempotency_key": "mine" })), "mine");
        for bad in ["<aws.scheduler.scheduled-time>", "soon", ""] {
            let event = json!({ "job_id": "a", "scheduled_at": bad });
            assert!(Event::read(&event, UTC).unwrap_err().to_string().starts_with("scheduled_at: "), "{bad}");
        }
    }

    #[test]
    fn stream_of_jobs_gives_jobs_with_changed_schedules() {
        let record = |id: &str, images: Value| {
            let mut told =
                json!({ "ApproximateCreationDateTime": 1_798_761_600, "Keys": { "job_id": { "S": id } } });
            told.as_object_mut().unwrap().extend(images.as_object().unwrap().clone());
            json!({ "eventSource": "aws:dynamodb", "eventName": "MODIFY", "dynamodb": told })
        };
        let with = |schedule: Value| json!({ "schedule": schedule });
        let event = json!({ "Records": [
            record("put", json!({ "NewImage": with(json!({ "S": "@daily" })) })),
            record("ended", json!({ "OldImage": with(json!({ "L": [] })), "NewImage": with(json!({ "S": "" })) })),
            record("never", json!({ "OldImage": {}, "NewImage": with(json!({ "NULL": true })) })),
            record("keys alone", json!({})),
            record("..", json!({ "NewImage": with(json!({ "S": "@daily" })) })),
        ] });
        let Event::Changed(changes) = read(event) else { panic!("a stream") };
        let ids: Vec<&str> = changes.iter().map(|change| change.job_id.as_str()).collect();
        assert_eq!(ids, ["put", "ended", "keys alone", ".."]);
        assert_eq!(changes[0].at.to_rfc3339(), "2027-01-01T00:00:00+00:00");
    }

    /// The keys of objects, each of a record of its own or of one.
    fn keys(records: &[Record]) -> Vec<Result<&str, &str>> {
        assert!(records.iter().all(|record| record.requests.is_empty()), "{records:?}");
        let objects = records.iter().flat_map(|record| &record.objects);
        objects.map(|one| one.as_ref().map(|it| it.key.as_str()).map_err(|bad| bad.0.as_str())).collect()
    }

    #[test]
    fn event_of_s3_is_found_by_every_way() {
        let notice = json!({ "Records": [
            { "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
              "s3": { "bucket": { "name": "b" }, "object": { "key": "a+b%2Bc" } } },
            { "eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {} },
        ] });
        let bus = json!({ "id": "1", "source": "aws.s3", "detail-type": "Object Created",
            "detail": { "bucket": { "name": "b" }, "object": { "key": "a+b" }, "reason": "PutObject" } });
        let test = json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b" });
        let wrapped = json!({ "Type": "Notification", "MessageId": "1", "Message": notice.to_string() });
        let both = vec![Ok("a b+c"), Err("s3.bucket.name is missing")];
        for (event, wanted) in
            [(notice.clone(), both.clone()), (bus.clone(), vec![Ok("a+b")]), (test.clone(), Vec::new())]
        {
            let Event::Delivered(records) = read(event.clone()) else { panic!("{event}") };
            assert_eq!(keys(&records), wanted, "{event}");
            let sns = json!({ "Records": [{ "EventSource": "aws:sns", "EventVersion": "1.0",
                "EventSubscriptionArn": "arn:aws:sns:r:1:t:s", "Sns": { "MessageId": "m", "Message": event.to_string(),
                    "Type": "Notification", "TopicArn": "arn:aws:sns:r:1:t", "Timestamp": "2026-01-01T00:00:00Z",
                    "SignatureVersion": "1", "Signature": "", "SigningCertUrl": "https://a", "UnsubscribeUrl": "https://a",
                    "MessageAttributes": {} } }] });
            let Event::Delivered(records) = read(sns.clone()) else { panic!("{sns}") };
            assert_eq!(keys(&records), wanted, "SNS: {event}");
        }
        let body =
            |body: &Value| json!({ "eventSource": "aws:sqs", "messageId": "m", "body": body.to_string() });
        let sqs = json!({ "Records": [body(&notice), body(&wrapped), body(&bus), body(&test)] });
        let Event::Queued(records) = read(sqs) else { panic!("it is queued") };
        assert_eq!(keys(&records), [&both[..], &both, &[Ok("a+b")]].concat());
        assert_eq!(records.len(), 4, "each comes again by itself");
    }

    #[test]
    fn invalid_request_is_refused_with_the_valid_form() {
        for event in [
            json!(null),
            json!("a"),
            json!({}),
            json!({ "Records": [] }),
            json!({ "Records": [{ "eventSource": "aws:kinesis" }] }),
        ] {
            let error = Event::read(&event, UTC).unwrap_err().to_string();
            assert!(error.contains("job_id"), "{error}");
        }
        assert!(Event::read(&json!({ "sweep": false }), UTC).is_err());
        let tick =
            json!({ "id": "1", "detail-type": "Scheduled Event", "detail": {}, "source": "aws.events" });
        assert!(Event::read(&tick, UTC).unwrap_err().to_string().contains("scheduled_at"));
    }
}
