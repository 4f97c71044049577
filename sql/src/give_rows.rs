//! Carries out statements and gives their rows, in the same way for each driver.

/// Carries out a text on a connection and gives its rows. A driver's types differ and their traits do not reach far enough for
/// a function: `$of` makes an error of the driver's, `$cells` the cells of a row.
macro_rules! give_rows {
    ($connection:expr, $sql:expr, $rows:expr, $of:expr, $cells:expr) => {{
        let (mut has_columns, mut is_within) = (false, false);
        let mut stream = sqlx::raw_sql(AssertSqlSafe($sql.to_owned())).fetch_many(&mut $connection);
        while let Some(given) = stream.try_next().await.map_err($of)? {
            let Either::Right(row) = given else {
                // Rows after the end of a result are those of another.
                is_within = false;
                continue;
            };
            if !is_within {
                let names = row.columns().iter().map(|column| column.name().to_owned()).collect();
                $rows.columns(names).map_err(DatabaseError::passing)?;
                (has_columns, is_within) = (true, true);
            }
            $rows.row($cells(&row)?).map_err(DatabaseError::passing)?;
        }
        drop(stream);
        if !has_columns
            && may_have_columns($sql)
            // It has been carried out: what cannot be prepared, as several statements, has no columns to name.
            && let Ok(statement) = $connection.prepare(AssertSqlSafe($sql.to_owned()).into_sql_str()).await
            && !statement.columns().is_empty()
        {
            let names = statement.columns().iter().map(|column| column.name().to_owned()).collect();
            $rows.columns(names).map_err(DatabaseError::passing)?;
        }
        Ok(())
    }};
}
pub(crate) use give_rows;
