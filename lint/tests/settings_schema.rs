//! The published schema of `coalmine.yaml` and the reader of it give the same answers.
#![allow(clippy::disallowed_methods)]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use coalmine::Settings;
use coalmine::settings::schema::schema;
use proptest::prelude::*;
use serde_json::{Value, json};

static VALIDATOR: LazyLock<jsonschema::Validator> =
    LazyLock::new(|| jsonschema::validator_for(&schema()).unwrap());

#[test]
fn the_schema_is_a_schema_and_every_shipped_file_follows_it() {
    assert!(jsonschema::meta::is_valid(&schema()));
    let mut shipped = 0;
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests")).unwrap() {
        let path = entry.unwrap().path().join("coalmine.yaml");
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let value: Value = serde_yaml::from_str(&text).unwrap();
        let errors: Vec<String> = VALIDATOR.iter_errors(&value).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", path.display());
        shipped += 1;
    }
    assert!(shipped > 0);
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
    let (_, settings) = readme.split_once("## Settings").unwrap();
    let (_, example) = settings.split_once("```yaml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    assert!(VALIDATOR.is_valid(&serde_yaml::from_str(example).unwrap()), "{example}");
    Settings::parse(example, "").unwrap();
}

#[test]
fn mistakes_are_mistakes_for_both() {
    for text in [
        "ruls: {}",
        "rules: {unknown-subsett: off}",
        "rules: {unknown-subset: loud}",
        "rules: {unknown-subset: true}",
        "rules: [unknown-subset]",
        "assume: maybe",
        "namespace: 5",
        "paths: [{rules: {}}]",
        "paths: [{glob: a, namspace: b}]",
        "paths: {glob: a}",
        "mesh: strict",
        "mesh: {enableAutoMtls: maybe}",
        "mesh: {outboundTrafficPolicy: {mode: NONE}}",
        "rollout: [1]",
        "rollout: [{name: x}]",
        "rollout: [{name: x, actions: [{}]}]",
        "rollout: [{name: x, actions: [{apply: a, delete: b}]}]",
        "rollout: [{name: x, actions: [{apply: [1]}]}]",
        "rollout: [{name: x, action: []}]",
    ] {
        let value: Value = serde_yaml::from_str(text).unwrap();
        assert!(!VALIDATOR.is_valid(&value), "the schema takes {text}");
        assert!(Settings::parse(text, "").is_err(), "the reader takes {text}");
    }
}

/// Values that are near to right: a field has what belongs there, or what belongs elsewhere.
fn anything() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        json!("off"),
        json!("error"),
        json!("closed"),
        json!("shop"),
        json!("1-deploy"),
        json!("REGISTRY_ONLY"),
        json!(""),
        json!("false"),
        json!(7),
        json!(1.5),
        Value::Null,
        json!(true),
        json!(["*"]),
        json!([]),
        json!({}),
        json!([1]),
    ]);
    let key = prop::sample::select(vec![
        "namespace",
        "assume",
        "rules",
        "paths",
        "glob",
        "mesh",
        "rootNamespace",
        "enableAutoMtls",
        "outboundTrafficPolicy",
        "mode",
        "defaultServiceExportTo",
        "rollout",
        "name",
        "actions",
        "apply",
        "delete",
        "unknown-subset",
        "unknown",
    ]);
    let nested = word.clone().prop_recursive(4, 24, 3, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 1..4).prop_map(|fields| {
                Value::Object(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
            }),
        ]
    });
    // Else scalars would be rare at the top.
    prop_oneof![word, nested]
}

/// A file with the right fields and, in each, what belongs there or nearly so.
fn file() -> impl Strategy<Value = Value> {
    let levels = prop_oneof![
        3 => Just(json!({"unknown-subset": "off"})),
        1 => anything(),
    ];
    let paths = prop_oneof![
        Just(json!([{"glob": "a/**", "rules": {"yaml-syntax": "info"}}])),
        anything().prop_map(|value| json!([{"glob": "a", "rules": value}])),
        anything().prop_map(|value| json!([{"glob": value}])),
        anything(),
    ];
    let rollout = prop_oneof![
        Just(json!(["1-deploy", {"name": "x", "actions": [{"delete": ["a", "b"]}]}])),
        anything().prop_map(|value| json!([{"name": "x", "actions": value}])),
        anything().prop_map(|value| json!([{"name": "x", "actions": [{"apply": value}]}])),
        anything(),
    ];
    let mesh = prop_oneof![
        anything(),
        anything().prop_map(|value| json!({"enableAutoMtls": value})),
        anything().prop_map(|value| json!({"outboundTrafficPolicy": value, "rootNamespace": "x"})),
        anything().prop_map(|value| json!({"defaultServiceExportTo": value})),
    ];
    let field = prop_oneof![
        levels.prop_map(|value| ("rules", value)),
        paths.prop_map(|value| ("paths", value)),
        rollout.prop_map(|value| ("rollout", value)),
        mesh.prop_map(|value| ("mesh", value)),
        anything().prop_map(|value| ("namespace", value)),
        anything().prop_map(|value| ("assume", value)),
    ];
    prop_oneof![
        9 => prop::collection::vec(field, 0..3).prop_map(|fields| {
            Value::Object(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
        }),
        1 => anything(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_schema_accepts_what_the_reader_accepts(value in file()) {
        let text = serde_yaml::to_string(&value).unwrap();
        let read = Settings::parse(&text, "");
        prop_assert_eq!(
            VALIDATOR.is_valid(&value),
            read.is_ok(),
            "{}\nreader: {:?}", text, read.map(drop)
        );
    }
}
