//! The API against its own description: Schemathesis, which `cargo xtask test` installs, asks what the description allows and
//! what it does not, and holds the answers to it.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::console::shown_with;
use crate::pumice::{Pumice, shell};

/// The token that the console takes.
const TOKEN: &str = "schemathesis-token-0123456789";
/// Requests that the API is not sent: a schema cannot say which zones, ids and cursors there are, so that a request may be as it
/// says and still be refused.
const LEFT_OUT: &str = "positive_data_acceptance";

#[test]
#[cfg_attr(
    not(feature = "standins-schemathesis"),
    ignore = "needs Schemathesis, which `cargo xtask test` installs"
)]
fn api_answers_as_its_description_says() {
    let standins = std::env::var("PUMICE_STANDINS").expect("`cargo xtask test` says where the stand-ins are");
    let schemathesis = Path::new(&standins).join("schemathesis/bin/schemathesis");
    let pumice = Pumice::new();
    let mut nightly = shell("etl/nightly", "echo loaded; exit 3");
    nightly["schedule"] = json!("@daily");
    pumice.write("jobs.json", json!([nightly]).to_string());
    assert_eq!(pumice.run(&["apply", "jobs.json"]).status, 0);
    assert_eq!(pumice.run(&["run", "etl/nightly"]).status, 1);
    // A query that is too long is refused by the length of its URL.
    let rules = "[checks.negative_data_rejection]\nexpected-statuses = [400, 401, 403, 404, 405, 409, 412, 414, 415]\n";
    pumice.write("schemathesis.toml", rules);
    let console = shown_with(&pumice, &["console"], &[("PUMICE_CONSOLE_TOKEN", TOKEN)]);
    let report = pumice.path().join("report");
    let asked = Command::new(schemathesis)
        .args(["run", "--phases", "coverage,fuzzing", "--max-examples", "3", "--seed", "1"])
        .args(["--generation-deterministic", "--continue-on-failure", "--no-color", "--warnings", "off"])
        .args(["--checks", "all", "--exclude-checks", LEFT_OUT, "--request-timeout", "30"])
        .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
        .arg("--report-dir")
        .arg(&report)
        .arg(format!("http://{}/api/v1/openapi.json", console.address))
        .current_dir(pumice.path())
        .stdin(Stdio::null())
        .output()
        .expect("Schemathesis");
    let said = String::from_utf8_lossy(&asked.stdout);
    assert!(asked.status.success(), "{said}\n{}", String::from_utf8_lossy(&asked.stderr));
    // Nothing that was offered was passed over.
    let operations = said.lines().find_map(|line| line.trim().strip_prefix("Selected: "));
    let tested = said.lines().find_map(|line| line.trim().strip_prefix("Tested: "));
    let all = operations.and_then(|all| all.split_once('/')).expect("a summary").1;
    assert_eq!(tested, Some(all), "{said}");
}
