//! Requests to servers of the web: HTTP/1.1, one connection for each request.

mod connect;
mod target;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, USER_AGENT};
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::TokioIo;
use pumice_core::ports::{Http, HttpError, HttpRequest, HttpResponse, MAX_REDIRECTS, MAX_RESPONSE};
use tokio::time::timeout;

use self::connect::Connector;
#[cfg(feature = "mail")]
pub(crate) use self::connect::MAX_ADDRESSES;
pub(crate) use self::connect::{Resolve, SystemNames};
use self::target::Target;

/// Headers that frame a message or a connection: the client's own.
const FRAMING: [&str; 8] =
    ["connection", "content-length", "expect", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];
/// Headers that follow a redirect to another server: they do not reveal the caller.
const HARMLESS: [&str; 4] = ["accept", "accept-language", "content-type", "user-agent"];
/// The `User-Agent` of requests.
const AGENT: &str = concat!("pumice/", env!("CARGO_PKG_VERSION"));

/// Makes requests from this machine. It needs nothing until the first one.
pub struct Web(Connector);

impl std::fmt::Debug for Web {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Web")
    }
}

impl Default for Web {
    fn default() -> Self {
        Self::with_names(Arc::new(SystemNames))
    }
}

/// A request with its parts read.
struct Prepared {
    method: Method,
    target: Target,
    headers: HeaderMap,
    body: Bytes,
}

impl Prepared {
    fn of(request: &mut HttpRequest) -> Result<Self, HttpError> {
        let refused = HttpError::Refused;
        let method = Method::from_bytes(request.method.as_bytes()).ok();
        let method =
            method.filter(|method| !matches!(*method, Method::CONNECT | Method::TRACE)).ok_or_else(|| {
                refused(format!("the method {:?} is not one of HTTP's: use GET, POST, …", request.method))
            })?;
        let target = Target::parse(&request.url)?;
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            let known = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| refused(format!("the header name {name:?} is not a token of HTTP")))?;
            if FRAMING.contains(&known.as_str()) {
                return Err(refused(format!("the header {known} is set by pumice itself: leave it out")));
            }
            let value = HeaderValue::from_str(value).map_err(|_| {
                refused(format!("the value of the header {known} has characters other than printable ASCII"))
            })?;
            headers.append(known, value);
        }
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
        Ok(Self { method, target, headers, body: std::mem::take(&mut request.body).into() })
    }

    /// The request to make after this response; `None` when the response is not a redirect.
    fn redirected(&self, response: &Response<Incoming>) -> Result<Option<Self>, HttpError> {
        let (status, location) = (response.status(), response.headers().get(LOCATION));
        let (
            StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT,
            Some(location),
        ) = (status, location)
        else {
            return Ok(None);
        };
        let target = self.target.follow(location.to_str().unwrap_or_default())?;
        let mut headers = self.headers.clone();
        headers.remove(HOST);
        let (mut method, mut body) = (self.method.clone(), self.body.clone());
        // As browsers do (RFC 9110 section 15.4).
        let becomes_get = status == StatusCode::SEE_OTHER && method != Method::HEAD
            || matches!(status, StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND) && method == Method::POST;
        if becomes_get {
            (method, body) = (Method::GET, Bytes::new());
            headers.remove(hyper::header::CONTENT_TYPE);
        }
        if target.origin() != self.target.origin() {
            let names: Vec<HeaderName> = headers.keys().cloned().collect();
            for name in names.iter().filter(|name| !HARMLESS.contains(&name.as_str())) {
                headers.remove(name);
            }
        }
        Ok(Some(Self { method, target, headers, body }))
    }

    fn to_request(&self) -> Result<hyper::Request<Full<Bytes>>, HttpError> {
        let unfit = |error: &dyn std::fmt::Display| HttpError::Refused(error.to_string());
        let uri = self.target.path.parse::<hyper::Uri>().map_err(|error| unfit(&error))?;
        let mut request = hyper::Request::new(Full::new(self.body.clone()));
        (*request.method_mut(), *request.uri_mut()) = (self.method.clone(), uri);
        *request.headers_mut() = self.headers.clone();
        if !self.headers.contains_key(HOST) {
            let host = HeaderValue::from_str(&self.target.authority()).map_err(|error| unfit(&error))?;
            request.headers_mut().insert(HOST, host);
        }
        // A server may ask for the length of what these methods can have (RFC 9110, 8.6).
        if self.body.is_empty() && [Method::POST, Method::PUT, Method::PATCH].contains(&self.method) {
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        Ok(request)
    }
}

