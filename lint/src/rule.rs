//! What a rule is: metadata, documentation and a check over one file's text, over one state's model, or over
//! the way from one state to the next.

use std::ops::Range;
use std::sync::OnceLock;

use crate::diagnostic::{Diagnostic, ResourceName, Severity};
use crate::files::Files;
use crate::mesh::Mesh;
use crate::resource::Resource;
use crate::rollout::Transition;
use crate::shape;
use crate::span::Span;
use crate::yaml::{Document, Problem};

/// Where a rule belongs in lists.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Category {
    /// The text itself.
    Yaml,
    /// The shape of one object.
    Schema,
    /// VirtualServices.
    Routing,
    /// DestinationRules, subsets, hosts and ports.
    Destinations,
    /// Gateways.
    Gateways,
    /// PeerAuthentication and client TLS.
    Mtls,
    /// Pods and what selects them.
    Workloads,
    /// What goes wrong when two versions run.
    Canary,
    /// Wasm plugins, Coalmine's filter and the tags it sets.
    Filter,
    /// The order in which a rollout applies and deletes.
    Rollout,
    /// The linter's own comments and settings.
    Linter,
}

impl Category {
    /// The lower-case name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Yaml => "yaml",
            Self::Schema => "schema",
            Self::Routing => "routing",
            Self::Destinations => "destinations",
            Self::Gateways => "gateways",
            Self::Mtls => "mtls",
            Self::Workloads => "workloads",
            Self::Canary => "canary",
            Self::Filter => "filter",
            Self::Rollout => "rollout",
            Self::Linter => "linter",
        }
    }
}

/// The best repair a rule can offer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FixKind {
    /// No repair.
    None,
    /// Repairs that need no second look.
    Safe,
    /// Repairs that are guesses, or change what runs.
    Unsafe,
}

impl FixKind {
    /// `none`, `safe` or `unsafe`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Safe => "safe",
            Self::Unsafe => "unsafe",
        }
    }
}

/// How a rule looks at the input.
#[derive(Clone, Copy, Debug)]
pub enum Check {
    /// Once for every file.
    Input(fn(&mut InputContext<'_>)),
    /// Once for every state of the deployment.
    State(fn(&mut Context<'_>)),
    /// For every moment of a rollout, by `coalmine rollout` alone.
    Transition(fn(&mut TransitionContext<'_, '_>)),
    /// Not a check of its own: the linter reports it while it applies suppressions.
    Builtin,
}

/// One rule. Declared with `declare_rule!` in the file of its name.
#[derive(Debug)]
pub struct Rule {
    /// Kebab-case, equal to the file name, never reused.
    pub id: &'static str,
    /// The severity of its findings unless the settings say otherwise.
    pub severity: Severity,
    /// Where it belongs.
    pub category: Category,
    /// The best repair it can offer.
    pub fix: FixKind,
    /// The version that introduced it.
    pub since: &'static str,
    /// The istioctl (`IST…`) and Kiali (`KIA…`) codes it covers.
    pub upstream: &'static [&'static str],
    /// Markdown: *What it does*, *Why it matters*, *Example*, *Use instead*, *References*.
    pub docs: &'static str,
    /// The check.
    pub check: Check,
    /// The source file, to test that it carries the rule's name.
    pub source: &'static str,
}

impl Rule {
    /// The first sentence of *What it does*.
    #[must_use]
    pub fn summary(&self) -> String {
        let section = self.section("What it does");
        let paragraph = section.split("\n\n").next().unwrap_or("").replace('\n', " ");
        let sentence = paragraph.split_once(". ").map_or(paragraph.as_str(), |(first, _)| first);
        sentence.trim_end_matches('.').to_owned()
    }

    /// The documentation without the comment's indentation.
    #[must_use]
    pub fn markdown(&self) -> String {
        let lines: Vec<&str> = self.docs.lines().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
        lines.join("\n")
    }

    /// The text under a `## heading`; empty when there is none.
    #[must_use]
    pub fn section(&self, heading: &str) -> String {
        let markdown = self.markdown();
        let mut lines = markdown
            .lines()
            .skip_while(|line| line.strip_prefix("## ").map(str::trim) != Some(heading))
            .skip(1);
        let body: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("## ")).collect();
        body.join("\n").trim().to_owned()
    }

    /// The fenced YAML of a section.
    #[must_use]
    pub fn example(&self, heading: &str) -> Option<String> {
        let section = self.section(heading);
        let (_, rest) = section.split_once("```yaml\n")?;
        let (yaml, _) = rest.split_once("```")?;
        Some(yaml.to_owned())
    }

    /// Where the rule's page lives.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://github.com/coalmine/coalmine/blob/main/docs/rules/{}.md", self.id)
    }

    pub(crate) fn diagnostic(&self, resource: Option<&Resource>, span: Span, message: String) -> Diagnostic {
        Diagnostic {
            rule: self.id,
            severity: self.severity,
            message,
            help: None,
            span,
            resource: resource.map(name_of),
            related: Vec::new(),
            fix: None,
        }
    }
}

/// The name a finding gives for an object.
#[must_use]
pub fn name_of(resource: &Resource) -> ResourceName {
    ResourceName {
        kind: resource.kind.value.clone(),
        namespace: resource.namespace.clone(),
        name: resource.name.value.clone(),
    }
}

/// One file, for rules about text and shape. What such a rule finds in a file follows from that file and the
/// [`shape::Surroundings`] alone, so that an editor need not ask again about the files that were not edited.
pub struct InputContext<'a> {
    pub(crate) rule: &'static Rule,
    /// The texts.
    pub files: &'a Files,
    /// Every document of every file; [`Resource::node`] finds an object's tree in it.
    pub documents: &'a [Document],
    /// Which documents are those of the file.
    pub judged: Range<usize>,
    /// What the YAML layer found in the file.
    pub problems: &'a [Problem],
    /// Every object of the file.
    pub resources: &'a [Resource],
    /// What of the other files counts.
    pub(crate) surroundings: &'a shape::Surroundings,
    /// What is wrong with the objects' fields, found when the first rule asks.
    pub(crate) shape: &'a OnceLock<Vec<shape::Problem>>,
    pub(crate) found: Vec<Diagnostic>,
}

