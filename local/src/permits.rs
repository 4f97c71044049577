//! Permits and the lines of gates, in SQLite. A row without a ticket has a permit; one with a ticket stands in line.

use pumice_core::ids::RunKey;
use pumice_core::permits::{Gate, GateView, PermitChange};
use pumice_core::ports::StoreError;
use rusqlite::{Connection, OptionalExtension, params};

use crate::database::Database;
use crate::stored::text;

/// Whether a change can take place. Nothing is written.
pub(crate) fn may_change(
    connection: &Connection,
    key: &RunKey,
    change: &PermitChange,
) -> Result<bool, rusqlite::Error> {
    let gate = change.gate().to_string();
    match change {
        PermitChange::Leave { .. } => Ok(true),
        PermitChange::Wait { ticket, .. } => Ok(ticket.cast_signed() > last_ticket(connection, &gate)?),
        PermitChange::Take { admit, .. } => {
            let own: Option<Option<i64>> = connection
                .prepare_cached("SELECT ticket FROM permits WHERE gate = ? AND key = ?")?
                .query_row([gate.as_str(), key.as_str()], |row| row.get(0))
                .optional()?;
            if own == Some(None) {
                return Ok(true);
            }
            let taken: i64 = connection
                .prepare_cached("SELECT count(*) FROM permits WHERE gate = ? AND ticket IS NULL")?
                .query_row([gate.as_str()], |row| row.get(0))?;
            let knows_line = own.is_some() || last_ticket(connection, &gate)? == admit.tickets.cast_signed();
            Ok(taken < i64::from(admit.max) && knows_line)
        }
    }
}

/// Carries out a change that can take place.
pub(crate) fn change(
    connection: &Connection,
    key: &RunKey,
    change: &PermitChange,
) -> Result<(), rusqlite::Error> {
    let gate = change.gate().to_string();
    let ticket = match change {
        PermitChange::Leave { .. } => return leave(connection, &gate, key),
        PermitChange::Wait { ticket, .. } => {
            connection
                .prepare_cached("INSERT OR REPLACE INTO gates VALUES (?, ?)")?
                .execute(params![gate, ticket.cast_signed()])?;
            Some(ticket.cast_signed())
        }
        PermitChange::Take { .. } => None,
    };
    connection.prepare_cached("INSERT OR REPLACE INTO permits VALUES (?, ?, ?)")?.execute(params![
        gate,
        key.as_str(),
        ticket
    ])?;
    Ok(())
}

fn leave(connection: &Connection, gate: &str, key: &RunKey) -> Result<(), rusqlite::Error> {
    connection
        .prepare_cached("DELETE FROM permits WHERE gate = ? AND key = ?")?
        .execute([gate, key.as_str()])?;
    // Keys may be as many as there are runs: what is empty is forgotten.
    connection
        .prepare_cached(
            "DELETE FROM gates WHERE gate = ?1 AND NOT EXISTS (SELECT 1 FROM permits WHERE gate = ?1)",
        )?
        .execute([gate])?;
    Ok(())
}

fn last_ticket(connection: &Connection, gate: &str) -> Result<i64, rusqlite::Error> {
    let found = connection
        .prepare_cached("SELECT tickets FROM gates WHERE gate = ?")?
        .query_row([gate], |row| row.get(0))
        .optional()?;
    Ok(found.unwrap_or(0))
}

/// A gate with the first of its line.
fn view(connection: &Connection, gate: &str, limit: usize) -> Result<GateView, rusqlite::Error> {
    let tickets = last_ticket(connection, gate)?.cast_unsigned();
    let mut holders = connection
        .prepare_cached("SELECT key FROM permits WHERE gate = ? AND ticket IS NULL ORDER BY key")?;
    let holders: Vec<String> = holders.query_map([gate], |row| text(row, 0))?.collect::<Result<_, _>>()?;
    let mut line = connection.prepare_cached(
        "SELECT ticket, key FROM permits WHERE gate = ? AND ticket IS NOT NULL ORDER BY ticket LIMIT ?",
    )?;
    let line: Vec<(i64, String)> = line
        .query_map(params![gate, limit.saturating_add(1).cast_signed()], |row| {
            Ok((row.get(0)?, text(row, 1)?))
        })?
        .collect::<Result<_, _>>()?;
    let more = line.len() > limit;
    let line = line.into_iter().take(limit);
    let key = |key: String| {
        let read = key.parse();
        read.inspect_err(|error| tracing::error!(gate, key, %error, "a gate has no valid key of a run")).ok()
    };
    Ok(GateView {
        tickets,
        holders: holders.into_iter().filter_map(key).collect(),
        line: line.filter_map(|(ticket, text)| Some((ticket.cast_unsigned(), key(text)?))).collect(),
        more,
    })
}

impl Database {
    pub(crate) async fn gate_view(&self, gate: &Gate, limit: usize) -> Result<GateView, StoreError> {
        let gate = gate.to_string();
        self.read(move |connection| view(connection, &gate, limit)).await
    }

    pub(crate) async fn take_from_gate(&self, gate: &Gate, key: &RunKey) -> Result<(), StoreError> {
        let (gate, key) = (gate.to_string(), key.clone());
        self.run(move |connection| leave(connection, &gate, &key)).await
    }
}
