//! The parameter `connections` of job types that run commands (lava guide, Job type: exe, `connections`).

use std::collections::{BTreeMap, BTreeSet};

use pumice_core::ids::ConnId;
use pumice_core::problem::{JsonPath, Problem};
use pumice_core::text::quoted;

/// Connections by the labels that a job gives them: a command finds each in `LAVA_CONN_<LABEL>`.
pub type LabelledConnections = BTreeMap<String, ConnId>;

/// Longest label, in bytes: it is part of a variable's name.
const MAX_LABEL: usize = 64;
/// Most connections of a job.
const MAX_CONNECTIONS: usize = 50;

/// Problems of the labels of the parameter `connections`.
#[must_use]
pub fn check_given(connections: Option<&LabelledConnections>) -> Vec<Problem> {
    let Some(connections) = connections else { return Vec::new() };
    let path = JsonPath::root().field("parameters").field("connections");
    let mut problems = Vec::new();
    if connections.len() > MAX_CONNECTIONS {
        let message = format!("{} connections; the limit is {MAX_CONNECTIONS}", connections.len());
        problems.push(Problem::new(path.clone(), message));
    }
    let mut seen = BTreeSet::new();
    for label in connections.keys() {
        let is_word = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if label.is_empty() || label.len() > MAX_LABEL || !is_word {
            let message = format!(
                "the label {} must have letters, digits and _ only, {MAX_LABEL} at most: it is part of a variable's name",
                quoted(label)
            );
            problems.push(Problem::new(path.field(label), message));
        } else if !seen.insert(label.to_ascii_uppercase()) {
            let message =
                format!("the label {} is given twice, in capitals and small letters", quoted(label));
            problems.push(Problem::new(path.field(label), message));
        }
    }
    problems
}
