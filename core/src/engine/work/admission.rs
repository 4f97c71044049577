//! The first start of a run that has a gate: it passes, or waits in line.

use serde_json::Value;

use super::Engine;
use super::task::Task;
use crate::engine::ledger::apply::ApplyError;
use crate::permits::{Admission, Gate, LINE_LOOK};
use crate::ports::{StoreError, StoreErrorKind};
use crate::run::{Input, Run};

/// How often a gate is looked at anew because others passed it or came into its line meanwhile.
const MAX_LOOKS: usize = 50;

/// The outcome of asking for a permit.
pub(super) enum Admitted {
    /// It has its permit, and is claimed.
    Claimed(Run),
    /// It waits.
    Waits(Run),
}

impl Engine {
    /// Claims a run with a permit of its gate, or has it wait in line.
    pub(super) async fn admit(
        &self,
        task: &Task<'_>,
        gate: &Gate,
        event_log: Option<Value>,
    ) -> Result<Admitted, ApplyError> {
        let (run, ledger) = (&task.run, self.ledger());
        let ticket = run.permit.as_ref().and_then(|permit| permit.ticket);
        for _ in 0..MAX_LOOKS {
            // Where the realm has no such pool it waits for one.
            let max = ledger.permits_of(run).await?.unwrap_or(0);
            let view = self.site.ports.runs.gate(gate, LINE_LOOK).await?;
            match view.admission(&run.key, ticket, max, self.now()) {
                Admission::Pass(admit) => {
                    let mut claim = self.claim(task.invocation, event_log.clone());
                    if let Input::Claim { admit: passes, .. } = &mut claim {
                        *passes = Some(admit);
                    }
                    match ledger.apply(run.clone(), claim).await {
                        Err(ApplyError::Full(_)) => continue,
                        Err(error) => return Err(error),
                        Ok(claimed) => {
                            // There may be more permits than those that were called know of.
                            if view.free(max) > 1 && !view.line.is_empty() {
                                ledger.call_waiting(gate).await;
                            }
                            return Ok(Admitted::Claimed(claimed));
                        }
                    }
                }
                Admission::Wait { ticket: next, ahead } => {
                    if ticket.is_some() && ahead == 0 && max > 0 && ledger.weed(gate, &view.holders).await? {
                        continue;
                    }
                    match ledger.apply(run.clone(), Input::Queue { ticket: next, ahead }).await {
                        Err(ApplyError::Full(_)) => continue,
                        Err(error) => return Err(error),
                        Ok(waits) => {
                            if run.is_in_line() {
                                // The lock of its job may be free, and it does not take it.
                                ledger.call_line(&run.job_id).await;
                            }
                            // A permit may have been given back just before it stood in line.
                            ledger.call_waiting(gate).await;
                            return Ok(Admitted::Waits(waits));
                        }
                    }
                }
            }
        }
        let why = format!("{} was passed by others each time run {} was about to", gate.words(), run.key);
        Err(StoreError::of(StoreErrorKind::Throttled, why).into())
    }
}
