//! The rules of the core, tried from outside, in one binary.

mod ahead;
mod backfill;
mod clock;
mod clock_jitter;
mod clock_lapses;
mod clock_reports;
mod clock_rules;
mod cursor;
mod decide;
mod early;
mod filter;
mod fingerprint;
mod late_reports;
mod missed;
mod nodes;
mod outages;
mod pauses;
mod permits;
mod redo;
mod superseded;
mod too_late;
mod triggers;
mod why;
