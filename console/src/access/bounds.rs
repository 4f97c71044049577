//! Limits of a client: sizes, numbers and times.

use std::time::Duration;

/// Limits of the server. Whatever a client sends, the process stays small and goes on.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections at the same time; a further one gets the place of one without a login.
    pub connections: usize,
    /// Event streams at the same time.
    pub streams: usize,
    /// Longest URL, in bytes.
    pub url: usize,
    /// Most bytes of a request's head.
    pub head: usize,
    /// Most bytes of a request's body.
    pub body: usize,
    /// How long a client may take to send a request's head, the time before its first byte included.
    pub head_time: Duration,
    /// How long a client may take to send a body.
    pub body_time: Duration,
    /// How long a request may take, its body aside.
    pub request_time: Duration,
    /// How long a connection is kept, whatever it is used for.
    pub connection_time: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 256,
            streams: 64,
            url: 4 * 1024,
            head: 16 * 1024,
            body: 1024 * 1024,
            head_time: Duration::from_secs(10),
            body_time: Duration::from_secs(30),
            request_time: Duration::from_secs(30),
            connection_time: Duration::from_mins(10),
        }
    }
}
