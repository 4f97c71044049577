//! Scripts for SSH, git and AWS, and for lava's tools.

use std::io;
use std::path::PathBuf;

use pumice_core::connection::{AwsLogin, SshLogin};
use pumice_core::ids::ConnId;

use super::{Kit, path_word, word};

impl Kit<'_> {
    /// `ssh`, `scp` or `sftp` with the key of the connection.
    pub(super) fn ssh(&self, program: &str, login: &SshLogin) -> io::Result<PathBuf> {
        let options = self.ssh_options(login)?;
        self.script(program, &format!("exec {program}{options} \"$@\"\n"))
    }

    /// `git` over SSH with the key of the connection.
    pub(super) fn git(&self, login: &SshLogin) -> io::Result<PathBuf> {
        let command = format!("ssh{}", self.ssh_options(login)?);
        self.script(
            "git",
            &format!(
                "export GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0 GIT_SSH_COMMAND={}\nexec git \"$@\"\n",
                word(&command)
            ),
        )
    }

    fn ssh_options(&self, login: &SshLogin) -> io::Result<String> {
        let key = self.file("ssh.pem", login.key.reveal())?;
        let options: String = login.options.iter().map(|option| format!(" -o {}", word(option))).collect();
        Ok(format!("{options} -i {}", path_word(&key)))
    }

    /// AWS's command line with the keys of the connection.
    pub(super) fn aws(&self, login: &AwsLogin) -> io::Result<PathBuf> {
        let keys = &login.keys;
        let mut lines = vec![
            "[profile lava]".to_owned(),
            "s3 =\n    signature_version = s3v4".to_owned(),
            format!("aws_access_key_id={}", keys.access_key_id.reveal()),
            format!("aws_secret_access_key={}", keys.secret_access_key.reveal()),
        ];
        lines
            .extend(keys.session_token.as_ref().map(|token| format!("aws_session_token={}", token.reveal())));
        lines.extend(login.region.as_ref().map(|region| format!("region={region}")));
        let config = self.file(".aws_config", &(lines.join("\n") + "\n"))?;
        // Keys in the environment would win over those of the profile.
        let others = "unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN";
        self.script(
            "aws",
            &format!(
                "{others}\nexport AWS_CONFIG_FILE={}\nexec aws --profile lava \"$@\"\n",
                path_word(&config)
            ),
        )
    }

    /// A tool of lava's that reads the connection itself, where lava is installed.
    pub(super) fn lava_tool(&self, tool: &str, id: &ConnId) -> io::Result<PathBuf> {
        let id = word(id.as_str());
        self.script(
            tool,
            &format!(
                "command -v {tool} > /dev/null || {{ echo \"{tool} is not installed: it is one of lava's tools; the actions email and slack need none\" >&2; exit 127; }}\nexec {tool} --conn-id {id} --realm \"$LAVA_REALM\" \"$@\"\n"
            ),
        )
    }
}
