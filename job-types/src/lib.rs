//! Pumice's job types and actions, one file each.
