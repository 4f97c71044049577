//! The `pumice` command that shows or does what a page does.

/// The words of a command.
pub(crate) struct Words(Vec<String>);

impl Words {
    /// A command that begins with these words.
    pub(crate) fn new(begin: &[String], words: &[&str]) -> Self {
        Self(begin.iter().cloned().chain(words.iter().map(|word| (*word).to_owned())).collect())
    }

    /// The same with an option, where it has a value.
    pub(crate) fn option(mut self, name: &str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            // One word: a value may begin with a dash.
            self.0.push(format!("{name}={value}"));
        }
        self
    }

    /// The same with an option for each value.
    pub(crate) fn each<'a>(self, name: &str, values: impl Iterator<Item = &'a str>) -> Self {
        values.fold(self, |words, value| words.option(name, Some(value)))
    }

    /// The same with a switch, where it is on.
    pub(crate) fn switch(mut self, name: &str, is_on: bool) -> Self {
        if is_on {
            self.0.push(name.to_owned());
        }
        self
    }

    /// The line, as a shell takes it.
    pub(crate) fn line(&self) -> String {
        self.0.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
    }
}

/// A word as a POSIX shell takes it for one.
pub(crate) fn quote(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_-./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_is_quoted_where_a_shell_would_act_on_it() {
        for (word, quoted) in [
            ("etl/load", "etl/load"),
            ("größe", "größe"),
            ("a b", "'a b'"),
            ("", "''"),
            ("$(rm -rf x)", "'$(rm -rf x)'"),
            ("it's", r"'it'\''s'"),
            ("a\nb", "'a\nb'"),
            ("*", "'*'"),
        ] {
            assert_eq!(quote(word), quoted);
        }
        let line = Words::new(&["pumice".to_owned()], &["runs", "list"])
            .option("--job", Some("-x y"))
            .option("--since", None)
            .each("--global", ["a=b c", "d=e"].into_iter())
            .switch("--children", true)
            .line();
        assert_eq!(line, "pumice runs list '--job=-x y' '--global=a=b c' --global=d=e --children");
    }
}
