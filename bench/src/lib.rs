//! Measurements and torture tests of the whole program.

mod failed;

pub mod report;
pub mod torture;

pub use failed::Failed;
