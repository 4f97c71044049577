//! A console as a client asks it: the operations of a realm over HTTP.

use std::str::FromStr;
use std::time::Duration;

use pumice_core::ports::{Http, HttpError, HttpRequest, HttpResponse, MAX_RESPONSE};
use pumice_core::text::{quoted, shown};
use pumice_host::Web;
use pumice_service::{Error, ErrorKind, Operation};
use serde_json::Value;

/// Where the operations are, below a console's URL.
const BASE: &str = "/api/v1/";
/// Fewest characters of a token, as the console asks for.
const MIN_TOKEN: usize = 20;

/// The URL of a console: scheme and host, and the path below which a proxy has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConsoleUrl(String);

impl FromStr for ConsoleUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = |why: &str| format!("{why}: give scheme and host, as in https://pumice.example.org");
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let rest = rest.ok_or_else(|| bad("it is neither an http:// nor an https:// URL"))?;
        let host = rest.split('/').next().unwrap_or_default();
        // Messages quote the URL, and a password would be in `ps`.
        if host.contains('@') {
            return Err(
                "it names a user: a console takes a token, from PUMICE_TOKEN or --token-file".to_owned()
            );
        }
        if host.is_empty() || !rest.chars().all(|c| c.is_ascii_graphic()) {
            return Err(bad("it has no host, or characters that a URL does not have"));
        }
        if rest.contains(['?', '#']) {
            return Err(bad("it has a query or a fragment"));
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

impl ConsoleUrl {
    /// Whether what is sent there can be read on its way by other machines.
    pub(crate) fn is_open(&self) -> bool {
        let Some(rest) = self.0.strip_prefix("http://") else { return false };
        let host = rest.split('/').next().unwrap_or_default();
        let name = match host.strip_prefix('[') {
            Some(address) => address.split(']').next().unwrap_or_default(),
            None => host.split(':').next().unwrap_or_default(),
        };
        let is_loopback = name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        !is_loopback && !name.eq_ignore_ascii_case("localhost")
    }
}

impl std::fmt::Display for ConsoleUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A token that a console knows. It is masked in all that this process prints.
#[derive(Clone)]
pub(crate) struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

impl FromStr for Token {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Neither this message nor a header may quote it.
        if text.len() < MIN_TOKEN || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a token has 20 characters or more, all of them printable ASCII without blanks");
        }
        pumice_core::secret::remember(text);
        Ok(Self(text.to_owned()))
    }
}

/// The token of a command line, valid or not: an error of the command line would quote it.
#[derive(Clone)]
pub(crate) struct GivenToken(pub(crate) String);

impl std::fmt::Debug for GivenToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GivenToken")
    }
}

impl FromStr for GivenToken {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

/// A console that is asked.
pub(crate) struct Remote {
    url: ConsoleUrl,
    token: Option<Token>,
    /// How long an answer may take.
    within: Duration,
    http: Box<dyn Http>,
}

impl Remote {
    /// The console at a URL. Nothing is sent yet.
    pub(crate) fn new(url: ConsoleUrl, token: Option<Token>, within: Duration) -> Self {
        Self { url, token, within, http: Box::new(Web::default()) }
    }

    /// Where it is.
    pub(crate) const fn url(&self) -> &ConsoleUrl {
        &self.url
    }

    /// Has the console carry out an operation.
    ///
    /// # Errors
    /// [`Error`] as the operation gives it; or when the console is not reached, refuses the caller, or does not answer as a
    /// console does.
    pub(crate) async fn call(&self, operation: &Operation, asked: &Value) -> Result<Value, Error> {
        let mut headers = vec![
            ("Content-Type".to_owned(), "application/json".to_owned()),
            ("Accept".to_owned(), "application/json, application/problem+json".to_owned()),
        ];
        headers.extend(
            self.token.iter().map(|token| ("Authorization".to_owned(), format!("Bearer {}", token.0))),
        );
        let request = HttpRequest {
            method: "POST".to_owned(),
            url: format!("{}{BASE}{}", self.url, operation.path()),
            headers,
            body: asked.to_string().into_bytes(),
            timeout: self.within,
            // A token must not go where a redirect leads.
            redirects: 0,
            max_response: MAX_RESPONSE,
        };
        match self.http.send(request).await {
            Ok(response) => self.read(operation, &response),
            Err(error) => Err(self.unanswered(operation, error)),
        }
    }

