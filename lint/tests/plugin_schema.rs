//! The published schema of the filter's configuration and the filter's own check give the same answers.
#![allow(clippy::disallowed_methods)]

use coalmine_filter::config::schema::schema;
use coalmine_filter::config::{Config, Severity};
use serde_json::Value;

/// What goes into a flag that is right otherwise.
const FLAG: [&str; 38] = [
    "enabled: ~",
    "enabled: 'true'",
    "when: ~",
    "when: {hosts: ~, methods: [GET]}",
    "when: {hosts: [~]}",
    "window: {from: ~}",
    "deny: ~",
    "deny: {headers: {x: ~, y: [a]}}",
    "deny: {headers: {x: [~]}}",
    "optIn: ~",
    "optIn: {cookie: ~}",
    "optIn: {cookie: {name: f}}",
    "optIn: {cookie: {name: f, value: ~, values: []}}",
    "optIn: {cookie: {name: f, optOut: ['off']}}",
    "optIn: {cookie: {name: ~, value: 'on'}}",
    "rollout: ~",
    "rollout: {}",
    "rollout: {canary: 5}",
    "rollout: {canary: ~}",
    "rollout: {canary: '5'}",
    "rollout: {stable: 5}",
    "rollout: {stable: ~}",
    "rollout: {salt: ~, canary: {percent: 5, start: ~}}",
    "rollout: {canary: {percent: ~}}",
    "sticky: ~",
    "sticky: glue",
    "header: ~",
    "header: cookie",
    "header: host",
    "header: x-envoy-retry",
    "header: {name: authorization}",
    "header: {name: x-canary, values: {canary: ~}}",
    "header: 5",
    "header: location",
    "response: {header: vary}",
    "response: {header: user-agent}",
    "response: {header: location}",
    "response: {header: ~, vary: ~}",
];

const FILE: [&str; 53] = [
    "~",
    "{}",
    "[]",
    "mode: ~",
    "mode: 'off'",
    "mode: maybe",
    "role: ~",
    "trust: ~",
    "trust: {principals: ~}",
    "trust: {principals: [~]}",
    "subject: ~",
    "subject: []",
    "subject: [{}]",
    "subject: [~]",
    "subject: [{header: x, cookie: y}]",
    "subject: [{header: x, cookie: ~}]",
    "subject: [{header: ~}]",
    "subject: [{cookie: y, trusted: ~}]",
    "subject: [{generate: {}}]",
    "subject: [{generate: ~}]",
    "subject: [{trusted: true}]",
    "subject: [{clientIp: true}]",
    "subject: [{clientIp: false}]",
    "subject: [{clientIp: ~}]",
    "subject: [{clientIp: true, header: x}]",
    "subject: [{clientIp: false, header: x}]",
    "trust: {clientIpHeader: ~}",
    "trust: {clientIpHeader: none}",
    "trust: {clientIpHeader: x-real-ip}",
    "trust: {clientIpHeader: x-forwarded-for}",
    "trust: {clientIpHeader: X-Real-Ip}",
    "priority: first-match",
    "priority: last-match",
    "keys: ~",
    "keys: [{id: a, env: A, verifyOnly: ~}]",
    "keys: [{id: a, env: ~}]",
    "cookieDefaults: {secure: ~, sameSite: ~, maxAge: ~}",
    "flags: ~",
    "flags: [~]",
    "tagsHeader: ~",
    "tagsHeader: cookie",
    "tagsHeader: x-tags",
    "reasonHeader: x-envoy-a",
    "limits: {cookieBytes: ~}",
    "cookieDefaults: {domain: example.com}",
    "cookieDefaults: {domain: .a-b--c.d1}",
    "cookieDefaults: {domain: a..b}",
    "cookieDefaults: {domain: ..a}",
    "cookieDefaults: {domain: a.}",
    "cookieDefaults: {domain: a.-b}",
    "cookieDefaults: {domain: a-.b}",
    "pluginConfig: {flags: [{name: f}]}",
    "unknown: ~",
];

#[test]
fn every_value_of_every_field_has_the_same_verdict_from_both() {
    assert!(jsonschema::meta::is_valid(&schema()));
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let flags = FLAG.iter().map(|field| format!("flags: [{{name: f, {field}}}]"));
    let mut right = 0;
    for text in flags.chain(FILE.map(str::to_owned)) {
        let value: Value = serde_yaml::from_str(&text).unwrap();
        let (_, problems) = Config::from_value(&value);
        let wrong: Vec<String> = problems
            .iter()
            .filter(|problem| problem.severity > Severity::Warning)
            .map(|problem| problem.message.clone())
            .collect();
        let refused: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
        right += usize::from(wrong.is_empty());
        assert_eq!(wrong.is_empty(), refused.is_empty(), "{text}\nfilter: {wrong:?}\nschema: {refused:?}");
    }
    assert!(right > 25, "only {right} are right");
}
