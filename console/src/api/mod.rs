//! The API: each operation of the service has its endpoint, by the words of its command: `runs list` is `/api/v1/runs/list`.
//! Operations that only look take GET and a query, or POST and JSON; those that change something take POST and JSON.

mod openapi;
mod query;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use pumice_core::audit::{ActOutcome, Origin};
use pumice_core::document::parse_json_bytes;
use pumice_core::secret::{MASK, mask_value};
use pumice_service::audit::Act;
use pumice_service::{ErrorKind, Operation, operations};
use serde_json::{Map, Value, json};

use crate::access::{Caller, Role};
use crate::answer::Fault;
use crate::app::App;
use crate::ask::{Fields, acting, allowed, body_of};

/// Where the operations are.
const BASE: &str = "/api/v1";
/// The header under which a request may be sent again.
const KEY: &str = "idempotency-key";
/// Longest key, in bytes.
const MAX_KEY: usize = 200;

/// The methods of what only looks, and of what changes something.
const LOOKS: &str = "GET, HEAD, POST";
const WRITES: &str = "POST";

/// The methods of a path, for requests with another.
pub(crate) fn methods_of(path: &str) -> &'static str {
    let name = path.strip_prefix(BASE).and_then(|rest| rest.strip_prefix('/'));
    let operation = name.and_then(|name| offered().find(|one| one.path() == name));
    if operation.is_none_or(|operation| Role::only_looks(&operation)) { LOOKS } else { WRITES }
}

/// The routes of the API.
pub(crate) fn routes(router: Router<Arc<App>>) -> Router<Arc<App>> {
    router
        .route("/api/v1/openapi.json", get(document))
        .route("/api/v1/{*operation}", get(operate).post(operate))
}

/// The operations that have an endpoint.
fn offered() -> impl Iterator<Item = Operation> {
    operations().into_iter().filter(Operation::is_offered)
}

async fn document(State(app): State<Arc<App>>) -> Response {
    answer(StatusCode::OK, &openapi::document(offered(), &app.cookie), "application/json")
}

/// Carries out an operation.
async fn operate(
    State(app): State<Arc<App>>,
    Path(path): Path<String>,
    request: Request,
) -> Result<Response, Fault> {
    let (parts, body) = request.into_parts();
    let missing =
        || Fault::new(StatusCode::NOT_FOUND, format!("no such operation: {BASE}/openapi.json lists them"));
    let operation = offered().find(|one| one.path() == path).ok_or_else(missing)?;
    let caller = parts.extensions.get::<Caller>().cloned();
    let caller = caller.ok_or_else(|| Fault::new(StatusCode::UNAUTHORIZED, "log in first"))?;
    let query = Fields::read(parts.uri.query().unwrap_or_default().as_bytes())?;
    let mut asked = match parts.method {
        Method::POST => {
            query::only_dry_run(&query)?;
            body_as_json(&parts.headers, &body_of(&app, body).await?)?
        }
        _ if Role::only_looks(&operation) => query::request(&operation.request(), &query)?,
        _ => {
            let why = format!("{} does more than look: send it with POST", operation.command);
            return Err(Fault::new(StatusCode::METHOD_NOT_ALLOWED, why).allowing(WRITES));
        }
    };
    let fields = operation.request();
    let is_try = query.has("dry_run") && parts.method == Method::POST;
    if is_try {
        set(&mut asked, &fields, "dry_run", json!(true), &operation)?;
    }
    if parts.headers.contains_key(header::IF_NONE_MATCH) && !Role::only_looks(&operation) {
        let why =
            "if-none-match: no write takes it: nothing was done; if-match names the document that is meant";
        return Err(Fault::bad(why));
    }
    if let Some(condition) = condition(&parts.headers)? {
        set(&mut asked, &fields, "if_match", json!(condition), &operation)?;
    }
    if let Some(key) = only(&parts.headers, KEY)? {
        // A field of that name of what only looks is another thing, as an object's key.
        if Role::only_looks(&operation) {
            return Err(Fault::bad(format!("{} only looks: it takes no {KEY}", operation.command)));
        }
        let key = key.to_str().ok().filter(|key| !key.is_empty() && key.len() <= MAX_KEY);
        let key = key.ok_or_else(|| Fault::bad(format!("{KEY}: 1 to {MAX_KEY} characters of ASCII")))?;
        set(&mut asked, &fields, "key", json!(key), &operation)?;
    }
    // A dry run changes nothing: every viewer may try.
    let is_dry = |asked: &Map<String, Value>| asked.get("dry_run") == Some(&json!(true));
    let changes_nothing = match nested_dry_run(&fields) {
        Some(name) => asked.get(name).and_then(Value::as_object).is_some_and(is_dry),
        None => is_dry(&asked),
    };
    let needed = if changes_nothing { Role::Viewer } else { Role::needed_for(&operation) };
    if let Err(fault) = allowed(&app, &caller, needed) {
        if !app.is_read_only && !Role::only_looks(&operation) {
            denied(&app, &caller, operation.command, &fault).await;
        }
        return Err(fault);
    }
    app.refresh().await;
    let realm = acting(&app, &caller, Origin::Api, !changes_nothing).await;
    let is_masked = operation.is_masked(&asked);
    let outcome = operation.call(&realm, Value::Object(asked)).await;
    if !Role::only_looks(&operation) && !changes_nothing {
        let (what, done) = (operation.command, outcome.is_ok());
        tracing::info!(target: "pumice::audit", by = %caller.who(), what, done, "api");
    }
    let mut response = outcome?;
    let tag = operation.tag(&response, is_masked);
    match is_masked {
        true => response = MASK.into(),
        false => mask_value(&mut response),
    }
    let mut answer = answer(status_of(&response), &response, "application/json");
    tagged(&mut answer, tag.as_deref());
    Ok(answer)
}

