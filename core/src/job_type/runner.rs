//! The worker's half of a job type or a kind of action.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::action::read_fields;
use super::{
    Action, ActionContext, BadRegistry, Composite, Ended, JobContext, JobError, JobType, Planner, Registry,
    Rendered,
};
use crate::duration::Span;

/// How long an action may take, unless its performer says otherwise.
pub const ACTION_TIMEOUT: Span = Span::from_secs(30);

/// The parameters of a job type.
pub type ParametersOf<T> = <T as JobType>::Parameters;
/// The fields of a kind of action.
pub type FieldsOf<A> = <A as Action>::Fields;

/// Runs the jobs of a type that run by themselves.
#[async_trait]
pub trait Leaf: Send + Sync + 'static {
    /// The type.
    type Of: JobType;
    /// The payload as rendering leaves it: mostly as the spec has it.
    type Payload: DeserializeOwned + JsonSchema + Send;

    /// Makes one attempt. It is asked to stop through `context.cancel`, and dropped when it does not.
    ///
    /// # Errors
    /// [`JobError`] when the attempt fails.
    async fn run(
        &self,
        context: &JobContext<'_>,
        payload: Self::Payload,
        parameters: ParametersOf<Self::Of>,
    ) -> Result<Ended, JobError>;
}

/// Looks up what the plan of a composite type needs.
#[async_trait]
pub trait Resolver: Send + Sync + 'static {
    /// The type.
    type Of: Composite;

    /// The values that must be looked up once, when the run starts, and kept for good, because they may change: payload
    /// and parameters to plan from in place of those given; `None` when nothing is to be kept.
    ///
    /// # Errors
    /// [`JobError`] when it cannot be looked up.
    async fn resolve(
        &self,
        context: &JobContext<'_>,
        rendered: &Rendered,
    ) -> Result<Option<Rendered>, JobError>;
}

/// Performs actions of a kind.
#[async_trait]
pub trait Performer: Send + Sync + 'static {
    /// The kind.
    type Of: Action;

    /// How long one may take; [`ACTION_TIMEOUT`] by default.
    fn timeout(&self) -> Span {
        ACTION_TIMEOUT
    }

    /// Performs an action. Every text of the fields has been rendered. It is asked to stop through `context.cancel` when
    /// its process is to stop, and dropped when it does not, or when its time is up: then it may be performed again.
    ///
    /// # Errors
    /// [`JobError`], whose message is recorded as `action_failed`. An action is not retried, whatever the error says.
    async fn perform(&self, context: &ActionContext<'_>, fields: FieldsOf<Self::Of>) -> Result<(), JobError>;
}

/// [`Leaf`] without its types.
#[async_trait]
pub(crate) trait RunsJob: Send + Sync {
    async fn run(&self, context: &JobContext<'_>, rendered: &Rendered) -> Result<Ended, JobError>;
}

#[async_trait]
impl<T: Leaf> RunsJob for T {
    async fn run(&self, context: &JobContext<'_>, rendered: &Rendered) -> Result<Ended, JobError> {
        Leaf::run(self, context, rendered.payload()?, rendered.parameters()?).await
    }
}

/// [`Resolver`] without its types.
#[async_trait]
pub(crate) trait Resolves: Send + Sync {
    async fn resolve(
        &self,
        context: &JobContext<'_>,
        rendered: &Rendered,
    ) -> Result<Option<Rendered>, JobError>;
}

#[async_trait]
impl<T: Resolver> Resolves for T {
    async fn resolve(
        &self,
        context: &JobContext<'_>,
        rendered: &Rendered,
    ) -> Result<Option<Rendered>, JobError> {
        Resolver::resolve(self, context, rendered).await
    }
}

/// [`Performer`] without its types.
#[async_trait]
pub(crate) trait Performs: Send + Sync {
    fn timeout(&self) -> Span;
    async fn perform(&self, context: &ActionContext<'_>, fields: &Value) -> Result<(), JobError>;
}

#[async_trait]
impl<T: Performer> Performs for T {
    fn timeout(&self) -> Span {
        Performer::timeout(self)
    }

    async fn perform(&self, context: &ActionContext<'_>, fields: &Value) -> Result<(), JobError> {
        let fields = read_fields::<T::Of>(fields).map_err(JobError::permanent)?;
        Performer::perform(self, context, fields).await
    }
}

/// How the jobs of a type are run.
#[derive(Clone, Copy)]
pub(crate) enum Runner<'a> {
    /// By themselves.
    Leaf(&'a dyn RunsJob),
    /// Step by step; values for the plan may have to be looked up before.
    Composite(&'a dyn Planner, Option<&'a dyn Resolves>),
}

/// A registry with all that a worker needs to run its jobs and to perform its actions.
#[derive(Clone)]
pub struct Runners {
    registry: Arc<Registry>,
    leaves: BTreeMap<&'static str, Arc<dyn RunsJob>>,
    resolvers: BTreeMap<&'static str, Arc<dyn Resolves>>,
    performers: BTreeMap<&'static str, Arc<dyn Performs>>,
}

impl std::fmt::Debug for Runners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Runners").field(&self.registry).finish()
    }
}

