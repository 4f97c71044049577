//! Reads and compiles any text as a template.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pumice_template::{Limits, Renderer};

fuzz_target!(|text: &str| {
    let renderer = Renderer::new(Limits {
        cached_templates: 0,
        ..Limits::default()
    });
    if let Err(error) = renderer.check(text) {
        // The report must hold for any text too.
        let _ = error.report();
    }
});