/// An error with its causes.
fn causes(error: &dyn std::error::Error) -> String {
    let (mut text, mut next) = (error.to_string(), error.source());
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}

impl Web {
    fn with_names(names: Arc<dyn Resolve>) -> Self {
        Self(Connector::new(names))
    }

    async fn exchange(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (mut left, limit) =
            (request.redirects.min(MAX_REDIRECTS), request.max_response.min(MAX_RESPONSE));
        let may_follow = left > 0;
        let mut next = Prepared::of(&mut request)?;
        loop {
            match self.once(&next, may_follow, limit).await? {
                Answer::Whole(response) => return Ok(response),
                Answer::Elsewhere(_) if left == 0 => {
                    let origin = next.target.origin();
                    return Err(HttpError::Refused(format!(
                        "{origin} redirects once more after {} redirects",
                        request.redirects.min(MAX_REDIRECTS)
                    )));
                }
                Answer::Elsewhere(elsewhere) => (next, left) = (*elsewhere, left - 1),
            }
        }
    }

    /// Asks one server once.
    async fn once(&self, request: &Prepared, may_follow: bool, limit: usize) -> Result<Answer, HttpError> {
        let broken = |error: hyper::Error| {
            HttpError::Broken(format!("no response from {}: {}", request.target.origin(), causes(&error)))
        };
        let sent = request.to_request()?;
        let stream = self.0.connect(&request.target).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let answering = async {
            let response = sender.send_request(sent).await.map_err(broken)?;
            if may_follow && let Some(elsewhere) = request.redirected(&response)? {
                return Ok(Answer::Elsewhere(Box::new(elsewhere)));
            }
            read(response, limit, &request.target).await.map(Answer::Whole)
        };
        let (mut answering, connection) = (std::pin::pin!(answering), std::pin::pin!(connection));
        tokio::select! {
            answer = &mut answering => answer,
            // An answer that was read before the connection ended still counts.
            _ = connection => answering.await,
        }
    }
}

/// A server's answer.
enum Answer {
    Whole(HttpResponse),
    Elsewhere(Box<Prepared>),
}

/// Reads a response to its end.
async fn read(
    response: Response<Incoming>,
    limit: usize,
    target: &Target,
) -> Result<HttpResponse, HttpError> {
    let origin = target.origin();
    let too_large =
        || HttpError::Refused(format!("the response of {origin} is larger than {limit} bytes, the limit"));
    let (head, mut incoming) = response.into_parts();
    let mut body = Vec::new();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| {
            HttpError::Broken(format!("the response of {origin} broke off: {}", causes(&error)))
        })?;
        let Ok(piece) = frame.into_data() else { continue };
        if body.len() + piece.len() > limit {
            return Err(too_large());
        }
        body.extend_from_slice(&piece);
    }
    let header = |(name, value): (&HeaderName, &HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    let headers = head.headers.iter().filter_map(header).collect();
    Ok(HttpResponse { status: head.status.as_u16(), headers, body })
}

#[async_trait]
impl Http for Web {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let limit = request.timeout;
        let origin = Target::parse(&request.url).map(|target| target.origin());
        match timeout(limit, self.exchange(request)).await {
            Ok(response) => response,
            Err(_) => {
                let origin = origin.unwrap_or_default();
                Err(HttpError::Broken(format!("no response from {origin} within {limit:?}")))
            }
        }
    }
}
