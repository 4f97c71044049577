//! Kinds of actions, one file each.

pub mod dispatch;
pub mod log;
pub mod state;
