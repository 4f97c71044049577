//! The command as a user meets it: real processes, real folders.

mod bad_input;
mod batches;
mod examples;
mod ids;
mod limits;
mod people;
mod pumice;
mod readers;
mod reasons;
mod run;
mod serve;
mod specs;
mod warnings;