/// The status of a response: whether all that was asked for was done, a part, or nothing.
fn status_of(response: &Value) -> StatusCode {
    let is_some = |value: &Value| value.as_array().is_some_and(|items| !items.is_empty());
    if !is_some(&response["refused"]) {
        return StatusCode::OK;
    }
    let fields = response.as_object().into_iter().flatten();
    let is_part = fields.filter(|(name, _)| *name != "refused").any(|(_, value)| is_some(value));
    if is_part { StatusCode::MULTI_STATUS } else { StatusCode::UNPROCESSABLE_ENTITY }
}

/// The value of a header that may be there once.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a HeaderValue>, Fault> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (value, None) => Ok(value),
        _ => Err(Fault::bad(format!("{name}: it is there more than once: nothing was done"))),
    }
}

/// The condition of a write: its lines are one list (RFC 9110, 5.3). The service reads it.
fn condition(headers: &HeaderMap) -> Result<Option<String>, Fault> {
    let mut lines = Vec::new();
    for line in headers.get_all(header::IF_MATCH) {
        let line = line.to_str().map_err(|_| Fault::bad("if-match: an entity tag is plain ASCII"))?;
        lines.push(line);
    }
    Ok((!lines.is_empty()).then(|| lines.join(", ")))
}

/// Gives an answer the tag of the document that it shows.
fn tagged(answer: &mut Response, tag: Option<&str>) {
    if let Some(tag) = tag.and_then(|tag| HeaderValue::from_str(&format!("\"{tag}\"")).ok()) {
        answer.headers_mut().insert(header::ETAG, tag);
    }
}

/// Writes into the audit that an operation was refused to a caller for its role, once a minute; without the request, which may
/// hold anything.
async fn denied(app: &App, caller: &Caller, command: &'static str, fault: &Fault) {
    let who = caller.who();
    tracing::warn!(target: "pumice::audit", by = %who, what = command, "refused");
    if !app.denials.is_first(&who, command, Instant::now()) {
        return;
    }
    let realm = acting(app, caller, Origin::Api, true).await;
    let act = Act::new(command, &Value::Null);
    match act.begin(&realm).await {
        Ok(Some(entry)) => act.end(&realm, entry, ActOutcome::Refused, Err(&fault.message)).await,
        Ok(None) => {}
        Err(error) => tracing::error!(%error, command, "a refusal is not in the audit"),
    }
}

