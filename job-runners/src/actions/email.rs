//! Performs the action `email`.

use std::time::Duration;

use async_trait::async_trait;
use pumice_core::Timestamp;
use pumice_core::connection::{MailServer, Mailer, Opened};
use pumice_core::duration::Span;
use pumice_core::ids::{ConnId, FieldText};
use pumice_core::job_type::{ACTION_TIMEOUT, ActionContext, FieldsOf, JobError, Performer};
use pumice_core::ports::{Attachment, Composed, Email as Sent, MailError, SesEmail};
use pumice_core::secret::mask;
use pumice_core::text::hex;
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
/// The region of SES where nothing names one (lava guide, Action type: email).
pub(crate) const SES_REGION: &str = "us-east-1";
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
        let conn_id = fields.email_conn.clone().or_else(|| context.settings.email_conn.clone());
        let mailer = match &conn_id {
            Some(conn_id) => mailer(context, conn_id).await?,
            // lava sends by SES then.
            None => Mailer::default(),
        };
        let way = Way::of(context, &mailer, &fields);
        let from = sender(context, &mailer, &fields, &way).await?;
        let sent = composed(context, &mailer, &fields, from).await?;
        send(context, &way, &sent, until).await.map_err(|why| {
            JobError::failed(match &conn_id {
                Some(conn_id) => format!("connection {conn_id}: {why}"),
                None => format!("{why}; a connection of type email sends by SMTP: name one in email_conn, or in the realm's setting EMAIL_CONN"),
            })
        })
    }
}

/// How an e-mail is sent.
enum Way<'a> {
    Smtp(&'a MailServer),
    Ses { region: String, configuration_set: Option<String> },
}

impl<'a> Way<'a> {
    fn of(context: &ActionContext<'_>, mailer: &'a Mailer, fields: &email::Fields) -> Self {
        if let Some(server) = &mailer.server {
            return Self::Smtp(server);
        }
        let (own, settings) = (fields.region.as_ref().map(FieldText::to_string), context.settings);
        let region = own.or_else(|| mailer.region.clone()).or_else(|| settings.ses_region.clone());
        let configuration_set = &mailer.configuration_set;
        Self::Ses {
            region: region.unwrap_or_else(|| SES_REGION.to_owned()),
            configuration_set: configuration_set.clone().or_else(|| settings.ses_configuration_set.clone()),
        }
    }

    /// Sends an e-mail once.
    async fn send(&self, context: &ActionContext<'_>, sent: &Sent, limit: Duration) -> Result<(), MailError> {
        let (region, configuration_set) = match self {
            Self::Smtp(server) => return context.mail.send(server, sent, limit).await,
            Self::Ses { region, configuration_set } => (region.clone(), configuration_set.clone()),
        };
        let Composed { mime, to } = context.mail.compose(sent)?;
        let return_path = sent.return_path.clone();
        let email = SesEmail { mime, to, return_path, region, configuration_set };
        context.messaging.send_email(email).await.map_err(|error| match error.kind.may_pass() {
            true => MailError::NotSent(error.message),
            false => MailError::Refused(error.message),
        })
    }
}

/// The sender: that of the action, the connection or the realm; with SES lava's default.
async fn sender(
    context: &ActionContext<'_>,
    mailer: &Mailer,
    fields: &email::Fields,
    way: &Way<'_>,
) -> Result<String, JobError> {
    let own = fields.from.as_ref().map(FieldText::to_string).or_else(|| mailer.from.clone());
    if let Some(from) = own.or_else(|| context.settings.ses_from.clone()) {
        return Ok(from);
    }
    let Way::Ses { region, .. } = way else {
        let why = "the e-mail has no sender: neither the action nor the connection has `from`";
        return Err(JobError::permanent(why));
    };
    let nowhere = |why: String| {
        format!("the e-mail has no sender: set `from` in the action, or the realm's SES_FROM ({why})")
    };
    match context.messaging.verified_domain(region).await {
        Ok(Some(domain)) => Ok(format!("lava.{}@{domain}", context.realm_name)),
        Ok(None) => Err(JobError::permanent(nowhere(format!("SES in {region} has no verified domain")))),
        Err(error) => Err(JobError::failed(nowhere(error.to_string()))),
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
    way: &Way<'_>,
    sent: &Sent,
    until: Timestamp,
) -> Result<(), String> {
    let (mut made, mut wait) = (0, WAIT);
    loop {
        let left = (until - context.clock.now()).to_std().unwrap_or_default();
        made += 1;
        let message = match way.send(context, sent, TRY.min(left)).await {
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
    from: String,
) -> Result<Sent, JobError> {
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
        from,
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
    let digest = hex(&digest.finalize()[..4]);
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
    Ok(Attachment { name: one_line(&mask(name)), bytes })
}

#[cfg(test)]
mod tests;
