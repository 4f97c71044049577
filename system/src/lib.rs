//! The machine that a program runs on: its clock and its chance behind the engine's ports, and the processes that
//! jobs start.

mod clock;
mod drain;
mod pool;
#[cfg(feature = "processes")]
pub mod processes;

pub use clock::{SystemClock, SystemRandom};
pub use drain::drain;
pub use pool::Pool;
