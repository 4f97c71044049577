//! The errors of failed AWS calls, with their kind and a way to mend them.

use std::error::Error;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use pumice_core::ports::{CommitError, StoreError, StoreErrorKind};

/// A call that failed, as an infrastructure error. `what` is what was to be done, as in
/// `reading table lava.x.jobs`.
pub(crate) fn store_error<E, R>(what: &str, error: &SdkError<E, R>) -> StoreError
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug,
{
    let of_table = error.as_service_error().is_some_and(|error| {
        let is_validation = error.code().is_some_and(is_validation);
        is_validation && !error.message().is_some_and(tells_of_bad_form)
    });
    // Keys or indexes that this version expects are not there: deploying mends it, and no other request.
    let kind = if of_table { StoreErrorKind::Missing } else { kind(error) };
    StoreError::of(kind, format!("{what}: {}", reason(error)))
}

/// A call that failed of something outside the realm: advice about the realm would mislead.
pub(crate) fn outside_error<E, R>(what: &str, error: &SdkError<E, R>) -> StoreError
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug,
{
    let advice = |code: &str, _: &str| match code {
        "AccessDeniedException" | "AccessDenied" | "AuthorizationError" => {
            " (the role or user in use lacks this permission)"
        }
        "UnrecognizedClientException" | "InvalidClientTokenId" | "ExpiredTokenException" | "ExpiredToken" => {
            " (the credentials in use are not valid)"
        }
        _ => "",
    };
    StoreError::of(kind(error), format!("{what}: {}", reason_with(error, advice)))
}

/// The kind of store error of a failed call.
fn kind<E, R>(error: &SdkError<E, R>) -> StoreErrorKind
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug,
{
    match error {
        SdkError::ServiceError(service) => kind_of_code(service.err().code().unwrap_or_default()),
        SdkError::TimeoutError(_) => StoreErrorKind::Unreachable,
        // Without credentials no request is made.
        other if causes(other).contains("credentials") => StoreErrorKind::Denied,
        _ => StoreErrorKind::Unreachable,
    }
}

/// The kind of an error code of DynamoDB, SQS, S3, Scheduler, SNS, EventBridge or Lambda (each one's API reference, Common Errors).
pub(crate) fn kind_of_code(code: &str) -> StoreErrorKind {
    match code {
        "ThrottlingException"
        | "Throttling"
        | "ProvisionedThroughputExceededException"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "TooManyRequestsException"
        | "LimitExceededException"
        | "ServiceQuotaExceededException"
        | "SlowDown"
        | "Throttled"
        | "OverLimit"
        | "TransactionConflictException"
        | "TransactionInProgressException"
        | "ConflictException"
        | "OperationAborted" => StoreErrorKind::Throttled,
        "AccessDeniedException"
        | "AccessDenied"
        | "AuthorizationError"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidAccessKeyId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "MissingAuthenticationToken"
        | "ExpiredTokenException"
        | "ExpiredToken"
        | "KMS.AccessDeniedException"
        | "KmsAccessDenied" => StoreErrorKind::Denied,
        "ResourceNotFoundException"
        | "NotFound"
        | "NotFoundException"
        | "AWS.SimpleQueueService.NonExistentQueue"
        | "QueueDoesNotExist"
        | "NoSuchBucket"
        | "NoSuchKey"
        | "NoSuchUpload"
        | "KmsNotFound"
        | "KMS.NotFoundException" => StoreErrorKind::Missing,
        "InvalidParameterValue"
        | "InvalidParameterException"
        | "InvalidParameterValueException"
        | "ParameterValueInvalid"
        | "InvalidMessageContents"
        | "InvalidRequest"
        | "EntityTooLarge"
        | "KeyTooLongError"
        | "BatchRequestTooLong"
        | "AWS.SimpleQueueService.BatchRequestTooLong"
        | "ItemCollectionSizeLimitExceededException"
        | "RequestTooLargeException" => StoreErrorKind::Invalid,
        code if is_validation(code) => StoreErrorKind::Invalid,
        code if is_throttling(code) => StoreErrorKind::Throttled,
        code if is_of_service(code) => StoreErrorKind::Unreachable,
        _ => StoreErrorKind::Refused,
    }
}

/// A request that the service calls impossible.
fn is_validation(code: &str) -> bool {
    matches!(code, "ValidationException" | "ValidationError" | "SerializationException")
}

/// Lambda and KMS put the name of the limit, or of the service that is not ready, before these words.
fn is_throttling(code: &str) -> bool {
    let words = ["Throttl", "LimitReached", "LimitExceeded", "NotReady", "ResourceConflict"];
    words.iter().any(|word| code.contains(word))
}

/// The service's own fault, or an answer without a code, as from something on the way.
fn is_of_service(code: &str) -> bool {
    let words = ["Internal", "Unavailable", "Timeout", "ServiceException"];
    code.is_empty() || words.iter().any(|word| code.contains(word))
}

/// The error of a schedule that was not made. Scheduler's complaints are about its group, its role or
/// its queue, never about a table.
pub(crate) fn schedule_error<E, R>(what: &str, error: &SdkError<E, R>) -> StoreError
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug,
{
    let advice = |code: &str, message: &str| match code {
        "ValidationException" => "",
        _ => advice(code, message),
    };
    StoreError::of(kind(error), format!("{what}: {}", reason_with(error, advice)))
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
    if is_of_bad_form(error) {
        CommitError::Unrecordable(store_error(what, error).message)
    } else if refused {
        CommitError::Store(store_error(what, error))
    } else {
        CommitError::Unknown(format!("{what}: {}", reason(error)))
    }
}

