//! Values that seem to be secrets by their names or their form. No secret of the realm need be known for that.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{MASK, value_holds_secret};
use crate::problem::JsonPath;

/// Words that name a secret in a name, in small letters.
const SECRET_NAMES: [&str; 11] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "api_key",
    "apikey",
    "private_key",
    "access_key",
    "accesskey",
    "credential",
];
/// Schemes of HTTP authorization, and how long the credentials after them are at least.
const SCHEMES: [(&str, usize); 2] = [("bearer ", 8), ("basic ", 8)];
/// Such words that are whole names, or between underscores: other words contain them.
const SECRET_WORDS: [&str; 3] = ["pwd", "pass", "pw"];
/// Ends of a word of a name, as in `dbpass`, and words that end so and name no secret.
const SECRET_ENDS: [&str; 2] = ["pwd", "pass"];
const NO_SECRETS: [&str; 5] = ["compass", "bypass", "overpass", "underpass", "surpass"];
/// Names of a signature in the query of a URL, which is as good as a password, and how long its text is at least.
const SIGNATURES: [&str; 3] = ["sig", "signature", "x-amz-signature"];
const LEAST: usize = 8;
/// The length of a secret access key of AWS.
const AWS_SECRET: usize = 40;
/// Ends of names for the place where a secret is kept, not for the secret.
const REFERENCES: [&str; 7] = ["_id", "_name", "_arn", "_param", "_parameter", "_path", "_ref"];
/// Beginnings of texts that services give as keys and tokens, which go on with at least this many letters, digits, `-`, `_`, `.` or `/`.
const TOKENS: [(&str, usize); 15] = [
    ("ghp_", 30),
    ("gho_", 30),
    ("ghs_", 30),
    ("github_pat_", 30),
    ("glpat-", 16),
    ("xoxb-", 20),
    ("xoxp-", 20),
    ("xapp-", 20),
    ("sk-", 20),
    ("sk_live_", 16),
    ("rk_live_", 16),
    ("AIza", 30),
    ("eyJ", 40),
    ("npm_", 30),
    ("https://hooks.slack.com/services/", 10),
];

/// What stands between the parts of a text.
const SEPARATORS: [char; 6] = [';', '&', '?', ',', ' ', '\n'];
/// Fields that name the value next to them, in a field `value`.
const NAMING: [&str; 3] = ["name", "key", "id"];

/// The places in an object, at any depth, of values that are, or by their names or their form seem to be, secrets.
#[must_use]
pub fn seeming_secrets(values: &Map<String, Value>) -> Vec<String> {
    let mut found = Vec::new();
    find_in_fields(&JsonPath::root(), values, &mut found);
    found
}

/// Puts [`MASK`] in place of each value, at any depth, that seems to be a secret by its name or its form. `name` is that of the
/// value itself. Of a text with parts as `name=value` only the values of such parts are masked.
pub fn mask_seeming(name: &str, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let named = named_value(fields).map(|(name, _)| name.to_owned());
            for (field, value) in fields.iter_mut() {
                let named = named.as_deref().filter(|_| field == "value");
                if let Some(name) = named {
                    mask_seeming(name, value);
                }
                mask_seeming(field, value);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| mask_seeming(name, item)),
        Value::String(text) if is_named(name, text) || has_secret_form(text) => *value = MASK.into(),
        Value::String(text) => {
            if let Cow::Owned(masked) = mask_parts(text) {
                *text = masked;
            }
        }
        Value::Number(_) if ends_as_secret(name) => *value = MASK.into(),
        Value::Number(_) | Value::Bool(_) | Value::Null => {}
    }
}

/// A text with [`MASK`] in place of the values of its parts `name=value` that seem to be secrets.
#[must_use]
pub fn mask_parts(text: &str) -> Cow<'_, str> {
    if !has_secret_part(text) {
        return Cow::Borrowed(text);
    }
    let (mut masked, mut rest) = (String::with_capacity(text.len()), text);
    while !rest.is_empty() {
        let end = rest.find(SEPARATORS).unwrap_or(rest.len());
        let part = &rest[..end];
        let mut taken = end;
        match part.split_once('=').filter(|(name, value)| is_part(name, value)) {
            None => masked.push_str(part),
            Some((name, value)) => {
                let start = name.len() + 1;
                // A value in quotes goes on to their end, or to that of the text.
                if let Some(quote) = value.chars().next().filter(|first| ['"', '\''].contains(first)) {
                    let close = rest[start + 1..].find(quote);
                    taken = close.map_or(rest.len(), |close| start + close + 2);
                }
                masked.push_str(&rest[..start]);
                masked.push_str(MASK);
            }
        }
        rest = &rest[taken..];
        if let Some(separator) = rest.chars().next().filter(|first| SEPARATORS.contains(first)) {
            masked.push(separator);
            rest = &rest[separator.len_utf8()..];
        }
    }
    Cow::Owned(masked)
}

