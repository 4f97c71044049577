//! The scripts and tests of connections by SSH, with a server.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Longest time that the server may take to start.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

fn ran(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {err}");
    String::from_utf8(output.stdout).expect("text")
}

/// A server that lets this user in with a key; it ends when this is dropped.
struct Server {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
    user: String,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["host", "key"] {
            ran(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(at(name)));
        }
        fs::copy(at("key.pub"), at("authorized")).expect("copied");
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|on| on.local_addr())
            .expect("a port")
            .port();
        let config = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\nStrictModes no\n\
             PasswordAuthentication no\nPermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\n",
            at("host").display(),
            at("authorized").display(),
        );
        fs::write(at("config"), config).expect("written");
        // Where it parts its privileges; only root does.
        let _ = fs::create_dir_all("/run/sshd");
        let log = fs::File::create(at("log")).expect("a log");
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f"]).arg(at("config")).stdin(Stdio::null()).stderr(log);
        let child = command.spawn().expect("it runs");
        let user = ran(Command::new("id").arg("-un")).trim().to_owned();
        let server = Self { child, port, folder, user };
        let begun = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let log = fs::read_to_string(server.path("log")).unwrap_or_default();
            assert!(begun.elapsed() < PATIENCE, "sshd does not listen: {log}");
            std::thread::sleep(PAUSE);
        }
        server
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn connection(&self, kind: &str) -> Value {
        let known = format!("UserKnownHostsFile={}", self.path("known").display());
        json!({ "conn_id": kind, "type": kind, "enabled": true, "ssh_key": "/key",
            "ssh_options": [format!("Port={}", self.port), "StrictHostKeyChecking=accept-new", known] })
    }

    fn command(&self, folder: &Path) -> Command {
        let named = std::env::var_os("PUMICE_COMMAND").expect("PUMICE_COMMAND: run `cargo xtask test`");
        let mut command = Command::new(named);
        command.current_dir(folder).stdin(Stdio::null());
        let key = fs::read_to_string(self.path("key")).expect("a key");
        command.env("PUMICE_SECRET_VALUE_KEY", key);
        command
    }

    /// Runs a script that has the connection.
    fn run(&self, kind: &str, script: &str) -> Output {
        let folder = tempfile::tempdir().expect("a folder");
        let parameters = json!({ "args": [script], "connections": { "there": kind } });
        let job = json!({ "job_id": "j", "type": "cmd", "worker": "core", "enabled": true, "payload": "sh -ec",
            "parameters": parameters });
        fs::write(folder.path().join("specs.json"), json!([self.connection(kind), job]).to_string())
            .expect("written");
        self.command(folder.path()).args(["run", "--jobs", "specs.json", "j"]).output().expect("it runs")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn scripts_of_ssh_scp_sftp_and_git_reach_the_host() {
    let server = Server::start();
    let target = format!("{}@127.0.0.1", server.user);
    let (from, to) = (server.path("from"), server.path("to"));
    let repository = server.path("repository.git");
    ran(Command::new("git").args(["init", "-q", "--bare"]).arg(&repository));
    fs::write(&from, "copied").expect("written");
    let url = format!("ssh://{target}:{}{}", server.port, repository.display());
    for (kind, script, wanted) in [
        ("ssh", format!("\"$LAVA_CONN_THERE\" {target} 'echo \"far away: $((40 + 2))\"'"), "far away: 42"),
        (
            "scp",
            format!(
                "\"$LAVA_CONN_THERE\" {} {target}:{}; cat {}",
                from.display(),
                to.display(),
                to.display()
            ),
            "copied",
        ),
        ("sftp", format!("echo 'ls {}' | \"$LAVA_CONN_THERE\" -b - {target}", from.display()), "from"),
        ("git", format!("\"$LAVA_CONN_THERE\" ls-remote {url}; echo asked"), "asked"),
    ] {
        let output = server.run(kind, &script);
        let printed = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && printed.contains(wanted), "{kind}: {output:?}");
        assert!(!printed.contains("PRIVATE KEY"), "{printed}");
    }
}

#[test]
fn connections_by_ssh_are_tested_with_a_target() {
    let server = Server::start();
    let target = format!("{}@127.0.0.1", server.user);
    let repository = server.path("repository.git");
    ran(Command::new("git").args(["init", "-q", "--bare"]).arg(&repository));
    let url = format!("ssh://{target}:{}{}", server.port, repository.display());
    for (kind, target, works) in [
        ("ssh", None, true),
        ("ssh", Some(target.as_str()), true),
        ("scp", Some(target.as_str()), true),
        ("sftp", Some(target.as_str()), true),
        ("git", Some(url.as_str()), true),
        ("ssh", Some("nobody-of-this-name@127.0.0.1"), false),
        ("git", Some("ssh://127.0.0.1:1/none"), false),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("c.json"), server.connection(kind).to_string()).expect("written");
        ran(server.command(folder.path()).args(["apply", "c.json"]));
        let mut command = server.command(folder.path());
        command.args(["connections", "test", kind, "-o", "json"]);
        let output =
            command.args(target.iter().flat_map(|target| ["--target", *target])).output().expect("it runs");
        let told: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        assert_eq!(told["works"], works, "{kind} {target:?}: {told}");
        assert_eq!(output.status.success(), works);
    }
}
