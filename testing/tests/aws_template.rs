//! The templates, as AWS's own tools see it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A program of the stand-ins' environment.
fn standin(name: &str) -> PathBuf {
    let folder = std::env::var_os("PUMICE_STANDINS").expect("PUMICE_STANDINS: run `cargo xtask test`");
    Path::new(&folder).join("aws/bin").join(name)
}

#[test]
fn sam_validates_the_realm() {
    sam_validates("template.yaml");
}

#[test]
fn sam_validates_the_worker() {
    sam_validates("worker.yaml");
}

fn sam_validates(template: &str) {
    let home = tempfile::tempdir().expect("a folder");
    let output = Command::new(standin("sam"))
        .args(["validate", "--lint", "--region", "eu-west-1", "--template-file", template])
        .current_dir(root())
        // Neither settings of the user's nor a file of counts in their home.
        .env("HOME", home.path())
        .env("SAM_CLI_TELEMETRY", "0")
        .output()
        .expect("sam starts");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
