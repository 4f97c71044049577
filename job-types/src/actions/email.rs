//! Action `email`: sends an e-mail (lava guide, Action type: email).

use pumice_core::ids::{ConnId, FieldText};
use pumice_core::job_type::Action;
use pumice_core::problem::{JsonPath, Problem};
use pumice_core::text::quoted;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::web::{field, is_open};

/// Most recipients of an e-mail (SES, Service quotas).
pub const MAX_RECIPIENTS: usize = 50;

/// One address or several.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum Addresses {
    /// One, or several with commas between.
    One(FieldText),
    /// Several.
    Many(Vec<FieldText>),
}

impl Addresses {
    /// The addresses, in their order.
    #[must_use]
    pub fn all(&self) -> &[FieldText] {
        match self {
            Self::One(address) => std::slice::from_ref(address),
            Self::Many(addresses) => addresses,
        }
    }
}

/// Fields of the action.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "EmailAction")]
pub struct Fields {
    /// The recipients: an address, or a list of them.
    pub to: Addresses,
    /// The subject.
    #[schemars(length(min = 1))]
    pub subject: String,
    /// The text; HTML when it begins with `<html>`, in any case.
    #[schemars(length(min = 1))]
    pub message: String,
    /// The sender; default that of the connection, else the realm's `SES_FROM`.
    #[serde(default)]
    pub from: Option<FieldText>,
    /// The region of SES, where no connection is named.
    #[serde(default)]
    pub region: Option<FieldText>,
    /// The connection that sends the e-mail; default the realm's `EMAIL_CONN`.
    #[serde(default)]
    pub email_conn: Option<ConnId>,
    /// Files that go with the e-mail: paths, or on AWS `s3://bucket/key`, as `result.output[0].stdout` is one.
    #[serde(default)]
    pub attachments: Option<Vec<FieldText>>,
}

/// The action `email`.
#[derive(Clone, Copy, Debug)]
pub struct Email;

impl Action for Email {
    const NAME: &'static str = "email";
    const ABOUT: &'static str = "Sends an e-mail.";
    type Fields = Fields;

    fn check(&self, fields: &Value, typed: Option<Fields>) -> Vec<Problem> {
        let root = JsonPath::root();
        let mut problems = Vec::new();
        let path = root.field("to");
        match field(fields, "to") {
            Some(Value::String(text)) => {
                // A comma in quotes is part of a name.
                let all = if text.contains('"') || is_open(text) {
                    vec![&**text]
                } else {
                    text.split(',').collect()
                };
                problems.extend(all.into_iter().find_map(|one| address_problem(one.trim(), path.clone())));
            }
            Some(Value::Array(list)) => {
                let texts = list.iter().enumerate().filter_map(|(index, text)| Some((index, text.as_str()?)));
                problems.extend(texts.filter_map(|(index, text)| address_problem(text, path.item(index))));
            }
            _ => {}
        }
        if let Some(from) = field(fields, "from").and_then(Value::as_str) {
            problems.extend(address_problem(from, root.field("from")));
        }
        for (index, place) in
            field(fields, "attachments").and_then(Value::as_array).into_iter().flatten().enumerate()
        {
            let place = place.as_str().filter(|place| !is_open(place));
            if let Some(place) = place.filter(|place| !place.contains("://") && !place.starts_with('/')) {
                let message = format!(
                    "{} is not a whole path: name what the job kept, as {{{{ result.output[0].stdout }}}}",
                    quoted(place)
                );
                problems.push(Problem::new(root.field("attachments").item(index), message));
            }
        }
        let count = typed.map(|typed| typed.to.all().len());
        if let Some(count) = count.filter(|count| *count == 0 || *count > MAX_RECIPIENTS) {
            let message = format!("an e-mail has 1 to {MAX_RECIPIENTS} recipients, not {count}");
            problems.push(Problem::new(path, message));
        }
        problems
    }
}

/// The certain fault of an address. Templates and the finer rules of RFC 5322 are left to the worker.
fn address_problem(text: &str, path: JsonPath) -> Option<Problem> {
    let is_wrong = !text.contains('@') && !is_open(text);
    is_wrong.then(|| Problem::new(path, format!("{} is not an e-mail address: it has no @", quoted(text))))
}
