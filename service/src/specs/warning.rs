//! Warnings about specs: valid but probably unintended.

use pumice_core::problem::JsonPath;
use pumice_core::text::{counted, escaped};
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
    /// The document that it is about, where it could be read: `job etl/load`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// The name under which it is silenced.
    pub name: Option<String>,
    /// The place in the file.
    pub path: String,
    /// The probably unintended part.
    pub message: String,
    /// A correction.
    pub hint: Option<String>,
}

impl Warning {
    pub(super) fn of(mistake: &Mistake) -> Self {
        let problem = &mistake.problem;
        Self {
            file: mistake.file.clone(),
            about: None,
            name: problem.name.map(str::to_owned),
            path: problem.path.to_string(),
            message: problem.message.clone(),
            hint: problem.hint.clone(),
        }
    }

    /// The same, of a document.
    pub(super) fn about(self, kind: &str, id: &str) -> Self {
        Self { about: Some(format!("{kind} {id}")), ..self }
    }

    /// The name by which people know its document.
    fn document(&self) -> String {
        let place = || if self.file.is_empty() { &self.path } else { &self.file }.clone();
        escaped(&self.about.clone().unwrap_or_else(place)).into_owned()
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

/// Warnings in lines. One that is the same about several documents is reported once, with their names: `most` of them at most,
/// and how many more there are.
#[must_use]
pub fn warning_lines(warnings: &[Warning], most: usize) -> Vec<String> {
    let mut groups: Vec<(&Warning, Vec<String>)> = Vec::new();
    for warning in warnings {
        let same = |first: &Warning| first.message == warning.message && first.hint == warning.hint;
        match groups.iter_mut().find(|(first, _)| same(first)) {
            Some((_, of)) => of.push(warning.document()),
            None => groups.push((warning, vec![warning.document()])),
        }
    }
    let of_all = |of: &[String]| {
        if of.len() < 2 {
            return String::new();
        }
        let more = of.len().saturating_sub(most.max(1));
        let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!(": {} times, for {}{rest}", of.len(), of[..of.len() - more].join(", "))
    };
    let line = |(warning, of): &(&Warning, Vec<String>)| {
        let name = warning.name.as_ref().map(|name| format!(" [{name}]")).unwrap_or_default();
        format!("{}{}{name}{}", in_file(&warning.file), warning.line(), of_all(of))
    };
    groups.iter().map(line).collect()
}

/// Refuses specs that there are warnings about.
///
/// # Errors
/// [`Error`] with the warnings, when there are any.
pub fn refuse_warnings(warnings: &[Warning]) -> Result<(), Error> {
    if warnings.is_empty() {
        return Ok(());
    }
    let (count, lines) =
        (counted(warnings.len(), "warning"), warning_lines(warnings, usize::MAX).join("\n  "));
    Err(Error::invalid(format!("{count}, and strict allows none\n  {lines}")))
}

#[cfg(test)]
mod tests {
    use pumice_core::problem::Problem;

    use super::*;

    fn warning(file: &str, message: &str) -> Warning {
        let problem = Problem::warning("never-started", JsonPath::root().field("schedule"), message);
        Warning::of(&Mistake::new(file, problem))
    }

    #[test]
    fn warning_that_is_the_same_twice_names_both_documents() {
        let all = [
            warning("jobs.yaml", "nothing starts it").about("job", "a"),
            warning("jobs.yaml", "something else").about("job", "a"),
            warning("jobs.yaml", "nothing starts it").about("job", "etl/b"),
            warning("more.yaml", "nothing starts it"),
        ];
        let twice = warning_lines(&all[..3], 3);
        assert_eq!(
            twice,
            [
                "jobs.yaml: schedule: nothing starts it [never-started]: 2 times, for job a, job etl/b",
                "jobs.yaml: schedule: something else [never-started]",
            ]
        );
        let few = warning_lines(&all, 2);
        assert!(few[0].ends_with(": 3 times, for job a, job etl/b and 1 more"), "{few:?}");
        let whole = warning_lines(&all, usize::MAX);
        assert!(whole[0].ends_with(": 3 times, for job a, job etl/b, more.yaml"), "{whole:?}");
    }
}
