//! Jinja2 templates as lava's users know them, on minijinja.
