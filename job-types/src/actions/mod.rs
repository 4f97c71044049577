//! Kinds of actions, one file each.

pub mod dispatch;
pub mod email;
pub mod event;
pub mod log;
pub mod message;
pub mod slack;
pub mod sns;
pub mod sqs;
pub mod state;
pub mod webhook;