impl Runners {
    /// Puts the runners of a registry's types and actions together.
    #[must_use]
    pub fn builder() -> RunnersBuilder {
        RunnersBuilder::default()
    }

    /// The registry.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// How jobs of a type are run; `None` when there is no such type.
    pub(crate) fn runner(&self, job_type: &str) -> Option<Runner<'_>> {
        match self.registry.job_type(job_type)?.planner() {
            Some(planner) => {
                Some(Runner::Composite(planner, self.resolvers.get(job_type).map(|resolver| &**resolver)))
            }
            None => self.leaves.get(job_type).map(|leaf| Runner::Leaf(&**leaf)),
        }
    }

    /// The performer of a kind of action; `None` when there is no such kind.
    pub(crate) fn performer(&self, kind: &str) -> Option<&dyn Performs> {
        self.performers.get(kind).map(|performer| &**performer)
    }
}

/// [`Runners`] in the making.
#[derive(Default)]
pub struct RunnersBuilder {
    leaves: BTreeMap<&'static str, Arc<dyn RunsJob>>,
    resolvers: BTreeMap<&'static str, Arc<dyn Resolves>>,
    performers: BTreeMap<&'static str, Arc<dyn Performs>>,
    twice: Option<BadRegistry>,
}

impl RunnersBuilder {
    /// With what runs the jobs of a type that run by themselves.
    #[must_use]
    pub fn leaf<T: Leaf>(mut self, leaf: T) -> Self {
        if self.leaves.insert(T::Of::NAME, Arc::new(leaf)).is_some() {
            self.twice = Some(BadRegistry::Twice("runners of a job type", T::Of::NAME));
        }
        self
    }

    /// With what looks up what the plans of a composite type need.
    #[must_use]
    pub fn resolver<T: Resolver>(mut self, resolver: T) -> Self {
        if self.resolvers.insert(T::Of::NAME, Arc::new(resolver)).is_some() {
            self.twice = Some(BadRegistry::Twice("resolvers of a job type", T::Of::NAME));
        }
        self
    }

    /// With what performs actions of a kind.
    #[must_use]
    pub fn performer<T: Performer>(mut self, performer: T) -> Self {
        if self.performers.insert(T::Of::NAME, Arc::new(performer)).is_some() {
            self.twice = Some(BadRegistry::Twice("performers of an action", T::Of::NAME));
        }
        self
    }

    /// The runners of all types and actions of a registry.
    ///
    /// # Errors
    /// [`BadRegistry`] when a type or an action has no runner, a runner has no type or action, or two have one.
    pub fn build(self, registry: Arc<Registry>) -> Result<Runners, BadRegistry> {
        if let Some(twice) = self.twice {
            return Err(twice);
        }
        for job_type in registry.job_types() {
            let name = job_type.name();
            let (what, is_there) = match job_type.planner() {
                None => ("the job type", self.leaves.contains_key(name)),
                Some(planner) => {
                    ("the steps of the job type", !planner.is_resolved() || self.resolvers.contains_key(name))
                }
            };
            if !is_there {
                return Err(BadRegistry::NoRunner(what, name));
            }
        }
        if let Some(action) = registry.actions().find(|action| !self.performers.contains_key(action.name())) {
            return Err(BadRegistry::NoRunner("the action", action.name()));
        }
        let is_leaf = |name: &str| registry.job_type(name).is_some_and(|found| found.planner().is_none());
        let is_resolved = |name: &str| {
            let planner = registry.job_type(name).and_then(|found| found.planner());
            planner.is_some_and(Planner::is_resolved)
        };
        let (leaves, resolvers) = (self.leaves.keys(), self.resolvers.keys());
        let odd = leaves.copied().find(|name| !is_leaf(name)).map(|name| ("leaf job type", name));
        let odd = odd.or_else(|| {
            resolvers.copied().find(|name| !is_resolved(name)).map(|name| ("resolved job type", name))
        });
        let odd = odd.or_else(|| {
            let mut performers = self.performers.keys().copied();
            performers.find(|name| registry.action(name).is_none()).map(|name| ("action", name))
        });
        if let Some((what, name)) = odd {
            return Err(BadRegistry::NothingToRun(what, name));
        }
        let Self { leaves, resolvers, performers, .. } = self;
        Ok(Runners { registry, leaves, resolvers, performers })
    }
}