/// The same for texts of JSON in a text, as in `made by {"password":"x"}`: the values are texts or numbers.
#[must_use]
pub fn mask_json_parts(text: &str) -> Cow<'_, str> {
    let (mut masked, mut done, mut at) = (String::new(), 0, 0);
    while let Some(colon) = text[at..].find("\":").map(|found| at + found) {
        at = colon + 2;
        let name = text[..colon].rsplit('"').next().unwrap_or_default();
        let start = at + text[at..].len() - text[at..].trim_start().len();
        let length = match text[start..].strip_prefix('"') {
            Some(rest) => 1 + closing_quote(rest),
            None => text[start..].find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len() - start),
        };
        let value = &text[start..start + length];
        if length > 0 && is_secret_name(name) && !is_reference(value.trim_matches('"')) {
            masked.push_str(&text[done..start]);
            masked.push_str(MASK);
            (at, done) = (start + length, start + length);
        }
    }
    if done == 0 {
        return Cow::Borrowed(text);
    }
    masked.push_str(&text[done..]);
    Cow::Owned(masked)
}

/// The place behind the quote that ends a text of JSON; the end where there is none.
fn closing_quote(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The value of an object that is written as a name and a value, with that name.
fn named_value(fields: &Map<String, Value>) -> Option<(&str, &Value)> {
    let name = NAMING.iter().find_map(|field| fields.get(*field)?.as_str())?;
    Some((name, fields.get("value")?))
}

fn find_secrets(path: &JsonPath, name: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => find_in_fields(path, fields, found),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                find_secrets(&path.item(index), name, item, found);
            }
        }
        value if is_secret(name, value) => found.push(path.to_string()),
        _ => {}
    }
}

fn find_in_fields(path: &JsonPath, fields: &Map<String, Value>, found: &mut Vec<String>) {
    let named = named_value(fields).map(|(name, _)| name);
    for (field, value) in fields {
        let (path, before) = (path.field(field), found.len());
        if let Some(name) = named.filter(|_| field == "value") {
            find_secrets(&path, name, value, found);
        }
        if found.len() == before {
            find_secrets(&path, field, value, found);
        }
    }
}

fn is_secret(name: &str, value: &Value) -> bool {
    if value_holds_secret(value) {
        return true;
    }
    let Value::String(text) = value else { return value.is_number() && ends_as_secret(name) };
    is_named(name, text) || has_secret_form(text) || has_secret_part(text)
}

/// Whether a text is a secret by its name.
fn is_named(name: &str, text: &str) -> bool {
    is_secret_name(name) && !is_reference(text)
}

/// Whether a name is that of a secret, and not that of its place.
fn is_secret_name(name: &str) -> bool {
    let name = name.trim().to_lowercase();
    let has_word = name.split(['_', '-', '.', ' ']).any(is_secret_word);
    (has_word || SECRET_NAMES.iter().any(|word| name.contains(word)))
        && !REFERENCES.iter().any(|end| name.ends_with(end))
}

fn is_secret_word(word: &str) -> bool {
    let ends = SECRET_ENDS.iter().any(|end| word.ends_with(end)) && !NO_SECRETS.contains(&word);
    ends || SECRET_WORDS.contains(&word)
}

/// Whether a name is that of a secret which may be a number: `password`, and not `password_length` or `max_tokens`.
fn ends_as_secret(name: &str) -> bool {
    let name = name.trim().to_lowercase();
    let last = name.rsplit(['_', '-', '.', ' ']).next().unwrap_or_default();
    is_secret_word(last) || SECRET_NAMES.iter().any(|word| name.ends_with(word))
}

/// Whether a value names the place of a secret: a parameter, an ARN, a variable or a template.
fn is_reference(text: &str) -> bool {
    let is_path = text.starts_with('/') && text[1..].contains('/');
    let is_variable = text.starts_with(['$', '%']);
    text.is_empty() || is_path || is_variable || text.starts_with("arn:") || text.contains("{{")
}

/// Whether a text has a secret among parts as `name=value`: a connection string, the query of a URL, lines of settings.
fn has_secret_part(text: &str) -> bool {
    text.split(SEPARATORS).filter_map(|part| part.split_once('=')).any(|(name, value)| is_part(name, value))
}

/// Whether a part `name=value` of a text is a secret.
fn is_part(name: &str, value: &str) -> bool {
    let name = name.trim_start_matches('-');
    let is_signature = SIGNATURES.contains(&&*name.to_ascii_lowercase()) && value.len() >= LEAST;
    (is_secret_name(name) || is_signature) && !is_reference(value.trim().trim_matches(['"', '\'']))
}

