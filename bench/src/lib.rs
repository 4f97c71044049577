//! Measurements and torture tests of the whole program.

pub mod report;
pub mod torture;