/// The field of a request that has its `dry_run`, where that is not the request itself.
fn nested_dry_run(schema: &Value) -> Option<&str> {
    let has_own = |schema: &Value| schema.pointer("/properties/dry_run").is_some();
    if has_own(schema) {
        return None;
    }
    schema.get("properties")?.as_object()?.iter().find_map(|(name, property)| {
        let place = property.get("$ref")?.as_str()?.strip_prefix('#')?;
        has_own(schema.pointer(place)?).then_some(name.as_str())
    })
}

/// Sets a field of a request that comes in another way.
fn set(
    asked: &mut Map<String, Value>,
    schema: &Value,
    name: &str,
    value: Value,
    operation: &Operation,
) -> Result<(), Fault> {
    let is_known = schema.pointer(&format!("/properties/{name}")).is_some();
    let nested = nested_dry_run(schema).filter(|_| name == "dry_run");
    let fields = match (is_known, nested) {
        (true, _) => asked,
        (false, Some(place)) => match asked.entry(place).or_insert_with(|| json!({})).as_object_mut() {
            Some(fields) => fields,
            None => return Err(Fault::bad(format!("{place} is not an object"))),
        },
        // To take no notice would run what was only to be tried, or run twice what was to run once.
        (false, None) => {
            return Err(Fault::bad(format!("{} has no {name}: nothing was done", operation.command)));
        }
    };
    match fields.get(name) {
        Some(given) if *given != value && !(given.is_null() && may_be_null(schema, name)) => {
            Err(Fault::bad(format!("{name}: the body says otherwise: nothing was done")))
        }
        _ => {
            fields.insert(name.to_owned(), value);
            Ok(())
        }
    }
}

/// Whether `null` says the same as leaving a field out.
fn may_be_null(schema: &Value, name: &str) -> bool {
    let kind = &schema["properties"][name]["type"];
    let branches = schema["properties"][name]["anyOf"].as_array();
    let is_null = |kind: &Value| *kind == json!("null");
    kind.as_array().is_some_and(|kinds| kinds.iter().any(is_null))
        || branches.is_some_and(|branches| branches.iter().any(|branch| is_null(&branch["type"])))
}

fn body_as_json(headers: &HeaderMap, body: &[u8]) -> Result<Map<String, Value>, Fault> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    let kind = only(headers, "content-type")?.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "a request is sent as application/json"));
    }
    match parse_json_bytes(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(Fault::bad("a request is a JSON object")),
        Err(error) => Err(Fault::bad(format!("the body cannot be read: {error}"))),
    }
}

fn answer(status: StatusCode, value: &Value, kind: &'static str) -> Response {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// A line below a message without the indent that all such lines have. Text that is further in, as part of a file, keeps its place.
fn without_indent(line: &str) -> &str {
    line.strip_prefix("  ").unwrap_or(line).trim_end()
}

/// The document of a fault (RFC 9457).
pub(crate) fn problem(fault: &Fault) -> Response {
    let (detail, more) = match fault.message.split_once('\n') {
        Some((detail, more)) => (detail, more.lines().map(without_indent).collect()),
        None => (fault.message.as_str(), Vec::new()),
    };
    let detail = pumice_core::secret::mask(detail);
    let mut value = json!({
        "type": "about:blank",
        "title": fault.status.canonical_reason().unwrap_or("Error"),
        "status": fault.status.as_u16(),
        "detail": detail,
    });
    if let Some(kind) = fault.kind {
        value["kind"] = json!(kind);
    }
    if !more.is_empty() {
        value["problems"] = json!(more);
        mask_value(&mut value["problems"]);
    }
    if let Some(current) = &fault.current {
        value["current"] = current.document.clone().unwrap_or_default();
        mask_value(&mut value["current"]);
    }
    let mut response = answer(fault.status, &value, "application/problem+json");
    tagged(&mut response, fault.current.as_ref().and_then(|current| current.tag.as_deref()));
    if fault.kind == Some(ErrorKind::Throttled) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
