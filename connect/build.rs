//! Generates the server side of the Spark Connect service over the messages of `apache-spark-connect-proto`, which
//! itself builds only a client. The methods are described here, so no `.proto` file has to be found.

use tonic_prost_build::manual::{Builder, Method, Service};

/// Whether the client of a method sends many messages, and whether the server does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Unary,
    ServerStreams,
    ClientStreams,
}

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let methods = [
        ("execute_plan", "ExecutePlan", "ExecutePlanRequest", "ExecutePlanResponse", Shape::ServerStreams),
        ("analyze_plan", "AnalyzePlan", "AnalyzePlanRequest", "AnalyzePlanResponse", Shape::Unary),
        ("config", "Config", "ConfigRequest", "ConfigResponse", Shape::Unary),
        ("add_artifacts", "AddArtifacts", "AddArtifactsRequest", "AddArtifactsResponse", Shape::ClientStreams),
        ("artifact_status", "ArtifactStatus", "ArtifactStatusesRequest", "ArtifactStatusesResponse", Shape::Unary),
        ("interrupt", "Interrupt", "InterruptRequest", "InterruptResponse", Shape::Unary),
        ("reattach_execute", "ReattachExecute", "ReattachExecuteRequest", "ExecutePlanResponse", Shape::ServerStreams),
        ("release_execute", "ReleaseExecute", "ReleaseExecuteRequest", "ReleaseExecuteResponse", Shape::Unary),
        ("release_session", "ReleaseSession", "ReleaseSessionRequest", "ReleaseSessionResponse", Shape::Unary),
        (
            "fetch_error_details",
            "FetchErrorDetails",
            "FetchErrorDetailsRequest",
            "FetchErrorDetailsResponse",
            Shape::Unary,
        ),
        ("clone_session", "CloneSession", "CloneSessionRequest", "CloneSessionResponse", Shape::Unary),
        ("get_status", "GetStatus", "GetStatusRequest", "GetStatusResponse", Shape::Unary),
    ];
    let mut service = Service::builder().name("SparkConnectService").package("spark.connect");
    for (name, route, input, output, shape) in methods {
        let mut method = Method::builder()
            .name(name)
            .route_name(route)
            .input_type(format!("crate::wire::{input}"))
            .output_type(format!("crate::wire::{output}"))
            .codec_path("crate::codec::BoundedCodec");
        if shape == Shape::ServerStreams {
            method = method.server_streaming();
        }
        if shape == Shape::ClientStreams {
            method = method.client_streaming();
        }
        service = service.method(method.build());
    }
    Builder::new().build_client(false).compile(&[service.build()]);
}
