//! Warnings about schedules that start a job on each host.

use pumice_core::clock::JobSchedule;
use pumice_core::engine::Housekeeper;
use pumice_core::hosts::Hosts;
use pumice_core::problem::{JsonPath, Problem};
use pumice_core::spec::RealmSpec;

use super::{Mistake, Specs, Warning};
use crate::failure::Error;
use crate::realm::Realm;

/// The name of the warning.
const NO_HOSTS: &str = "no-hosts";

/// The jobs with `nodes: all`, unless the warning about them is silenced.
fn asked<'a>(
    specs: &'a Specs,
    definition: &'a RealmSpec,
) -> impl Iterator<Item = &'a pumice_core::spec::JobSpec> {
    specs.jobs.iter().filter(|job| {
        let names = specs.allowed.get(&job.fields.job_id);
        let is_allowed = names.is_some_and(|names| names.iter().any(|name| name == NO_HOSTS));
        !is_allowed && JobSchedule::of(job, definition, &definition.settings).is_for_all_nodes()
    })
}

/// Why entries start nothing by the hosts that there are, if they do not, and for how long.
fn trouble(hosts: Hosts) -> Option<String> {
    match hosts {
        Hosts::Single | Hosts::Alive(_) => None,
        Hosts::Gone(why) => Some(format!("{why}; a slot starts nothing until one is")),
        Hosts::Never(why) => Some(format!(
            "{why}; the entry halts at its next slot if that is so then, and starts nothing until it is resumed"
        )),
    }
}

/// A warning for each job with `nodes: all` whose worker has no host that is alive. A worker whose jobs a function runs
/// never has one; another may be started later.
///
/// # Errors
/// [`Error`] when the store cannot be reached.
pub(super) async fn without_hosts(
    realm: &dyn Realm,
    specs: &Specs,
    definition: &RealmSpec,
) -> Result<Vec<Warning>, Error> {
    let mut warnings = Vec::new();
    let mut housekeeper = None;
    for job in asked(specs, definition) {
        if housekeeper.is_none() {
            housekeeper = Some(Housekeeper::new(realm.site().await?, realm.registry().clone()));
        }
        let Some(housekeeper) = &housekeeper else { continue };
        if let Some(why) = trouble(housekeeper.hosts_for(job).await?) {
            let problem = Problem::warning(NO_HOSTS, JsonPath::root().field("schedule"), why);
            let hint = "run the worker as a process before that slot, with `pumice --aws worker NAME`";
            let mistake = Mistake::new(job.fields.job_id.as_str(), problem.with_hint(hint));
            warnings.push(Warning::of(&mistake).about("job", job.fields.job_id.as_str()));
        }
    }
    Ok(warnings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warning_tells_a_halt_from_a_slot_without_a_start() {
        assert_eq!(trouble(Hosts::Single), None);
        assert_eq!(trouble(Hosts::Alive(Vec::new())), None);
        let gone = trouble(Hosts::Gone("none is alive".to_owned())).unwrap();
        assert_eq!(gone, "none is alive; a slot starts nothing until one is");
        let never = trouble(Hosts::Never("a function has no hosts".to_owned())).unwrap();
        assert!(never.starts_with("a function has no hosts; the entry halts at its next slot"), "{never}");
    }
}
