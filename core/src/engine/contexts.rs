//! What jobs can reach: the capabilities that a context names, taken from the site.

use std::path::Path;

use async_trait::async_trait;

use super::{Engine, Invocation};
use crate::job_type::{
    Cancel, Directories, Dispatches, JobContext, JobError, Machine, Site, Templates, made,
};
use crate::ports::TempDir;
use crate::run::Run;
use crate::spec::{JobSpec, RealmSpec};

/// The directories of an invocation, with the files that the steps of the run share.
pub(super) struct RunDirectories<'a> {
    pub(super) site: &'a Site,
    pub(super) run: &'a Run,
    pub(super) job: &'a JobSpec,
    pub(super) realm: &'a RealmSpec,
    pub(super) invocation: &'a Invocation,
}

#[async_trait]
impl Directories for RunDirectories<'_> {
    async fn work(&self) -> Result<&Path, JobError> {
        let Invocation { files, work_dir, .. } = self.invocation;
        files.fetch(&**work_dir, self.site, self.realm, self.run, self.job).await?;
        made(work_dir.work())
    }

    fn home(&self) -> Result<&Path, JobError> {
        made(self.invocation.work_dir.home())
    }

    fn temp(&self) -> Result<Box<dyn TempDir>, JobError> {
        made(self.invocation.work_dir.temp())
    }
}

impl Engine {
    /// What a job reaches while it runs in these directories.
    pub(super) fn job_context<'a>(
        &'a self,
        directories: &'a RunDirectories<'a>,
        templates: &'a Templates,
        dispatches: &'a dyn Dispatches,
        cancel: &'a Cancel,
    ) -> JobContext<'a> {
        let Site { realm: realm_name, settings, scratch, environment, credentials, ports, .. } = &*self.site;
        let RunDirectories { run, job, realm, .. } = *directories;
        JobContext {
            run,
            job,
            realm_name,
            realm,
            settings,
            templates,
            dispatches,
            objects: &*ports.objects,
            clock: &*ports.clock,
            pool: &*ports.pool,
            directories,
            machine: Machine { scratch, environment, credentials },
            cancel,
        }
    }
}
