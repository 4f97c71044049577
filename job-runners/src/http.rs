//! Runs jobs of type `http`.

use std::time::Duration;

use async_trait::async_trait;
use pumice_core::job_type::{Ended, JobContext, JobError, Leaf, ParametersOf, Template};
use pumice_core::ports::{HttpRequest, HttpResponse, MAX_REDIRECTS, MAX_RESPONSE};
use pumice_job_types::http::{self, REQUEST_TIMEOUT, RETRIES, RETRY_DELAY, Url};
use pumice_job_types::web::headers_with;
use serde_json::{Value, json};

use crate::answer::{Answered, keep, within};
use crate::web::{Tries, Unanswered, exchange};

/// Runs jobs of type `http`.
pub(crate) struct Http;

#[async_trait]
impl Leaf for Http {
    type Of = http::Http;
    type Payload = Template<Url>;

    async fn run(
        &self,
        context: &JobContext<'_>,
        Template(Url(url)): Template<Url>,
        parameters: ParametersOf<http::Http>,
    ) -> Result<Ended, JobError> {
        let limit = parameters.timeout.or(context.job.fields.timeout).unwrap_or(context.settings.cmd_timeout);
        let ok = parameters.ok.unwrap_or_default();
        let method = parameters.method.unwrap_or_default();
        let content = parameters.body.map(|Template(content)| content);
        let headers = parameters.headers.unwrap_or_default().into_iter();
        let headers = headers.map(|(name, Template(value))| (name, value.into_text())).collect();
        let request = HttpRequest {
            method: method.name().to_owned(),
            url,
            headers: headers_with(headers, content.as_ref()),
            body: content.map(|content| content.into_text().into_bytes()).unwrap_or_default(),
            timeout: parameters
                .request_timeout
                .unwrap_or(REQUEST_TIMEOUT)
                .get()
                .max(Duration::from_millis(1)),
            redirects: parameters
                .redirects
                .map_or(Ok(MAX_REDIRECTS), |most| u32::try_from(most.get()))
                .unwrap_or(MAX_REDIRECTS),
            max_response: MAX_RESPONSE,
        };
        let tries = Tries {
            more: parameters.retries.map_or(Ok(RETRIES), |most| u32::try_from(most.get())).unwrap_or(RETRIES),
            wait: parameters.retry_delay.unwrap_or(RETRY_DELAY),
            until: context.clock.now() + limit.delta(),
            repeats: method.is_idempotent(),
        };
        let asking = exchange((context.http, context.clock), &request, tries, |status| ok.has(status));
        let answer = within(context, limit, asking).await?;
        match answer {
            Ok(response) => keep(context, answered(0, &response)).await.map(Ended::Done),
            // The last try was cut off by the end of the time.
            Err(failure) if failure.response.is_none() && context.clock.now() >= tries.until => {
                Err(JobError::timed_out(limit))
            }
            Err(failure) => Err(failed(context, failure).await?),
        }
    }
}

/// The part of a response that the record keeps.
fn answered(exit_status: i32, response: &HttpResponse) -> Answered<'_> {
    let kind = response.header("content-type").map_or(Value::Null, Value::from);
    Answered {
        exit_status,
        body: &response.body,
        more: vec![("status", response.status.into()), ("content_type", kind)],
    }
}

/// The failure, with the response kept if there was one.
async fn failed(context: &JobContext<'_>, failure: Unanswered) -> Result<JobError, JobError> {
    let data = match &failure.response {
        Some(response) => keep(context, answered(1, response)).await?,
        None => json!({ "exit_status": 1, "output": [] }),
    };
    let error = JobError { retryable: failure.retryable, ..JobError::failed(failure.message) };
    Ok(error.with_data(data))
}

#[cfg(test)]
mod tests {
    use pumice_core::job_type::Stop;
    use pumice_core::ports::HttpError;
    use serde::Deserialize;

    use super::*;
    use crate::fakes::{Scripted, Standing, Ticking, World, response};

    async fn run(parameters: Value, world: &World) -> Result<Ended, JobError> {
        let parameters = http::Parameters::deserialize(parameters).unwrap();
        Http.run(&world.context(), Template(Url("https://a/x".to_owned())), parameters).await
    }

    fn world(server: &Scripted) -> World {
        let mut world = World::of("http", json!("https://a/x"), json!({}));
        (world.http, world.clock) = (Box::new(server.clone()), Box::new(Ticking::default()));
        world
    }

