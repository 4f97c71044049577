//! The machine that a program runs on, behind the engine's ports: its clock and its chance.

mod clock;

pub use clock::{SystemClock, SystemRandom};
