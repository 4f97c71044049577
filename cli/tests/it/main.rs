//! The command as a user meets it: real processes, real folders.

mod backfills;
mod bad_input;
mod batches;
mod connections;
mod examples;
mod host;
mod ids;
mod late;
mod limits;
mod outputs;
mod people;
mod processes;
mod pumice;
mod readers;
mod reasons;
mod rendering;
mod responses;
mod run;
mod schedule_checks;
mod schedules;
mod serve;
mod specs;
mod stopping;
mod stored;
mod triggers;
mod warnings;