    fn unanswered(&self, operation: &Operation, error: HttpError) -> Error {
        let url = &self.url;
        let (kind, message) = match &error {
            HttpError::Refused(why) => (ErrorKind::Invalid, format!("--url {url}: {why}")),
            HttpError::NotSent(why) => {
                (ErrorKind::Unreachable, format!("the console at {url} is not reached: {why}"))
            }
            HttpError::Broken(why) => {
                let doubt = doubt(operation);
                (ErrorKind::Unreachable, format!("the console at {url} did not answer: {why}{doubt}"))
            }
        };
        Error::new(kind, message).caused_by(error)
    }

    /// Reads an answer.
    fn read(&self, operation: &Operation, response: &HttpResponse) -> Result<Value, Error> {
        let url = &self.url;
        let kind = response.header("content-type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let body = || serde_json::from_slice::<Value>(&response.body).ok();
        let problem = if kind == "application/problem+json" { body() } else { None };
        match (response.status, problem) {
            // Of several requests a part may be refused, or each: the response says why.
            (200 | 207 | 422, _) if kind == "application/json" => body().ok_or_else(|| {
                Error::unreachable(format!("the console at {url} answered with JSON that cannot be read"))
            }),
            (300..=399, _) => {
                let to =
                    response.header("location").map(|to| format!(" to {}", shown(to))).unwrap_or_default();
                Err(Error::unreachable(format!(
                    "{url} redirects{to}, and a token does not follow: give the console's own URL"
                )))
            }
            (status, Some(problem)) => Err(self.refused(operation, status, &problem)),
            (status, None) => {
                let what = if kind.is_empty() {
                    "without a type".to_owned()
                } else {
                    format!("as {}", quoted(kind))
                };
                Err(Error::unreachable(format!(
                    "{url} answered {status} {what}, and not as a console does: is --url right?{}",
                    if status >= 500 { doubt(operation) } else { "" }
                )))
            }
        }
    }

    /// The error in a problem document.
    fn refused(&self, operation: &Operation, status: u16, problem: &Value) -> Error {
        let url = &self.url;
        let detail = problem["detail"].as_str().unwrap_or("no reason is given");
        let lines = problem["problems"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let message = lines.fold(detail.to_owned(), |message, line| format!("{message}\n  {line}"));
        // The service's own errors are as if it had been called here.
        if let Ok(kind) = serde_json::from_value::<ErrorKind>(problem["kind"].clone()) {
            return Error::new(kind, message);
        }
        let command = operation.command;
        match (status, &self.token) {
            // A page of another site might send a request without a token.
            (401 | 403, None) => Error::new(
                ErrorKind::Denied,
                format!(
                    "the console at {url} asks for a token: set PUMICE_TOKEN, or name a file with --token-file"
                ),
            ),
            (401, Some(_)) => {
                Error::new(ErrorKind::Denied, format!("the console at {url} does not know the token"))
            }
            (403, _) => Error::new(ErrorKind::Denied, format!("{command}: {message}")),
            (404, _) => Error::invalid(format!(
                "the console at {url} has no operation {command}: it is of another version of pumice"
            )),
            // A console that takes too long gives up answering, and not what it does.
            (500..=599, _) => {
                Error::unreachable(format!("the console at {url}: {message}{}", doubt(operation)))
            }
            (408 | 429, _) => Error::unreachable(format!("the console at {url}: {message}")),
            _ => Error::invalid(format!("the console at {url}: {message}")),
        }
    }
}

/// The message about a write of which it is unknown whether it was carried out.
const fn doubt(operation: &Operation) -> &'static str {
    match operation.access.changes() {
        true => "; whether it was done is not known: look before it is done again",
        false => "",
    }
}

#[cfg(test)]
mod tests {
    use pumice_service::runs;
    use serde_json::json;

    use super::*;

    fn remote(token: Option<&str>) -> Remote {
        let token = token.map(|token| token.parse().unwrap());
        Remote::new("https://pumice.example.org".parse().unwrap(), token, Duration::from_secs(1))
    }

    fn read(token: Option<&str>, status: u16, kind: &str, body: &str) -> Result<Value, Error> {
        let operation = Operation::of(&runs::cancel).unwrap();
        let mut headers = vec![("location".to_owned(), "https://sso.example.org/".to_owned())];
        headers.extend((!kind.is_empty()).then(|| ("content-type".to_owned(), kind.to_owned())));
        remote(token).read(&operation, &HttpResponse { status, headers, body: body.as_bytes().to_vec() })
    }

