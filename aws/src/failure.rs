//! What a failed call means for the one who made it.

use std::error::Error;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use pumice_core::ports::{CommitError, StoreError};

/// A call that failed, as an infrastructure error. `what` is what was to be done, as in
/// `reading table lava.x.jobs`.
pub(crate) fn store_error<E, R>(what: &str, error: &SdkError<E, R>) -> StoreError
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug,
{
    StoreError::new(format!("{what}: {}", reason(error)))
}

/// A write that failed: whether it may have taken place after all.
pub(crate) fn write_error<E, R>(what: &str, error: &SdkError<E, R>) -> CommitError
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug,
{
    let refused = match error {
        SdkError::ConstructionFailure(_) => true,
        SdkError::ServiceError(service) => {
            !matches!(service.err().code(), Some("InternalServerError" | "ServiceUnavailable") | None)
        }
        _ => false,
    };
    if is_invalid(error) {
        CommitError::Unrecordable(store_error(what, error).message)
    } else if refused {
        CommitError::Store(store_error(what, error))
    } else {
        CommitError::Unknown(format!("{what}: {}", reason(error)))
    }
}

/// Whether DynamoDB cannot keep what was to be written: too large, nested too deep, a number out of
/// its range. The same write would be refused for ever.
pub(crate) fn is_invalid<E, R>(error: &SdkError<E, R>) -> bool
where
    E: ProvideErrorMetadata + Error + 'static,
{
    error.as_service_error().and_then(ProvideErrorMetadata::code) == Some("ValidationException")
}

fn reason<E, R>(error: &SdkError<E, R>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug,
{
    match error {
        SdkError::ServiceError(service) => {
            let code = service.err().code().unwrap_or("an unknown error");
            let message = service.err().message().unwrap_or_default();
            format!("{code}: {message}{}", advice(code))
        }
        SdkError::TimeoutError(_) => "no answer in time".to_owned(),
        other => causes(other),
    }
}

/// What usually helps.
fn advice(code: &str) -> &'static str {
    match code {
        "ResourceNotFoundException"
        | "AWS.SimpleQueueService.NonExistentQueue"
        | "QueueDoesNotExist"
        | "NoSuchBucket" => " (is the realm deployed in this account and region?)",
        "AccessDeniedException" | "AccessDenied" => " (the role in use lacks this permission)",
        "UnrecognizedClientException" | "InvalidClientTokenId" | "ExpiredTokenException" | "ExpiredToken" => {
            " (the credentials in use are not valid)"
        }
        _ => "",
    }
}

/// An error and what caused it, in one line.
fn causes(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let text = next.to_string();
        if !told.ends_with(&text) {
            told = format!("{told}: {text}");
        }
        cause = next.source();
    }
    told
}
