//! The command as a user meets it: real processes, real folders.

mod bad_input;
mod batches;
mod examples;
mod pumice;
mod reasons;
mod run;
mod serve;
mod ids;
mod people;
mod readers;
mod specs;
mod warnings;
