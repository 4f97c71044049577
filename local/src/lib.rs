//! Embedded adapters: SQLite store and queue, system clock, worker loop.
