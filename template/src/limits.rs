//! The bounds every template is held to, by name.

use std::time::Duration;

/// The limits that the templates of one structure share.
///
/// The defaults stop every attack that `tests/attacks` lists within a
/// second and 256 MiB. A template that goes over one of them fails with
/// [`ErrorKind::Limit`](crate::ErrorKind::Limit); nothing is cut short in
/// silence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of template text, checked before anything is parsed.
    pub source_bytes: usize,
    /// Operators, calls, filters and commas in one tag, checked before
    /// anything is parsed: a long flat expression is a deep tree.
    pub tag_operators: usize,
    /// Characters of a line in a template that has tags; the parser counts
    /// columns in 16 bits.
    pub line_chars: usize,
    /// Tags and text pieces in one template.
    pub template_parts: usize,
    /// `elif` tags in one template: each is parsed within the one before.
    pub elifs: usize,
    /// Evaluation steps of all renderings of one structure. A step is an expression node, a
    /// loop pass, or 64 bytes looked at by a method or filter.
    pub steps: u64,
    /// Bytes that the renderings of one structure may allocate in all for
    /// strings, lists and numbers, whether or not they are dropped again.
    /// Lists count 48 bytes an item, dicts 128 an entry.
    pub memory_bytes: usize,
    /// Bytes of rendered text.
    pub output_bytes: usize,
    /// Macro calls, recursive loops and nested containers, counted together.
    pub depth: usize,
    /// Bits of one integer.
    pub integer_bits: u64,
    /// Backtracking steps of one regular expression at one place of a text;
    /// fewer for a long text.
    pub regex_backtracks: usize,
    /// Bytes of text times size of the pattern in one match of a regular
    /// expression. The size is the count of characters, sets and repeats,
    /// counted repeats as often as they count.
    pub regex_work: usize,
    /// Bytes of one compiled regular expression.
    pub regex_bytes: usize,
    /// Wall-clock time of all renderings of one structure.
    pub deadline: Duration,
    /// Compiled templates that a [`Renderer`](crate::Renderer) keeps.
    pub cached_templates: usize,
    /// Bytes of template text whose compiled form a
    /// [`Renderer`](crate::Renderer) keeps.
    pub cached_bytes: usize,
    /// Nesting of a structure given to
    /// [`Renderer::render_json`](crate::Renderer::render_json).
    pub structure_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            source_bytes: 256 * 1024,
            tag_operators: 1_000,
            line_chars: 60_000,
            template_parts: 20_000,
            elifs: 500,
            steps: 2_000_000,
            memory_bytes: 32 * 1024 * 1024,
            output_bytes: 8 * 1024 * 1024,
            depth: 150,
            integer_bits: 64 * 1024,
            regex_backtracks: 200_000,
            regex_work: 16_000_000,
            regex_bytes: 1024 * 1024,
            deadline: Duration::from_millis(800),
            cached_templates: 512,
            cached_bytes: 4 * 1024 * 1024,
            structure_depth: 128,
        }
    }
}
