//! Dags as tables: which job comes after which (lava guide, Lava DAG Generator).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use csv::{ReaderBuilder, StringRecord, Trim};
use pumice_core::ids::JobId;
use pumice_core::text::quoted;
use serde_json::{Map, Value, json};

use crate::files::Unreadable;

/// The columns of a table that is not a matrix.
const JOB: &str = "job";
const DEPENDS_ON: &str = "depends_on";
const GROUP: &str = "job_group";
/// The mark of a dependency in a matrix that is written.
const MARK: &str = "x";
/// Most jobs of a circle that are named.
const MAX_NAMED: usize = 20;

/// Each job with those that it comes after, in the order of the file.
#[derive(Debug, Default)]
pub(crate) struct DagTable {
    jobs: Vec<String>,
    after: HashMap<String, BTreeSet<String>>,
}

/// The changes of a payload on its way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shape {
    /// Put before each id.
    pub(crate) prefix: String,
    /// Whether what can be left out is.
    pub(crate) compact: bool,
    /// The key that the payload is put under.
    pub(crate) wrap: Option<String>,
}

impl DagTable {
    /// Reads the text of a CSV file: a matrix, or a table with columns for job and predecessor. `group` takes the rows of
    /// one group of a table alone.
    pub(crate) fn parse(text: &str, group: Option<&str>) -> Result<Self, Unreadable> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(Trim::All)
            .from_reader(text.as_bytes());
        let mut rows = Vec::new();
        for row in reader.records() {
            let row = row.map_err(|error| Unreadable(format!("not CSV: {error}")))?;
            let line = row.position().map_or(0, csv::Position::line);
            rows.push((line, row));
        }
        let mut rows = rows.into_iter();
        let Some((_, head)) = rows.next() else { return Err(Unreadable("it is empty".to_owned())) };
        if head.len() < 2 {
            let message = "its first row has one column: give commas between the columns";
            return Err(Unreadable(message.to_owned()));
        }
        let mut table = Self::default();
        let is_table = head.iter().any(|name| name.eq_ignore_ascii_case(DEPENDS_ON));
        match is_table {
            true => table.take_pairs(&head, rows, group)?,
            false if group.is_some() => {
                let message = format!(
                    "a matrix has no groups: a group needs the columns {GROUP}, {JOB} and {DEPENDS_ON}"
                );
                return Err(Unreadable(message));
            }
            false => table.take_matrix(&head, rows)?,
        }
        if table.jobs.is_empty() {
            return Err(Unreadable("it names no job".to_owned()));
        }
        table.batches()?;
        Ok(table)
    }

    fn take_pairs(
        &mut self,
        head: &StringRecord,
        rows: impl Iterator<Item = (u64, StringRecord)>,
        group: Option<&str>,
    ) -> Result<(), Unreadable> {
        let mut columns: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, name) in head.iter().enumerate() {
            let known = [JOB, DEPENDS_ON, GROUP].into_iter().find(|known| name.eq_ignore_ascii_case(known));
            let Some(known) = known else {
                let message = format!(
                    "unknown column {}: a table has the columns {GROUP}, {JOB} and {DEPENDS_ON}",
                    quoted(name)
                );
                return Err(Unreadable(message));
            };
            if columns.insert(known, index).is_some() {
                return Err(Unreadable(format!("the column {known} is there twice")));
            }
        }
        let Some(job) = columns.get(JOB).copied() else {
            return Err(Unreadable(format!("the column {JOB} is missing")));
        };
        if group.is_some() && !columns.contains_key(GROUP) {
            return Err(Unreadable(format!("the column {GROUP} is missing, and a group is asked for")));
        }
        let cell = |row: &StringRecord, column: &str| {
            columns.get(column).and_then(|index| row.get(*index)).unwrap_or_default().to_owned()
        };
        for (line, row) in rows {
            check_width(line, &row, head)?;
            if row.iter().all(str::is_empty) || group.is_some_and(|group| cell(&row, GROUP) != group) {
                continue;
            }
            let (name, before) = (row.get(job).unwrap_or_default(), cell(&row, DEPENDS_ON));
            check_id(line, name)?;
            self.add(name);
            if !before.is_empty() && before != name {
                check_id(line, &before)?;
                self.after.entry(name.to_owned()).or_default().insert(before);
            }
        }
        Ok(())
    }

    fn take_matrix(
        &mut self,
        head: &StringRecord,
        rows: impl Iterator<Item = (u64, StringRecord)>,
    ) -> Result<(), Unreadable> {
        let mut seen = BTreeSet::new();
        for name in head.iter().skip(1).filter(|name| !name.is_empty()) {
            check_id(1, name)?;
            if !seen.insert(name) {
                return Err(Unreadable(format!("the column {} is there twice", quoted(name))));
            }
        }
        for (line, row) in rows {
            check_width(line, &row, head)?;
            let name = row.get(0).unwrap_or_default();
            let marked = row.iter().enumerate().skip(1).filter(|(_, mark)| !mark.is_empty());
            let marked: Vec<usize> = marked.map(|(column, _)| column).collect();
            if name.is_empty() {
                if let Some(column) = marked.first() {
                    return Err(Unreadable(format!(
                        "line {line} has a mark in column {}, and no job",
                        column + 1
                    )));
                }
                continue;
            }
            check_id(line, name)?;
            self.add(name);
            for column in marked {
                let before = head.get(column).unwrap_or_default();
                if before.is_empty() {
                    let message = format!(
                        "line {line} has a mark in column {}, whose first row names no job",
                        column + 1
                    );
                    return Err(Unreadable(message));
                }
                if before != name {
                    self.after.entry(name.to_owned()).or_default().insert(before.to_owned());
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, job: &str) {
        if !self.after.contains_key(job) {
            self.jobs.push(job.to_owned());
            self.after.insert(job.to_owned(), BTreeSet::new());
        }
    }

    /// A payload as a table. A job that only others name gets no row of its own.
    pub(crate) fn of_payload(payload: &Value) -> Result<Self, Unreadable> {
        let bad = |what: String| Unreadable(format!("not the payload of a dag: {what}"));
        let Value::Object(payload) = payload else {
            return Err(bad("expected an object of jobs and those that they come after".to_owned()));
        };
        let mut table = Self::default();
        for (job, before) in payload {
            table.add(job);
            let before: Vec<&str> = match before {
                Value::Null => Vec::new(),
                Value::String(one) if one.is_empty() => Vec::new(),
                Value::String(one) => vec![one],
                Value::Array(all) if all.iter().all(Value::is_string) => {
                    all.iter().filter_map(Value::as_str).collect()
                }
                _ => {
                    return Err(bad(format!("job {} comes after something that is not a text", quoted(job))));
                }
            };
            table.after.entry(job.clone()).or_default().extend(before.into_iter().map(str::to_owned));
        }
        table.batches()?;
        Ok(table)
    }

    /// The jobs that others come after, and that have no row of their own: they wait for none.
    pub(crate) fn without_row(&self) -> Vec<&str> {
        let named: BTreeSet<&str> = self.after.values().flatten().map(String::as_str).collect();
        named.into_iter().filter(|name| !self.after.contains_key(*name)).collect()
    }

    /// The jobs in an order in which they may run: each batch when those before it are done.
    pub(crate) fn batches(&self) -> Result<Vec<Vec<&str>>, Unreadable> {
        let mut left: BTreeMap<&str, BTreeSet<&str>> = self
            .after
            .iter()
            .map(|(job, before)| (job.as_str(), before.iter().map(String::as_str).collect()))
            .collect();
        for name in self.without_row() {
            left.insert(name, BTreeSet::new());
        }
        let mut batches = Vec::new();
        while !left.is_empty() {
            let ready: Vec<&str> =
                left.iter().filter(|(_, before)| before.is_empty()).map(|(job, _)| *job).collect();
            if ready.is_empty() {
                return Err(Unreadable(circle(&left)));
            }
            for job in &ready {
                left.remove(job);
            }
            let done: BTreeSet<&str> = ready.iter().copied().collect();
            for before in left.values_mut() {
                before.retain(|job| !done.contains(job));
            }
            batches.push(ready);
        }
        Ok(batches)
    }

    /// The payload of a dag.
    pub(crate) fn payload(&self, shape: &Shape) -> Value {
        let named: BTreeSet<&str> = self.after.values().flatten().map(String::as_str).collect();
        let id = |name: &str| format!("{}{name}", shape.prefix);
        let mut payload = Map::new();
        for job in &self.jobs {
            let before: Vec<String> =
                self.after.get(job).into_iter().flatten().map(|name| id(name)).collect();
            let value = match (&*before, shape.compact) {
                ([], true) if named.contains(job.as_str()) => continue,
                ([], true) => Value::Null,
                ([one], true) => json!(one),
                (all, _) => json!(all),
            };
            payload.insert(id(job), value);
        }
        match &shape.wrap {
            Some(key) => json!({ key: payload }),
            None => Value::Object(payload),
        }
    }

    /// The matrix as CSV.
    pub(crate) fn matrix(&self) -> Result<String, Unreadable> {
        let named: BTreeSet<&str> = self.after.values().flatten().map(String::as_str).collect();
        let mut writer = csv::Writer::from_writer(Vec::new());
        let failed = |error: csv::Error| Unreadable(error.to_string());
        writer.write_record(std::iter::once("job").chain(named.iter().copied())).map_err(failed)?;
        for job in &self.jobs {
            let before = &self.after[job];
            let marks = named.iter().map(|name| if before.contains(*name) { MARK } else { "" });
            writer.write_record(std::iter::once(job.as_str()).chain(marks)).map_err(failed)?;
        }
        let bytes = writer.into_inner().map_err(|error| Unreadable(error.to_string()))?;
        String::from_utf8(bytes).map_err(|error| Unreadable(error.to_string()))
    }
}

/// Refuses a row that has more cells than there are columns.
fn check_width(line: u64, row: &StringRecord, head: &StringRecord) -> Result<(), Unreadable> {
    let beyond = row.iter().skip(head.len()).any(|cell| !cell.is_empty());
    match beyond {
        true => Err(Unreadable(format!("line {line} has more cells than the first row has columns"))),
        false => Ok(()),
    }
}

fn check_id(line: u64, name: &str) -> Result<(), Unreadable> {
    JobId::new(name).map(drop).map_err(|error| Unreadable(format!("line {line}: {error}")))
}

/// Jobs that wait for each other, of those that none of them could begin.
fn circle(left: &BTreeMap<&str, BTreeSet<&str>>) -> String {
    let mut way: Vec<&str> = Vec::new();
    let mut job = left.keys().next().copied().unwrap_or_default();
    while !way.contains(&job) {
        way.push(job);
        job = left.get(job).and_then(|before| before.iter().next().copied()).unwrap_or_default();
    }
    let begins = way.iter().position(|one| *one == job).unwrap_or_default();
    let mut named: Vec<String> = way[begins..].iter().take(MAX_NAMED).map(|name| quoted(name)).collect();
    if way.len() - begins > MAX_NAMED {
        named.push("…".to_owned());
    }
    named.push(quoted(job));
    format!("the jobs wait for each other in a circle: {}", named.join(" after "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(text: &str, compact: bool) -> Result<Value, String> {
        let shape = Shape { compact, ..Shape::default() };
        DagTable::parse(text, None).map(|table| table.payload(&shape)).map_err(|error| error.0)
    }

    #[test]
    fn matrix_of_the_guide_gives_its_payload() {
        let text = "Jobs,J1,J2,J3,J5\nJ1,,,x,x\nJ2,,,,\nJ4,x,,,\nJ4,,,x,\nJ5,,,,\n";
        let wanted = json!({ "J1": ["J3", "J5"], "J2": null, "J4": ["J1", "J3"] });
        assert_eq!(payload(text, true).unwrap(), wanted);
        let whole = json!({ "J1": ["J3", "J5"], "J2": [], "J4": ["J1", "J3"], "J5": [] });
        assert_eq!(payload(text, false).unwrap(), whole);
        let table = DagTable::parse(text, None).unwrap();
        assert_eq!(table.without_row(), ["J3"]);
        assert_eq!(table.batches().unwrap(), [vec!["J2", "J3", "J5"], vec!["J1"], vec!["J4"]]);
        let again = DagTable::of_payload(&wanted).unwrap();
        assert_eq!(payload(&again.matrix().unwrap(), true).unwrap(), wanted);
    }

    #[test]
    fn table_of_pairs_is_taken_by_group() {
        let text =
            "\u{feff}job_group,job,depends_on\na,load,extract\na,load,check\nb,other,\na,check,extract\n";
        let of = |group| {
            let table = DagTable::parse(text, group).unwrap();
            table.payload(&Shape {
                prefix: "etl/".to_owned(),
                compact: true,
                wrap: Some("payload".to_owned()),
            })
        };
        let wanted =
            json!({ "payload": { "etl/load": ["etl/check", "etl/extract"], "etl/check": "etl/extract" } });
        assert_eq!(of(Some("a")), wanted);
        assert_eq!(of(Some("b")), json!({ "payload": { "etl/other": null } }));
    }

    #[test]
    fn table_that_is_wrong_is_refused_with_the_place() {
        for (text, wanted) in [
            ("", "it is empty"),
            ("job\na\n", "give commas between the columns"),
            ("job;a;b\na;;x\n", "give commas between the columns"),
            ("j,a,b,c\na,,x,\nb,,,x\nc,x,,\n", "in a circle: \"a\" after \"b\" after \"c\" after \"a\""),
            ("j,a,a\nb,x,\n", "the column \"a\" is there twice"),
            ("j,a,\nb,,x\n", "line 2 has a mark in column 3, whose first row names no job"),
            ("j,a\n,x\n", "line 2 has a mark in column 2, and no job"),
            ("j,a\nb,x,x\n", "line 2 has more cells"),
            ("job,depends_on,colour\na,b,red\n", "unknown column \"colour\""),
            ("name,depends_on\na,b\n", "unknown column \"name\""),
            ("depends_on,job,job\na,b,c\n", "the column job is there twice"),
            ("depends_on,job_group\na,b\n", "the column job is missing"),
            ("job,depends_on\na//b,\n", "line 2: "),
            ("j,a\n", "it names no job"),
        ] {
            let refused = payload(text, false).unwrap_err();
            assert!(refused.contains(wanted), "{text:?}: {refused}");
        }
        assert!(DagTable::parse("j,a\nb,x\n", Some("g")).unwrap_err().0.contains("a matrix has no groups"));
        let refused = DagTable::of_payload(&json!({ "a": "b", "b": "a" })).unwrap_err();
        assert!(refused.0.contains("in a circle"), "{refused}");
    }
}
