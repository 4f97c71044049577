//! Stub.
#![expect(missing_docs, reason = "stub")]
use serde_json::Value as Json;

use crate::{Context, ErrorKind, Limits, TemplateError, args, structure};

#[derive(Clone, Debug, Default)]
pub struct Renderer {
    limits: Limits,
}

fn convert(error: &minijinja::Error) -> TemplateError {
    TemplateError::new(ErrorKind::Runtime, error.to_string())
}

impl Renderer {
    pub fn new(limits: Limits) -> Self {
        Self { limits }
    }
    pub fn check(&self, source: &str) -> Result<(), TemplateError> {
        let env = minijinja::Environment::new();
        env.template_from_str(source).map(drop).map_err(|e| convert(&e))
    }
    pub fn render(&self, source: &str, ctx: &Context) -> Result<String, TemplateError> {
        let env = minijinja::Environment::new();
        let vars: std::collections::BTreeMap<_, _> =
            ctx.vars.iter().map(|(k, v)| (k.clone(), v.0.clone())).collect();
        env.render_str(source, minijinja::Value::from(vars)).map_err(|e| convert(&e))
    }
    pub fn render_json(&self, value: &Json, ctx: &Context) -> Result<Json, TemplateError> {
        structure::map_strings(value, self.limits.structure_depth, &mut |s| self.render(s, ctx))
    }
    pub fn render_condition(&self, source: &str, ctx: &Context) -> Result<(bool, String), TemplateError> {
        let text = self.render(source, ctx)?;
        Ok((text.trim().eq_ignore_ascii_case("true"), text))
    }
    pub fn render_args(&self, command_line: &str, ctx: &Context) -> Result<Vec<String>, TemplateError> {
        let words = args::split(command_line)?;
        words
            .iter()
            .enumerate()
            .map(|(i, w)| self.render(w, ctx).map_err(|e| e.under(&format!("[{i}]"))))
            .collect()
    }
    pub fn check_json(&self, value: &Json) -> Result<(), TemplateError> {
        structure::map_strings(value, self.limits.structure_depth, &mut |s| {
            self.check(s).map(|()| s.to_owned())
        })
        .map(drop)
    }
}
