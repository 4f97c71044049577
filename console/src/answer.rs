//! Answers: pages, redirects and faults.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use pumice_service::{Current, Error, ErrorKind};

/// Why a request gets no page. The router makes a page or a problem document of it.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) status: StatusCode,
    /// A lower-case fragment, with lines below it where it lists something.
    pub(crate) message: String,
    /// The service's word for it, if it is the service's.
    pub(crate) kind: Option<ErrorKind>,
    /// The current state of the document that a write was meant for.
    pub(crate) current: Option<Box<Current>>,
    /// The methods that there are, where the request's is none of them.
    pub(crate) allow: Option<&'static str>,
    /// The form that was refused, to be corrected.
    pub(crate) form: Option<Box<RefusedForm>>,
}

/// A form that was refused, as it was filled in.
#[derive(Clone, Debug)]
pub(crate) struct RefusedForm {
    /// Where it is sent.
    pub(crate) path: String,
    /// The fields that a user may correct: name, label and value.
    pub(crate) shown: Vec<(&'static str, &'static str, String)>,
    /// The others.
    pub(crate) hidden: Vec<(String, String)>,
}

impl Fault {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), kind: None, current: None, allow: None, form: None }
    }

    /// The same, with the methods that there are.
    pub(crate) const fn allowing(mut self, methods: &'static str) -> Self {
        self.allow = Some(methods);
        self
    }

    /// The same, with a field of its form left empty: a secret is typed anew.
    pub(crate) fn without(mut self, field: &str) -> Self {
        for (name, _, value) in self.form.iter_mut().flat_map(|form| &mut form.shown) {
            if *name == field {
                value.clear();
            }
        }
        self
    }

    /// The request is wrong.
    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }
}

/// The status of an HTTP answer for an error of the service.
pub(crate) const fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Changed => StatusCode::PRECONDITION_FAILED,
        ErrorKind::Denied => StatusCode::FORBIDDEN,
        ErrorKind::Throttled | ErrorKind::Unreachable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Missing | ErrorKind::Corrupt => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorKind::Full => StatusCode::INSUFFICIENT_STORAGE,
        ErrorKind::Refused => StatusCode::BAD_GATEWAY,
    }
}

impl Fault {
    /// The fault of an error of the service.
    pub(crate) fn of(error: &Error) -> Self {
        Self {
            status: status_of(error.kind()),
            message: error.message().to_owned(),
            kind: Some(error.kind()),
            current: error.current().cloned().map(Box::new),
            allow: None,
            form: None,
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::of(&error)
    }
}

impl From<pumice_core::ports::StoreError> for Fault {
    fn from(error: pumice_core::ports::StoreError) -> Self {
        Error::from(error).into()
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if let Some(methods) = self.allow {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// A page.
pub(crate) fn html(status: StatusCode, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

/// A redirect to a page of the console, after which a browser asks with GET.
pub(crate) fn see(path: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let place = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/"));
    response.headers_mut().insert(header::LOCATION, place);
    response
}

#[cfg(test)]
mod tests {
    use pumice_core::ports::{StoreError, StoreErrorKind};

    use super::*;

    #[test]
    fn status_tells_whose_fault_it_is() {
        for kind in ErrorKind::ALL {
            let status = status_of(kind);
            let is_of_caller = status.is_client_error();
            assert_eq!(is_of_caller, kind.is_of_request() || kind == ErrorKind::Denied, "{kind:?} {status}");
            assert!(is_of_caller || status.is_server_error(), "{kind:?} {status}");
            // 503 asks clients to come again.
            assert_eq!(status == StatusCode::SERVICE_UNAVAILABLE, kind.may_pass(), "{kind:?} {status}");
        }
        for kind in StoreErrorKind::ALL {
            let status = Fault::from(Error::from(StoreError::of(kind, "why"))).status;
            assert_eq!(status, status_of(kind.into()), "{kind:?}");
        }
    }
}
