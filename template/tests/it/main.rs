//! Templates, tried from outside. What attacks them has a binary of its own, since it measures memory.

mod cases;
mod decimals;
mod errors;
mod jinja_cases;
mod own_cases;
mod rendering;
mod structures;
