//! Gives the file system back what the store's file no longer needs.
//!
//! SQLite keeps the pages of removed rows for new ones. After a large realm's records have expired they may be most of the file
//! (SQLite, *PRAGMA auto_vacuum*, *PRAGMA incremental_vacuum*).

use pumice_core::ports::StoreError;
use rusqlite::Connection;

use crate::database::Database;

/// Up to so many free pages stay whatever share of the file they are: new runs take them soon. With pages of 2 KiB that is 16 MiB.
const KEPT: i64 = 8_192;
/// The file shrinks once more than one page in so many is free …
const SHRINKS_ABOVE: i64 = 4;
/// … until one in so many is.
const SHRINKS_TO: i64 = 10;
/// So many pages go in one transaction, which takes a few milliseconds: other writes wait for no longer.
const AT_ONCE: i64 = 512;

/// The pages of a file, and those of them that are free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pages {
    all: i64,
    free: i64,
}

impl Pages {
    fn of(connection: &Connection) -> Result<Self, rusqlite::Error> {
        let count = |sql| connection.prepare_cached(sql)?.query_row([], |row| row.get(0));
        Ok(Self { all: count("PRAGMA page_count")?, free: count("PRAGMA freelist_count")? })
    }

    /// Whether the file is to shrink.
    const fn are_too_many(self) -> bool {
        self.free > KEPT && self.free > self.all / SHRINKS_ABOVE
    }

    /// How many are to go before it is small enough.
    const fn to_give(self) -> i64 {
        let stay = self.all / SHRINKS_TO;
        self.free - if stay > KEPT { stay } else { KEPT }
    }
}

impl Database {
    /// Gives free pages back, a few at a time, where they are many; says how many. A store that was made without `auto_vacuum`
    /// gives none.
    pub(crate) async fn give_back_free_pages(&self) -> Result<i64, StoreError> {
        let before = self.run(Pages::of).await?;
        if !before.are_too_many() {
            return Ok(0);
        }
        let mut given = 0;
        loop {
            let gone = self.run(give_back).await?;
            if gone == 0 {
                break;
            }
            given += gone;
        }
        Ok(given)
    }
}

/// Gives a few pages back, and says how many, with those that mapped them.
fn give_back(connection: &Connection) -> Result<i64, rusqlite::Error> {
    let before = Pages::of(connection)?;
    let now = AT_ONCE.min(before.to_give());
    if now <= 0 {
        return Ok(0);
    }
    let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({now})"))?;
    // Each row is a page that went.
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(before.all - Pages::of(connection)?.all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Durability;

    #[tokio::test]
    async fn file_shrinks_when_most_of_its_pages_are_free() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("realm.db");
        let database = Database::open(&path, folder.path(), Durability::Normal).unwrap();
        let fill = |database: Database, rows: i64| async move {
            let filled = database.run(move |connection| {
                let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
                           INSERT INTO meta SELECT 'row ' || i, hex(zeroblob(900)) FROM n";
                connection.execute(sql, [rows])
            });
            filled.await.unwrap()
        };
        let pages = || database.run(Pages::of);
        fill(database.clone(), 40_000).await;
        assert_eq!(database.give_back_free_pages().await.unwrap(), 0, "all are in use");
        let full = pages().await.unwrap();
        let sql = "DELETE FROM meta WHERE name LIKE 'row %'";
        database.run(|connection| connection.execute(sql, [])).await.unwrap();
        let given = database.give_back_free_pages().await.unwrap();
        let left = pages().await.unwrap();
        assert_eq!(given, full.all - left.all);
        assert!(left.all < full.all / 2 && left.free <= KEPT, "{full:?} {left:?}");
        assert_eq!(database.give_back_free_pages().await.unwrap(), 0, "what is left is for new rows");
        fill(database.clone(), 10).await;
        let found = database.run(|connection| {
            connection.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0))
        });
        assert_eq!(found.await.unwrap(), "ok");
    }

    #[test]
    fn pages_stay_that_are_few_or_a_small_share() {
        assert!(!Pages { all: 10_000, free: 8_000 }.are_too_many(), "few");
        assert!(!Pages { all: 1_000_000, free: 200_000 }.are_too_many(), "a small share");
        let many = Pages { all: 1_000_000, free: 300_000 };
        assert!(many.are_too_many());
        assert_eq!(many.to_give(), 200_000);
        assert_eq!(Pages { all: 20_000, free: 15_000 }.to_give(), 15_000 - KEPT);
    }
}
