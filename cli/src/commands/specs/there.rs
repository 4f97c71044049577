//! Specs that a console checks, plans and applies: files are read here.

use pumice_core::spec::RealmSpec;
use pumice_service::specs::{
    Applied, Apply as ApplySpecs, CheckSpecs, Checked, Documents, PlanSpecs, Planned, Surroundings, Warning,
    apply as apply_specs, check as check_specs, plan as plan_of,
};

use super::{advise, applied_lines, documents};
use crate::args::{Apply, Check, Global, Plan, Sources};
use crate::failure::Failure;
use crate::output::print;
use crate::target::Target;

/// The console, the documents of the files, and what their reader warns of.
async fn read(
    global: &Global,
    sources: &Sources,
    strict: bool,
) -> Result<(Target, Documents, Vec<Warning>), Failure> {
    let console = Target::open(global, false).await?;
    // An environment may build on the realm's own definition.
    let definition = match sources.env {
        Some(_) => console.shown().await?.and_then(|shown| shown.definition.clone()),
        None => None,
    };
    let realm = definition.and_then(|definition| RealmSpec::stored(definition, &[]).ok());
    let documents = documents(global, sources, &Surroundings { realm, ..Surroundings::default() })?;
    let warnings = documents.readable(strict)?;
    Ok((console, documents, warnings))
}

/// Has the console apply specs.
pub(super) async fn apply(global: &Global, options: &Apply) -> Result<(), Failure> {
    let (console, specs, mut warnings) = read(global, &options.sources, options.strict).await?;
    let request = ApplySpecs {
        specs,
        dry_run: options.dry_run,
        strict: options.strict,
        prune: options.prune.scope.clone(),
        despite_runs: options.despite_runs,
        expect: options.expect.clone(),
        if_match: None,
    };
    let mut applied: Applied = console.give(apply_specs, request).await?;
    warnings.append(&mut applied.warnings);
    advise(global, &warnings, false)?;
    print(global.output, &applied, || applied_lines(global.output, &applied))
}

/// Has the console say what applying specs would do.
pub(super) async fn plan(global: &Global, options: &Plan) -> Result<Planned, Failure> {
    let (console, specs, mut warnings) = read(global, &options.sources, options.strict).await?;
    let request = PlanSpecs { specs, prune: options.prune.scope.clone(), strict: options.strict };
    let mut planned: Planned = console.give(plan_of, request).await?;
    warnings.append(&mut planned.warnings);
    advise(global, &warnings, false)?;
    Ok(Planned { warnings, ..planned })
}

/// Has the console check specs.
pub(super) async fn check(global: &Global, options: &Check) -> Result<Checked, Failure> {
    let (console, specs, mut warnings) = read(global, &options.sources, options.strict).await?;
    let request = CheckSpecs { specs, strict: options.strict };
    let mut checked: Checked = console.give(check_specs, request).await?;
    warnings.append(&mut checked.warnings);
    Ok(Checked { warnings, ..checked })
}
