//! Job type `http`: makes a request to a server of the web. lava has no such type.

use std::collections::BTreeMap;

use pumice_core::duration::Span;
use pumice_core::job_type::{Given, JobType, Template, zero_timeout};
use pumice_core::number::Whole;
use pumice_core::problem::{JsonPath, Problem};
use pumice_core::spec::Settings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::cmd::Text;
use crate::command_line::{self, Timed};
use crate::web::{Content, Method, check_headers, check_url};

/// Most tries after the first.
const MAX_RETRIES: i64 = 10;
/// Most redirects.
const MAX_REDIRECTS: i64 = pumice_core::ports::MAX_REDIRECTS as i64;
/// Tries after the first unless the job says otherwise.
pub const RETRIES: u32 = 2;
/// Wait before the second try unless the job says otherwise; it doubles with each try.
pub const RETRY_DELAY: Span = Span::from_secs(1);
/// Time of one try unless the job says otherwise.
pub const REQUEST_TIMEOUT: Span = Span::from_mins(1);

/// The statuses with which a request went well: `200`, `2xx`, `200-204`, or a list of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statuses(Vec<(u16, u16)>);

impl Default for Statuses {
    fn default() -> Self {
        Self(vec![(200, 299)])
    }
}

impl Statuses {
    /// Whether a status is one of them.
    #[must_use]
    pub fn has(&self, status: u16) -> bool {
        self.0.iter().any(|(from, to)| (*from..=*to).contains(&status))
    }

    fn parse(value: &Value) -> Result<Self, String> {
        let all = match value {
            Value::Array(all) if !all.is_empty() => all.as_slice(),
            Value::Array(_) => return Err("there is no status in the list: leave it out for 2xx".to_owned()),
            one => std::slice::from_ref(one),
        };
        all.iter().map(range).collect::<Result<_, _>>().map(Self)
    }
}

/// The statuses that one rule covers.
fn range(rule: &Value) -> Result<(u16, u16), String> {
    let status = |text: &str| text.trim().parse::<u16>().ok().filter(|status| (100..=599).contains(status));
    let found = match rule {
        Value::Number(number) => status(&number.to_string()).map(|status| (status, status)),
        Value::String(text) => {
            match (text.trim().to_ascii_lowercase().strip_suffix("xx"), text.split_once('-')) {
                (Some(class), _) => status(&format!("{class}00")).map(|from| (from, from + 99)),
                (None, Some((from, to))) => status(from).zip(status(to)).filter(|(from, to)| from <= to),
                (None, None) => status(text).map(|status| (status, status)),
            }
        }
        _ => None,
    };
    found.ok_or_else(|| format!("{rule} is not a status or a range of statuses: write 200, 2xx or 200-204"))
}

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Statuses {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Statuses".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer", "array"], "items": { "type": ["string", "integer"] } })
    }
}

/// Parameters of an http job.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "HttpParameters")]
pub struct Parameters {
    /// The method; default GET.
    #[serde(default)]
    pub method: Option<Method>,
    /// Headers.
    #[serde(default)]
    pub headers: Option<BTreeMap<String, Template<Text>>>,
    /// A text, or a map or list that is sent as JSON.
    #[serde(default)]
    pub body: Option<Template<Content>>,
    /// The statuses with which the request went well: `200`, `2xx`, `200-204`, or a list of these; default `2xx`.
    #[serde(default)]
    pub ok: Option<Statuses>,
    /// Redirects that are followed, at most 5; default 5.
    #[serde(default)]
    pub redirects: Option<Whole<0, MAX_REDIRECTS>>,
    /// Tries after the first within an attempt, at most 10; default 2.
    #[serde(default)]
    pub retries: Option<Whole<0, MAX_RETRIES>>,
    /// The wait before the second try, doubled with each further one; default 1 second. `Retry-After` wins.
    #[serde(default)]
    pub retry_delay: Option<Span>,
    /// How long one try may take; default 1 minute.
    #[serde(default)]
    pub request_timeout: Option<Span>,
    /// How long all tries and waits may take; default the job's `timeout`, else the realm's `CMD_TIMEOUT` of 10 minutes.
    #[serde(default)]
    pub timeout: Option<Span>,
    /// Whether URL, headers and body are rendered; default true.
    #[serde(default)]
    pub jinja: Option<bool>,
    /// The values that templates see as `vars`.
    #[serde(default)]
    pub vars: Option<Map<String, Value>>,
}

/// The payload of an http job.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Url(#[schemars(length(min = 1, max = 8192))] pub String);

/// The job type `http`.
#[derive(Clone, Copy, Debug)]
pub struct Http;

impl JobType for Http {
    const NAME: &'static str = "http";
    const ABOUT: &'static str = "Makes a request to a server of the web, and keeps the response.";
    type Payload = Template<Url>;
    type Parameters = Parameters;

    fn check(&self, given: &Given<'_, Self>) -> Vec<Problem> {
        let root = JsonPath::root();
        let parameters = given.job.fields.parameters.as_ref();
        let path = root.field("parameters");
        let parameter = |name: &str| parameters.and_then(|parameters| parameters.get(name));
        let mut problems = check_headers(parameter("headers"), &path.field("headers"));
        problems.extend(check_url(Some(&given.job.fields.payload), root.field("payload")));
        let statuses = parameter("ok").filter(|ok| ok.is_string() || ok.is_number() || ok.is_array());
        if let Some(Err(message)) = statuses.map(Statuses::parse) {
            problems.push(Problem::new(path.field("ok"), message));
        }
        problems
    }

    fn advise(&self, given: &Given<'_, Self>, _: &Settings) -> Vec<Problem> {
        let Some(parameters) = &given.parameters else { return Vec::new() };
        let timed = Timed { what: "the request", timeout: parameters.timeout };
        let mut advice = command_line::advise_timeout(&given.job.fields, &timed);
        let path = JsonPath::root().field("parameters").field("request_timeout");
        advice.extend(zero_timeout(parameters.request_timeout, path));
        advice
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn statuses_are_numbers_classes_and_ranges() {
        let statuses = Statuses::parse(&json!([200, "3xx", "400-404", " 418 "])).unwrap();
        let having: Vec<u16> = (100..600).filter(|status| statuses.has(*status)).collect();
        let wanted = [200].into_iter().chain(300..400).chain(400..=404).chain([418]);
        assert_eq!(having, wanted.collect::<Vec<u16>>());
        assert!(Statuses::default().has(204) && !Statuses::default().has(304));
    }

    #[test]
    fn statuses_that_are_none_are_refused() {
        for value in [
            json!(99),
            json!("6xx"),
            json!("xx"),
            json!("204-200"),
            json!("ok"),
            json!([]),
            json!([true]),
            json!(""),
        ] {
            assert!(Statuses::parse(&value).is_err(), "{value}");
        }
    }
}
