//! What is wrong with the configurations in force, of all plugins and threads of a process: pure text, kept in the
//! host's shared data. Gauges are the process's, so a VM that only knew its own configurations would write over what
//! another has found: the one it replaces dies last.

/// The faults of one plugin, and who found them.
struct Entry<'t> {
    owner: &'t str,
    errors: u64,
    unknown: u64,
    plugin: &'t str,
}

/// Errors and unknown fields, over all plugins.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) errors: u64,
    pub(crate) unknown: u64,
}

fn entries(text: &str) -> impl Iterator<Item = Entry<'_>> {
    text.lines().filter_map(|line| {
        let mut words = line.splitn(4, ' ');
        let owner = words.next()?;
        let (errors, unknown) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Entry { owner, errors, unknown, plugin: words.next()? })
    })
}

/// The sum of a text.
#[inline(never)]
pub(crate) fn sum(text: &str) -> Sum {
    entries(text).fold(Sum::default(), |sum, entry| Sum {
        errors: sum.errors.saturating_add(entry.errors),
        unknown: sum.unknown.saturating_add(entry.unknown),
    })
}

/// The text once `owner` has configured `plugin`. A configuration that is refused leaves the one in force.
#[inline(never)]
pub(crate) fn configured(text: &str, owner: &str, plugin: &str, found: Sum, is_refused: bool) -> String {
    let plugin: String = plugin.chars().filter(|c| !c.is_control()).collect();
    if is_refused && entries(text).any(|entry| entry.plugin == plugin) {
        return text.to_owned();
    }
    let mut left = without(text, |entry| entry.plugin == plugin);
    left.push_str(&line(&Entry { owner, errors: found.errors, unknown: found.unknown, plugin: &plugin }));
    left
}

/// The text once `owner` is gone. What another has configured anew since is the other's.
#[inline(never)]
pub(crate) fn gone(text: &str, owner: &str) -> String {
    without(text, |entry| entry.owner == owner)
}

fn without(text: &str, drop: impl Fn(&Entry<'_>) -> bool) -> String {
    entries(text).filter(|entry| !drop(entry)).map(|entry| line(&entry)).collect()
}

fn line(entry: &Entry<'_>) -> String {
    format!("{} {} {} {}\n", entry.owner, entry.errors, entry.unknown, entry.plugin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(errors: u64, unknown: u64) -> Sum {
        Sum { errors, unknown }
    }

    #[test]
    fn plugins_add_up_and_a_new_configuration_replaces_the_old() {
        let text = configured("", "a-1", "istio-ingress.one", found(2, 1), false);
        let text = configured(&text, "b-1", "istio-ingress.two", found(1, 0), false);
        assert_eq!(sum(&text), found(3, 1));
        assert_eq!(sum(&configured(&text, "a-2", "istio-ingress.one", found(0, 0), false)), found(1, 0));
    }

    #[test]
    fn whoever_was_replaced_takes_nothing_along() {
        let old = configured("", "old-1", "one", found(0, 0), false);
        let new = configured(&old, "new-1", "one", found(1, 0), false);
        assert_eq!(sum(&gone(&new, "old-1")), found(1, 0), "the old VM dies after the new one is configured");
        assert_eq!(sum(&gone(&new, "new-1")), found(0, 0), "the plugin was removed");
    }

    #[test]
    fn a_refused_configuration_is_not_in_force() {
        let good = configured("", "a-1", "one", found(0, 1), false);
        assert_eq!(configured(&good, "a-2", "one", found(3, 0), true), good);
        assert_eq!(sum(&configured("", "a-1", "one", found(3, 0), true)), found(3, 0), "none was before");
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        assert_eq!(sum("nonsense\n1 2\n\na x y z\na 1 2 name with spaces\n"), found(1, 2));
        let odd = configured("", "a", "with\nline", found(1, 0), false);
        assert_eq!((sum(&odd), odd.lines().count()), (found(1, 0), 1));
    }
}
