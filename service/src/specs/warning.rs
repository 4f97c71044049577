//! Warnings about specs: valid but probably unintended.

use pumice_core::problem::JsonPath;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Mistake;
use super::documents::in_file;
use crate::failure::Error;

/// A warning about a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Warning {
    /// The document's file.
    pub file: String,
    /// The name under which it is silenced.
    pub name: Option<String>,
    /// The place in the file.
    pub path: String,
    /// What is probably unintended.
    pub message: String,
    /// What would be right.
    pub hint: Option<String>,
}

impl Warning {
    pub(super) fn of(mistake: &Mistake) -> Self {
        let problem = &mistake.problem;
        Self {
            file: mistake.file.clone(),
            name: problem.name.map(str::to_owned),
            path: problem.path.to_string(),
            message: problem.message.clone(),
            hint: problem.hint.clone(),
        }
    }

    /// The warning without its file.
    fn line(&self) -> String {
        let path = if self.path == JsonPath::root().to_string() {
            String::new()
        } else {
            format!("{}: ", self.path)
        };
        let hint = self.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{path}{}{hint}", self.message)
    }
}

/// Warnings in lines. One that is the same in many files is told once, with how many they are.
#[must_use]
pub fn warning_lines(warnings: &[Warning]) -> Vec<String> {
    let mut told: Vec<(&Warning, usize)> = Vec::new();
    for warning in warnings {
        let same = |first: &Warning| first.message == warning.message && first.hint == warning.hint;
        match told.iter_mut().find(|(first, _)| same(first)) {
            Some((_, count)) => *count += 1,
            None => told.push((warning, 1)),
        }
    }
    let more = |count: usize| match count {
        1 => String::new(),
        2 => ", and once more".to_owned(),
        count => format!(", and {} times more", count - 1),
    };
    let line = |(warning, count): &(&Warning, usize)| {
        let name = warning.name.as_ref().map(|name| format!(" [{name}]")).unwrap_or_default();
        format!("{}{}{name}{}", in_file(&warning.file), warning.line(), more(*count))
    };
    told.iter().map(line).collect()
}

/// Refuses specs that there are warnings about.
///
/// # Errors
/// [`Error`] with the warnings, when there are any.
pub fn refuse_warnings(warnings: &[Warning]) -> Result<(), Error> {
    if warnings.is_empty() {
        return Ok(());
    }
    let (count, lines) = (counted(warnings.len(), "warning"), warning_lines(warnings).join("\n  "));
    Err(Error::invalid(format!("{count}, and strict allows none\n  {lines}")))
}

/// A count with its noun: `1 job`, `2 jobs`.
#[must_use]
pub fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
