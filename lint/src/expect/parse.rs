//! Reads a file of expectations, strictly: a key that nobody knows is an error with its place, so that a slip cannot
//! make an expectation say nothing.

use coalmine_filter::config;

use super::target::{Field, MTLS, Target, Test};
use super::validator;
use super::{Ask, Axis, Case, Claim, Knob, Problem, Question, Suite, Template};
use crate::files::Files;
use crate::route::{Request, Share, Source};
use crate::rule::did_you_mean;
use crate::span::{FileId, Span, Spanned};
use crate::yaml::{Limits, NodeRef};

/// Keys of a file.
pub(super) const FILE: [&str; 2] = ["step", "expect"];
/// Keys of an expectation that are no claims.
pub(super) const CASE: [&str; 5] = ["name", "step", "request", "sweep", "follow"];
/// Keys of an expectation that claim something.
pub(super) const CLAIMS: [&str; 8] =
    ["reaches", "never", "only", "mirrors", "shares", "status", "redirect", "flag"];
/// Keys of a request.
pub(super) const REQUEST: [&str; 7] = ["url", "from", "method", "headers", "cookies", "principal", "now"];
/// Keys of a sweep; `headers.NAME` and `cookies.NAME` besides.
pub(super) const SWEEP: [&str; 5] = ["url", "path", "from", "method", "principal"];
/// Envoy's response flags that a trace can give.
pub(super) const FLAGS: [&str; 7] = ["NR", "NC", "UH", "UF", "UC", "FI", "DPE"];

/// Requests of one sweep at most: beyond it a run takes longer than anybody waits.
const MOST: usize = 10_000;

/// Reads a file of expectations: our own format, or istio-config-validator's `testCases`.
///
/// # Errors
/// Everything that is wrong with it, in the order of the text.
pub fn parse(files: &Files, file: FileId) -> Result<Suite, Vec<Problem>> {
    let mut reader = Reader { problems: Vec::new() };
    let mut suite = Suite { file, cases: Vec::new() };
    let Some(text) = files.get(file) else { return Ok(suite) };
    let (documents, problems) = crate::yaml::parse(file, text, Limits::default());
    reader.problems.extend(problems.into_iter().map(|problem| Problem {
        span: problem.span,
        message: match problem.help {
            Some(help) => format!("{}; {help}", problem.message),
            None => problem.message,
        },
    }));
    for root in documents.iter().filter_map(|document| document.root()) {
        if root.is_null() {
            continue;
        }
        match root.entry("testCases") {
            Some((_, cases)) => validator::parse(&mut reader, root, cases, &mut suite.cases),
            None => reader.file(root, &mut suite.cases),
        }
    }
    reader.problems.sort_by_key(|problem| problem.span.start);
    if reader.problems.is_empty() { Ok(suite) } else { Err(reader.problems) }
}

pub(super) struct Reader {
    problems: Vec<Problem>,
}

impl Reader {
    pub(super) fn problem(&mut self, span: Span, message: impl Into<String>) {
        self.problems.push(Problem { span, message: message.into() });
    }

