//! What Pumice does in a second, and what it bears: measurements and torture tests of the whole program.

pub mod report;
pub mod torture;
