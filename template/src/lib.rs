//! Jinja2 templates as lava's users know them, on minijinja.

mod args;
mod context;
mod error;
mod limits;
mod renderer;
mod structure;
mod zone;

pub use context::{Context, Value};
pub use error::{ErrorKind, TemplateError};
pub use limits::Limits;
pub use renderer::Renderer;
pub use zone::Zone;
