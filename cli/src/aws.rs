//! A realm on AWS: credentials and region from where AWS's own tools take them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use pumice_aws::{Clients, DEFAULT_PREFIX, EngineHost, Names, Store};
use pumice_core::ids::{RealmName, RunKey};
use pumice_core::job_type::{Execution, PIECE_BYTES, Pieces, Site};
use pumice_core::ports::{MAX_PIECE, ObjectStore, Piece, StoreError};
use pumice_service::runs::{LiveOutput, Outputs};

use crate::args::Global;
use crate::failure::Failure;
use crate::printed::MAX_NAMES;

/// A realm on AWS, asked from here.
#[derive(Debug)]
pub(crate) struct Remote {
    name: RealmName,
    realm: pumice_aws::Realm,
    caller: tokio::sync::OnceCell<String>,
    region: Option<String>,
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
        let region = config.region().map(ToString::to_string);
        Ok(Self { name, realm, caller: tokio::sync::OnceCell::new(), region })
    }

    /// The region in which the realm is looked for.
    pub(crate) fn region(&self) -> Option<&str> {
        self.region.as_deref()
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
        let host = EngineHost {
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
    async fn live(
        &self,
        _: &RunKey,
        attempt: u32,
        folder: Option<&str>,
    ) -> Result<Vec<LiveOutput>, StoreError> {
        let Some(folder) = folder else { return Ok(Vec::new()) };
        let listed = self.0.list_level(&Pieces::folder(folder), MAX_NAMES).await?;
        let mut outputs = BTreeSet::new();
        for object in &listed {
            let name = object.location.rsplit('/').next().unwrap_or_default();
            outputs.extend(Pieces::read(name).map(|(epoch, name, _)| (epoch, name)));
        }
        let live = |(epoch, name): (u64, &str)| LiveOutput {
            execution: Execution { attempt, epoch },
            name: name.to_owned(),
            location: Pieces::new(folder, epoch, name).location,
        };
        Ok(outputs.into_iter().map(live).collect())
    }

    async fn names(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let listed = self.0.list_level(&format!("{folder}/"), MAX_NAMES).await?;
        Ok(listed.iter().filter_map(|object| Some(object.location.rsplit('/').next()?.to_owned())).collect())
    }

    async fn read(&self, location: &str, from: u64, length: u64) -> Result<Option<Piece>, StoreError> {
        match Pieces::at(location) {
            None => self.0.open_range(location, from, length).await,
            Some(pieces) => self.read_pieces(&pieces, from, length).await,
        }
    }
}

impl BucketOutputs {
    /// Reads an output that is kept in pieces.
    async fn read_pieces(
        &self,
        pieces: &Pieces,
        from: u64,
        length: u64,
    ) -> Result<Option<Piece>, StoreError> {
        let listed = self.0.list_level(&format!("{}.", pieces.location), MAX_NAMES).await?;
        // Another output's name may begin as this one's does.
        let own = listed.iter().zip(0..).filter(|(object, index)| object.location == pieces.piece(*index));
        let sizes: Vec<u64> = own.map(|(object, _)| object.size).collect();
        let Some(last) = sizes.len().checked_sub(1) else { return Ok(None) };
        let mut read = Piece { bytes: Vec::new(), size: sizes.iter().sum() };
        let until = from.saturating_add(length.min(MAX_PIECE)).min(read.size);
        let mut at = from;
        while at < until {
            let index = (at / PIECE_BYTES).min(last as u64);
            let found = self.0.open_range(&pieces.piece(index), at - index * PIECE_BYTES, until - at).await?;
            // It is gone once the whole has its place.
            let Some(found) = found else { return Ok(None) };
            if found.bytes.is_empty() {
                break;
            }
            at += found.bytes.len() as u64;
            read.bytes.extend(found.bytes);
        }
        Ok(Some(read))
    }
}
