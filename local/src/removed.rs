//! Runs that people remove before they expire.

use pumice_core::ids::{JobId, RunKey};
use pumice_core::ports::StoreError;
use rusqlite::{OptionalExtension, params};

use crate::database::Database;
use crate::stored::text;

/// A run and its steps. Keys hold nothing that sorts after a slash and before a zero.
const FAMILY: &str = "key = ?1 OR (key > ?1 || '/' AND key < ?1 || '0')";

impl Database {
    /// Removes the records of a run that is done with, and of its steps; what they kept goes as what expired runs kept.
    pub(crate) async fn remove_run(&self, key: &RunKey) -> Result<bool, StoreError> {
        let key = key.clone();
        self.run_counting(move |connection, tally| {
            let sql = "SELECT due_at IS NULL FROM runs WHERE key = ?";
            let mut statement = connection.prepare_cached(sql)?;
            let is_done: Option<bool> = statement.query_row([key.as_str()], |row| row.get(0)).optional()?;
            if is_done != Some(true) {
                return Ok(false);
            }
            let specs = format!("DELETE FROM long_specs WHERE id IN (SELECT id FROM runs WHERE {FAMILY})");
            connection.prepare_cached(&specs)?.execute(params![key.as_str()])?;
            let sql = format!("DELETE FROM runs WHERE {FAMILY} RETURNING key, job_id, status");
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query(params![key.as_str()])?;
            while let Some(row) = rows.next()? {
                let (key, job_id, status) = (text(row, 0)?, text(row, 1)?, text(row, 2)?);
                if let (Ok(job_id), Ok(status)) = (JobId::stored(job_id), status.parse()) {
                    tally.leaves(&job_id, status, key.contains('/'));
                }
            }
            Ok(true)
        })
        .await
    }
}
