//! A job type that counts the words of a text, and an action that counts how often it was performed.

use async_trait::async_trait;
use pumice_core::ids::StateId;
use pumice_core::job_type::{
    Action, ActionContext, Ended, Given, JobContext, JobError, JobType, Leaf, Performer, Template,
};
use pumice_core::ports::{StateItem, StateType};
use pumice_core::problem::{JsonPath, Problem};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

/// Parameters of a `words` job.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WordsParameters {
    /// The fewest words that are enough; default 1.
    #[serde(default)]
    pub at_least: Option<u32>,
    /// Whether the text is rendered; default true.
    #[serde(default)]
    pub jinja: Option<bool>,
}

/// The job type `words`: the form of its specs.
#[derive(Debug)]
pub struct Words;

impl JobType for Words {
    const NAME: &'static str = "words";
    const ABOUT: &'static str = "Counts the words of a text.";
    type Payload = Template<String>;
    type Parameters = WordsParameters;

    fn check(&self, given: &Given<'_, Self>) -> Vec<Problem> {
        let path = JsonPath::root().field("parameters").field("at_least");
        match &given.parameters {
            Some(WordsParameters { at_least: Some(0), .. }) => {
                vec![Problem::new(path, "0 words are always enough").with_hint("leave it out")]
            }
            _ => Vec::new(),
        }
    }
}

/// Runs jobs of type `words`.
#[derive(Debug)]
pub struct CountWords;

#[async_trait]
impl Leaf for CountWords {
    type Of = Words;
    type Payload = Template<String>;

    async fn run(
        &self,
        _: &JobContext<'_>,
        Template(text): Template<String>,
        parameters: WordsParameters,
    ) -> Result<Ended, JobError> {
        let (count, least) = (text.split_whitespace().count(), parameters.at_least.unwrap_or(1));
        let result = json!({ "exit_status": 0, "words": count });
        if count < least as usize {
            let message = format!("{count} words are fewer than {least}");
            return Err(JobError::permanent(message).with_data(result));
        }
        Ok(Ended::Done(result))
    }
}

/// Fields of the action `tally`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TallyFields {
    /// The state item that holds the count.
    pub state_id: StateId,
}

/// The action `tally`: the form of its specs.
#[derive(Debug)]
pub struct Tally;

impl Action for Tally {
    const NAME: &'static str = "tally";
    const ABOUT: &'static str = "Adds one to a state item.";
    type Fields = TallyFields;
}

/// Performs the action `tally`.
#[derive(Debug)]
pub struct AddOne;

#[async_trait]
impl Performer for AddOne {
    type Of = Tally;

    async fn perform(&self, context: &ActionContext<'_>, fields: TallyFields) -> Result<(), JobError> {
        let unreachable = |error| JobError::failed(format!("cannot reach the state items: {error}"));
        let now = context.clock.now();
        let ids = [fields.state_id];
        let found = context.state.get(&ids, now).await.map_err(unreachable)?.pop().flatten();
        let count = found.as_ref().and_then(|item| item.value.as_u64()).unwrap_or(0);
        let [state_id] = ids;
        let item = StateItem {
            state_id,
            r#type: StateType::Json,
            value: Value::from(count + 1),
            publisher: Some(context.job_id.to_string()),
            timestamp: now,
            expires: now + context.settings.state_ttl.delta(),
        };
        context.state.put(item).await.map_err(unreachable)
    }
}
