//! The stores of a folder, tried from outside.
#![expect(clippy::unwrap_used, reason = "a test says so by failing")]

mod queries;
mod records;
mod superseded;

/// The statements that take a file back to an earlier version whose tables were these, as far as later tables go.
fn drop_tables_but(file: &rusqlite::Connection, tables: &[&str]) -> String {
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    let mut statement = file.prepare(sql).unwrap();
    let names: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let later = names.iter().filter(|name| !tables.contains(&name.as_str()));
    later.map(|name| format!("DROP TABLE {name};")).collect()
}
