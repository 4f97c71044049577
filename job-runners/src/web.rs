//! A request to a server of the web, made again where that may help.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use pumice_core::Timestamp;
use pumice_core::duration::Span;
use pumice_core::ports::{Clock, Http, HttpError, HttpRequest, HttpResponse};
use pumice_core::text::quoted;

/// Statuses with which a server refuses for now: nothing was carried out (RFC 9110, RFC 6585).
const REFUSED_FOR_NOW: [u16; 3] = [425, 429, 503];
/// Statuses after which another try may go well, though the server may have carried the request out.
const PASSING: [u16; 4] = [408, 500, 502, 504];
/// Longest wait between two tries unless the server asks for more.
const MAX_WAIT: Span = Span::from_mins(1);
/// How much of a response a failure looks at for its first line, in bytes.
const MAX_EXCERPT: usize = 400;

/// How often a request is made, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tries {
    /// Tries after the first.
    pub(crate) more: u32,
    /// The wait before the second, which doubles with each further one.
    pub(crate) wait: Span,
    /// No try begins and no wait ends after this.
    pub(crate) until: Timestamp,
    /// Whether the request may be made again when the server may have carried it out.
    pub(crate) repeats: bool,
}

/// A request that did not go well.
#[derive(Debug)]
pub(crate) struct Unanswered {
    /// Why: a lower-case fragment, without anything that the request holds but the server's name.
    pub(crate) message: String,
    /// Whether a later attempt may go well.
    pub(crate) retryable: bool,
    /// The last response, if there was one.
    pub(crate) response: Option<HttpResponse>,
}

/// The failure of one try.
struct Fault {
    message: String,
    /// Whether another try may help.
    passing: bool,
    /// Whether the server may have carried the request out.
    maybe_done: bool,
    wait: Option<Duration>,
    response: Option<HttpResponse>,
}

/// Makes a request until it goes well, as `is_ok` judges the status, or there is no use in another try.
pub(crate) async fn exchange(
    (http, clock): (&dyn Http, &dyn Clock),
    request: &HttpRequest,
    tries: Tries,
    is_ok: impl Fn(u16) -> bool + Send + Sync,
) -> Result<HttpResponse, Unanswered> {
    let mut made = 0;
    loop {
        let left = (tries.until - clock.now()).to_std().unwrap_or_default();
        let this = HttpRequest { timeout: request.timeout.min(left), ..request.clone() };
        let fault = match http.send(this).await {
            Ok(response) if is_ok(response.status) => return Ok(response),
            Ok(response) => of_status(response, clock.now()),
            Err(error) => of_error(error),
        };
        made += 1;
        let again = fault.passing && made <= tries.more && (tries.repeats || !fault.maybe_done);
        let doubled = tries.wait.get().saturating_mul(1_u32.checked_shl(made - 1).unwrap_or(u32::MAX));
        let wait = fault.wait.unwrap_or(doubled.min(MAX_WAIT.get()));
        let resumes =
            chrono::TimeDelta::from_std(wait).ok().and_then(|wait| clock.now().checked_add_signed(wait));
        match resumes.filter(|resumes| again && *resumes < tries.until) {
            Some(resumes) => clock.sleep_until(resumes).await,
            None => return Err(given_up(fault, made, again.then_some(wait))),
        }
    }
}

fn of_status(response: HttpResponse, now: Timestamp) -> Fault {
    let status = response.status;
    let refused = REFUSED_FOR_NOW.contains(&status);
    let excerpt = excerpt(&response.body).map(|said| format!(": {said}")).unwrap_or_default();
    let leads = match (300..400).contains(&status) {
        true => ", a redirect that is not followed",
        false => "",
    };
    Fault {
        message: format!("the server answered {status}{leads}{excerpt}"),
        passing: refused || PASSING.contains(&status),
        maybe_done: !refused,
        wait: response.header("retry-after").and_then(|text| retry_after(text, now)),
        response: Some(response),
    }
}

fn of_error(error: HttpError) -> Fault {
    let (passing, maybe_done) = match &error {
        HttpError::Refused(_) => (false, true),
        HttpError::NotSent(_) => (true, false),
        HttpError::Broken(_) => (true, true),
    };
    Fault { message: error.to_string(), passing, maybe_done, wait: None, response: None }
}

/// The failure after the last try; `wait` is what another one would have to wait for.
fn given_up(fault: Fault, made: u32, wait: Option<Duration>) -> Unanswered {
    let tries = if made > 1 { format!(" (after {made} tries)") } else { String::new() };
    let late = match wait {
        Some(wait) => format!("; the next try would come in {}, after the time limit", Span::from(wait)),
        None => String::new(),
    };
    Unanswered {
        message: format!("{}{tries}{late}", fault.message),
        retryable: fault.passing,
        response: fault.response,
    }
}

/// How long a server asks to wait: a number of seconds, or a time (RFC 9110 section 10.2.3).
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::from(u32::MAX))));
    }
    let time = http_date(text)?;
    Some((time - now).to_std().unwrap_or_default())
}

/// A time in any of the three forms that a receiver must read (RFC 9110, section 5.6.7).
fn http_date(text: &str) -> Option<DateTime<Utc>> {
    let obsolete = ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];
    let parsed = |form: &&str| NaiveDateTime::parse_from_str(text, form).ok().map(|time| time.and_utc());
    let now = DateTime::parse_from_rfc2822(text).ok().map(|time| time.with_timezone(&Utc));
    now.or_else(|| obsolete.iter().find_map(parsed))
}

