//! The master's settings, with their defaults.

use std::time::Duration;

use pyrite_common::net::is_loopback;
use pyrite_common::security::Secret;

use crate::allocator::Placement;
use crate::error::MasterError;

/// How a master runs.
#[derive(Clone, Debug)]
pub struct MasterConfig {
    /// Name or address to listen on, and to be called by.
    pub host: String,
    /// Port of the RPC service; 0 is any.
    pub port: u16,
    /// Port of the web UI; the next free one is taken when it is not free.
    pub webui_port: u16,
    /// The cluster's secret.
    pub secret: Option<Secret>,
    /// Listen beyond this machine without a secret.
    pub insecure: bool,
    /// A worker silent for this long is dead: `spark.worker.timeout`.
    pub worker_timeout: Duration,
    /// `spark.deploy.spreadOutApps` and `spark.deploy.workerSelectionPolicy`.
    pub placement: Placement,
    /// Executors that fail in a row, none having run, before the application fails: `spark.deploy.maxExecutorRetries`;
    /// none: never.
    pub executor_failures_max: Option<u32>,
    /// How long an application whose driver's stream broke is kept for it.
    pub driver_grace: Duration,
    /// Ended applications that stay to be seen: `spark.deploy.retainedApplications`.
    pub ended_applications_max: usize,
}

impl Default for MasterConfig {
    fn default() -> Self {
        MasterConfig {
            host: "127.0.0.1".to_owned(),
            port: 7077,
            webui_port: 8080,
            secret: None,
            insecure: false,
            worker_timeout: Duration::from_secs(60),
            placement: Placement::default(),
            executor_failures_max: Some(10),
            driver_grace: Duration::from_secs(10),
            ended_applications_max: 200,
        }
    }
}

impl MasterConfig {
    /// Refuses what must not start.
    pub(crate) fn validate(&self) -> Result<(), MasterError> {
        if self.secret.is_none() && !self.insecure && !is_loopback(&self.host) {
            return Err(MasterError::Unprotected { host: self.host.clone() });
        }
        Ok(())
    }

    /// How often workers say that they live: four times within the timeout, as Spark.
    pub(crate) fn heartbeat_interval(&self) -> Duration {
        self.worker_timeout / 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_protected_master_listens_to_others() {
        let open = MasterConfig { host: "0.0.0.0".to_owned(), ..MasterConfig::default() };
        assert!(matches!(open.validate(), Err(MasterError::Unprotected { .. })));
        assert!(MasterConfig { insecure: true, ..open.clone() }.validate().is_ok());
        assert!(MasterConfig { secret: Some(Secret::random()), ..open }.validate().is_ok());
        assert!(MasterConfig::default().validate().is_ok());
    }
}
