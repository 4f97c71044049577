//! Stand-ins for AWS and other servers, from PyPI, in virtual environments of their own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Outcome, has, output, run, say};

/// The oldest Python that the pinned packages run on.
const PYTHON: (u32, u32) = (3, 11);

/// A virtual environment.
struct Environment {
    /// The folder below `target/standins`, and the file of requirements.
    name: &'static str,
    /// The feature of `pumice-testing` that the tests need it for are behind.
    feature: &'static str,
    /// The tests that need it, for people.
    tests: &'static str,
}

/// The feature of tests that need stand-ins for AWS.
const AWS: &str = "pumice-testing/standins";

const ENVIRONMENTS: [Environment; 3] = [
    Environment {
        name: "aws",
        feature: AWS,
        tests: "everything that runs on AWS (aws_*): adapters, functions, events, `sam validate --lint`",
    },
    Environment {
        name: "lava",
        feature: "pumice-testing/standins-lava",
        tests: "Pumice beside lava (lava_*)",
    },
    Environment {
        name: "mail",
        feature: "pumice-testing/standins-mail",
        tests: "e-mail with a mail server (mail)",
    },
];

/// The stand-ins that are there.
pub(crate) struct StandIns {
    /// The folder of the virtual environments, absolute.
    pub(crate) folder: PathBuf,
    /// What of `pumice-testing` can be tested.
    pub(crate) features: Vec<&'static str>,
    /// Which tests must be left out, and why: one line for each.
    pub(crate) left_out: Vec<String>,
}

impl StandIns {
    /// `sam build` calls make.
    fn look_for_make(&mut self) {
        if has("make", &["--version"]) {
            self.features.push("pumice-testing/standins-make");
        } else {
            let why = "NOT TESTED: `sam build` and `sam deploy` (aws_deploy), because there is no make";
            self.left_out.push(why.to_owned());
        }
    }

    /// PostgreSQL and MariaDB are Debian's own. Root installs them where they are not.
    fn look_for_databases(&mut self) {
        let is_there = || {
            let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
            let has_postgres =
                versions.into_iter().any(|version| version.path().join("bin/initdb").is_file());
            has_postgres && has("mariadbd", &["--version"]) && has("psql", &["--version"])
        };
        let is_root = output("id", &["-u"]).is_ok_and(|id| id.trim() == "0");
        if !is_there() && is_root && has("apt-get", &["--version"]) {
            say("stand-ins: PostgreSQL and MariaDB from Debian, once");
            let install =
                ["install", "--yes", "--quiet", "--no-install-recommends", "postgresql", "mariadb-server"];
            let apt = |arguments: &[&str]| {
                run(Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
            };
            if let Err(error) = apt(&["update", "--quiet"]).and_then(|()| apt(&install)) {
                eprintln!("{error}");
            }
        }
        if is_there() {
            self.features.push("pumice-testing/standins-databases");
        } else {
            let why = "NOT TESTED: SQL jobs on PostgreSQL and MariaDB (databases), because they are not there; on Debian, `apt install postgresql mariadb-server` brings them";
            self.left_out.push(why.to_owned());
        }
    }

    /// Says which tests are left out, and why. Refuses to leave one out where `CI` is set.
    pub(crate) fn tell(&self) -> Outcome {
        for line in &self.left_out {
            eprintln!("{line}");
        }
        match std::env::var_os("CI") {
            Some(_) if !self.left_out.is_empty() => {
                Err("CI leaves no test out: see above what is missing".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// Makes every environment that is missing or was made from other requirements.
pub(crate) fn make() -> Result<StandIns, String> {
    let folder = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| PathBuf::from("target"), PathBuf::from)
        .join("standins");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let folder = std::path::absolute(&folder).map_err(|error| error.to_string())?;
    // Two runs at once must not make the same environment.
    let lock = File::create(folder.join("lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;

    let python = python();
    let mut made = StandIns { folder, features: Vec::new(), left_out: Vec::new() };
    for environment in &ENVIRONMENTS {
        let outcome = match &python {
            Ok(python) => environment.make(python, &made.folder),
            Err(why) => Err(why.clone()),
        };
        match outcome {
            Ok(()) => made.features.push(environment.feature),
            Err(why) => made.left_out.push(format!("NOT TESTED: {}, because {why}", environment.tests)),
        }
    }
    if made.features.contains(&AWS) {
        made.look_for_make();
    }
    made.look_for_databases();
    Ok(made)
}

impl Environment {
    fn make(&self, python: &Python, folder: &Path) -> Outcome {
        let requirements = Path::new("testing/standins").join(format!("{}.txt", self.name));
        let wanted = fs::read_to_string(&requirements)
            .map_err(|error| format!("{}: {error}", requirements.display()))?;
        let wanted = format!("# {}\n{wanted}", python.version);
        let home = folder.join(self.name);
        // Written last: an environment that is half made has none.
        let stamp = home.join("made-from.txt");
        let inside = home.join("bin").join("python");
        let told = inside.display().to_string();
        if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) && has(&told, &["-c", ""]) {
            return Ok(());
        }
        say(&format!("stand-ins: {} from PyPI into {}, once", self.name, home.display()));
        if home.exists() {
            fs::remove_dir_all(&home).map_err(|error| format!("{}: {error}", home.display()))?;
        }
        run(Command::new(&python.program).args(["-m", "venv"]).arg(&home)).map_err(|error| {
            format!("{error}; on Debian, `apt install python3-venv` brings what it needs")
        })?;
        run(Command::new(&inside)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
            .arg(&requirements))?;
        fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))
    }
}

struct Python {
    program: String,
    version: String,
}

/// Finds a Python that is new enough: `$PYTHON`, or `python3`.
fn python() -> Result<Python, String> {
    let program = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let version = output(&program, &["-c", "import platform; print(platform.python_version())"])
        .map_err(|error| format!("there is no Python 3: {error}"))?;
    let version = version.trim().to_owned();
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found < PYTHON {
        return Err(format!(
            "{program} is Python {version}, and {}.{} or later is needed; name one with PYTHON=…",
            PYTHON.0, PYTHON.1
        ));
    }
    Ok(Python { program, version })
}
