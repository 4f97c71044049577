//! Which crate may use which: the arrows of docs/ARCHITECTURE.md.

use crate::process::{Outcome, output};

/// Each crate, and what must not be found below it.
const FORBIDDEN: [(&str, &[&str]); 9] = [
    ("pumice-template", &["pumice-", "tokio", "rusqlite", "aws-"]),
    ("pumice-core", &["pumice-job-types", "pumice-service", "pumice-local", "tokio", "rusqlite", "aws-"]),
    ("pumice-job-types", &["pumice-local", "pumice-service", "rusqlite", "aws-"]),
    (
        "pumice-system",
        &["pumice-job-types", "pumice-service", "pumice-local", "pumice-aws", "rusqlite", "aws-"],
    ),
    ("pumice-local", &["pumice-job-types", "pumice-service", "pumice-aws", "aws-"]),
    ("pumice-aws", &["pumice-job-types", "pumice-service", "pumice-local", "rusqlite", "lambda_runtime"]),
    (
        "pumice-service",
        &["pumice-local", "pumice-aws", "pumice-system", "clap", "anstream", "anstyle", "rusqlite", "aws-"],
    ),
    ("dispatcher-lambda", &["pumice-local", "worker-lambda", "rusqlite"]),
    ("worker-lambda", &["pumice-local", "dispatcher-lambda", "rusqlite"]),
];

/// Fails when an arrow points the wrong way.
pub(crate) fn check() -> Outcome {
    let mut wrong = Vec::new();
    for (package, forbidden) in FORBIDDEN {
        let tree = output(
            "cargo",
            &["tree", "--package", package, "--edges", "normal", "--prefix", "none", "--format", "{p}"],
        )?;
        let below = tree.lines().skip(1).filter_map(|line| line.split_whitespace().next());
        for name in below {
            if forbidden.iter().any(|start| name.starts_with(start)) {
                wrong.push(format!("{package} must not use {name}"));
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}
