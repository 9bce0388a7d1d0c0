//! The messages of Spark Connect 4.2 and the generated server trait over them.

pub use spark_connect_proto::*;

/// The generated server: the trait that `service.rs` implements, and the tower service round it.
#[allow(missing_docs, clippy::all, reason = "generated")]
pub mod generated {
    include!(concat!(env!("OUT_DIR"), "/spark.connect.SparkConnectService.rs"));
}

/// The version that the server says it is: Spark's whose protocol it speaks.
pub const SPARK_VERSION: &str = "4.2.0";
