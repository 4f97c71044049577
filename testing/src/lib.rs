//! Conformance suite and simulation for Pumice's adapters and engine.
