//! What `apply` says of schedules that start a job on each host.

use std::path::PathBuf;

use pumice_core::clock::Plan;
use pumice_core::engine::Housekeeper;
use pumice_core::hosts::Hosts;
use pumice_core::problem::{JsonPath, Problem};
use pumice_core::spec::RealmSpec;

use super::registry;
use crate::args::Global;
use crate::failure::Failure;
use crate::files::{Mistake, Specs};
use crate::realm::Realm;

/// The name of the warning.
const NO_HOSTS: &str = "no-hosts";

/// A warning for each job with `nodes: all` whose worker has no host that is alive. A worker whose jobs a function runs
/// never has one; another may be started later.
pub(super) async fn without_hosts(
    global: &Global,
    specs: &Specs,
    stored: Option<&RealmSpec>,
) -> Result<Vec<Mistake>, Failure> {
    let mut told = Vec::new();
    let Some(definition) = specs.realm.as_ref().or(stored).filter(|_| global.is_aws()) else {
        return Ok(told);
    };
    let mut housekeeper = None;
    for job in &specs.jobs {
        let job_id = &job.fields.job_id;
        let is_allowed =
            specs.allowed.get(job_id).is_some_and(|names| names.iter().any(|name| name == NO_HOSTS));
        if is_allowed || !Plan::of(job, definition, &definition.settings).is_for_all_nodes() {
            continue;
        }
        if housekeeper.is_none() {
            let site = Realm::open_to_read(global).await?.site().await?;
            housekeeper = Some(Housekeeper::new(site, registry()?));
        }
        let Some(housekeeper) = &housekeeper else { continue };
        if let Hosts::Never(why) | Hosts::Gone(why) = housekeeper.hosts_for(job).await? {
            let told_of = Problem::warning(NO_HOSTS, JsonPath::root().field("schedule"), why);
            let hint = "run the worker as a process, with `pumice --aws worker NAME`";
            told.push((PathBuf::from(job_id.as_str()), told_of.with_hint(hint)));
        }
    }
    Ok(told)
}
