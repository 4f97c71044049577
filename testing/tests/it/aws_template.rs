//! The templates, as AWS's own tools see it.

use pumice_testing::standins::sam;

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
    let mut command = sam(home.path());
    command.args(["validate", "--lint", "--region", "eu-west-1", "--template-file", template]);
    let output = command.output().expect("sam starts");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
