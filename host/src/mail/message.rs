//! An e-mail as it is sent (RFC 5322, MIME).

use lettre::Message;
use lettre::address::{Address, Envelope};
use lettre::message::header::ContentType;
use lettre::message::{Attachment as Part, Mailbox, Mailboxes, MultiPart, SinglePart};
use pumice_core::ports::{Attachment, Email};
use pumice_core::text::quoted;

/// Content types by the ends of files' names; other files are texts where they are UTF-8, else bytes.
const TYPES: [(&str, &str); 16] = [
    ("csv", "text/csv; charset=utf-8"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("json", "application/json"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("tar", "application/x-tar"),
    ("webp", "image/webp"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("xml", "application/xml"),
    ("zip", "application/zip"),
];

/// An e-mail with its envelope for the server.
pub(super) struct Composed {
    pub(super) envelope: Envelope,
    pub(super) text: Vec<u8>,
}

fn mailbox(given: &str) -> Result<Mailbox, String> {
    given.parse().map_err(|_| format!("{} is not an e-mail address", quoted(given)))
}

fn mailboxes<'a>(given: impl IntoIterator<Item = &'a String>) -> Result<Vec<Mailbox>, String> {
    let mut all = Vec::new();
    for text in given {
        let some: Mailboxes =
            text.parse().map_err(|_| format!("{} is not an e-mail address", quoted(text)))?;
        all.extend(some);
    }
    Ok(all)
}

fn content_type(attachment: &Attachment) -> Result<ContentType, String> {
    let end = attachment.name.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase());
    let known = TYPES.iter().find(|(name, _)| end.as_deref() == Some(*name)).map(|(_, kind)| *kind);
    let is_text = std::str::from_utf8(&attachment.bytes).is_ok_and(|text| !text.contains('\0'));
    let default = if is_text { "text/plain; charset=utf-8" } else { "application/octet-stream" };
    ContentType::parse(known.unwrap_or(default)).map_err(|error| error.to_string())
}

/// Puts an e-mail together.
///
/// # Errors
/// The reason why an address is invalid.
pub(super) fn compose(email: &Email) -> Result<Composed, String> {
    let from = mailbox(&email.from)?;
    let to = mailboxes(&email.to)?;
    if to.is_empty() {
        return Err("the e-mail has no recipient".to_owned());
    }
    let sender = match &email.return_path {
        Some(path) => mailbox(path)?.email,
        None => from.email.clone(),
    };
    let recipients: Vec<Address> = to.iter().map(|mailbox| mailbox.email.clone()).collect();
    let envelope = Envelope::new(Some(sender), recipients).map_err(|error| error.to_string())?;
    let id = format!("<{}@{}>", email.id, from.email.domain());
    let mut builder = Message::builder()
        .envelope(envelope.clone())
        .message_id(Some(id))
        .date(email.date.into())
        .from(from)
        .subject(&email.subject);
    for recipient in to {
        builder = builder.to(recipient);
    }
    for reply_to in mailboxes(&email.reply_to)? {
        builder = builder.reply_to(reply_to);
    }
    let body = email.body.clone();
    let body = if email.is_html { SinglePart::html(body) } else { SinglePart::plain(body) };
    let built = if email.attachments.is_empty() {
        builder.singlepart(body)
    } else {
        let mut parts = MultiPart::mixed().singlepart(body);
        for attachment in &email.attachments {
            let kind = content_type(attachment)?;
            parts = parts.singlepart(Part::new(attachment.name.clone()).body(attachment.bytes.clone(), kind));
        }
        builder.multipart(parts)
    };
    let built = built.map_err(|error| error.to_string())?;
    Ok(Composed { envelope, text: built.formatted() })
}
