//! Jinja2 templates as lava's users know them, on minijinja.

mod attributes;
mod cache;
mod call;
mod clock;
mod command_line;
mod context;
mod dateparse;
mod error;
mod eval;
mod fault;
mod filters;
mod format;
mod globals;
#[cfg(test)]
mod guide;
mod limits;
mod methods;
mod native;
mod predicates;
mod renderer;
mod runtime;
mod structure;
mod syntax;
mod utils;
mod value;
mod zone;

pub use context::{Context, Value};
pub use error::{ErrorKind, TemplateError};
pub use limits::Limits;
pub use renderer::Renderer;
pub use zone::Zone;