impl<'a> InputContext<'a> {
    /// What is wrong with the objects' fields.
    pub(crate) fn shape(&self) -> &'a [shape::Problem] {
        self.shape.get_or_init(|| {
            let (documents, judged) = (self.documents, self.judged.clone());
            shape::problems(self.files, documents, judged, self.resources, self.surroundings)
        })
    }

    /// Reports a finding; the result takes help, related places and a fix.
    pub fn report(
        &mut self,
        resource: Option<&Resource>,
        span: Span,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        let diagnostic = self.rule.diagnostic(resource, span, message.into());
        self.found.push_mut(diagnostic)
    }
}

/// One state of the deployment, for rules about meaning.
pub struct Context<'a> {
    pub(crate) rule: &'static Rule,
    /// The texts.
    pub files: &'a Files,
    /// Every document of every file; [`Resource::node`] finds an object's tree in it.
    pub documents: &'a [Document],
    /// Every object of the input, whichever state it is in.
    pub resources: &'a [Resource],
    /// The effective model of the state.
    pub mesh: &'a Mesh<'a>,
    /// Objects of the state that the same step applies twice: the later and the earlier.
    pub duplicates: &'a [(&'a Resource, &'a Resource)],
    /// Whether the settings say which files each state comes from; otherwise it is everything at once.
    pub in_rollout: bool,
    pub(crate) found: Vec<Diagnostic>,
}

impl Context<'_> {
    /// The text as a replacement of a scalar: quoted as that is, or where a plain scalar would not be text.
    #[must_use]
    pub fn styled(&self, span: Span, text: &str) -> String {
        let old = self.files.text(span.file).get(span.range()).unwrap_or("");
        match old.chars().next() {
            Some('\'') => format!("'{text}'"),
            Some('"') => format!("\"{text}\""),
            _ => crate::yaml::string_scalar(text),
        }
    }

    /// Reports a finding; the result takes help, related places and a fix.
    pub fn report(&mut self, resource: &Resource, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        let diagnostic = self.rule.diagnostic(Some(resource), span, message.into());
        self.found.push_mut(diagnostic)
    }
}

/// One moment of a rollout, for rules about order.
pub struct TransitionContext<'t, 'a> {
    pub(crate) rule: &'static Rule,
    /// The texts.
    pub files: &'t Files,
    /// Every document of every file.
    pub documents: &'t [Document],
    /// What changes, from what to what.
    pub transition: &'t Transition<'t, 'a>,
    pub(crate) found: Vec<Diagnostic>,
}

impl TransitionContext<'_, '_> {
    /// Reports a finding; the result takes help, related places and a fix.
    pub fn report(
        &mut self,
        resource: Option<&Resource>,
        span: Span,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        let diagnostic = self.rule.diagnostic(resource, span, message.into());
        self.found.push_mut(diagnostic)
    }
}

/// Declares the `RULE` of a rule file: its documentation, then its metadata.
macro_rules! declare_rule {
    (
        $(#[doc = $doc:literal])*
        id: $id:literal,
        severity: $severity:ident,
        category: $category:ident,
        fix: $fix:ident,
        since: $since:literal,
        upstream: [$($upstream:literal),* $(,)?],
        check: $check:expr $(,)?
    ) => {
        #[allow(clippy::doc_markdown)]
        $(#[doc = $doc])*
        pub static RULE: $crate::rule::Rule = $crate::rule::Rule {
            id: $id,
            severity: $crate::diagnostic::Severity::$severity,
            category: $crate::rule::Category::$category,
            fix: $crate::rule::FixKind::$fix,
            since: $since,
            upstream: &[$($upstream),*],
            docs: concat!($($doc, "\n"),*),
            check: $check,
            source: file!(),
        };
    };
}
pub(crate) use declare_rule;

/// The candidate closest to `wanted`, if it is close enough to be what was meant. Names that differ in
/// their digits are different versions, not slips.
#[must_use]
pub fn did_you_mean<'c>(wanted: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let digits = |name: &str| -> String { name.chars().filter(char::is_ascii_digit).collect() };
    let allowed = (wanted.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .filter(|candidate| *candidate != wanted && digits(candidate) == digits(wanted))
        .map(|candidate| (strsim::osa_distance(&wanted.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::did_you_mean;

    #[test]
    fn slips_are_near_and_other_versions_are_not() {
        assert_eq!(did_you_mean("v1.0", ["v2-0", "v1-0"]), Some("v1-0"));
        assert_eq!(did_you_mean("reveiws", ["ratings", "reviews"]), Some("reviews"));
        assert_eq!(did_you_mean("v3", ["v1", "v2"]), None);
        assert_eq!(did_you_mean("details", ["ratings"]), None);
    }
}