/// DynamoDB's messages about an item that it cannot keep: too large, nested too deep, a number out of
/// its range. It would refuse the same write for ever.
const BAD_FORM: [&str; 7] = [
    "item size has exceeded the maximum allowed size",
    "item size to update has exceeded",
    "nesting levels have exceeded supported limits",
    "number overflow",
    "number underflow",
    "attempting to store more than 38 significant digits",
    "the parameter cannot be converted to a numeric value",
];

/// Whether DynamoDB complains about the item to be written. Any other validation error is about the
/// table: its keys or indexes differ from those that this program expects.
pub(crate) fn tells_of_bad_form(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    BAD_FORM.iter().any(|form| message.contains(form))
}

fn is_of_bad_form<E, R>(error: &SdkError<E, R>) -> bool
where
    E: ProvideErrorMetadata + Error + 'static,
{
    error.as_service_error().is_some_and(|error| {
        error.code() == Some("ValidationException") && error.message().is_some_and(tells_of_bad_form)
    })
}

fn reason<E, R>(error: &SdkError<E, R>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug,
{
    reason_with(error, advice)
}

fn reason_with<E, R>(error: &SdkError<E, R>, advice: impl Fn(&str, &str) -> &'static str) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug,
{
    match error {
        SdkError::ServiceError(service) => {
            let code = service.err().code().unwrap_or("an unknown error");
            let message = service.err().message().unwrap_or_default();
            format!("{code}: {message}{}", advice(code, message))
        }
        SdkError::TimeoutError(_) => "no answer in time".to_owned(),
        SdkError::DispatchFailure(failure) if failure.is_io() => {
            format!("{} (is there a network, and is AWS_ENDPOINT_URL right where it is set?)", causes(error))
        }
        other => with_way_to_credentials(causes(other)),
    }
}

/// The error, with advice when it is about missing credentials.
fn with_way_to_credentials(told: String) -> String {
    // One source of credentials a line follows.
    match told.lines().next() {
        Some(first) if told.contains("credentials") => {
            let why = first.trim_end_matches(" Attempted:").trim_end_matches('.');
            let why = why.rsplit_once("loading credentials: ").map_or(why, |(_, why)| why);
            let why = why.strip_prefix("dispatch failure: other: ").unwrap_or(why);
            format!(
                "no AWS credentials: set AWS_PROFILE to a profile that is there, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or log in, as with `aws sso login` ({why})"
            )
        }
        _ => told,
    }
}

/// The usual remedy for an error code.
pub(crate) fn advice(code: &str, message: &str) -> &'static str {
    match code {
        "ValidationException" | "ValidationError" if !tells_of_bad_form(message) => {
            " (the table is not as this version of Pumice expects: deploy the realm again)"
        }
        "ResourceNotFoundException" | "AWS.SimpleQueueService.NonExistentQueue" | "QueueDoesNotExist" => {
            " (is the realm deployed in this account and region?)"
        }
        "NoSuchBucket" => " (s3_temp of the realm names its bucket, else PUMICE_BUCKET)",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_code_gives_its_kind() {
        use StoreErrorKind::{Denied, Invalid, Missing, Refused, Throttled, Unreachable};
        for (code, kind) in [
            ("ProvisionedThroughputExceededException", Throttled),
            ("SlowDown", Throttled),
            ("AccessDenied", Denied),
            ("ExpiredTokenException", Denied),
            ("ResourceNotFoundException", Missing),
            ("QueueDoesNotExist", Missing),
            ("InternalServerError", Unreachable),
            ("InternalFailure", Unreachable),
            ("ServiceUnavailable", Unreachable),
            ("ServiceException", Unreachable),
            ("RequestTimeout", Unreachable),
            ("EC2ThrottledException", Throttled),
            ("ENILimitReachedException", Throttled),
            ("ResourceNotReadyException", Throttled),
            ("ValidationException", Invalid),
            ("EntityTooLarge", Invalid),
            ("KmsDisabled", Refused),
            ("SomethingOfNextYear", Refused),
            ("", Unreachable),
        ] {
            assert_eq!(kind_of_code(code), kind, "{code}");
        }
    }

    #[test]
    fn item_that_is_too_large_is_invalid_and_a_wrong_table_missing() {
        use aws_sdk_dynamodb::error::ErrorMetadata;
        use aws_sdk_dynamodb::operation::put_item::PutItemError;
        for (message, kind) in [
            ("Item size has exceeded the maximum allowed size", StoreErrorKind::Invalid),
            ("The table does not have the specified index: due", StoreErrorKind::Missing),
        ] {
            let of = ErrorMetadata::builder().code("ValidationException").message(message).build();
            let error = SdkError::service_error(PutItemError::generic(of), ());
            assert_eq!(store_error("writing", &error).kind, kind, "{message}");
        }
    }

    #[test]
    fn validation_error_is_about_the_item_or_the_table() {
        for form in [
            "Item size has exceeded the maximum allowed size",
            "Item size to update has exceeded the maximum allowed size",
            "ExpressionAttributeValues contains invalid value: Nesting Levels have exceeded supported limits for key :result",
            "Number overflow. Attempting to store a number with magnitude larger than supported range",
            "Number underflow. Attempting to store a number with magnitude smaller than supported range",
            "Attempting to store more than 38 significant digits in a Number",
            "The parameter cannot be converted to a numeric value: 1e999",
        ] {
            assert!(tells_of_bad_form(form) && advice("ValidationException", form).is_empty(), "{form}");
        }
        for table in [
            "The provided key element does not match the schema",
            "One or more parameter values were invalid: Type mismatch for Index Key due_at Expected: N Actual: S IndexName: due",
            "The table does not have the specified index: due",
        ] {
            assert!(!tells_of_bad_form(table), "{table}");
            assert!(advice("ValidationException", table).contains("is not as this version"), "{table}");
        }
    }
}
