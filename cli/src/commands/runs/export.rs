//! `runs export`: records of runs, one line of JSON each.

use pumice_service::runs::{EXPORT_PAGE, ExportRuns, ExportedRuns, export};

use pumice_core::text::counted;

use crate::args::Global;
use crate::failure::Failure;
use crate::output::{note, write_line};
use crate::target::Target;

/// Prints the runs as they are read: memory holds one page of them.
pub(super) async fn print_all(
    global: &Global,
    realm: &Target,
    filter: Option<String>,
    children: bool,
) -> Result<(), Failure> {
    let mut request = ExportRuns { filter, zone: None, children, cursor: None, limit: EXPORT_PAGE };
    let mut count = 0_usize;
    loop {
        let ExportedRuns { runs, next, note: lacking } = realm.ask(export, &request).await?;
        for run in &runs {
            if !write_line(run)? {
                // The reader has seen enough.
                return Ok(());
            }
        }
        count += runs.len();
        let is_first = request.cursor.is_none();
        if is_first {
            note(global, &lacking.into_iter().collect::<Vec<_>>());
        }
        match next {
            Some(next) => request.cursor = Some(next),
            None => break,
        }
    }
    note(global, &[counted(count, "run")]);
    Ok(())
}
