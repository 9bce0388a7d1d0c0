//! Which reader a source gets: the one that speaks the Fetch protocol itself where the options allow it, librdkafka
//! else.

use std::sync::Arc;

use super::client::ClientLimits;
use super::fetch::FetchClient;
use super::librdkafka::LibrdkafkaClient;
use super::partition::Client;
use super::settings::KafkaSettings;

/// A client, which one, and why.
pub(super) struct Chosen {
    pub client: Arc<dyn Client>,
    pub name: &'static str,
    pub reason: String,
}

/// Makes the client. `unspoken` is what the Fetch reader was found not to speak. `Err`: an option is refused.
pub(super) fn choose(settings: &KafkaSettings, limits: ClientLimits, unspoken: Option<&str>) -> Result<Chosen, String> {
    let options = &settings.options;
    let fetch = match unspoken {
        Some(reason) => Err(reason.to_owned()),
        None if settings.librdkafka_only => Err("the setting `spark.pyrite.kafka.reader` asks for it".to_owned()),
        None => FetchClient::start(options, limits, &settings.runtime),
    };
    match fetch {
        Ok(client) => {
            let reason = "it speaks all that the options ask for".to_owned();
            Ok(Chosen { client: Arc::new(client), name: "fetch", reason })
        }
        Err(reason) => {
            let client = LibrdkafkaClient::start(options, limits).map_err(|error| error.to_string())?;
            Ok(Chosen { client: Arc::new(client), name: "librdkafka", reason })
        }
    }
}
