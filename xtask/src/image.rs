//! worker-image.yaml, which is worker.yaml but for the function: a container image.

use crate::process::Outcome;

const WORKER: &str = "worker.yaml";
const IMAGE: &str = "worker-image.yaml";

/// The texts of worker.yaml that differ in worker-image.yaml.
const CHANGES: [(&str, &str); 3] = [
    (
        "  A worker of a Pumice realm: its queue, its dead-letter queue with an alarm, and its function.
  template.yaml makes the first; deploy this once for each further one. docs/deploy.md is the guide.
",
        "  A worker of a Pumice realm whose function is a container image with the AWS CLI and Python: its queue, its
  dead-letter queue with an alarm, and its function. docs/deploy.md is the guide. `cargo xtask worker-image` makes this
  file of worker.yaml.
",
    ),
    (
        "    Metadata:
      # The Makefile builds it.
      BuildMethod: makefile
",
        "",
    ),
    (
        "      CodeUri: .
      Handler: bootstrap
      Runtime: provided.al2023
",
        "      PackageType: Image
      # `make worker-image` makes it, and `sam deploy` puts it into a repository.
      ImageUri: pumice-worker:latest
",
    ),
];

/// Makes worker-image.yaml of worker.yaml.
fn template(worker: &str) -> Result<String, String> {
    let mut text = worker.to_owned();
    for (from, to) in CHANGES {
        if text.matches(from).count() != 1 {
            return Err(format!("{WORKER} does not have once:\n{from}"));
        }
        text = text.replacen(from, to, 1);
    }
    Ok(text)
}

/// Writes worker-image.yaml anew.
pub(crate) fn write() -> Outcome {
    let worker = std::fs::read_to_string(WORKER).map_err(|error| format!("{WORKER}: {error}"))?;
    std::fs::write(IMAGE, template(&worker)?).map_err(|error| format!("{IMAGE}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worker_image_is_made_of_the_worker() {
        let made = template(include_str!("../../worker.yaml")).expect("each is there once");
        assert!(made == include_str!("../../worker-image.yaml"), "run `cargo xtask worker-image`");
    }

    #[test]
    fn worker_that_has_become_another_is_refused() {
        let error = template("Description: another").expect_err("nothing of it is there");
        assert!(error.starts_with("worker.yaml does not have once:"), "{error}");
    }
}
