//! Permits and the lines of gates, in memory.

use std::collections::{BTreeMap, BTreeSet};

use pumice_core::ids::RunKey;
use pumice_core::permits::{Gate, GateView, PermitChange};

/// The runs with a permit of each gate, and those that wait for one.
#[derive(Debug, Default)]
pub struct GateTable {
    gates: BTreeMap<Gate, Row>,
}

#[derive(Debug, Default)]
struct Row {
    tickets: u64,
    holders: BTreeSet<RunKey>,
    line: BTreeMap<u64, RunKey>,
}

impl GateTable {
    /// A gate with the first of its line.
    #[must_use]
    pub fn view(&self, gate: &Gate, limit: usize) -> GateView {
        let Some(row) = self.gates.get(gate) else { return GateView::default() };
        GateView {
            tickets: row.tickets,
            holders: row.holders.iter().cloned().collect(),
            line: row.line.iter().take(limit).map(|(ticket, key)| (*ticket, key.clone())).collect(),
            more: row.line.len() > limit,
        }
    }

    /// Every gate with a permit that is held or waited for.
    pub fn all(&self) -> impl Iterator<Item = (&Gate, GateView)> {
        self.gates.keys().map(|gate| (gate, self.view(gate, usize::MAX)))
    }

    /// Whether a change can take place.
    #[must_use]
    pub fn may_change(&self, key: &RunKey, change: &PermitChange) -> bool {
        let none = Row::default();
        let row = self.gates.get(change.gate()).unwrap_or(&none);
        match change {
            PermitChange::Leave { .. } => true,
            PermitChange::Wait { ticket, .. } => *ticket > row.tickets,
            PermitChange::Take { admit, .. } => {
                let knows_line = row.tickets == admit.tickets || row.line.values().any(|other| other == key);
                row.holders.contains(key) || (row.holders.len() < admit.max as usize && knows_line)
            }
        }
    }

    /// Carries out a change that can take place.
    pub fn change(&mut self, key: &RunKey, change: &PermitChange) {
        if matches!(change, PermitChange::Leave { .. }) {
            return self.leave(change.gate(), key);
        }
        let row = self.gates.entry(change.gate().clone()).or_default();
        row.line.retain(|_, other| other != key);
        if let PermitChange::Wait { ticket, .. } = change {
            row.tickets = *ticket;
            row.line.insert(*ticket, key.clone());
        } else {
            row.holders.insert(key.clone());
        }
    }

    /// Takes a run out of a gate and its line.
    pub fn leave(&mut self, gate: &Gate, key: &RunKey) {
        let Some(row) = self.gates.get_mut(gate) else { return };
        row.holders.remove(key);
        row.line.retain(|_, other| other != key);
        // Keys may be as many as there are runs: empty gates are forgotten.
        if row.holders.is_empty() && row.line.is_empty() {
            self.gates.remove(gate);
        }
    }
}
