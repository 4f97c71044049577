//! The common parts of Pumice's functions on AWS Lambda: their environment, their realm and their
//! log.

#[cfg(feature = "commands")]
mod clear;
#[cfg(feature = "commands")]
mod commands;
mod environment;
mod log;
mod metrics;
mod scratch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use pumice_core::ids::RunKey;
use pumice_core::job_type::Site;
use pumice_core::ports::{Http, Servers, StoreError};
use tokio::sync::Mutex;

pub use environment::{BadEnvironment, Environment, is_credential};
pub use log::start_log;
pub use metrics::{METRICS, Metric};

use crate::connect::{Clients, config};
use crate::realm::{EngineHost, Realm};
use scratch::Scratch;

/// How long the realm's settings are used until they are read again.
const SITE_FRESH: Duration = Duration::from_secs(300);

/// A function of a realm, as long as its process lives.
#[derive(Debug)]
pub struct Function {
    realm: Realm,
    host: EngineHost,
    scratch: Scratch,
    site: Mutex<Option<(Instant, Arc<Site>)>>,
}

impl Function {
    /// A function that runs jobs, which have secrets and reach what is outside the realm. Nothing is asked of AWS yet.
    ///
    /// # Errors
    /// [`BadEnvironment`] naming the variable that is invalid.
    pub async fn connect_with_outside(
        environment: &Environment,
        http: Arc<dyn Http>,
        servers: Servers,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, BadEnvironment> {
        let config = config().await;
        let realm = Realm::new(&Clients::new(&config), environment.names(), environment.queue_urls());
        let realm =
            realm.with_secrets(&config).with_outside(&config, http, servers).with_signing(variable)?;
        Ok(Self::of(realm, environment))
    }

    /// The same for a function that takes requests: timed runs have schedules if the variables say so,
    /// see [`Realm::with_schedules`].
    ///
    /// # Errors
    /// [`BadEnvironment`] naming the variable that is missing or invalid.
    pub async fn connect_with_schedules(
        environment: &Environment,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, BadEnvironment> {
        let config = config().await;
        let realm = Realm::new(&Clients::new(&config), environment.names(), environment.queue_urls());
        Ok(Self::of(realm.with_schedules(&config, variable)?.with_signing(variable)?, environment))
    }

    fn of(realm: Realm, environment: &Environment) -> Self {
        let realm = realm.with_bucket(environment.bucket());
        let (plain, credentials) = environment::for_commands(std::env::vars_os());
        let scratch = Scratch::new(environment.tmp());
        let host = EngineHost {
            name: environment.host_name(),
            scratch: scratch.path(),
            environment: plain,
            credentials,
        };
        Self { realm, host, scratch, site: Mutex::new(None) }
    }

    /// The realm.
    #[must_use]
    pub fn realm(&self) -> &Realm {
        &self.realm
    }

    /// Where an engine runs; the same until the realm's settings are read again. That takes no round
    /// trip of its own when `next` names runs that will be asked for: they are read with it.
    ///
    /// # Errors
    /// [`StoreError`] when there is no such realm, or it cannot be reached.
    pub async fn site(&self, next: &[RunKey]) -> Result<Arc<Site>, StoreError> {
        let mut site = self.site.lock().await;
        if let Some((read, site)) = &*site
            && read.elapsed() < SITE_FRESH
        {
            return Ok(site.clone());
        }
        self.realm.store().read_ahead(next).await?;
        let host = EngineHost { scratch: self.scratch.path(), ..self.host.clone() };
        let read = self.realm.site(host).await?;
        *site = Some((Instant::now(), read.clone()));
        Ok(read)
    }
}
