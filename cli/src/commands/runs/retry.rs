//! `runs retry`: does a run again that has ended.

use pumice_core::text::escaped;
use pumice_service::runs::{RetriedRun, RetryAction, RetryFrom, RetryMany, RetryRun, retry as retry_run};
use pumice_service::specs::FieldChange;

use super::many::{asked, print_done, retry_all};
use crate::args::{Global, RetryRuns};
use crate::commands::given;
use crate::failure::Failure;
use crate::output::{note, print};
use crate::target::Target;

/// Does a run again, or shows what would be done.
pub(super) async fn retry(global: &Global, realm: &Target, options: RetryRuns) -> Result<(), Failure> {
    let (globals, parameters) = given(&options.given)?;
    // It is what is done anyway.
    let _ = options.from_failed;
    let from = match options.from {
        Some(step) => RetryFrom::Step(step),
        None if options.all => RetryFrom::All,
        None => RetryFrom::Failed,
    };
    let RetryRuns { runs, spec, key, once_more, bulk, .. } = options;
    let Some(run) = runs else {
        let all = from == RetryFrom::All;
        let runs = asked(realm, bulk).await?;
        let request = RetryMany { runs, all, spec, parameters, globals };
        return print_done(global, &retry_all(global, realm, &request).await?, "retry");
    };
    let dry_run = bulk.dry_run;
    let request = RetryRun { run, from, spec, parameters, globals, key, once_more, dry_run };
    let retried = realm.ask(retry_run, &request).await?;
    print(global.output, &retried, || lines(&retried))?;
    if global.output.is_table() {
        note(global, &retried.notes);
    }
    Ok(())
}

fn lines(retried: &RetriedRun) -> Vec<String> {
    let mut lines = Vec::new();
    let kept = retried.steps.iter().filter(|step| step.action == RetryAction::Kept).count();
    match &retried.accepted {
        Some(run) if run.existing => {
            lines.push(format!(
                "{} was made before: it is {}, and does {} again",
                run.run_id, run.status, retried.of
            ));
        }
        Some(run) => lines.push(format!("{} does {} again", run.run_id, retried.of)),
        None => lines.push(format!("nothing is done yet: this would do {} again", retried.of)),
    }
    for step in &retried.steps {
        let item = step.item.map(|item| format!(" (item {item})")).unwrap_or_default();
        let job = escaped(step.job_id.as_str());
        let indent = "  ".repeat(step.depth + 1);
        lines.push(format!("{indent}{:<10}  {job}{item}", step.action.words()));
    }
    if retried.more_steps > 0 {
        lines.push(format!("  and {} more steps", retried.more_steps));
    }
    if !retried.steps.is_empty() {
        let all = retried.steps.len() + retried.more_steps;
        lines.push(format!("{kept} of {all} steps are kept"));
    }
    lines.extend(retried.spec.iter().map(|change| changed("the spec's", change)));
    lines.extend(retried.input.iter().map(|change| changed("the input's", change)));
    lines
}

/// A difference in a line.
pub(in crate::commands) fn changed(whose: &str, change: &FieldChange) -> String {
    let value = |value: &Option<serde_json::Value>| match value {
        Some(value) => escaped(&value.to_string()).into_owned(),
        None => "nothing".to_owned(),
    };
    let field = escaped(&change.field).into_owned();
    format!("{whose} {field}: {} → {}", value(&change.before), value(&change.after))
}
