//! A realm on AWS: credentials and region from where AWS's own tools take them.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use pumice_aws::{Clients, DEFAULT_PREFIX, Host, Names, Store};
use pumice_core::ids::RealmName;
use pumice_core::job_type::Site;
use pumice_core::ports::{ObjectStore, StoreError};
use pumice_service::runs::{Opened, Outputs};

use crate::args::Global;
use crate::failure::Failure;

/// A realm on AWS, asked from here.
#[derive(Debug)]
pub(crate) struct Remote {
    name: RealmName,
    realm: pumice_aws::Realm,
    caller: tokio::sync::OnceCell<String>,
}

impl Remote {
    /// Clients for the realm that the options name. Where jobs are run, only those that are signed are.
    pub(crate) async fn connect(global: &Global, runs_jobs: bool) -> Result<Self, Failure> {
        let named = std::env::var("LAVA_REALM").ok().map(RealmName::new);
        let named = named.transpose().map_err(|error| Failure::wrong(format!("LAVA_REALM: {error}")))?;
        let Some(name) = global.realm.clone().or(named) else {
            return Err(Failure::wrong("which realm? name it with --realm, or set LAVA_REALM"));
        };
        let config = pumice_aws::config().await;
        if config.region().is_none() {
            let message = "which AWS region? set AWS_REGION, or name a profile that has one with AWS_PROFILE";
            return Err(Failure::wrong(message));
        }
        let prefix = std::env::var("LAVA_PREFIX").unwrap_or_else(|_| DEFAULT_PREFIX.to_owned());
        let names = Names::new(prefix, name.clone());
        let realm = pumice_aws::Realm::new(&Clients::new(&config), &names, None)
            .with_secrets(&config)
            .with_hints()
            .with_outside(&config, Arc::new(pumice_host::Web::default()), crate::outside::servers())
            .with_signing_secret(&config, runs_jobs, &|name| std::env::var(name).ok())
            .map_err(|error| Failure::wrong(error.to_string()))?
            .with_bucket(std::env::var("PUMICE_BUCKET").ok())
            .with_schedules(&config, &|name| std::env::var(name).ok())
            .map_err(|error| Failure::wrong(error.to_string()))?;
        Ok(Self { name, realm, caller: tokio::sync::OnceCell::new() })
    }

    pub(crate) fn name(&self) -> &RealmName {
        &self.name
    }

    pub(crate) fn store(&self) -> &Store {
        self.realm.store()
    }

    pub(crate) fn objects(&self) -> &pumice_aws::Objects {
        self.realm.objects()
    }

    /// The ARN under which AWS knows this process, asked for once.
    pub(crate) async fn caller(&self) -> Result<String, StoreError> {
        let asked = async {
            let config = pumice_aws::config().await;
            pumice_aws::caller(&config).await
        };
        self.caller.get_or_try_init(|| asked).await.cloned()
    }

    pub(crate) fn realm(&self) -> &pumice_aws::Realm {
        &self.realm
    }

    /// Where an engine on it runs that starts no commands: this machine.
    pub(crate) async fn site(&self) -> Result<Arc<Site>, StoreError> {
        self.site_in(std::env::temp_dir()).await
    }

    /// Where an engine on it runs: this machine. Commands get the whole environment but for credentials; these
    /// only when their job asks for them.
    pub(crate) async fn site_in(&self, scratch: PathBuf) -> Result<Arc<Site>, StoreError> {
        let (credentials, environment): (Vec<_>, Vec<_>) = std::env::vars_os()
            .filter(|(name, _)| !pumice_aws::is_signing_key(name))
            .partition(|(name, _)| pumice_aws::is_credential(name));
        let host = Host {
            name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            scratch,
            environment,
            credentials,
        };
        self.realm.site(host).await
    }
}

/// The outputs of a realm's buckets.
#[derive(Clone, Debug)]
pub(crate) struct BucketOutputs(pub(crate) pumice_aws::Objects);

#[async_trait]
impl Outputs for BucketOutputs {
    async fn names(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let listed = self.0.list_level(&format!("{folder}/"), crate::printed::MAX_NAMES).await?;
        Ok(listed.iter().filter_map(|object| Some(object.location.rsplit('/').next()?.to_owned())).collect())
    }

    async fn open(&self, location: &str) -> Result<Option<Opened>, StoreError> {
        let opened = self.0.open(location).await?;
        Ok(opened.map(|(size, reader)| Opened { size, reader: Box::new(reader) }))
    }
}