/// The beginning of a response's first line.
fn excerpt(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body.get(..MAX_EXCERPT).unwrap_or(body));
    text.lines().map(str::trim).find(|line| !line.is_empty()).map(quoted)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::fakes::{Scripted, Ticking, response, start};

    fn request() -> HttpRequest {
        HttpRequest {
            method: "GET".to_owned(),
            url: "http://a/".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: Duration::from_secs(10),
            redirects: 0,
            max_response: 1000,
        }
    }

    fn tries(more: u32) -> Tries {
        let until = start() + Span::from_mins(5).delta();
        Tries { more, wait: Span::from_secs(1), until, repeats: true }
    }

    /// The outcome of an exchange with this server, and how long it waited between its tries.
    fn exchanged(server: &Scripted, tries: Tries) -> (Result<HttpResponse, Unanswered>, Vec<u64>) {
        let clock = Ticking::default();
        let asked = exchange((server, &clock), &request(), tries, |status| status == 200).now_or_never();
        (asked.expect("it ends"), clock.waits())
    }

    fn unsent() -> HttpError {
        HttpError::NotSent("cannot connect".to_owned())
    }

    fn broken() -> HttpError {
        HttpError::Broken("no response".to_owned())
    }

    #[test]
    fn failure_that_passes_is_tried_again_with_growing_waits() {
        let faults = [408, 425, 429, 500, 502, 503, 504].map(|status| response(status, &[], ""));
        let server =
            Scripted::new(faults.into_iter().chain([Err(unsent()), Err(broken()), response(200, &[], "ok")]));
        let (answer, waits) = exchanged(&server, tries(10));
        assert_eq!(answer.unwrap().body, b"ok");
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn failure_that_stays_is_not_tried_again() {
        for status in [301, 304, 400, 401, 403, 404, 409, 410, 422, 501, 505] {
            let (answer, waits) = exchanged(&Scripted::new([response(status, &[], "")]), tries(10));
            let failure = answer.unwrap_err();
            assert!(!failure.retryable && waits.is_empty(), "{status}");
            assert!(
                failure.message.starts_with(&format!("the server answered {status}")),
                "{}",
                failure.message
            );
        }
        let refused = HttpError::Refused("the URL has no host".to_owned());
        let failure = exchanged(&Scripted::new([Err(refused)]), tries(10)).0.unwrap_err();
        assert_eq!((failure.message.as_str(), failure.retryable), ("the URL has no host", false));
    }

    #[test]
    fn tries_end_at_their_number_and_their_time() {
        let server = Scripted::new([503, 503, 503].map(|status| response(status, &[], "busy\nand more")));
        let (answer, waits) = exchanged(&server, tries(2));
        let failure = answer.unwrap_err();
        assert_eq!(failure.message, "the server answered 503: \"busy\" (after 3 tries)");
        assert!(failure.retryable && failure.response.is_some());
        assert_eq!(waits, [1, 2]);
        let until = start() + Span::from_secs(2).delta();
        let server = Scripted::new([Err(unsent()), Err(unsent())]);
        let (answer, waits) = exchanged(&server, Tries { until, ..tries(9) });
        let message = "cannot connect (after 2 tries); the next try would come in 2s, after the time limit";
        assert_eq!((answer.unwrap_err().message.as_str(), waits), (message, vec![1]));
    }

    #[test]
    fn retry_after_is_honoured_as_seconds_and_as_a_time() {
        // 20,000 days after the epoch it was a Thursday.
        let [at, rfc850, asctime] =
            ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"]
                .map(|form| (start() + Span::from_secs(90).delta()).format(form).to_string());
        for (text, wait) in [
            ("7", 7),
            ("0", 0),
            (" 7 ", 7),
            (&*at, 90),
            (&*rfc850, 90),
            (&*asctime, 90),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("soon", 1),
            ("-5", 1),
            ("", 1),
        ] {
            let busy = response(429, &[("retry-after", text)], "");
            let (answer, waits) = exchanged(&Scripted::new([busy, response(200, &[], "")]), tries(1));
            assert!(answer.is_ok(), "{text}");
            assert_eq!(waits, [wait], "{text}");
        }
        for text in ["3600", "99999999999999999999999999"] {
            let busy = response(503, &[("retry-after", text)], "");
            let (answer, waits) = exchanged(&Scripted::new([busy]), tries(1));
            let message = answer.unwrap_err().message;
            assert!(message.starts_with("the server answered 503; the next try would come in "), "{message}");
            assert!(waits.is_empty());
        }
    }

    #[test]
    fn request_maybe_carried_out_is_repeated_only_if_allowed() {
        for (fault, again) in [
            (Err(unsent()), true),
            (response(429, &[], ""), true),
            (response(503, &[], ""), true),
            (Err(broken()), false),
            (response(500, &[], ""), false),
            (response(504, &[], ""), false),
        ] {
            let server = Scripted::new([fault.clone(), response(200, &[], "")]);
            let (answer, _) = exchanged(&server, Tries { repeats: false, ..tries(1) });
            assert_eq!(answer.is_ok(), again, "{fault:?}");
        }
    }

    #[test]
    fn try_gets_no_more_time_than_there_is() {
        let server = Scripted::new([response(200, &[], "")]);
        let until = start() + Span::from_secs(3).delta();
        exchanged(&server, Tries { until, ..tries(0) }).0.unwrap();
        assert_eq!(server.sent()[0].timeout, Duration::from_secs(3));
    }
}
