//! Doctor: whether the realm is sound, and what puts it right.

use axum::response::Response;
use pumice_core::text::escaped;
use pumice_service::doctor::{AskDoctor, Finding, doctor};
use serde_json::{Value, json};

use super::{Head, render};
use crate::answer::Fault;
use crate::ask::Ask;

/// The page.
pub(crate) async fn show(ask: Ask) -> Result<Response, Fault> {
    let found = doctor(ask.realm(), &AskDoctor {}).await?;
    let checks: Vec<Value> = found
        .checks
        .iter()
        .map(|check| {
            let (tone, sign) = match check.finding {
                Finding::Ok => ("good", "✓"),
                Finding::Skipped => ("calm", "–"),
                Finding::Warning => ("odd", "!"),
                Finding::Fault => ("bad", "✗"),
            };
            let words: Vec<&str> = check.fix.iter().map(String::as_str).collect();
            json!({ "name": check.name, "status": { "tone": tone, "sign": sign, "word": check.finding.as_str() },
                "says": escaped(&check.says), "fix": (!words.is_empty()).then(|| ask.words(&words).line()) })
        })
        .collect();
    let own = json!({ "checks": checks, "faults": found.faults, "warnings": found.warnings });
    let command = ask.words(&["doctor"]);
    render(&ask, "doctor.html", Head::new("Doctor", "doctor", &command), own).await
}
