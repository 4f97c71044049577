//! Servers, topics, queues, buses and functions that a test plays.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use pumice_core::Timestamp;
use pumice_core::connection::{AwsKeys, MailServer};
use pumice_core::duration::Span;
use pumice_core::ports::{
    BusEvent, Clock, Composed, Email, FunctionAnswer, FunctionCall, Http, HttpError, HttpRequest,
    HttpResponse, Mail, MailError, Messaging, QueueMessage, SesEmail, StoreError, TopicMessage,
};

use super::{lock, start};

/// The outcome of one request.
pub(crate) type Exchanged = Result<HttpResponse, HttpError>;

/// A response with these headers.
pub(crate) fn response(status: u16, headers: &[(&str, &str)], body: &str) -> Exchanged {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Ok(HttpResponse { status, headers, body: body.into() })
}

/// A server that gives one answer after the other, and then hangs. Clones are one.
#[derive(Clone, Default)]
pub(crate) struct Scripted {
    answers: Arc<Mutex<VecDeque<Exchanged>>>,
    sent: Arc<Mutex<Vec<HttpRequest>>>,
}

impl Scripted {
    pub(crate) fn new(answers: impl IntoIterator<Item = Exchanged>) -> Self {
        Self { answers: Arc::new(Mutex::new(answers.into_iter().collect())), sent: Arc::default() }
    }

    pub(crate) fn sent(&self) -> Vec<HttpRequest> {
        lock(&self.sent).clone()
    }
}

#[async_trait]
impl Http for Scripted {
    async fn send(&self, request: HttpRequest) -> Exchanged {
        lock(&self.sent).push(request);
        let answer = lock(&self.answers).pop_front();
        match answer {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

/// A clock that stands until there is a wait, which takes no time. Clones are one.
#[derive(Clone, Default)]
pub(crate) struct Ticking {
    waited: Arc<Mutex<Vec<Span>>>,
}

impl Ticking {
    /// The waits, in seconds.
    pub(crate) fn waits(&self) -> Vec<u64> {
        lock(&self.waited).iter().map(|wait| wait.get().as_secs()).collect()
    }
}

#[async_trait]
impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        lock(&self.waited).iter().fold(start(), |now, wait| now + wait.delta())
    }

    async fn sleep_until(&self, until: Timestamp) {
        let wait = Span::from((until - self.now()).to_std().unwrap_or_default());
        lock(&self.waited).push(wait);
    }
}

/// The messages and calls given to topics, queues, buses and functions, unless they refuse them.
#[derive(Default)]
pub(crate) struct Messages {
    pub(crate) refused: Option<StoreError>,
    /// The functions' answer; they hang without one.
    pub(crate) answer: Option<FunctionAnswer>,
    pub(crate) published: Mutex<Vec<TopicMessage>>,
    pub(crate) sent: Mutex<Vec<QueueMessage>>,
    pub(crate) events: Mutex<Vec<BusEvent>>,
    pub(crate) calls: Mutex<Vec<FunctionCall>>,
    pub(crate) emails: Mutex<Vec<SesEmail>>,
    /// The errors of the first e-mails.
    pub(crate) troubles: Mutex<VecDeque<StoreError>>,
    /// The domain that SES has verified.
    pub(crate) domain: Option<String>,
}

impl Messages {
    fn take<T>(&self, into: &Mutex<Vec<T>>, message: T) -> Result<(), StoreError> {
        match &self.refused {
            Some(error) => Err(error.clone()),
            None => {
                lock(into).push(message);
                Ok(())
            }
        }
    }
}

#[async_trait]
impl Messaging for Messages {
    async fn publish(&self, message: TopicMessage) -> Result<(), StoreError> {
        self.take(&self.published, message)
    }

    async fn send(&self, message: QueueMessage) -> Result<(), StoreError> {
        self.take(&self.sent, message)
    }

    async fn put_event(&self, event: BusEvent) -> Result<(), StoreError> {
        self.take(&self.events, event)
    }

    async fn invoke(&self, call: FunctionCall) -> Result<FunctionAnswer, StoreError> {
        self.take(&self.calls, call)?;
        match &self.answer {
            Some(answer) => Ok(answer.clone()),
            None => std::future::pending().await,
        }
    }

    async fn send_email(&self, email: SesEmail) -> Result<(), StoreError> {
        match lock(&self.troubles).pop_front() {
            Some(error) => Err(error),
            None => self.take(&self.emails, email),
        }
    }

    async fn verified_domain(&self, _: &str) -> Result<Option<String>, StoreError> {
        match &self.refused {
            Some(error) => Err(error.clone()),
            None => Ok(self.domain.clone()),
        }
    }

    async fn caller(&self, _: &AwsKeys, _: Option<&str>) -> Result<String, StoreError> {
        match &self.refused {
            Some(error) => Err(error.clone()),
            None => Ok("arn:aws:iam::123456789012:user/ann".to_owned()),
        }
    }
}

/// A mail server that gives one answer after the other, and takes everything when none is left.
#[derive(Default)]
pub(crate) struct Posts {
    answers: Mutex<VecDeque<MailError>>,
    sent: Mutex<Vec<(MailServer, Email)>>,
}

impl Posts {
    pub(crate) fn failing(errors: impl IntoIterator<Item = MailError>) -> Self {
        Self { answers: Mutex::new(errors.into_iter().collect()), sent: Mutex::default() }
    }

    /// The e-mails that were sent, refused or not.
    pub(crate) fn sent(&self) -> Vec<(MailServer, Email)> {
        lock(&self.sent).clone()
    }
}

#[async_trait]
impl Mail for Posts {
    async fn send(&self, server: &MailServer, email: &Email, _: Duration) -> Result<(), MailError> {
        lock(&self.sent).push((server.clone(), email.clone()));
        lock(&self.answers).pop_front().map_or(Ok(()), Err)
    }

    fn compose(&self, email: &Email) -> Result<Composed, MailError> {
        let mime = format!("From: {}\nSubject: {}\n\n{}", email.from, email.subject, email.body);
        Ok(Composed { mime: mime.into_bytes(), to: email.to.clone() })
    }

    async fn probe(&self, _: &MailServer, _: Duration) -> Result<String, MailError> {
        lock(&self.answers).pop_front().map_or_else(|| Ok("greeted".to_owned()), Err)
    }
}
