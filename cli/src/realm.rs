//! A realm, wherever it is kept.

use std::sync::Arc;

use pumice_core::ids::RealmName;
use pumice_core::job_type::Site;
use pumice_core::ports::{Catalog, JobStore, RunStore, ScheduleStore, StateStore};
use pumice_local::{Durability, Home};

use crate::args::Global;
use crate::failure::Failure;
use crate::printed::{Kept, Outputs};

/// A realm that commands look at and change.
#[derive(Debug)]
pub(crate) enum Realm {
    /// In a folder.
    Folder(Home),
    /// On AWS.
    #[cfg(feature = "aws")]
    Aws(Box<crate::aws::Remote>),
}

impl Realm {
    /// Opens the realm that the options name; makes a folder for it when `create`.
    pub(crate) async fn open(global: &Global, create: bool) -> Result<Self, Failure> {
        if global.is_aws() {
            return Self::on_aws(global).await;
        }
        let home = Home::open(&global.home, global.realm.as_ref(), create, Durability::Normal).await?;
        Ok(Self::Folder(home))
    }

    /// Opens the realm that the options name to look at it alone.
    pub(crate) async fn open_to_read(global: &Global) -> Result<Self, Failure> {
        if global.is_aws() {
            return Self::on_aws(global).await;
        }
        Ok(Self::Folder(Home::open_to_read(&global.home, global.realm.as_ref()).await?))
    }

    /// Whether something runs the realm's jobs; `None` where that cannot be told.
    pub(crate) fn is_served(&self) -> Option<bool> {
        match self {
            Self::Folder(home) => Some(home.is_served()),
            #[cfg(feature = "aws")]
            Self::Aws(_) => None,
        }
    }

    #[cfg(feature = "aws")]
    async fn on_aws(global: &Global) -> Result<Self, Failure> {
        Ok(Self::Aws(Box::new(crate::aws::Remote::connect(global).await?)))
    }

    #[cfg(not(feature = "aws"))]
    #[expect(clippy::unused_async, reason = "it connects where it can")]
    async fn on_aws(_: &Global) -> Result<Self, Failure> {
        let message =
            "this pumice was built without AWS: build it with `cargo install --path cli --features aws`";
        Err(Failure::Wrong(message.to_owned()))
    }

    /// Its name.
    pub(crate) fn name(&self) -> &RealmName {
        match self {
            Self::Folder(home) => home.realm(),
            #[cfg(feature = "aws")]
            Self::Aws(remote) => remote.name(),
        }
    }

    /// What people do with it.
    pub(crate) fn catalog(&self) -> &dyn Catalog {
        match self {
            Self::Folder(home) => home.database(),
            #[cfg(feature = "aws")]
            Self::Aws(remote) => remote.store(),
        }
    }

    /// Its jobs, as the engine sees them.
    pub(crate) fn jobs(&self) -> &dyn JobStore {
        match self {
            Self::Folder(home) => home.database(),
            #[cfg(feature = "aws")]
            Self::Aws(remote) => remote.store(),
        }
    }

    /// Its runs.
    pub(crate) fn runs(&self) -> &dyn RunStore {
        match self {
            Self::Folder(home) => home.database(),
            #[cfg(feature = "aws")]
            Self::Aws(remote) => remote.store(),
        }
    }

    /// How far its schedules have come.
    pub(crate) fn schedules(&self) -> &dyn ScheduleStore {
        match self {
            Self::Folder(home) => home.database(),
            #[cfg(feature = "aws")]
            Self::Aws(remote) => remote.store(),
        }
    }

    /// Its state items.
    pub(crate) fn state(&self) -> &dyn StateStore {
        match self {
            Self::Folder(home) => home.database(),
            #[cfg(feature = "aws")]
            Self::Aws(remote) => remote.store(),
        }
    }

    /// Where what commands printed is read from.
    pub(crate) fn outputs(&self) -> Outputs {
        match self {
            Self::Folder(home) => Outputs::files(home.path(), Kept::ForGood),
            #[cfg(feature = "aws")]
            Self::Aws(remote) => Outputs::Objects(remote.objects().clone()),
        }
    }

    /// Where an engine on it runs.
    pub(crate) async fn site(&self) -> Result<Arc<Site>, Failure> {
        match self {
            Self::Folder(home) => Ok(home.site().await?),
            #[cfg(feature = "aws")]
            Self::Aws(remote) => remote.site().await,
        }
    }

    /// What to say when nothing starts a run.
    pub(crate) const fn unserved(&self) -> &'static str {
        match self {
            Self::Folder(_) => "nothing has started yet: is `pumice serve` running on this folder?",
            #[cfg(feature = "aws")]
            Self::Aws(_) => {
                "nothing has started yet: is the function, or `pumice worker`, of the job's worker there?"
            }
        }
    }
}
