//! Templates, tried from outside. The attacks have a binary of their own, since it measures memory.

mod cases;
mod decimals;
mod errors;
mod jinja_cases;
mod own_cases;
mod rendering;
mod structures;
