//! A mistake in a spec or a request: where, what, and the nearest thing that would be right.

use std::fmt;

use pumice_template::TemplateError;
use serde_json::Value;

use crate::text::{MAX_SHOWN, cut, escaped, look, quoted};

/// Longest name for which a near one is looked for, in bytes.
const MAX_COMPARED: usize = 256;

/// Why a text or a value cannot be taken: a lower-case fragment that says what is wrong and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

impl From<String> for Invalid {
    fn from(why: String) -> Self {
        Self(why)
    }
}

impl From<&str> for Invalid {
    fn from(why: &str) -> Self {
        Self(why.to_owned())
    }
}

impl From<Invalid> for String {
    fn from(Invalid(why): Invalid) -> Self {
        why
    }
}

/// A place in a JSON document, as `.parameters.args[2]`; empty for the document itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct JsonPath(String);

impl JsonPath {
    /// The document itself.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// The field `name` of the object at this place.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        let plain = (1..=MAX_SHOWN).contains(&name.len())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        if plain { Self(format!("{}.{name}", self.0)) } else { Self(format!("{}[{}]", self.0, quoted(name))) }
    }

    /// The item `index` of the list at this place.
    #[must_use]
    pub fn item(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// A place below this one, given as text of the same form.
    #[must_use]
    pub fn join(&self, below: &str) -> Self {
        Self(format!("{}{below}", self.0))
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "(top level)" } else { self.0.trim_start_matches('.') })
    }
}

/// One mistake in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands.
    pub path: JsonPath,
    /// The mistake, with the offending value: a lower-case fragment.
    pub message: String,
    /// A correction, where one is known.
    pub hint: Option<String>,
    /// The lines that are meant, with a mark below the mistake.
    pub snippet: Option<String>,
    /// The name under which it is silenced, of a warning.
    pub name: Option<&'static str>,
}

impl Problem {
    /// A problem at a place.
    #[must_use]
    pub fn new(path: JsonPath, message: impl fmt::Display) -> Self {
        Self { path, message: message.to_string(), hint: None, snippet: None, name: None }
    }

    /// The same with advice.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A warning at a place: valid but probably unintended.
    #[must_use]
    pub fn warning(name: &'static str, path: JsonPath, message: impl fmt::Display) -> Self {
        Self { name: Some(name), ..Self::new(path, message) }
    }

    /// A template that does not parse, at `path` or below it.
    #[must_use]
    pub fn template(path: &JsonPath, error: &TemplateError) -> Self {
        let problem = Self::new(path.join(error.path()), template_words(error));
        let snippet = error.snippet();
        // A shell's ${#X} begins a comment of the template.
        let hint = snippet.as_deref().filter(|lines| lines.contains("${#")).map(|_| {
            "{# begins a comment: write ${{ '{#' }}X} for a shell's ${#X}, or say jinja: false".to_owned()
        });
        Self { snippet, hint, ..problem }
    }

    /// The same, for a document that stands at `parent` within a larger one.
    #[must_use]
    pub fn below(mut self, parent: &JsonPath) -> Self {
        self.path = parent.join(self.path.as_str());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path != JsonPath::root() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// An invalid document, with everything that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct SpecError {
    /// Every mistake found, in the document's order; never empty.
    pub problems: Vec<Problem>,
}

impl SpecError {
    /// An error of one problem.
    #[must_use]
    pub fn one(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }

    /// Nothing when there are no problems, else the error that holds them.
    ///
    /// # Errors
    /// [`SpecError`] with the given problems, when there are any.
    pub fn check(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self { problems }) }
    }
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

/// The message of a template's error, without its place in a structure: the path has that.
#[must_use]
pub fn template_words(error: &TemplateError) -> String {
    let text = error.to_string();
    let place = format!(" in {}", error.path());
    if error.path().is_empty() { text } else { text.strip_suffix(&place).unwrap_or(&text).to_owned() }
}

/// The candidate most like `name`, if one is near enough to be a slip of the pen, or looks the same.
#[must_use]
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A very long name is not a typing error, and takes long to compare.
    if name.len() > MAX_COMPARED {
        return None;
    }
    let fold = |text: &str| text.to_lowercase().replace('-', "_");
    let (folded, looks) = (fold(name), look(name));
    // ASCII look-alikes are within the edit distance; letters of other scripts may not be.
    let alike = |candidate: &str| !(name.is_ascii() && candidate.is_ascii()) && look(candidate) == looks;
    let furthest = (name.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| match alike(candidate) {
            true => (0, candidate),
            false => (strsim::damerau_levenshtein(&folded, &fold(candidate)), candidate),
        })
        .filter(|(distance, _)| *distance <= furthest)
        .min()
        .map(|(_, candidate)| candidate)
}

/// `did you mean "x"?`, when a candidate is near.
#[must_use]
pub fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(name, candidates).map(|found| format!("did you mean {}?", quoted(found)))
}

/// The value as it is shown in a message: short JSON, cut where it is long.
#[must_use]
pub fn show(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        other => escaped(&cut(&other.to_string())).into_owned(),
    }
}

/// The kind of a JSON value, in words.
#[must_use]
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The kind of a value and the value, for messages: `a number 5`, `null`.
#[must_use]
pub fn given(value: &Value) -> String {
    if value.is_null() { kind(value).to_owned() } else { format!("{} {}", kind(value), show(value)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found() {
        let known = ["payload", "parameters", "on_success"];
        assert_eq!(nearest("paylaod", known), Some("payload"));
        assert_eq!(nearest("On-Success", known), Some("on_success"));
        assert_eq!(nearest("zebra", known), None);
    }

    #[test]
    fn places_read_well() {
        let path = JsonPath::root().field("a").item(2).field("x y");
        assert_eq!(path.to_string(), "a[2][\"x y\"]");
        assert_eq!(JsonPath::root().to_string(), "(top level)");
    }
}
