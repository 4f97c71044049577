//! Requests to servers of the web.

use std::time::Duration;

use async_trait::async_trait;

/// Largest response body that is read, in bytes: it is held in memory.
pub const MAX_RESPONSE: usize = 16 * 1024 * 1024;
/// Most redirects that are followed.
pub const MAX_REDIRECTS: u32 = 5;

/// A request.
#[derive(Clone)]
pub struct HttpRequest {
    /// The method, in capitals.
    pub method: String,
    /// The URL: `http://` or `https://`.
    pub url: String,
    /// Names and values of headers.
    pub headers: Vec<(String, String)>,
    /// The body; empty for none.
    pub body: Vec<u8>,
    /// How long the whole exchange may take: looking the name up, connecting, redirects, reading the body.
    pub timeout: Duration,
    /// How many redirects are followed, at most [`MAX_REDIRECTS`]; 0 gives the redirect itself as the response.
    pub redirects: u32,
    /// Largest body of the response, in bytes, at most [`MAX_RESPONSE`].
    pub max_response: usize,
}

impl std::fmt::Debug for HttpRequest {
    /// Shows no header, body or path: they may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpRequest").field("method", &self.method).finish_non_exhaustive()
    }
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpResponse {
    /// The status.
    pub status: u16,
    /// Names, in small letters, and values of headers. A value that is not text is left out.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl HttpResponse {
    /// The first value of a header, by its name in small letters.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Why there is no response. Messages name the server, and neither path, query, headers nor body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The request can never be made: a malformed URL or header, an address that is never called, a body that is too large.
    #[error("{0}")]
    Refused(String),
    /// The server was not reached: it has seen nothing of the request.
    #[error("{0}")]
    NotSent(String),
    /// The exchange broke off or took too long: the server may have carried the request out.
    #[error("{0}")]
    Broken(String),
}

/// Makes requests. An implementation calls no address of the link-local range, where clouds hand out credentials, and
/// checks the address that it connects to, for redirects as well.
#[async_trait]
pub trait Http: Send + Sync {
    /// Makes a request. It ends when the future is dropped.
    ///
    /// # Errors
    /// [`HttpError`] when there is no complete response.
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError>;
}

/// Makes no requests.
#[derive(Clone, Copy, Debug)]
pub struct NoHttp;

#[async_trait]
impl Http for NoHttp {
    async fn send(&self, _: HttpRequest) -> Result<HttpResponse, HttpError> {
        Err(HttpError::Refused("this process makes no HTTP requests".to_owned()))
    }
}
