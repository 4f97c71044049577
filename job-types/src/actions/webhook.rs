//! Action `webhook`: makes a request to a server. lava has no such action.

use std::collections::BTreeMap;

use pumice_core::job_type::Action;
use pumice_core::problem::{JsonPath, Problem};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::web::{Content, Method, check_headers, check_url, field, is_token};

/// The header of the signature unless the action says otherwise: that of GitHub's webhooks.
pub const SIGNATURE_HEADER: &str = "X-Hub-Signature-256";

/// Fields of the action.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "WebhookAction")]
pub struct Fields {
    /// Where the request goes: http:// or https://.
    #[schemars(length(min = 1, max = 8192))]
    pub url: String,
    /// The method; default POST.
    #[serde(default)]
    pub method: Option<Method>,
    /// Headers.
    #[serde(default)]
    pub headers: Option<BTreeMap<String, String>>,
    /// A text, or a map or list that is sent as JSON; default a map with realm, worker, `job_id`, `run_id`, `exit_status`
    /// and error.
    #[serde(default)]
    pub body: Option<Content>,
    /// The name of the secret that signs the body.
    #[serde(default)]
    #[schemars(length(min = 1, max = 255))]
    pub secret: Option<String>,
    /// The header that has the signature, `sha256=` and HMAC-SHA256 of the body in hexadecimal; default
    /// `X-Hub-Signature-256`.
    #[serde(default)]
    #[schemars(length(min = 1, max = 255))]
    pub signature_header: Option<String>,
}

/// The action `webhook`.
#[derive(Clone, Copy, Debug)]
pub struct Webhook;

impl Action for Webhook {
    const NAME: &'static str = "webhook";
    const ABOUT: &'static str = "Makes a request to a server of the web.";
    type Fields = Fields;

    fn check(&self, fields: &Value, _: Option<Fields>) -> Vec<Problem> {
        let root = JsonPath::root();
        let mut problems = check_headers(field(fields, "headers"), &root.field("headers"));
        problems.extend(check_url(field(fields, "url"), root.field("url")));
        let signature = field(fields, "signature_header").and_then(Value::as_str);
        let path = root.field("signature_header");
        if signature.is_some() && field(fields, "secret").is_none_or(Value::is_null) {
            problems.push(Problem::new(path, "there is no secret to sign with: give `secret` too"));
        } else if let Some(name) = signature.filter(|name| !name.contains("{{") && !is_token(name)) {
            problems.push(Problem::new(path, format!("{name:?} is not the name of a header")));
        }
        problems
    }
}
