//! Scenarios about when runs start, and with what.

use serde_json::json;

use super::scenario::{Setup, limit, single};
use crate::prng::Prng;

/// Jobs of steps that have a time limit of their own, longer than that of an invocation.
pub(super) fn timed(prng: &mut Prng) -> Setup {
    let mut setup = limit(prng);
    setup.limit = Some(prng.pick(&[100, 300]));
    for job in setup.jobs.iter_mut().filter(|job| job["type"] == "steps") {
        job["timeout"] = json!(prng.pick(&["90s", "400s", "1000s"]));
    }
    setup
}

/// A job that may be started a few times only.
pub(super) fn tries(prng: &mut Prng) -> Setup {
    let mut setup = single(prng);
    for job in &mut setup.jobs {
        job["max_tries"] = json!(prng.pick(&[1, 2, 3]));
    }
    setup
}