    /// Whether a node is a mapping that has no other keys than these.
    pub(super) fn mapping(&mut self, node: NodeRef<'_>, what: &str, keys: &[&[&str]]) -> bool {
        if !node.is_mapping() {
            self.problem(node.span(), format!("{what} is a mapping with the keys {}", list(keys)));
            return false;
        }
        for (key, _) in node.entries() {
            let name = key.key();
            if keys.iter().any(|keys| keys.contains(&name.as_ref())) {
                continue;
            }
            let near = did_you_mean(&name, keys.iter().flat_map(|keys| keys.iter().copied()));
            let hint = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the keys are {}", list(keys)),
            };
            self.problem(key.span(), format!("{what} has no key `{name}`; {hint}"));
        }
        true
    }

    /// A scalar as text, whatever its type.
    pub(super) fn text(&mut self, node: NodeRef<'_>, what: &str) -> Option<Spanned<String>> {
        match node.text() {
            Some(text) if !node.is_null() => Some(Spanned { span: node.span(), value: text.to_owned() }),
            _ => {
                self.problem(node.span(), format!("{what} is a text"));
                None
            }
        }
    }

    /// A scalar, or a list of them.
    pub(super) fn texts(&mut self, node: NodeRef<'_>, what: &str) -> Vec<Spanned<String>> {
        if !node.is_sequence() {
            return self.text(node, what).into_iter().collect();
        }
        let items: Vec<NodeRef<'_>> = node.items().collect();
        if items.is_empty() {
            self.problem(node.span(), format!("{what} is an empty list"));
        }
        items.into_iter().filter_map(|item| self.text(item, what)).collect()
    }

    /// A scalar or a list, where null stands for nothing.
    fn options(&mut self, node: NodeRef<'_>, what: &str) -> Vec<Option<Spanned<String>>> {
        let items: Vec<NodeRef<'_>> = if node.is_sequence() { node.items().collect() } else { vec![node] };
        if items.is_empty() {
            self.problem(node.span(), format!("{what} is an empty list"));
        }
        items
            .into_iter()
            .filter_map(|item| if item.is_null() { Some(None) } else { self.text(item, what).map(Some) })
            .collect()
    }

    pub(super) fn flag(&mut self, node: NodeRef<'_>, what: &str) -> bool {
        match node.scalar() {
            Some(crate::yaml::Scalar::Bool(value)) => value,
            _ => {
                self.problem(node.span(), format!("{what} is true or false"));
                false
            }
        }
    }

    fn file(&mut self, root: NodeRef<'_>, cases: &mut Vec<Case>) {
        if !self.mapping(root, "a file of expectations", &[&FILE]) {
            return;
        }
        let steps = root.get("step").map(|node| self.texts(node, "step")).unwrap_or_default();
        let Some(list) = root.get("expect") else {
            self.problem(first(root), "a file of expectations has a list `expect`");
            return;
        };
        if !list.is_sequence() {
            self.problem(list.span(), "`expect` is a list of expectations");
            return;
        }
        for item in list.items() {
            cases.extend(self.case(item, &steps));
        }
    }

    fn case(&mut self, node: NodeRef<'_>, steps: &[Spanned<String>]) -> Option<Case> {
        let before = self.problems.len();
        if !self.mapping(node, "an expectation", &[&CASE, &CLAIMS]) {
            return None;
        }
        let name = match node.get("name") {
            Some(name) => self.text(name, "name")?,
            None => {
                self.problem(first(node), "an expectation has a `name`: what must be true, in words");
                return None;
            }
        };
        let steps = match node.get("step") {
            Some(own) => self.texts(own, "step"),
            None => steps.to_vec(),
        };
        let follow = node.get("follow").is_some_and(|node| self.flag(node, "follow"));
        let Some(request) = node.get("request") else {
            self.problem(name.span, "an expectation has a `request`: a URL, or a mapping with `url`");
            return None;
        };
        let template = self.request(request)?;
        let sweep = node.get("sweep").map(|node| self.sweep(node)).unwrap_or_default();
        let has_url = template.url.is_some() || sweep.iter().any(|axis| axis.knob == Knob::Url);
        let mut claims = Vec::new();
        for (key, value) in node.entries() {
            let Some(claim) = self.claim(&key.key(), value) else { continue };
            let of_calls = matches!(claim, Claim::Never(_) | Claim::Only(_));
            if !has_url && !of_calls {
                let message =
                    format!("`{}` needs a `url`: only `never` and `only` are about all calls", key.key());
                self.problem(key.span(), message);
            }
            claims.push(Spanned { span: key.span(), value: claim });
        }
        // A slip in a key is said already.
        if claims.is_empty() && self.problems.len() == before {
            let message = format!("this expectation expects nothing; say one of {}", CLAIMS.join(", "));
            self.problem(name.span, message);
        }
        if !has_url && !follow {
            self.problem(
                request.span(),
                "a request without `url` means a workload's own calls: add `follow: true`",
            );
        }
        let requests = sweep.iter().map(|axis| axis.values.len()).try_fold(1_usize, usize::checked_mul);
        if requests.is_none_or(|requests| requests > MOST) {
            self.problem(name.span, format!("this sweep makes more than {MOST} requests; ask less at once"));
        }
        let ask = Ask::Trace(Box::new(Question { template, sweep, follow, claims }));
        Some(Case { name, steps, ask })
    }

    fn request(&mut self, node: NodeRef<'_>) -> Option<Template> {
        let mut template = Template::default();
        if !node.is_mapping() {
            let url = self.text(node, "request")?;
            self.url(&url);
            template.url = Some(url.value);
            return Some(template);
        }
        self.mapping(node, "a request", &[&REQUEST]);
        if let Some(url) = node.get("url").and_then(|node| self.text(node, "url")) {
            self.url(&url);
            template.url = Some(url.value);
        }
        if let Some(from) = node.get("from").and_then(|node| self.text(node, "from")) {
            self.source(&from);
            template.from = Some(from.value);
        }
        if let Some(method) = node.get("method").and_then(|node| self.text(node, "method")) {
            self.method(&method);
            template.method = Some(method.value);
        }
        template.headers = node.get("headers").map(|node| self.pairs(node, "headers")).unwrap_or_default();
        template.cookies = node.get("cookies").map(|node| self.pairs(node, "cookies")).unwrap_or_default();
        template.principal =
            node.get("principal").and_then(|node| self.text(node, "principal")).map(|text| text.value);
        if let Some(now) = node.get("now").and_then(|node| self.text(node, "now")) {
            template.now = config::time(&now);
            if template.now.is_none() {
                self.problem(now.span, "`now` is an RFC 3339 time such as 2026-12-01T00:00:00Z");
            }
        }
        Some(template)
    }

    fn url(&mut self, url: &Spanned<String>) {
        if let Err(error) = Request::parse(url, Source::AnyGateway) {
            self.problem(url.span, error.to_string());
        }
    }

    fn source(&mut self, from: &Spanned<String>) {
        if let Err(error) = Source::parse(from, "default") {
            self.problem(from.span, format!("from {}: {error}", from.value));
        }
    }

    fn method(&mut self, method: &Spanned<String>) {
        if method.is_empty() || !method.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) {
            self.problem(method.span, format!("`{}` is no HTTP method", method.value));
        }
    }

    pub(super) fn pairs(&mut self, node: NodeRef<'_>, what: &str) -> Vec<(String, String)> {
        if !node.is_mapping() {
            self.problem(node.span(), format!("`{what}` is a mapping of names to values"));
            return Vec::new();
        }
        let mut pairs = Vec::new();
        for (key, value) in node.entries().into_iter().filter(|(_, value)| !value.is_null()) {
            // A key is its text: `on` is a name here.
            let name = key.text().unwrap_or_default().to_owned();
            pairs.extend(self.text(value, &format!("{what}.{name}")).map(|value| (name, value.value)));
        }
        pairs
    }

    fn sweep(&mut self, node: NodeRef<'_>) -> Vec<Axis> {
        if !node.is_mapping() {
            self.problem(node.span(), "`sweep` is a mapping such as `cookies.flag: [\"on\", \"off\", null]`");
            return Vec::new();
        }
        let mut axes = Vec::new();
        for (key, value) in node.entries() {
            let label = key.key().into_owned();
            let knob = match (label.as_str(), label.split_once('.')) {
                ("url", _) => Knob::Url,
                ("path", _) => Knob::Path,
                ("from", _) => Knob::From,
                ("method", _) => Knob::Method,
                ("principal", _) => Knob::Principal,
                (_, Some(("headers", name))) if !name.is_empty() => Knob::Header(name.to_owned()),
                (_, Some(("cookies", name))) if !name.is_empty() => Knob::Cookie(name.to_owned()),
                _ => {
                    let keys = [&SWEEP[..], &["headers.NAME", "cookies.NAME"]].concat();
                    let hint = match did_you_mean(&label, SWEEP) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!("what can be swept is {}", keys.join(", ")),
                    };
                    self.problem(key.span(), format!("a sweep has no `{label}`; {hint}"));
                    continue;
                }
            };
            let values = self.options(value, &label);
            for value in values.iter().flatten() {
                match knob {
                    Knob::Url => self.url(value),
                    Knob::From => self.source(value),
                    Knob::Method => self.method(value),
                    Knob::Path if !value.starts_with('/') || value.contains(char::is_whitespace) => {
                        self.problem(value.span, "a path begins with `/` and has no spaces");
                    }
                    _ => {}
                }
            }
            if matches!(knob, Knob::Url | Knob::Path) && values.iter().any(Option::is_none) {
                self.problem(
                    value.span(),
                    format!("`{label}` cannot be left out: null is for headers and cookies"),
                );
            }
            let values = values.into_iter().map(|value| value.map(|value| value.value)).collect();
            axes.push(Axis { label, knob, values });
        }
        axes
    }

    fn claim(&mut self, key: &str, node: NodeRef<'_>) -> Option<Claim> {
        Some(match key {
            "reaches" => Claim::Reaches(self.target(node, key)?),
            "never" => Claim::Never(self.target(node, key)?),
            "only" => Claim::Only(self.target(node, key)?),
            "mirrors" => Claim::Mirrors(self.target(node, key)?),
            "shares" => Claim::Shares(self.shares(node)?),
            "status" => {
                let list = self.texts(node, key);
                for status in &list {
                    let number: Option<u16> = status.parse().ok();
                    if number.is_none_or(|number| !(100..=599).contains(&number)) && status.as_str() != "none"
                    {
                        self.problem(
                            status.span,
                            "a status is a number from 100 to 599, or `none` for no answer",
                        );
                    }
                }
                Claim::Status(list.into_iter().map(|status| status.value).collect())
            }
            "redirect" => Claim::Redirect(self.text(node, key)?.value),
            "flag" => {
                let list = self.texts(node, key);
                for flag in list.iter().filter(|flag| !FLAGS.contains(&flag.as_str())) {
                    let message =
                        format!("`{}` is none of the response flags {}", flag.value, FLAGS.join(", "));
                    self.problem(flag.span, message);
                }
                Claim::Flag(list.into_iter().map(|flag| flag.value).collect())
            }
            _ => return None,
        })
    }

    fn target(&mut self, node: NodeRef<'_>, what: &str) -> Option<Target> {
        if !self.mapping(node, &format!("`{what}`"), &[&Field::KEYS]) {
            return None;
        }
        let mut tests = Vec::new();
        for (key, value) in node.entries() {
            let key = key.key();
            if key == "headers" {
                let entries = if value.is_mapping() { value.entries() } else { Vec::new() };
                if entries.is_empty() {
                    self.problem(
                        value.span(),
                        "`headers` is a mapping of names to values; null is for an absent one",
                    );
                }
                for (name, value) in entries {
                    let name = name.text().unwrap_or_default().to_owned();
                    let any = self.options(value, &name);
                    tests.push(Test { field: Field::Header(name), any });
                }
                continue;
            }
            let Some(field) = Field::of_key(&key) else { continue };
            let any = self.texts(value, &key);
            for value in &any {
                match field {
                    Field::Mtls if !MTLS.contains(&value.as_str()) => {
                        self.problem(value.span, format!("`mtls` is one of {}", MTLS.join(", ")));
                    }
                    Field::Port if value.parse::<u16>().is_err() => {
                        self.problem(value.span, "a port is a number from 1 to 65535");
                    }
                    _ => {}
                }
            }
            tests.push(Test { field, any: any.into_iter().map(Some).collect() });
        }
        if tests.is_empty() && node.entries().is_empty() {
            let message = format!("`{what}` is empty; say where, by one of {}", Field::KEYS.join(", "));
            self.problem(node.span(), message);
        }
        Some(Target { tests })
    }

    fn shares(&mut self, node: NodeRef<'_>) -> Option<Vec<(String, Share)>> {
        if !node.is_mapping() || node.entries().is_empty() {
            self.problem(node.span(), "`shares` is a mapping such as `{v1: 90%, v2: 10%}`");
            return None;
        }
        let mut shares = Vec::new();
        let mut sum = Share::new(0, 1);
        for (key, value) in node.entries() {
            let Some(text) = self.text(value, "a share") else { continue };
            let Some(share) = share(&text) else {
                let message = format!("`{}` is no share; write `12.5%` or `1/3`", text.value);
                self.problem(text.span, message);
                continue;
            };
            sum = sum.plus(share);
            shares.push((key.text().unwrap_or_default().to_owned(), share));
        }
        if sum.parts() > sum.total() {
            self.problem(node.span(), format!("these shares add up to {sum}"));
        }
        Some(shares)
    }
}

/// `12.5%` or `1/3`, exactly.
fn share(text: &str) -> Option<Share> {
    if let Some((parts, total)) = text.split_once('/') {
        let total: u32 = total.trim().parse().ok().filter(|total| *total > 0)?;
        return Some(Share::new(u128::from(parts.trim().parse::<u32>().ok()?), u128::from(total)));
    }
    let number = text.strip_suffix('%')?.trim();
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 3 || fraction.len() > 9 || !is_digits(whole) || !is_digits(fraction)
    {
        return None;
    }
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let parts: u128 = format!("{whole}{fraction}").parse().ok()?;
    Some(Share::new(parts, scale * 100))
}

/// The first key of a mapping, to stand for it.
pub(super) fn first(node: NodeRef<'_>) -> Span {
    node.entries().first().map_or(node.span(), |(key, _)| key.span())
}

fn list(keys: &[&[&str]]) -> String {
    keys.concat().join(", ")
}
