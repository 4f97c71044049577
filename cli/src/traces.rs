//! Traces of runs for OpenTelemetry, sent as JSON over HTTP (OTLP 1.3, OTLP/HTTP; Environment Variable Specification). A run
//! and its steps are one trace: its id is that of the run, and the span of a step is below the one of what it is a step of.
//! A run that another has started is a trace of its own, with a link to the other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use pumice_core::ids::RunKey;
use pumice_core::ports::{Http, HttpRequest};
use pumice_host::Web;
use serde_json::{Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;
use uuid::Uuid;

/// The target of the events that say that a run has ended.
const SPAN: &str = "pumice::span";
/// Most spans that wait to be sent: what comes then is dropped, and counted.
const MAX_WAITING: usize = 10_000;
/// Most spans of one request.
const BATCH: usize = 512;
/// How long a span waits for others.
const LINGER: Duration = Duration::from_secs(1);
/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The pauses before a request is made again that the server could not take.
const PAUSES: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];
/// How soon the thread that sends sees that the process ends.
const LOOK: Duration = Duration::from_millis(250);
/// How long the end of the process waits for what is left.
const LAST: Duration = Duration::from_secs(5);
/// The shortest time between two warnings.
const WARNED_EVERY: Duration = Duration::from_secs(60);
/// The longest reason that goes along, in bytes.
const MAX_REASON: usize = 2_048;

/// Has what is left sent when it is dropped.
pub(crate) struct Exporter {
    ends: Arc<AtomicBool>,
    done: Receiver<()>,
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        // A server that does not answer keeps nothing waiting.
        let _ = self.done.recv_timeout(LAST);
    }
}

/// Where spans are sent, and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    url: String,
    headers: Vec<(String, String)>,
    /// The resource of all spans: names and values.
    resource: Vec<(String, String)>,
}

/// The listener of ends and its exporter, as the environment says; `None` where it names no place for them.
///
/// # Errors
/// The fault of the variables.
pub(crate) fn from_environment<S>() -> Result<Option<(impl Layer<S> + use<S>, Exporter)>, String>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let Some(target) = Target::read(&|name| std::env::var(name).ok())? else { return Ok(None) };
    let (spans, waiting) = sync_channel(MAX_WAITING);
    let (finish, done) = channel();
    let (dropped, ends) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut sender =
        Sender { target, web: Web::default(), dropped: dropped.clone(), ends: ends.clone(), warned: None };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    thread::Builder::new()
        .name("traces".to_owned())
        .spawn(move || {
            while let Some(batch) = next_batch(&waiting, &sender.ends) {
                runtime.block_on(sender.send(&batch));
            }
            let _ = finish.send(());
        })
        .map_err(|error| format!("no thread for them: {error}"))?;
    let layer = Spans { spans, dropped }.with_filter(Targets::new().with_target(SPAN, Level::TRACE));
    Ok(Some((layer, Exporter { ends, done })))
}

/// The spans of the next request; `None` when the process ends and none are left.
fn next_batch(waiting: &Receiver<Box<Seen>>, ends: &AtomicBool) -> Option<Vec<Seen>> {
    let mut batch = Vec::new();
    let mut since = Instant::now();
    while batch.len() < BATCH && (batch.is_empty() || since.elapsed() < LINGER) {
        let is_ending = ends.load(Ordering::Relaxed);
        match waiting.recv_timeout(if is_ending { Duration::ZERO } else { LOOK }) {
            Ok(span) => {
                if batch.is_empty() {
                    since = Instant::now();
                }
                batch.push(*span);
            }
            Err(RecvTimeoutError::Timeout) if !is_ending => {}
            Err(_) => break,
        }
    }
    Some(batch).filter(|batch| !batch.is_empty())
}

/// Hears of ends.
struct Spans {
    spans: SyncSender<Box<Seen>>,
    dropped: Arc<AtomicU64>,
}

impl<S: Subscriber> Layer<S> for Spans {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut seen = Box::<Seen>::default();
        event.record(&mut *seen);
        // A job never waits for a collector.
        if self.spans.try_send(seen).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The fields of an event.
#[derive(Debug, Default)]
struct Seen {
    texts: BTreeMap<&'static str, String>,
    numbers: BTreeMap<&'static str, i64>,
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.texts.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.texts.insert(field.name(), value.to_owned());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.numbers.insert(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.numbers.insert(field.name(), i64::try_from(value).unwrap_or(i64::MAX));
    }
}

impl Seen {
    fn text(&self, name: &str) -> &str {
        self.texts.get(name).map_or("", String::as_str)
    }

    fn number(&self, name: &str) -> i64 {
        self.numbers.get(name).copied().unwrap_or(0)
    }