    fn place() -> String {
        format!("s3://bucket/tmp/.output/top/{}/stdout", uuid::Uuid::from_u128(1))
    }

    #[tokio::test]
    async fn response_that_is_ok_is_kept_as_output() {
        let server = Scripted::new([response(200, &[("content-type", "text/plain")], "said")]);
        let world = world(&server);
        let ended = run(json!({}), &world).await;
        let output = json!([{ "payload": "https://a/x", "exit_status": 0, "stdout": place() }]);
        let result =
            json!({ "exit_status": 0, "output": output, "status": 200, "content_type": "text/plain" });
        assert_eq!(ended, Ok(Ended::Done(result)));
        assert_eq!(world.kept.objects()[&place()], "said");
        let sent = server.sent().pop().unwrap();
        assert_eq!((sent.method.as_str(), sent.redirects, sent.timeout), ("GET", 5, Duration::from_secs(60)));
        assert!(sent.body.is_empty() && sent.headers.is_empty());
    }

    #[tokio::test]
    async fn response_that_is_empty_leaves_no_output() {
        let world = world(&Scripted::new([response(204, &[], "")]));
        let Ok(Ended::Done(result)) = run(json!({}), &world).await else { panic!("it fails") };
        assert_eq!(result["output"], json!([{ "payload": "https://a/x", "exit_status": 0 }]));
        assert!(world.kept.objects().is_empty());
    }

    #[tokio::test]
    async fn request_has_the_parameters_values() {
        let server = Scripted::new([response(404, &[], "")]);
        let parameters = json!({
            "method": "PATCH", "headers": { "X-A": 5 }, "body": { "a": 1 }, "ok": ["2xx", 404], "redirects": 0, "request_timeout": "5s",
        });
        run(parameters, &world(&server)).await.unwrap();
        let sent = server.sent().pop().unwrap();
        assert_eq!((sent.method.as_str(), &*sent.body, sent.redirects), ("PATCH", &br#"{"a":1}"#[..], 0));
        let headers = [("X-A", "5"), ("Content-Type", "application/json")];
        assert_eq!(sent.headers, headers.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(sent.timeout, Duration::from_secs(5));
    }

    #[tokio::test]
    async fn response_that_is_not_ok_fails_and_is_kept() {
        let world = world(&Scripted::new([response(404, &[], "no such order")]));
        let error = run(json!({}), &world).await.unwrap_err();
        assert_eq!(
            (error.message.as_str(), error.retryable),
            ("the server answered 404: \"no such order\"", false)
        );
        assert_eq!((&error.data["status"], &error.data["exit_status"]), (&json!(404), &json!(1)));
        assert_eq!(error.data["output"][0]["stdout"], json!(place()));
        assert_eq!(world.kept.objects()[&place()], "no such order");
    }

    #[tokio::test]
    async fn request_is_tried_again_as_the_parameters_say() {
        let busy = || (0..20).map(|_| response(503, &[("retry-after", "5")], ""));
        for (parameters, made) in [(json!({}), 3), (json!({ "retries": 0 }), 1), (json!({ "retries": 4 }), 5)]
        {
            let server = Scripted::new(busy());
            let error = run(parameters, &world(&server)).await.unwrap_err();
            assert!(error.retryable && server.sent().len() == made, "{error}");
        }
        // A POST that may have been carried out is not made again.
        let broken = || Err(HttpError::Broken("no response".to_owned()));
        for (method, made) in [("POST", 1), ("PATCH", 1), ("PUT", 3), ("DELETE", 3)] {
            let server = Scripted::new((0..9).map(|_| broken()));
            run(json!({ "method": method }), &world(&server)).await.unwrap_err();
            assert_eq!(server.sent().len(), made, "{method}");
        }
    }

    #[tokio::test]
    async fn request_ends_when_its_time_is_up_or_it_is_stopped() {
        let mut late = world(&Scripted::default());
        late.clock = Box::new(Standing { wakes: true });
        let error = run(json!({ "timeout": "5s" }), &late).await.unwrap_err();
        assert_eq!(error.message, "timed out after 5s");
        for why in [Stop::Cancelled, Stop::Halted, Stop::Lost] {
            let mut stopped = world(&Scripted::default());
            stopped.clock = Box::new(Standing { wakes: false });
            stopped.cancel.stop(why);
            let error = run(json!({}), &stopped).await.unwrap_err();
            assert_eq!(error.message, "stopped", "{why:?}");
            assert!(stopped.kept.objects().is_empty());
        }
    }
}
