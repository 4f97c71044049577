//! Templates that try to take the process down. Each must fail or finish
//! within a second and 256 MiB.

mod endless;
mod growth;
mod harness;
mod isolation;
mod patterns;
mod source;