    /// The span, as JSON; `None` for what has no key of a run.
    fn span(&self) -> Option<Value> {
        let key: RunKey = self.text("key").parse().ok()?;
        let nanos = |name: &str| format!("{}", i128::from(self.number(name)) * 1_000);
        let (start, end) = (self.number("start"), self.number("end"));
        let delay = (start - self.number("dispatched")).max(0) / 1_000;
        let reason = pumice_core::secret::mask(self.text("reason"));
        let reason = &reason[..reason.floor_char_boundary(MAX_REASON)];
        let status = match self.text("status") {
            "complete" => json!({ "code": 1 }),
            "failed" | "rejected" => json!({ "code": 2, "message": reason }),
            _ => json!({ "code": 0 }),
        };
        let mut attributes = vec![
            text("pumice.run_id", self.text("run_id")),
            text("pumice.key", key.as_str()),
            text("pumice.job_id", self.text("job_id")),
            text("pumice.job_type", self.text("job_type")),
            text("pumice.worker", self.text("worker")),
            text("pumice.status", self.text("status")),
            number("pumice.attempt", self.number("attempt")),
            number("pumice.start_delay_ms", delay),
        ];
        if !reason.is_empty() {
            attributes.push(text("pumice.reason", reason));
        }
        let mut span = json!({
            "traceId": trace_id(&key)?,
            "spanId": span_id(&key),
            "name": self.text("job_id"),
            "kind": 1,
            "startTimeUnixNano": nanos("start"),
            // A clock may have been put back.
            "endTimeUnixNano": if end < start { nanos("start") } else { nanos("end") },
            "attributes": attributes,
            "status": status,
        });
        if let Some(parent) = key.parent() {
            span["parentSpanId"] = span_id(&parent).into();
        }
        if let Ok(by) = self.text("started_by").parse::<RunKey>() {
            span["links"] = json!([{ "traceId": trace_id(&by)?, "spanId": span_id(&by) }]);
        }
        Some(span)
    }
}

/// The trace of a run: its id, which is as long.
fn trace_id(key: &RunKey) -> Option<String> {
    key.run_id().map(|run_id| run_id.0.simple().to_string())
}

/// The span of a run or step: it follows from the key, so that one process may begin a run and another end it.
fn span_id(key: &RunKey) -> String {
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, key.as_str().as_bytes()).simple().to_string();
    id[..16].to_owned()
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn number(key: &str, value: i64) -> Value {
    // As the JSON mapping of Protocol Buffers writes 64 bits.
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

impl Target {
    /// The settings by the variables; `None` where they name no place.
    fn read(variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<Self>, String> {
        let set =
            |name: &str| variable(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let of_traces = |name: &str| {
            let own = format!("OTEL_EXPORTER_OTLP_TRACES_{name}");
            set(&own).map(|value| (own, value)).or_else(|| {
                let shared = format!("OTEL_EXPORTER_OTLP_{name}");
                set(&shared).map(|value| (shared, value))
            })
        };
        let is_off = set("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"))
            || set("OTEL_TRACES_EXPORTER").is_some_and(|text| text == "none");
        let Some((name, endpoint)) = of_traces("ENDPOINT").filter(|_| !is_off) else { return Ok(None) };
        if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
            return Err(format!("{name} must begin with http:// or https://: {endpoint}"));
        }
        if let Some((name, protocol)) = of_traces("PROTOCOL").filter(|(_, protocol)| protocol == "grpc") {
            return Err(format!(
                "{name} is {protocol}, which is not spoken here: name the collector's HTTP endpoint, which mostly has port 4318, \
                 and http/json"
            ));
        }
        // The variable of traces alone has the whole URL.
        let url = match name.contains("_TRACES_") {
            true => endpoint,
            false => format!("{}/v1/traces", endpoint.trim_end_matches('/')),
        };
        let headers =
            of_traces("HEADERS").map(|(name, text)| pairs(&name, &text)).transpose()?.unwrap_or_default();
        let name = "OTEL_RESOURCE_ATTRIBUTES";
        let mut resource = set(name).map(|text| pairs(name, &text)).transpose()?.unwrap_or_default();
        let service = set("OTEL_SERVICE_NAME");
        if service.is_some() || !resource.iter().any(|(name, _)| name == "service.name") {
            resource.retain(|(name, _)| name != "service.name");
            resource.push(("service.name".to_owned(), service.unwrap_or_else(|| "pumice".to_owned())));
        }
        Ok(Some(Self { url, headers, resource }))
    }
}

/// Names and values as in `a=1,b=2`, the values with `%20` and the like in them (W3C Baggage).
fn pairs(variable: &str, text: &str) -> Result<Vec<(String, String)>, String> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').filter(|(name, _)| !name.trim().is_empty())?;
        Some((name.trim().to_owned(), decoded(value.trim())?))
    };
    let pairs: Option<Vec<_>> = text.split(',').filter(|part| !part.trim().is_empty()).map(pair).collect();
    // The value may be a secret.
    pairs.ok_or_else(|| format!("{variable} is not of the form NAME=VALUE,NAME=VALUE"))
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        rest = more;
        if *first == b'%' {
            let (digits, more) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = more;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

/// Sends spans.
struct Sender {
    target: Target,
    web: Web,
    dropped: Arc<AtomicU64>,
    ends: Arc<AtomicBool>,
    /// When the last warning was given.
    warned: Option<Instant>,
}

impl Sender {
    /// Sends spans; warns of those that cannot be sent.
    async fn send(&mut self, batch: &[Seen]) {
        let spans: Vec<Value> = batch.iter().filter_map(Seen::span).collect();
        if let Err(error) = self.post(&spans).await {
            self.dropped.fetch_add(spans.len() as u64, Ordering::Relaxed);
            self.warn(&error);
        } else if self.dropped.load(Ordering::Relaxed) > 0 {
            self.warn("the server did not take them fast enough");
        }
    }

    async fn post(&self, spans: &[Value]) -> Result<(), String> {
        let resource: Vec<Value> =
            self.target.resource.iter().map(|(name, value)| text(name, value)).collect();
        let scope = json!({ "name": "pumice", "version": env!("CARGO_PKG_VERSION") });
        let body = json!({ "resourceSpans": [{
            "resource": { "attributes": resource },
            "scopeSpans": [{ "scope": scope, "spans": spans }],
        }] });
        let mut headers = self.target.headers.clone();
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
        let request = HttpRequest {
            method: "POST".to_owned(),
            url: self.target.url.clone(),
            headers,
            body: body.to_string().into_bytes(),
            timeout: TIMEOUT,
            redirects: 0,
            max_response: 64 * 1024,
        };
        let mut pauses = PAUSES.into_iter();
        loop {
            let (error, may_pass) = match self.web.send(request.clone()).await {
                Ok(response) if (200..300).contains(&response.status) => return Ok(()),
                // As the protocol has it: these alone are tried again (OTLP, Failures).
                Ok(response) => {
                    let may_pass = matches!(response.status, 429 | 502 | 503 | 504);
                    (format!("status {}", response.status), may_pass)
                }
                Err(error) => (error.to_string(), true),
            };
            let pause = pauses.next().filter(|_| may_pass && !self.ends.load(Ordering::Relaxed));
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(error),
            }
        }
    }

    /// Says how many spans were not sent since this was last said, once in a while.
    fn warn(&mut self, error: &str) {
        if self.warned.is_some_and(|warned| warned.elapsed() < WARNED_EVERY)
            && !self.ends.load(Ordering::Relaxed)
        {
            return;
        }
        self.warned = Some(Instant::now());
        let spans = self.dropped.swap(0, Ordering::Relaxed);
        tracing::warn!(target: "pumice::traces", spans, error, "spans of runs were not sent");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<Target>, String> {
        let of = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Target::read(&of)
    }

    #[test]
    fn place_is_the_one_that_the_environment_names() {
        let shared = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/");
        for (variables, url) in [
            (&[][..], None),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")], None),
            (&[shared], Some("http://collector:4318/v1/traces")),
            (&[shared, ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://t/own")], Some("https://t/own")),
            (&[shared, ("OTEL_SDK_DISABLED", "TRUE")], None),
            (&[shared, ("OTEL_TRACES_EXPORTER", "none")], None),
            (
                &[shared, ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")],
                Some("http://collector:4318/v1/traces"),
            ),
        ] {
            assert_eq!(read(variables).unwrap().map(|target| target.url).as_deref(), url, "{variables:?}");
        }
        let more = [
            shared,
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20x, x-team = data"),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=prod,service.name=other"),
            ("OTEL_SERVICE_NAME", "nightly"),
        ];
        let target = read(&more).unwrap().unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(target.headers, [pair("authorization", "Bearer x"), pair("x-team", "data")]);
        assert_eq!(
            target.resource,
            [pair("deployment.environment", "prod"), pair("service.name", "nightly")]
        );
    }

    #[test]
    fn faults_of_the_environment_are_named_without_secrets() {
        let shared = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        for (variables, words) in [
            (
                &[("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317")][..],
                "OTEL_EXPORTER_OTLP_ENDPOINT must begin with",
            ),
            (
                &[shared, ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc")],
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL is grpc",
            ),
            (
                &[shared, ("OTEL_EXPORTER_OTLP_HEADERS", "s3cret")],
                "OTEL_EXPORTER_OTLP_HEADERS is not of the form",
            ),
            (
                &[shared, ("OTEL_EXPORTER_OTLP_HEADERS", "a=%zz")],
                "OTEL_EXPORTER_OTLP_HEADERS is not of the form",
            ),
        ] {
            let error = read(variables).unwrap_err();
            assert!(error.contains(words) && !error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn batch_is_what_has_come_and_the_last_is_sent_at_the_end() {
        let (spans, waiting) = sync_channel(MAX_WAITING);
        let ends = AtomicBool::new(true);
        for _ in 0..BATCH + 3 {
            spans.send(Box::default()).unwrap();
        }
        assert_eq!(next_batch(&waiting, &ends).map(|batch| batch.len()), Some(BATCH));
        assert_eq!(next_batch(&waiting, &ends).map(|batch| batch.len()), Some(3));
        assert!(next_batch(&waiting, &ends).is_none());
    }
}
