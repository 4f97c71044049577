//! `dag`: dags as tables.

use std::path::Path;

use pumice_core::text::escaped;
use serde_json::Value;

use crate::args::{Dag, DagFrom, Format, Global};
use crate::dag_table::{DagTable, Shape};
use crate::failure::{Failure, of_option};
use crate::files::{parse_file, read_text};
use crate::output::{note, print, write_raw};

/// Makes payloads of tables, and tables of payloads.
pub(super) fn dag(global: &Global, command: &Dag) -> Result<(), Failure> {
    match command {
        Dag::Generate(options) => generate(global, options),
        Dag::Table { file } => table(file),
    }
}

fn generate(global: &Global, options: &DagFrom) -> Result<(), Failure> {
    let wrong = |why: &dyn std::fmt::Display| of_option(&options.file.display().to_string(), why);
    let text = read_text(&options.file).map_err(|why| wrong(&why))?;
    let table = DagTable::parse(&text, options.group.as_deref()).map_err(|why| wrong(&why))?;
    let alone = table.without_row();
    if !alone.is_empty() {
        let names: Vec<_> = alone.iter().map(|name| escaped(name)).collect();
        note(
            global,
            &[format!("without a row of their own, and so after no other job: {}", names.join(", "))],
        );
    }
    if options.order {
        let batches: Vec<Vec<String>> = table
            .batches()
            .map_err(|why| wrong(&why))?
            .into_iter()
            .map(|batch| batch.into_iter().map(|job| format!("{}{job}", options.prefix)).collect())
            .collect();
        return print(global.output, &batches, || {
            let lines = batches.iter().enumerate().flat_map(|(number, batch)| {
                let head = std::iter::once(format!("batch {}", number + 1));
                head.chain(batch.iter().map(|job| format!("  {}", escaped(job))))
            });
            lines.collect()
        });
    }
    let (prefix, wrap) = (options.prefix.clone(), options.wrap.clone());
    let payload = table.payload(&Shape { prefix, compact: options.compact, wrap });
    let format = if global.output == Format::Yaml { Format::Yaml } else { Format::Json };
    print(format, &payload, Vec::new)
}

/// Prints a payload, or that of a job of type dag, as a matrix.
fn table(file: &Path) -> Result<(), Failure> {
    let wrong = |why: &dyn std::fmt::Display| of_option(&file.display().to_string(), why);
    let mut parts = parse_file(file).map_err(|why| wrong(&why))?;
    let document = match parts.len() {
        1 => parts.remove(0).value,
        count => return Err(wrong(&format!("expected one document, got {count}"))),
    };
    let is_job = document.get("job_id").is_some_and(Value::is_string) && document.get("type").is_some();
    let payload = match document.get("payload").filter(|_| is_job) {
        Some(payload) if document["type"] == "dag" => payload,
        Some(_) => {
            return Err(wrong(&format!("the job is of type {}, and not of type dag", document["type"])));
        }
        None => &document,
    };
    let table = DagTable::of_payload(payload).map_err(|why| wrong(&why))?;
    write_raw(&table.matrix().map_err(|why| wrong(&why))?)
}
