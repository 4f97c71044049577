//! The form of requests to web servers in specs.

use std::collections::BTreeMap;

use pumice_core::address::url_fault;
use pumice_core::problem::{JsonPath, Problem};
use pumice_core::secret::{mask, mask_value};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Most headers of a request.
pub const MAX_HEADERS: usize = 50;
/// Longest value of a header, in bytes.
pub const MAX_HEADER: usize = 8192;

/// A method of HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(inline)]
pub enum Method {
    /// Reads.
    #[default]
    Get,
    /// Reads the headers alone.
    Head,
    /// Sends.
    Post,
    /// Puts in place.
    Put,
    /// Changes.
    Patch,
    /// Deletes.
    Delete,
    /// Asks what there is.
    Options,
}

impl Method {
    /// The name, in capitals.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
        }
    }

    /// Whether the same request made twice does no more than made once (RFC 9110 section 9.2.2).
    #[must_use]
    pub const fn is_idempotent(self) -> bool {
        !matches!(self, Self::Post | Self::Patch)
    }
}

/// A text, or a map or a list that is sent as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub enum Content {
    /// A text, as it is.
    Text(String),
    /// A map or a list.
    Json(Value),
}

impl TryFrom<Value> for Content {
    type Error = &'static str;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        match value {
            Value::String(text) => Ok(Self::Text(text)),
            Value::Object(_) | Value::Array(_) => Ok(Self::Json(value)),
            _ => Err("expected a string, an object or a list"),
        }
    }
}

impl From<Content> for Value {
    fn from(content: Content) -> Self {
        match content {
            Content::Text(text) => Self::String(text),
            Content::Json(value) => value,
        }
    }
}

impl Content {
    /// The same without secrets.
    #[must_use]
    pub fn masked(self) -> Self {
        match self {
            Self::Text(text) => Self::Text(mask(&text).into_owned()),
            Self::Json(mut value) => {
                mask_value(&mut value);
                Self::Json(value)
            }
        }
    }

    /// The text that is sent.
    #[must_use]
    pub fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Json(value) => value.to_string(),
        }
    }

    /// The type of the content where the request does not say.
    #[must_use]
    pub const fn media_type(&self) -> &'static str {
        match self {
            Self::Text(_) => "text/plain; charset=utf-8",
            Self::Json(_) => "application/json",
        }
    }
}

impl JsonSchema for Content {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Content".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "object", "array"] })
    }
}

/// Whether a text is a token, as names of headers are (RFC 9110 section 5.6.2).
#[must_use]
pub fn is_token(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    !text.is_empty() && text.chars().all(is_part)
}

/// Whether a text has templates in it, so that it is not known before they are rendered.
pub(crate) fn is_open(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

/// The problem of a URL that has no templates.
pub(crate) fn check_url(url: Option<&Value>, path: JsonPath) -> Option<Problem> {
    let url = url.and_then(Value::as_str).filter(|url| !is_open(url))?;
    url_fault(url).map(|why| Problem::new(path, why))
}

/// Problems of the names and values of headers.
pub(crate) fn check_headers(headers: Option<&Value>, path: &JsonPath) -> Vec<Problem> {
    let Some(headers) = headers.and_then(Value::as_object) else { return Vec::new() };
    let mut problems = Vec::new();
    if headers.len() > MAX_HEADERS {
        let message = format!("{} headers are more than {MAX_HEADERS}, the limit", headers.len());
        problems.push(Problem::new(path.clone(), message));
    }
    problems.extend(headers.iter().filter_map(|(name, value)| check_header(name, value, path)));
    problems
}

fn check_header(name: &str, value: &Value, path: &JsonPath) -> Option<Problem> {
    let path = path.field(name);
    if !is_open(name) && !is_token(name) {
        return Some(Problem::new(
            path,
            format!("{name:?} is not the name of a header: use letters, digits and -"),
        ));
    }
    let text = value.as_str()?;
    if text.len() > MAX_HEADER {
        return Some(Problem::new(
            path,
            format!("{} bytes are more than {MAX_HEADER}, the limit", text.len()),
        ));
    }
    let is_odd = |c: char| c.is_control() && c != '\t';
    (!is_open(text) && text.contains(is_odd))
        .then(|| Problem::new(path, "the value has control characters or line breaks: write it in one line"))
}

/// The headers as a request has them, with the type of the content unless they say it.
#[must_use]
pub fn headers_with(headers: BTreeMap<String, String>, content: Option<&Content>) -> Vec<(String, String)> {
    let says = headers.keys().any(|name| name.eq_ignore_ascii_case("content-type"));
    let added =
        content.filter(|_| !says).map(|content| ("Content-Type".to_owned(), content.media_type().to_owned()));
    headers.into_iter().chain(added).collect()
}

/// The fields of a spec's object.
pub(crate) fn field<'a>(fields: &'a Value, name: &str) -> Option<&'a Value> {
    fields.as_object().and_then(|fields: &Map<String, Value>| fields.get(name))
}
