//! How a realm is doing, and what puts it right: failures by cause, figures, a doctor, dead letters.

mod dead;
mod doctor;
mod failures;
mod stats;

use pumice_service::metrics::{self, ReadMetrics};

use crate::args::{Global, Operating};
use crate::failure::Failure;
use crate::output::print;
use crate::target::Target;

/// Carries out one of these commands.
pub(super) async fn operating(global: &Global, command: Operating) -> Result<(), Failure> {
    match command {
        Operating::Failures(options) => failures::failures(global, options).await,
        Operating::Stats(options) => stats::stats(global, options).await,
        Operating::Doctor(options) => doctor::doctor(global, options).await,
        Operating::Metrics => {
            let realm = Target::open_to_read(global).await?;
            let read = realm.ask(metrics::metrics, &ReadMetrics {}).await?;
            print(global.output, &read, || read.text().lines().map(str::to_owned).collect())
        }
        Operating::Dead(command) => dead::dead(global, command).await,
    }
}
