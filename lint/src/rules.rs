//! The registry: one line per rule, in the order in which `coalmine rules` lists them.

use crate::rule::Rule;

macro_rules! rules {
    ($($name:ident)*) => {
        $(pub mod $name;)*

        /// Every rule.
        pub static RULES: &[&Rule] = &[$(&$name::RULE),*];
    };
}

rules! {
    yaml_syntax
    duplicate_key
    yaml_limits
    duplicate_resource
    deprecated_api
    wrong_type
    unknown_field
    missing_field
    unknown_subset
    orphaned_subset
    unknown_destination_host
    unresolvable_partial_host
    unknown_destination_rule_host
    unknown_destination_port
    ambiguous_destination_port
    subset_selects_no_pods
    subset_mixes_versions
    subset_port_mismatch
    service_port_not_on_workload
    hpa_target_missing
    unknown_gateway
    gateway_host_mismatch
    gateway_port_not_exposed
    route_kind_ignored
    source_labels_match_no_workload
    selector_matches_no_workload
    weights_not_100
    single_destination_weight
    invalid_weight
    mtls_client_server_conflict
    mtls_downgrade
    peer_auth_duplicate
    peer_auth_selector_in_root
    peer_auth_port_unknown
    invalid_regex
    mesh_host_conflict
    unreachable_route
    shadowed_route
    unversioned_route
    version_islands_cross
    cookie_regex_unanchored
    cookie_regex_misses_space
    wasm_plugin_config
    wasm_plugin_phase
    wasm_plugin_unpinned
    wasm_plugin_fail_open
    tag_header_unrouted
    tag_header_unprotected
    rollout_subset_removed_early
    rollout_subset_used_before_defined
    rollout_same_apply_race
    rollout_workload_removed_early
    rollout_pods_not_ready_before_route
    rollout_host_or_port_removed_early
    rollout_host_or_port_used_before_defined
    rollout_gateway_removed_early
    rollout_route_removed_early
    rollout_mtls_window
    rollout_flag_leak
    rollout_weight_jump
    rollout_no_way_back
    unused_suppression
    invalid_suppression
}

/// The rule with an id.
#[must_use]
pub fn find(id: &str) -> Option<&'static Rule> {
    RULES.iter().copied().find(|rule| rule.id == id)
}

#[cfg(test)]
mod tests {
    use rustc_hash::FxHashSet;

    use super::*;
    use crate::diagnostic::Severity;
    use crate::rule::{Check, FixKind};
    use crate::testing::{run, run_rollout};

    #[test]
    fn every_rule_lives_in_the_file_of_its_name() {
        let mut seen = FxHashSet::default();
        for rule in RULES {
            let file = format!("rules/{}.rs", rule.id.replace('-', "_"));
            assert!(rule.source.ends_with(&file), "{} is in {}", rule.id, rule.source);
            assert!(seen.insert(rule.id), "{} is registered twice", rule.id);
        }
    }

    #[test]
    fn every_rule_is_documented_in_all_sections() {
        for rule in RULES {
            for heading in ["What it does", "Why it matters", "Example", "Use instead", "References"] {
                assert!(!rule.section(heading).is_empty(), "{}: no section `{heading}`", rule.id);
            }
            assert!((10..=160).contains(&rule.summary().len()), "{}: {}", rule.id, rule.summary());
            for code in rule.upstream {
                let known = code.starts_with("IST") || code.starts_with("KIA") || *code == "GWAPI";
                assert!(known, "{}: upstream code {code}", rule.id);
            }
        }
    }

    #[test]
    fn every_example_fires_and_every_alternative_is_silent() {
        for rule in RULES {
            let example = rule.example("Example").expect(rule.id);
            assert!(!run(rule, &example).is_empty(), "{}: the example does not fire", rule.id);
            let instead = rule.example("Use instead").expect(rule.id);
            assert_eq!(run(rule, &instead), [], "{}: the alternative fires", rule.id);
        }
    }

    #[test]
    fn every_order_to_use_instead_is_safe_as_a_whole() {
        for rule in RULES.iter().filter(|rule| matches!(rule.check, Check::Transition(_))) {
            let instead = rule.example("Use instead").expect(rule.id);
            let found = run_rollout(&instead);
            let errors = found.iter().filter(|found| found.severity == Severity::Error);
            let errors: Vec<_> = errors.map(|found| format!("{}: {}", found.rule, found.message)).collect();
            assert_eq!(errors, [""; 0], "{}", rule.id);
        }
    }

    #[test]
    fn a_rule_offers_no_better_fix_than_it_declares() {
        for rule in RULES {
            let example = rule.example("Example").expect(rule.id);
            for fix in run(rule, &example).into_iter().filter_map(|diagnostic| diagnostic.fix) {
                let declared = match rule.fix {
                    FixKind::None => false,
                    FixKind::Safe => true,
                    FixKind::Unsafe => fix.safety == crate::Safety::Unsafe,
                };
                assert!(declared, "{}: `{}`", rule.id, fix.title);
            }
        }
    }

    #[test]
    fn only_the_linters_own_rules_are_built_in() {
        let built_in: Vec<&str> =
            RULES.iter().filter(|rule| matches!(rule.check, Check::Builtin)).map(|rule| rule.id).collect();
        assert_eq!(built_in, ["unused-suppression", "invalid-suppression"]);
    }
}
