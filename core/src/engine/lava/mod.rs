//! Lava workers: they run what they are sent and keep no records. The engine makes all its exceptions for them here.

pub(super) mod adopt;
pub(super) mod follow;
pub(super) mod message;
