//! Action `webhook`: makes a request to a server. lava has no such action.

use std::collections::BTreeMap;

use pumice_core::ids::ConnId;
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
    /// Where the request goes: http:// or https://. Without it `webhook_conn` says so.
    #[serde(default)]
    #[schemars(length(min = 1, max = 8192))]
    pub url: Option<String>,
    /// The connection of type `webhook` that has the URL, headers and the secret, in place of `url`. Headers and a secret of the
    /// action come before those of the connection.
    #[serde(default)]
    pub webhook_conn: Option<ConnId>,
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
        let has = |name: &str| field(fields, name).is_some_and(|value| !value.is_null());
        match (has("url"), has("webhook_conn")) {
            (false, false) => {
                problems.push(Problem::new(
                    root.clone(),
                    "the field \"url\" is missing, and so is \"webhook_conn\"",
                ));
            }
            (true, true) => {
                problems.push(Problem::new(
                    root.field("webhook_conn"),
                    "url is given too: the connection has its own",
                ));
            }
            _ => {}
        }
        let signature = field(fields, "signature_header").and_then(Value::as_str);
        let path = root.field("signature_header");
        if signature.is_some() && !has("secret") && !has("webhook_conn") {
            problems.push(Problem::new(path, "there is no secret to sign with: give `secret` too"));
        } else if let Some(name) = signature.filter(|name| !name.contains("{{") && !is_token(name)) {
            problems.push(Problem::new(path, format!("{name:?} is not the name of a header")));
        }
        problems
    }
}
