//! Which crate may use which: the arrows of docs/ARCHITECTURE.md.

use std::path::Path;

use crate::process::{Outcome, output};

/// Each crate, and what must not be found below it.
const FORBIDDEN: [(&str, &[&str]); 13] = [
    ("pumice-template", &["pumice-", "tokio", "rusqlite", "aws-"]),
    (
        "pumice-core",
        &[
            "pumice-job-",
            "pumice-service",
            "pumice-host",
            "pumice-local",
            "tokio",
            "rustix",
            "rusqlite",
            "aws-",
        ],
    ),
    (
        "pumice-job-types",
        &[
            "pumice-job-runners",
            "pumice-service",
            "pumice-host",
            "pumice-local",
            "tokio",
            "rusqlite",
            "rustls",
            "aws-",
        ],
    ),
    ("pumice-job-runners", &["pumice-local", "pumice-service", "pumice-sql", "rusqlite", "sqlx", "aws-"]),
    ("pumice-host", &["pumice-job-", "pumice-service", "pumice-local", "pumice-aws", "rusqlite", "aws-"]),
    ("pumice-sql", &["pumice-job-", "pumice-service", "pumice-host", "pumice-local", "pumice-aws", "aws-"]),
    ("pumice-local", &["pumice-job-", "pumice-service", "pumice-aws", "aws-"]),
    ("pumice-aws", &["pumice-job-", "pumice-service", "pumice-local", "rusqlite", "lambda_runtime"]),
    (
        "pumice-service",
        &[
            "pumice-job-runners",
            "pumice-local",
            "pumice-aws",
            "pumice-console",
            "pumice-host",
            "clap",
            "anstream",
            "anstyle",
            "rusqlite",
            "aws-",
        ],
    ),
    // It knows realms by the service alone, and no crate that builds as long as it does itself.
    (
        "pumice-console",
        &[
            "pumice-job-",
            "pumice-local",
            "pumice-aws",
            "pumice-host",
            "clap",
            "rusqlite",
            "rustls",
            "tower-http",
            "aws-",
        ],
    ),
    (
        "dispatcher-lambda",
        &[
            "pumice-console",
            "pumice-job-runners",
            "pumice-local",
            "pumice-sql",
            "worker-lambda",
            "rusqlite",
            "sqlx",
            "lettre",
        ],
    ),
    ("pumice", &["pumice-testing", "pumice-bench", "lambda_runtime"]),
    ("worker-lambda", &["pumice-console", "pumice-local", "dispatcher-lambda"]),
];

/// Features of crates below a crate that are for workers alone.
const FORBIDDEN_FEATURES: [(&str, &[(&str, &str)]); 2] = [
    (
        "dispatcher-lambda",
        &[
            ("pumice-host", "processes"),
            ("pumice-host", "http"),
            ("pumice-host", "mail"),
            ("pumice-aws", "commands"),
            ("tokio", "process"),
        ],
    ),
    ("pumice-aws", &[("pumice-host", "processes"), ("pumice-host", "http")]),
];

/// The crates below a package, each with its features.
fn below(package: &str) -> Result<Vec<(String, Vec<String>)>, String> {
    let format = ["--edges", "normal", "--prefix", "none", "--format", "{p}|{f}"];
    let tree = output("cargo", &[["tree", "--package", package].as_slice(), &format].concat())?;
    let line = |line: &str| {
        let (package, features) = line.split_once('|')?;
        let name = package.split_whitespace().next()?.to_owned();
        // A crate that was listed before has "(*)" behind its features.
        let features = features.split_whitespace().next().unwrap_or_default();
        Some((name, features.split(',').map(str::to_owned).collect()))
    };
    Ok(tree.lines().skip(1).filter_map(line).collect())
}

/// The modules that open files, which core leaves to its host.
const FILES: [&str; 3] = ["std::fs", "tokio::fs", "rustix::fs"];

/// The places below a folder of source text that name a module which opens files.
fn opens_files(folder: &Path) -> Result<Vec<String>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            found.extend(opens_files(&path)?);
            continue;
        }
        let text = std::fs::read_to_string(&path).map_err(failed)?;
        let names = text.lines().enumerate().filter(|(_, line)| FILES.iter().any(|name| line.contains(name)));
        found.extend(names.map(|(line, _)| format!("{}:{} must not open files", path.display(), line + 1)));
    }
    Ok(found)
}

/// Fails when an arrow points the wrong way, or core opens a file.
pub(crate) fn check() -> Outcome {
    let mut wrong = opens_files(Path::new("core/src"))?;
    for (package, forbidden) in FORBIDDEN {
        for (name, _) in below(package)? {
            if forbidden.iter().any(|start| name.starts_with(start)) {
                wrong.push(format!("{package} must not use {name}"));
            }
        }
    }
    for (package, forbidden) in FORBIDDEN_FEATURES {
        for (name, features) in below(package)? {
            for (of, feature) in forbidden {
                if name == *of && features.iter().any(|found| found == feature) {
                    wrong.push(format!("{package} must not use the feature {feature} of {name}"));
                }
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}
