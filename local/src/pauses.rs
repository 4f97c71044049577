//! The pauses of a realm, in SQLite: one row.

use pumice_core::pauses::Pauses;
use pumice_core::ports::{CommitError, StoreError, StoreErrorKind};
use rusqlite::{OptionalExtension, params};

use crate::database::Database;
use crate::stored::{broken, text};

impl Database {
    /// The pauses.
    pub(crate) async fn read_pauses(&self) -> Result<Pauses, StoreError> {
        let record = self.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT record FROM pauses WHERE id = 1")?;
            statement.query_row([], |row| text(row, 0)).optional()
        });
        let Some(record) = record.await? else { return Ok(Pauses::default()) };
        serde_json::from_str(&record).map_err(|error| {
            StoreError::of(
                StoreErrorKind::Corrupt,
                format!("the record of the realm's pauses cannot be read: {error}"),
            )
        })
    }

    /// Writes the pauses on the condition that their `rev` is one more than the stored one.
    pub(crate) async fn write_pauses(&self, pauses: &Pauses) -> Result<(), CommitError> {
        let pauses = pauses.clone();
        let written = self.run(move |connection| {
            let record = serde_json::to_string(&pauses).map_err(broken)?;
            let rev = pauses.rev.cast_signed();
            let sql = "INSERT INTO pauses (id, rev, record) SELECT 1, ?1, ?2
                       WHERE coalesce((SELECT rev FROM pauses WHERE id = 1), 0) = ?1 - 1
                       ON CONFLICT (id) DO UPDATE SET rev = excluded.rev, record = excluded.record";
            connection.prepare_cached(sql)?.execute(params![rev, record])
        });
        if written.await? == 1 { Ok(()) } else { Err(CommitError::Conflict) }
    }
}