    #[test]
    fn url_is_a_scheme_and_a_host() {
        for bad in [
            "",
            "pumice",
            "ftp://a",
            "http://",
            "https:///x",
            "https://u:p@a",
            "https://a?x",
            "https://a#x",
            "https://a b",
        ] {
            let error = bad.parse::<ConsoleUrl>().unwrap_err();
            assert!(!error.contains("u:p"), "{error}");
        }
        for (url, is_open) in [
            ("http://127.0.0.1:8377", false),
            ("http://localhost:8377/", false),
            ("http://[::1]:8377", false),
            ("https://pumice.example.org/realm/", false),
            ("http://10.0.0.5:8377", true),
            ("http://localhost.example.org", true),
        ] {
            let read: ConsoleUrl = url.parse().unwrap();
            assert_eq!((read.to_string().as_str(), read.is_open()), (url.trim_end_matches('/'), is_open));
        }
    }

    #[test]
    fn token_is_not_shown() {
        let secret = "remote-token-canary-0123";
        let token: Token = secret.parse().unwrap();
        assert!(!format!("{token:?}").contains("canary"));
        assert_eq!(pumice_core::secret::mask(&format!("Bearer {secret}")), "Bearer *****");
        for bad in ["short", "0123456789 0123456789", "0123456789\n0123456789", "ä0123456789012345678901234"]
        {
            assert!(!bad.parse::<Token>().unwrap_err().contains(bad));
        }
    }

    #[test]
    fn answer_that_is_not_of_a_console_is_reported() {
        let problem = "application/problem+json";
        let service =
            json!({ "detail": "2 problems", "kind": "invalid", "problems": ["a: x", "    b"] }).to_string();
        let gate = json!({ "detail": "mei is logged in as viewer" }).to_string();
        for (token, status, kind, body, expected, wanted) in [
            (None, 200, "text/html", "<html>", ErrorKind::Unreachable, "is --url right?"),
            (None, 200, "application/json", "{", ErrorKind::Unreachable, "cannot be read"),
            (None, 200, "", "{}", ErrorKind::Unreachable, "without a type"),
            (None, 302, "text/html", "", ErrorKind::Unreachable, "redirects to https://sso.example.org/"),
            (None, 502, "text/html", "", ErrorKind::Unreachable, "answered 502"),
            (None, 400, problem, service.as_str(), ErrorKind::Invalid, "2 problems\n  a: x\n      b"),
            (None, 401, problem, "{}", ErrorKind::Denied, "asks for a token"),
            (
                Some("wrong-token-0123456789"),
                401,
                problem,
                "{}",
                ErrorKind::Denied,
                "does not know the token",
            ),
            (None, 403, problem, gate.as_str(), ErrorKind::Denied, "asks for a token"),
            (
                Some("viewers-token-0123456789"),
                403,
                problem,
                gate.as_str(),
                ErrorKind::Denied,
                "runs cancel: mei is logged in as viewer",
            ),
            (None, 404, problem, "{}", ErrorKind::Invalid, "another version"),
            (
                None,
                503,
                problem,
                "{}",
                ErrorKind::Unreachable,
                "no reason is given; whether it was done is not known",
            ),
            (None, 504, "text/html", "", ErrorKind::Unreachable, "is --url right?; whether it was done"),
            (None, 413, problem, "{}", ErrorKind::Invalid, "no reason is given"),
            (None, 400, problem, "not JSON", ErrorKind::Unreachable, "is --url right?"),
        ] {
            let error = read(token, status, kind, body).unwrap_err();
            assert_eq!(error.kind(), expected, "{error}");
            assert!(error.message().contains(wanted), "{error}");
        }
        assert_eq!(read(None, 200, "application/json; charset=utf-8", "[1]").unwrap(), json!([1]));
    }

    #[test]
    fn write_without_an_answer_may_have_been_done() {
        let broken = || HttpError::Broken("no response within 75s".to_owned());
        let said = |operation: &Operation| remote(None).unanswered(operation, broken()).message().to_owned();
        assert!(said(&Operation::of(&runs::cancel).unwrap()).contains("is not known"));
        assert!(!said(&Operation::of(&runs::list).unwrap()).contains("is not known"));
    }
}
