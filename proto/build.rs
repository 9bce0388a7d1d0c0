//! Generates the wire types and service stubs from the .proto files of this crate.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let protos = ["proto/plan.proto", "proto/executor.proto", "proto/master.proto"];
    for proto in protos {
        println!("cargo:rerun-if-changed={proto}");
    }
    tonic_prost_build::configure().bytes(".").compile_protos(&protos, &["proto"])?;
    Ok(())
}
