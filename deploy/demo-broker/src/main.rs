//! `pyrite-demo-broker`: one Kafka-protocol broker that keeps its records in memory, for the demo and for laptops.
//!
//! It speaks what producers, admin clients and assigning consumers need: ApiVersions, Metadata, CreateTopics,
//! DeleteTopics, Produce, Fetch, ListOffsets and InitProducerId. It has no consumer groups, no transactions, no
//! security and no disk, and forgets its oldest records beyond a bound; tests that prove anything use real Kafka.
//!
//! The message formats are the crate `kafka-protocol`'s; ready-made brokers from the registry were tried on paper
//! first: see `README.md` beside this package.
//!
//! [`batch`] reads the headers of record batches, [`log`] is one partition, [`store`] all topics under one bound of
//! memory, [`requests`] answers requests, [`connection`] speaks to one client.

mod batch;
mod connection;
mod log;
mod requests;
mod store;

use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::store::Store;

/// One in-memory Kafka broker for demonstrations.
#[derive(Parser, Debug)]
#[command(version, about)]
struct Args {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:9092", value_name = "HOST:PORT")]
    listen: String,

    /// Address that clients are told (the one it listens on)
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,

    /// Bytes of records kept, in MiB; beyond them the oldest are forgotten
    #[arg(long, default_value_t = 512, value_name = "MIB")]
    memory: u64,

    /// A topic to create at the start
    #[arg(long, value_name = "NAME[:PARTITIONS]")]
    topic: Vec<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let listener =
        TcpListener::bind(&args.listen).await.with_context(|| format!("cannot listen on `{}`", args.listen))?;
    let address = args.advertise.clone().unwrap_or(listener.local_addr()?.to_string());
    let (host, port) = address
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host.to_owned(), port.parse::<u16>().ok()?)))
        .with_context(|| format!("`{address}` is not HOST:PORT"))?;
    let store = Arc::new(Store::new(args.memory << 20));
    for topic in &args.topic {
        let (name, partitions) = topic.split_once(':').unwrap_or((topic, "1"));
        let partitions = partitions.parse().with_context(|| format!("`{topic}` is not NAME:PARTITIONS"))?;
        store.create_topic(name, partitions).with_context(|| format!("cannot create topic `{topic}`"))?;
    }
    println!("pyrite-demo-broker: listening on {host}:{port}");
    let broker = Arc::new(requests::Broker { store, host, port });
    let mut terminate = signal(SignalKind::terminate())?;
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted.context("cannot accept connections")?;
                tokio::spawn(connection::serve(stream, Arc::clone(&broker)));
            }
            _ = tokio::signal::ctrl_c() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
        }
    }
}
