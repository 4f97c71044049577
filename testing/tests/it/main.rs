//! Tests that take stand-ins, lava, servers or the simulation, in one binary, so that all of it is linked once.

mod actions;
#[cfg(feature = "standins")]
mod aws_backfills;
#[cfg(feature = "standins")]
mod aws_bad_input;
#[cfg(feature = "standins")]
mod aws_busy;
#[cfg(feature = "standins")]
mod aws_calls;
#[cfg(feature = "standins")]
mod aws_cli;
#[cfg(feature = "standins")]
mod aws_clock;
#[cfg(feature = "standins")]
mod aws_conformance;
#[cfg(feature = "standins")]
mod aws_dead;
#[cfg(feature = "standins-make")]
mod aws_deploy;
#[cfg(feature = "standins")]
mod aws_edits;
#[cfg(feature = "standins")]
mod aws_events;
#[cfg(feature = "standins")]
mod aws_functions;
#[cfg(feature = "standins")]
mod aws_gone;
#[cfg(feature = "standins")]
mod aws_hosts;
#[cfg(feature = "standins")]
mod aws_large;
#[cfg(feature = "standins")]
mod aws_lists;
#[cfg(feature = "standins")]
mod aws_logs;
#[cfg(feature = "standins")]
mod aws_moving;
#[cfg(feature = "standins")]
mod aws_outside;
#[cfg(feature = "standins")]
mod aws_parts;
#[cfg(feature = "standins")]
mod aws_payloads;
#[cfg(feature = "standins")]
mod aws_schedules;
#[cfg(feature = "standins")]
mod aws_signatures;
#[cfg(feature = "standins")]
mod aws_spread;
#[cfg(feature = "standins")]
mod aws_sweeps;
#[cfg(feature = "standins")]
mod aws_template;
#[cfg(feature = "standins-make")]
mod aws_update;
#[cfg(feature = "standins")]
mod aws_work;
mod clock_hosts_reports;
mod clock_lag;
mod clock_reports;
mod clock_rules;
mod conformance;
#[cfg(feature = "standins-databases")]
mod databases;
mod housekeeping;
mod late_workers;
#[cfg(feature = "standins-lava")]
mod lava_interplay;
#[cfg(feature = "standins-lava")]
mod lava_jobs;
#[cfg(feature = "standins-lava")]
mod lava_templates;
#[cfg(feature = "standins-mail")]
mod mail;
#[cfg(feature = "standins-docker")]
mod sam_local;
mod silent_stores;
mod simulation;
#[cfg(feature = "standins-ssh")]
mod ssh;
mod template;
mod triggers;
mod worker_loop;
