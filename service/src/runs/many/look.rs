//! A look at an act on many runs: to which of them nothing would be done, and which would be refused.

use chrono::TimeDelta;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use pumice_core::ids::RunKey;

use super::{ManyOutcome, Receipt, RunAct};
use crate::failure::Error;
use crate::realm::Realm;

/// How many runs are looked at at once.
const AT_ONCE: usize = 64;
/// For how long runs are begun to be looked at: a look costs as much as the act would at them.
const AT_MOST: TimeDelta = TimeDelta::seconds(20);

/// The outcome of the look, for the runs that were looked at.
#[derive(Default)]
pub(super) struct Foreseen {
    /// To how many nothing would be done, as they were dealt with before.
    pub(super) already: u64,
    /// How many would be refused.
    pub(super) refused: u64,
    /// Both in words.
    pub(super) notes: Vec<String>,
}

/// Looks at the first runs of an act on `count`.
pub(super) async fn foreseen(
    realm: &dyn Realm,
    act: &RunAct,
    keys: &[RunKey],
    count: u64,
) -> Result<Foreseen, Error> {
    let until = realm.now() + AT_MOST;
    let in_time = keys.iter().cloned().take_while(|_| realm.now() < until);
    let looks = in_time.map(|key| act.look(realm, key));
    let found: Vec<Option<Receipt>> = stream::iter(looks).buffered(AT_ONCE).try_collect().await?;
    let looked = found.len() as u64;
    let of = if looked < count { format!(" of the first {looked}") } else { String::new() };
    let is_refused = |one: &&Receipt| one.outcome == ManyOutcome::Refused;
    let found: Vec<Receipt> = found.into_iter().flatten().collect();
    let refused: Vec<&Receipt> = found.iter().filter(is_refused).collect();
    let already = found.len() - refused.len();
    let mut notes = Vec::new();
    if already > 0 {
        notes.push(format!("{already}{of} {}, so that nothing is done", act.dealt_with(already == 1)));
    }
    if let Some(first) = refused.first() {
        let why = first.error.as_deref().unwrap_or_default();
        notes.push(format!("{}{of} will be refused: run {}: {why}", refused.len(), first.run));
    }
    Ok(Foreseen { already: already as u64, refused: refused.len() as u64, notes })
}
