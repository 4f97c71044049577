//! Runs other programs.

use std::process::{Child, Command, Stdio};

/// Nothing, or what went wrong.
pub(crate) type Outcome = Result<(), String>;

/// Announces the next step.
pub(crate) fn say(what: &str) {
    eprintln!("== {what}");
}

/// Runs cargo with these arguments and variables.
pub(crate) fn cargo(arguments: &[&str], variables: &[(&str, &str)]) -> Outcome {
    let mut command = Command::new("cargo");
    command.args(arguments).envs(variables.iter().copied());
    run(&mut command)
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Outcome {
    let told = format!("{command:?}");
    match command.stdin(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{told}: {status}")),
        Err(error) => Err(format!("{told}: {error}")),
    }
}

/// A command that runs in the background, until it is dropped.
pub(crate) struct Beside {
    told: String,
    process: Child,
}

impl Beside {
    /// Starts cargo with these arguments.
    pub(crate) fn cargo(arguments: &[&str]) -> Result<Self, String> {
        let mut command = Command::new("cargo");
        let told = format!("{:?}", command.args(arguments));
        let process = command.stdin(Stdio::null()).spawn().map_err(|error| format!("{told}: {error}"))?;
        Ok(Self { told, process })
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Outcome {
        match self.process.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("{}: {status}", self.told)),
            Err(error) => Err(format!("{}: {error}", self.told)),
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // It has ended where it was waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A command's output.
pub(crate) fn output(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    match output {
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(output) => Err(format!("{program} {}: {}", arguments.join(" "), output.status)),
        Err(error) => Err(format!("{program} {}: {error}", arguments.join(" "))),
    }
}

/// Whether a program is there.
pub(crate) fn has(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}
