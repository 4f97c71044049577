//! E-mail by SMTP.

use std::time::Duration;

use async_trait::async_trait;

use crate::Timestamp;
use crate::connection::MailServer;

/// A file that goes with an e-mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Its name, without a folder.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// An e-mail. An address is one of RFC 5322 (section 3.4): `a@example.com`, or `Ann <a@example.com>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    /// Its id, unlike that of any other e-mail: the left part of its `Message-ID`, in letters, digits, `.` and `-`.
    pub id: String,
    /// The time that it shows.
    pub date: Timestamp,
    /// The sender.
    pub from: String,
    /// The recipients. A text may have several addresses, with commas between.
    pub to: Vec<String>,
    /// Where answers go.
    pub reply_to: Vec<String>,
    /// Where what cannot be delivered is returned to; `None` for the sender.
    pub return_path: Option<String>,
    /// The subject: one line.
    pub subject: String,
    /// The text.
    pub body: String,
    /// Whether the text is HTML.
    pub is_html: bool,
    /// Its attachments.
    pub attachments: Vec<Attachment>,
}

/// An e-mail in the form in which it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Composed {
    /// Headers and body (RFC 5322, MIME).
    pub mime: Vec<u8>,
    /// The address of each recipient, without the name.
    pub to: Vec<String>,
}

/// Why an e-mail was not sent. Messages name the server, and neither the password nor the e-mail's text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// The e-mail can never be sent in this way: a malformed address, a refused login, a recipient that the server does
    /// not know.
    #[error("{0}")]
    Refused(String),
    /// The server was not reached, or did not take the e-mail this time.
    #[error("{0}")]
    NotSent(String),
    /// The exchange broke off when the text was on its way: the server may have taken the e-mail.
    #[error("{0}")]
    Broken(String),
}

/// Sends e-mail by SMTP (RFC 5321). An implementation calls no address of the link-local range, as [`Http`](super::Http).
#[async_trait]
pub trait Mail: Send + Sync {
    /// Sends an e-mail to every recipient that the server takes. `limit` is how long the whole exchange may take.
    ///
    /// # Errors
    /// [`MailError`] when the server took it for no recipient, or not for all of them; then the message names the others.
    async fn send(&self, server: &MailServer, email: &Email, limit: Duration) -> Result<(), MailError>;

    /// An e-mail as [`send`](Self::send) puts it on the wire, for another way of sending it.
    ///
    /// # Errors
    /// [`MailError::Refused`] for an invalid address.
    fn compose(&self, email: &Email) -> Result<Composed, MailError>;

    /// Connects and logs in as [`send`](Self::send) does, and sends nothing (`NOOP`). Gives what was done, for people.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    async fn probe(&self, server: &MailServer, limit: Duration) -> Result<String, MailError>;
}

/// Sends nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoMail;

#[async_trait]
impl Mail for NoMail {
    async fn send(&self, _: &MailServer, _: &Email, _: Duration) -> Result<(), MailError> {
        Err(MailError::Refused("this process sends no e-mail".to_owned()))
    }

    fn compose(&self, _: &Email) -> Result<Composed, MailError> {
        Err(MailError::Refused("this process sends no e-mail".to_owned()))
    }

    async fn probe(&self, _: &MailServer, _: Duration) -> Result<String, MailError> {
        Err(MailError::Refused("this process sends no e-mail".to_owned()))
    }
}