/// Whether a text has the form of a key, or of a URL with a password.
fn has_secret_form(text: &str) -> bool {
    let is_access_key = |word: &str| {
        (word.starts_with("AKIA") || word.starts_with("ASIA"))
            && word.len() == 20
            && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    };
    let with_password = text.split_once("://").is_some_and(|(_, rest)| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let user = authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':'));
        user.is_some_and(|(_, password)| !password.is_empty() && !password.contains("{{"))
    });
    let is_token = |(start, least): &(&str, usize)| {
        text.match_indices(start).any(|(at, _)| {
            let begins = text[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric());
            let goes_on = |c: &char| c.is_ascii_alphanumeric() || "-_./".contains(*c);
            begins && text[at + start.len()..].chars().take_while(goes_on).count() >= *least
        })
    };
    let has_credentials = |(scheme, least): &(&str, usize)| {
        let lower = text.trim_start().to_ascii_lowercase();
        lower.strip_prefix(scheme).is_some_and(|rest| {
            rest.trim().len() >= *least && !rest.trim().contains(' ') && !is_reference(rest.trim())
        })
    };
    TOKENS.iter().any(is_token)
        || is_aws_secret(text.trim())
        || SCHEMES.iter().any(has_credentials)
        || text.contains("-----BEGIN ") && text.contains("PRIVATE KEY-----")
        || text.split(|c: char| !c.is_ascii_alphanumeric()).any(is_access_key)
        || with_password
}

/// Whether a text has the form of a secret access key of AWS: digits and letters of both cases, which no digest has.
fn is_aws_secret(text: &str) -> bool {
    let has = |is: fn(&u8) -> bool| text.bytes().any(|byte| is(&byte));
    text.len() == AWS_SECRET
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte))
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_digit)
        && !text.starts_with('/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_that_seem_secret_are_masked_and_no_others() {
        for (value, expected) in [
            (json!({ "password": "hunter2" }), json!({ "password": MASK })),
            (
                json!({ "env": { "DB_PASSWORD": "x", "A": "b" } }),
                json!({ "env": { "DB_PASSWORD": MASK, "A": "b" } }),
            ),
            (
                json!({ "tokens": ["a", "b"], "pin_pw": 1234 }),
                json!({ "tokens": [MASK, MASK], "pin_pw": MASK }),
            ),
            (json!([{ "name": "db_pass", "value": "x" }]), json!([{ "name": "db_pass", "value": MASK }])),
            (json!({ "id": "api_key", "value": ["x"] }), json!({ "id": "api_key", "value": [MASK] })),
            (json!({ "id": "size", "value": "x" }), json!({ "id": "size", "value": "x" })),
            (json!({ "url": "postgres://u:pw@h/d" }), json!({ "url": MASK })),
            (
                json!({ "run": "load --password=hunter2 --size=3" }),
                json!({ "run": format!("load --password={MASK} --size=3") }),
            ),
            (
                json!("a=1;PASSWORD='two words';b=2\ntoken=\"x"),
                json!(format!("a=1;PASSWORD={MASK};b=2\ntoken={MASK}")),
            ),
            (
                json!({ "password": "/lava/shop/db", "token": "{{ state.t }}", "secret_id": "db", "max_tokens": 5 }),
                json!({ "password": "/lava/shop/db", "token": "{{ state.t }}", "secret_id": "db", "max_tokens": 5 }),
            ),
            (json!({ "password": null, "secret": true }), json!({ "password": null, "secret": true })),
        ] {
            let mut masked = value.clone();
            mask_seeming("", &mut masked);
            assert_eq!(masked, expected, "{value}");
            // The two agree on whether there is any.
            if let Value::Object(fields) = &value {
                assert_eq!(seeming_secrets(fields).is_empty(), masked == value, "{value}");
            }
        }
        for (text, expected) in [
            (
                r#"by {"globals":{"password":"a \"b","n":1}}, and so on"#,
                r#"by {"globals":{"password":*****,"n":1}}, and so on"#,
            ),
            (
                r#"{"pw": 1234, "token":"/a/b", "passwd":"cut"#,
                r#"{"pw": *****, "token":"/a/b", "passwd":*****"#,
            ),
            (r#"{"password":{"a":"b"},"secret":true} ": x"#, r#"{"password":{"a":"b"},"secret":true} ": x"#),
        ] {
            assert_eq!(mask_json_parts(text), expected);
        }
        let mut named = json!("hunter2");
        mask_seeming("DB_PASSWORD", &mut named);
        assert_eq!(named, MASK);
    }
}
