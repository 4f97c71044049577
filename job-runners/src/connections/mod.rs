//! Makes the scripts by which commands reach connections (lava guide, Connections).

mod databases;
#[cfg(test)]
mod fake;
pub(crate) mod probe;
mod remote;
#[cfg(test)]
mod tests;
mod values;

use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use pumice_core::connection::{Opened, OpenedConnection};
use pumice_core::job_type::{JobContext, JobError};
use pumice_core::ports::TempDir;
use pumice_job_types::connections::LabelledConnections;

#[cfg(test)]
pub(crate) use fake::Known;

/// Longest application name that a database is given, in characters (PostgreSQL, NAMEDATALEN).
const MAX_APPLICATION: usize = 63;

/// The scripts of a command's connections, which go when this is dropped: after the command.
pub(crate) struct Prepared {
    /// `LAVA_CONN_<LABEL>` and `LAVA_CONNID_<LABEL>` for each.
    pub(crate) environment: Vec<(String, String)>,
    _folder: Option<Box<dyn TempDir>>,
}

/// Opens a job's connections and makes a script for each, in a folder that no other user can enter.
///
/// # Errors
/// [`JobError`] naming the connection that there is not, that is not enabled or whose secrets cannot be had.
pub(crate) async fn prepare(
    context: &JobContext<'_>,
    named: &LabelledConnections,
) -> Result<Prepared, JobError> {
    if named.is_empty() {
        return Ok(Prepared { environment: Vec::new(), _folder: None });
    }
    let folder = context.directories.temp()?;
    let mut environment = Vec::new();
    for (label, conn_id) in named {
        let opened = context.connections.open(conn_id).await;
        let opened = opened.map_err(|error| JobError::failed(error.to_string()))?;
        let label = label.to_ascii_uppercase();
        let place = folder.path().join(format!("conn.{label}"));
        let script = Kit { place: &place, application: application(context) }.make(&opened)?;
        environment.push((format!("LAVA_CONN_{label}"), script.display().to_string()));
        environment.push((format!("LAVA_CONNID_{label}"), conn_id.to_string()));
    }
    Ok(Prepared { environment, _folder: Some(folder) })
}

/// The name of the connected program for a database: `lv-<realm>-<job_id>` (lava guide, Database Client Application
/// Identification).
pub(crate) fn application(context: &JobContext<'_>) -> String {
    let name = format!("lv-{}-{}", context.realm_name, context.run.job_id);
    name.chars()
        .filter(|c| !matches!(c, '\'' | '"' | '\\') && !c.is_control())
        .take(MAX_APPLICATION)
        .collect()
}

/// Makes the files of one connection.
struct Kit<'a> {
    /// The folder of the connection's own files.
    place: &'a Path,
    application: String,
}

impl Kit<'_> {
    fn make(&self, opened: &OpenedConnection) -> Result<PathBuf, JobError> {
        let id = &opened.conn_id;
        let failed = |error: io::Error| {
            JobError::cannot_begin(format!("connection {id}: cannot make its script: {error}"), &error)
        };
        std::fs::DirBuilder::new().mode(0o700).create(self.place).map_err(failed)?;
        let made = match &opened.what {
            Opened::Database(login) => self.database(login),
            Opened::Generic(values) => self.generic(values),
            Opened::Aws(login) => self.aws(login),
            Opened::Ssh(login) if opened.r#type == "git" => self.git(login),
            Opened::Ssh(login) => self.ssh(opened.r#type, login),
            Opened::Email(_) => self.lava_tool("lava-email", id),
            Opened::Slack(_) => self.lava_tool("lava-slack", id),
            Opened::Webhook(_) => {
                let message =
                    format!("connection {id} of type webhook has no script: the action webhook uses it");
                return Err(JobError::permanent(message));
            }
        };
        made.map_err(failed)
    }

    /// A file that this user alone can read.
    fn file(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        self.write(name, text, 0o600)
    }

    /// A shell's script that this user alone can read and run.
    fn script(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        self.write(name, &format!("#!/bin/sh\n{text}"), 0o700)
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> io::Result<PathBuf> {
        let path = self.place.join(name);
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
        file.write_all(text.as_bytes())?;
        Ok(path)
    }
}

/// A text as one word of a shell (POSIX, Shell Command Language, 2.2.2 Single-Quotes).
fn word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn path_word(path: &Path) -> String {
    word(&path.display().to_string())
}
