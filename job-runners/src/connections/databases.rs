//! Scripts for databases: each runs the database's own client.

use std::io;
use std::path::PathBuf;

use pumice_core::connection::{Family, Login};
use pumice_core::secret::SecretText;

use super::{Kit, path_word, word};

/// Longest password that goes into `.pgpass`, in bytes: older clients cut longer ones (lava's connector).
const MAX_PGPASS: usize = 99;
/// How long MySQL's client waits for a connection, in seconds (lava's connector).
const CONNECT_TIMEOUT: u32 = 10;

impl Kit<'_> {
    pub(super) fn database(&self, login: &Login) -> io::Result<PathBuf> {
        match login.family {
            Family::Postgres | Family::Redshift => self.psql(login),
            Family::Mysql => self.mysql(login),
            Family::Oracle => self.sqlplus(login),
            Family::Mssql => self.sqlcmd(login),
            Family::Sqlite => self.sqlite(&login.host),
        }
    }

    /// `psql`, which stops at the first error. lava sets a variable of psql called `sslmode`, which encrypts nothing: here it
    /// is `PGSSLMODE`.
    fn psql(&self, login: &Login) -> io::Result<PathBuf> {
        let password = login.password.as_ref().map(SecretText::reveal).unwrap_or_default();
        let database = login.database.as_deref().unwrap_or_default();
        let mut lines = vec![
            format!("[ -n \"$PGAPPNAME\" ] || PGAPPNAME={}", word(&self.application)),
            format!("PGSSLMODE={}", if login.ssl { "require" } else { "prefer" }),
            "export PGAPPNAME PGSSLMODE".to_owned(),
        ];
        if let Some(ca_cert) = &login.ca_cert {
            lines.push(format!("export PGSSLROOTCERT={}", word(ca_cert)));
        }
        if password.len() <= MAX_PGPASS && !password.contains('\n') {
            let escaped = |text: &str| text.replace('\\', r"\\").replace(':', r"\:");
            let (host, port, user) = (escaped(&login.host), login.port, escaped(&login.user));
            let line = format!("{host}:{port}:{}:{user}:{}\n", escaped(database), escaped(password));
            lines.push(format!("export PGPASSFILE={}", path_word(&self.file(".pgpass", &line)?)));
        } else {
            let kept = self.file(".password", password)?;
            lines.push(format!("PGPASSWORD=$(cat {})\nexport PGPASSWORD", path_word(&kept)));
        }
        lines.push(format!(
            "exec psql -h {} -p {} -d {} -U {} --no-psqlrc --quiet --set ON_ERROR_STOP=on --pset footer=off \"$@\"\n",
            word(&login.host),
            login.port,
            word(database),
            word(&login.user)
        ));
        self.script("psql", &lines.join("\n"))
    }

    /// `mysql`, or MariaDB's client where that is the one there is: the two have other options for encryption.
    fn mysql(&self, login: &Login) -> io::Result<PathBuf> {
        let password = login.password.as_ref().map(SecretText::reveal).unwrap_or_default();
        let (user, password) = (option_value(&login.user), option_value(password));
        let defaults = self.file(".my.cnf", &format!("[client]\nuser={user}\npassword={password}\n"))?;
        let mut options = format!("--host={} --port={}", word(&login.host), login.port);
        if let Some(database) = &login.database {
            options.push_str(&format!(" --database={}", word(database)));
        }
        if let Some(ca_cert) = &login.ca_cert {
            options.push_str(&format!(" --ssl-ca={}", word(ca_cert)));
        }
        let token = if login.is_token { " --enable-cleartext-plugin" } else { "" };
        let encrypted = match login.ssl {
            false => String::new(),
            true => format!(
                "case $(\"$client\" --version) in\n*MariaDB*) ssl=--ssl ;;\n*) ssl='--ssl-mode=REQUIRED{token}' ;;\nesac\n"
            ),
        };
        self.script(
            "mysql",
            &format!(
                "client=mysql ssl=\ncommand -v \"$client\" > /dev/null || client=mariadb\n{encrypted}exec \"$client\" --defaults-file={} --batch {options} --connect-timeout={CONNECT_TIMEOUT} $ssl \"$@\"\n",
                path_word(&defaults)
            ),
        )
    }

    /// `sqlplus`, which asks for the password on its input: lava gives it as an argument, where all users see it.
    fn sqlplus(&self, login: &Login) -> io::Result<PathBuf> {
        let password = login.password.as_ref().map(SecretText::reveal).unwrap_or_default();
        let kept = self.file(".password", &format!("{password}\n"))?;
        let place = match (&login.service_name, &login.sid, &login.database) {
            (Some(service), _, _) => format!("(SERVICE_NAME={service})"),
            (None, Some(sid), _) | (None, None, Some(sid)) => format!("(SID={sid})"),
            (None, None, None) => String::new(),
        };
        let address = format!("(ADDRESS=(PROTOCOL=TCP)(HOST={})(PORT={}))", login.host, login.port);
        let login_at = format!("{}@(DESCRIPTION={address}(CONNECT_DATA={place}))", login.user);
        let edition =
            login.edition.as_ref().map(|edition| format!(" -C {}", word(edition))).unwrap_or_default();
        let input = format!("{{ cat {}; cat; }}", path_word(&kept));
        self.script(
            "sqlplus",
            &format!("{input} | sqlplus -NOLOGINTIME -L -S{edition} {} \"$@\"\n", word(&login_at)),
        )
    }

    /// `sqlcmd`, where lava has a tool of its own.
    fn sqlcmd(&self, login: &Login) -> io::Result<PathBuf> {
        let password = login.password.as_ref().map(SecretText::reveal).unwrap_or_default();
        let kept = self.file(".password", password)?;
        let mut options =
            format!("-S {} -U {}", word(&format!("tcp:{},{}", login.host, login.port)), word(&login.user));
        if let Some(database) = &login.database {
            options.push_str(&format!(" -d {}", word(database)));
        }
        if let Some(timeout) = login.timeout {
            options.push_str(&format!(" -l {timeout}"));
        }
        if login.ssl {
            options.push_str(" -N");
        }
        self.script(
            "sqlcmd",
            &format!(
                "SQLCMDPASSWORD=$(cat {})\nexport SQLCMDPASSWORD\nexec sqlcmd -b {options} -H {} \"$@\"\n",
                path_word(&kept),
                word(&self.application)
            ),
        )
    }

    /// `sqlite3`, which stops at the first error. The file comes first, since a statement among the arguments would be taken for
    /// it. A file in S3 is fetched, and put back when it is another one afterwards.
    fn sqlite(&self, file: &str) -> io::Result<PathBuf> {
        if !file.starts_with("s3://") {
            return self.script("sqlite3", &format!("exec sqlite3 -bail -batch {} \"$@\"\n", word(file)));
        }
        let local = path_word(&self.place.join("database"));
        let before = path_word(&self.place.join("before"));
        let object = word(file);
        // On AWS, commands get no credentials unless their job asks.
        let failed = format!(
            "{{ echo {} >&2; exit 1; }}",
            word(&format!("cannot copy {file}: on AWS a job needs aws_credentials: true for it"))
        );
        self.script(
            "sqlite3",
            &format!(
                "set -e\naws s3 cp --only-show-errors {object} {local} || {failed}\ncp {local} {before}\nsqlite3 -bail -batch {local} \"$@\"\ncmp -s {local} {before} || aws s3 cp --only-show-errors {local} {object} || {failed}\n"
            ),
        )
    }
}

/// A value in an option file (MySQL Reference Manual, Using Option Files).
fn option_value(text: &str) -> String {
    let escaped = text.replace('\\', r"\\").replace('\n', r"\n").replace('\r', r"\r").replace('\t', r"\t");
    format!("\"{escaped}\"")
}
