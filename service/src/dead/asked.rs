//! The words that dead letters are looked for by.

use pumice_core::filter::{ItemQuery, ItemWord, Items};
use pumice_core::run::Status;

use super::list::DeadShown;

/// Dead letters. Those of the dispatcher have no worker, and are asked for as [`DISPATCHER`].
pub(super) struct Letters;

/// The terms of a request, ready to be asked.
pub(super) type Asked = ItemQuery<Letters>;

impl Items for Letters {
    type Item = DeadShown;
    const NAME: &'static str = "dead letters";
    const WORDS: &'static [ItemWord<DeadShown>] = &[
        ItemWord::pattern(WORKER, |letter| {
            vec![letter.worker.as_ref().map_or(DISPATCHER, |worker| worker.as_str())]
        }),
        ItemWord::pattern("job", |letter| letter.job_id.as_deref().into_iter().collect()),
        ItemWord::one_of(
            "status",
            || Status::of_runs().map(Status::as_str).collect(),
            |letter| letter.status.iter().map(|status| status.as_str()).collect(),
        ),
        ItemWord::since(|letter| Some(letter.at.0)),
        ItemWord::until(|letter| Some(letter.at.0)),
        ItemWord::part("reason", |letter| letter.reason.as_deref().into_iter().collect()),
        ItemWord::beginning("id", |letter| letter.run.iter().map(|run| run.as_str()).collect()),
    ];
}

const WORKER: &str = "worker";
/// The name that the dispatcher has in place of a worker's: none can have it.
const DISPATCHER: &str = "(dispatcher)";

/// Whether letters of a worker may be meant; `None` is the dispatcher.
pub(super) fn takes_queue(asked: &Asked, worker: Option<&str>) -> bool {
    asked.may_take(WORKER, &[worker.unwrap_or(DISPATCHER)])
}
