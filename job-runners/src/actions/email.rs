//! Performs the action `email`.

use std::time::Duration;

use async_trait::async_trait;
use pumice_core::Timestamp;
use pumice_core::connection::{MailServer, Mailer, Opened};
use pumice_core::duration::Span;
use pumice_core::ids::{ConnId, FieldText};
use pumice_core::job_type::{ACTION_TIMEOUT, ActionContext, FieldsOf, JobError, Performer};
use pumice_core::ports::{Attachment, Email as Sent, MailError};
use pumice_core::secret::mask;
use pumice_job_types::actions::email::{self, MAX_RECIPIENTS};
use sha2::{Digest, Sha256};

use super::notice::one_line;

/// How long one try may take.
const TRY: Duration = Duration::from_secs(20);
/// Shortest time in which a try is worth while.
const LEAST: Duration = Duration::from_secs(2);
/// The part of the action's time that is left for its end.
const MARGIN: Duration = Duration::from_secs(1);
/// The wait before the second try, which doubles with each further one.
const WAIT: Span = Span::from_secs(1);
/// Largest piece of an attachment that is read at once, in bytes.
const PIECE: u64 = 1024 * 1024;

/// Performs the action `email`.
pub(crate) struct Email;

#[async_trait]
impl Performer for Email {
    type Of = email::Email;

    async fn perform(
        &self,
        context: &ActionContext<'_>,
        fields: FieldsOf<email::Email>,
    ) -> Result<(), JobError> {
        let until = context.clock.now() + (ACTION_TIMEOUT.get() - MARGIN);
        let Some(conn_id) = fields.email_conn.clone().or_else(|| context.settings.email_conn.clone()) else {
            return Err(JobError::permanent(
                "no connection sends this e-mail: name one in email_conn, or in the realm's setting EMAIL_CONN (Pumice does not send by SES without one)",
            ));
        };
        let mailer = mailer(context, &conn_id).await?;
        let Some(server) = &mailer.server else {
            return Err(JobError::permanent(format!(
                "connection {conn_id} sends by the interface of SES, which Pumice does not speak: give it the host, user and password of SES's SMTP interface"
            )));
        };
        let sent = composed(context, &mailer, &fields).await?;
        let sending = send(context, server, &sent, until).await;
        sending.map_err(|why| JobError::failed(format!("connection {conn_id}: {why}")))
    }
}

