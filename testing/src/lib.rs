//! Tests that every adapter passes, adapters in memory, and the simulation of a run's life.

pub mod cloudformation;
pub mod conformance;
pub mod folder;
pub mod memory;
pub mod prng;
pub mod sim;
#[cfg(feature = "standins")]
pub mod standins;
pub mod templates;
