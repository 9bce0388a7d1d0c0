//! What is streaming about a plan: sources, watermarks, windows over them, and what each output mode allows.

use super::*;

/// The crash monitor of `examples/`.
fn crash_monitor() -> RelationNode {
    let parsed = select(
        select(
            select(kafka(), &["CAST(value AS STRING) as json"]),
            &["from_json(json, 'user_id STRING, severity \
            STRING, content STRING, timestamp TIMESTAMP') as data"],
        ),
        &["data.*"],
    );
    let crashes = filter(parsed, "contains(lower(content), 'crash') and severity in ('High', 'Critical')");
    let counted = group(
        watermark(crashes, "timestamp", "30 seconds"),
        &["window(timestamp, '10 seconds')", "user_id"],
        &["count(*) as crash_count"],
    );
    filter(counted, "crash_count > 2")
}

#[test]
fn the_schema_of_the_kafka_source_is_sparks() {
    let expected = "key binary, value binary, topic string, partition int, offset bigint, timestamp timestamp, \
        timestampType int";
    assert_eq!(schema(kafka()), expected);
    let node = select(kafka(), &["CAST(value AS STRING) as json"]);
    assert_eq!(schema(node.clone()), "json string");
    assert!(analyzed(node).streaming);
}

#[test]
fn the_crash_monitor_resolves() {
    let expected = "window struct<start:timestamp,end:timestamp>, user_id string, crash_count bigint";
    assert_eq!(schema(crash_monitor()), expected);
    let analyzed = analyzed(crash_monitor());
    assert_eq!(analyzed.output[0].watermark_us, Some(30_000_000));
    assert!(!analyzed.output[0].nullable && !analyzed.output[2].nullable);
    check_streaming(&analyzed, OutputMode::Append).unwrap();
    let text = explain_text(&analyzed, true);
    assert!(text.contains("== Physical Plan ==\nFilter "), "{text}");
    assert!(text.contains("StreamingRelation kafka, [key#0, value#1"), "{text}");
}

#[test]
fn the_same_relation_gives_the_same_plan() {
    assert_eq!(analyzed(crash_monitor()).plan, analyzed(crash_monitor()).plan);
}

#[test]
fn watermarks_are_checked_and_followed() {
    assert_eq!(class(watermark(rows(), "user", "1 minute")), "EVENT_TIME_IS_NOT_ON_TIMESTAMP_TYPE");
    assert_eq!(class(watermark(rows(), "ts", "soon")), "CANNOT_PARSE_INTERVAL");
    let error = analyze(watermark(rows(), "ts", "-1 minute")).unwrap_err();
    assert_eq!(error.message, "requirement failed: delay threshold (-1 minute) should not be negative.");
    let renamed = analyzed(select(watermark(kafka(), "timestamp", "1 minute"), &["timestamp as t"]));
    assert_eq!(renamed.output[0].watermark_us, Some(60_000_000));
    assert_eq!(collected(watermark(rows(), "ts", "1 minute")).len(), 4);
}

#[test]
fn output_modes_are_checked_as_spark_does() {
    let check = |node: RelationNode, mode| {
        check_streaming(&analyzed(node), mode).map_err(|error| (error.class.clone(), error.message.clone()))
    };
    let unsupported = "STREAMING_OUTPUT_MODE.UNSUPPORTED_OPERATION".to_owned();
    let counted = || group(kafka(), &["topic"], &["count(*) as n"]);
    assert_eq!(
        check(counted(), OutputMode::Append).unwrap_err(),
        (
            unsupported.clone(),
            "Invalid streaming output mode: append. This output mode is not supported for streaming \
            aggregations without watermark on streaming DataFrames/DataSets."
                .to_owned()
        )
    );
    check(counted(), OutputMode::Update).unwrap();
    check(counted(), OutputMode::Complete).unwrap();
    assert_eq!(check(kafka(), OutputMode::Complete).unwrap_err().0, unsupported);
    check(kafka(), OutputMode::Append).unwrap();
    let windowed = |key: &str| group(watermark(kafka(), "timestamp", "1 minute"), &[key], &["count(*) as n"]);
    check(windowed("window(timestamp, '1 minute') as interval"), OutputMode::Append).unwrap();
    check(windowed("timestamp"), OutputMode::Append).unwrap();
    assert!(check(windowed("topic"), OutputMode::Append).is_err());
    assert!(
        check(windowed("window(cast(cast(timestamp as string) as timestamp), '1 minute')"), OutputMode::Append)
            .is_err()
    );
    let sort = |input| RelationNode::Sort {
        input: boxed(input),
        keys: vec![SortKey { expression: sql("n"), ascending: true, nulls_first: None }],
    };
    check(sort(counted()), OutputMode::Complete).unwrap();
    assert!(check(sort(counted()), OutputMode::Update).unwrap_err().1.starts_with("Sorting is not supported"));
    let limit = |input| RelationNode::Limit { input: boxed(input), count: 5 };
    check(limit(sort(counted())), OutputMode::Complete).unwrap();
    assert!(check(limit(counted()), OutputMode::Update).unwrap_err().1.starts_with("Limits are not supported"));
    assert_eq!(check(limit(kafka()), OutputMode::Append).unwrap_err().0, "UNSUPPORTED_FEATURE");
    assert_eq!(check(rows(), OutputMode::Append).unwrap_err().0, "WRITE_STREAM_NOT_ALLOWED");
    assert_eq!(
        check(group(counted(), &["n"], &["count(*)"]), OutputMode::Complete).unwrap_err().0,
        "UNSUPPORTED_FEATURE"
    );
}

#[test]
fn sources_are_refused_by_name() {
    let read = |format: &str, options: &[(&str, &str)]| {
        RelationNode::Read(Read {
            format: format.to_owned(),
            schema: None,
            options: options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            paths: Vec::new(),
            streaming: true,
        })
    };
    assert!(analyze(read("kafak", &[])).unwrap_err().message.ends_with("Did you mean `kafka`?"));
    assert_eq!(class(read("rate", &[])), "UNSUPPORTED_FEATURE");
    assert!(analyze(read("kafka", &[])).unwrap_err().message.starts_with("One of the following options"));
    assert!(analyze(read("kafka", &[("subscribe", "a")])).unwrap_err().message.contains("kafka.bootstrap.servers"));
    let error =
        analyze(read("kafka", &[("subscribe", "a"), ("kafka.bootstrap.servers", "h"), ("maxOffsetsPerTrigger", "x")]))
            .unwrap_err();
    assert!(error.message.contains("maxOffsetsPerTrigger"));
    let headers = read("kafka", &[("subscribe", "a"), ("kafka.bootstrap.servers", "h"), ("includeHeaders", "true")]);
    assert!(schema(headers).ends_with("headers array<struct<key:string,value:binary>>"));
}

#[test]
fn a_stream_is_not_collected() {
    let error = prepare_batch(&analyzed(kafka())).unwrap_err();
    assert!(error.message.starts_with("Queries with streaming sources must be executed with writeStream.start()"));
}

#[test]
fn views_can_stream() {
    let node = query("select cast(value as string) as json from logs");
    assert_eq!(schema(node.clone()), "json string");
    assert!(analyzed(node).streaming);
}