async fn mailer(context: &ActionContext<'_>, conn_id: &ConnId) -> Result<Mailer, JobError> {
    let opened = context.connections.open(conn_id).await;
    let opened = opened.map_err(|error| JobError::failed(error.to_string()))?;
    match opened.what {
        Opened::Email(mailer) => Ok(*mailer),
        _ => {
            let message = format!("connection {conn_id} is of type {}, not email", opened.r#type);
            Err(JobError::permanent(message))
        }
    }
}

/// Sends an e-mail; again where that may help, under the same `Message-ID`.
async fn send(
    context: &ActionContext<'_>,
    server: &MailServer,
    sent: &Sent,
    until: Timestamp,
) -> Result<(), String> {
    let (mut made, mut wait) = (0, WAIT);
    loop {
        let left = (until - context.clock.now()).to_std().unwrap_or_default();
        made += 1;
        let message = match context.mail.send(server, sent, TRY.min(left)).await {
            Ok(()) => return Ok(()),
            Err(MailError::Refused(message)) => return Err(told(message, made)),
            // One notice too many is better than none.
            Err(MailError::NotSent(message) | MailError::Broken(message)) => message,
        };
        let resumes = context.clock.now() + wait.delta();
        if until - resumes < Span::from(LEAST).delta() {
            return Err(told(message, made));
        }
        context.clock.sleep_until(resumes).await;
        wait = Span::from(wait.get() * 2);
    }
}

fn told(message: String, made: u32) -> String {
    if made > 1 { format!("{message} (after {made} tries)") } else { message }
}

/// The e-mail, with limits held and secrets masked.
async fn composed(
    context: &ActionContext<'_>,
    mailer: &Mailer,
    fields: &email::Fields,
) -> Result<Sent, JobError> {
    let default = || context.settings.ses_from.as_deref();
    let from = fields.from.as_ref().map(FieldText::as_str).or(mailer.from.as_deref()).or_else(default);
    let from = from.ok_or_else(|| {
        JobError::permanent("the e-mail has no sender: neither the action nor the connection has `from`")
    })?;
    let to: Vec<String> = fields.to.all().iter().map(FieldText::to_string).collect();
    if to.is_empty() || to.len() > MAX_RECIPIENTS {
        let message = format!("an e-mail has 1 to {MAX_RECIPIENTS} recipients, not {}", to.len());
        return Err(JobError::permanent(message));
    }
    let attachments = attachments(context, fields.attachments.as_deref().unwrap_or_default()).await?;
    let (subject, body) = (one_line(&mask(&fields.subject)), mask(&fields.message).into_owned());
    let size = body.len() + attachments.iter().map(|one| one.bytes.len()).sum::<usize>();
    let limit = context.settings.email_max_size;
    if size as u64 > limit {
        let message = format!("the e-mail has {size} bytes; the limit is {limit} (EMAIL_MAX_SIZE)");
        return Err(JobError::permanent(message));
    }
    let date = context.clock.now();
    Ok(Sent {
        id: id(context, date, &[&to.join(","), &subject, &body]),
        date,
        from: from.to_owned(),
        to,
        reply_to: mailer.reply_to.clone(),
        return_path: mailer.return_path.clone(),
        subject,
        is_html: body.get(..6).is_some_and(|begin| begin.eq_ignore_ascii_case("<html>")),
        body,
        attachments,
    })
}

/// The identity of an e-mail: the run, the time and a digest of its parts.
fn id(context: &ActionContext<'_>, date: Timestamp, parts: &[&str]) -> String {
    let digest = parts.iter().fold(Sha256::new(), |digest, part| digest.chain_update(part).chain_update([0]));
    let digest: String = digest.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{}.{}.{digest}", context.run_id, date.timestamp_millis())
}

async fn attachments(context: &ActionContext<'_>, places: &[FieldText]) -> Result<Vec<Attachment>, JobError> {
    let limit = context.settings.email_max_attachments;
    if places.len() as u64 > limit {
        let message = format!(
            "the e-mail has {} attachments; the limit is {limit} (EMAIL_MAX_ATTACHMENTS)",
            places.len()
        );
        return Err(JobError::permanent(message));
    }
    let mut all = Vec::new();
    for place in places {
        let read = attachment(context, place.as_str()).await;
        all.push(read.map_err(|why| JobError::failed(format!("cannot attach {place}: {why}")))?);
    }
    Ok(all)
}

/// Reads a file of the realm's objects, without the secrets that it has if it is a text.
async fn attachment(context: &ActionContext<'_>, place: &str) -> Result<Attachment, String> {
    let limit = context.settings.email_max_attachment_size;
    if !place.contains("://") && !place.starts_with('/') {
        // The directory in which the job worked is gone.
        return Err(
            "it is not a whole path: name what the job kept, as {{ result.output[0].stdout }}".to_owned()
        );
    }
    let mut bytes = Vec::new();
    loop {
        let from = bytes.len() as u64;
        let piece = context.objects.open_range(place, from, PIECE.min(limit.max(1))).await;
        let piece = piece.map_err(|error| error.to_string())?.ok_or("there is no such file")?;
        if piece.size > limit {
            let size = piece.size;
            return Err(format!("it has {size} bytes; the limit is {limit} (EMAIL_MAX_ATTACHMENT_SIZE)"));
        }
        let is_whole = piece.bytes.is_empty() || from + piece.bytes.len() as u64 >= piece.size;
        bytes.extend(piece.bytes);
        if is_whole {
            break;
        }
    }
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => mask(&text).into_owned().into_bytes(),
        Err(error) => error.into_bytes(),
    };
    let name = place.trim_end_matches('/').rsplit('/').next().unwrap_or(place);
    Ok(Attachment { name: one_line(name), bytes })
}

#[cfg(test)]
mod tests;
