//! The command as a user meets it: real processes, real folders.

mod bad_input;
mod examples;
mod host;
mod outputs;
mod processes;
mod pumice;
mod reasons;
mod run;
mod serve;
mod specs;
mod stopping;
