//! Results for the terminal, as a test runner prints them: failures with the way that the request took.

use std::fmt::Write as _;

use coalmine::expect::{CaseReport, Failure};
use coalmine::render::expect::{Tested, title};

use crate::cli::terminal::{BOLD, DIM, GREEN, Printer, RED, WIDEST, YELLOW, paint, shown};

/// All results, by file; failures in full.
pub(super) fn human(tested: &[Tested<'_>], least: Option<u8>, color: bool) -> String {
    let mut text = String::new();
    let (mut passed, mut failed, mut requests) = (0, 0, 0);
    for one in tested {
        let mut printer = Printer::new(one.files, color);
        for suite in one.report.suites.iter().filter(|suite| !suite.results.is_empty()) {
            let name = printer.paint(BOLD, one.files.name(suite.file));
            let _ = writeln!(printer.out, "{name}");
            for result in &suite.results {
                printer.result(result);
                requests += result.requests;
                if result.passed() { passed += 1 } else { failed += 1 }
            }
            printer.out.push('\n');
        }
        if one.covered {
            printer.coverage(one, least);
        }
        text.push_str(&printer.out);
    }
    let summary = match failed {
        0 => paint(color, GREEN, &format!("{passed} passed")),
        failed => format!("{passed} passed, {}", paint(color, RED, &format!("{failed} failed"))),
    };
    let of = if requests == 1 { "request" } else { "requests" };
    let _ = writeln!(text, "{summary} ({requests} {of})");
    text
}

impl Printer<'_> {
    fn result(&mut self, result: &CaseReport) {
        let name = shown(&title(result));
        let requests =
            if result.requests == 1 { String::new() } else { format!(" [{} requests]", result.requests) };
        let requests = self.paint(DIM, &requests);
        if result.passed() {
            let mark = self.paint(GREEN, "✓");
            let _ = writeln!(self.out, "  {mark} {name}{requests}");
            return;
        }
        let mark = self.paint(RED, "✗");
        let name = self.paint(RED, &name);
        let _ = writeln!(self.out, "  {mark} {name}{requests}");
        let mut shown: Option<&Failure> = None;
        for failure in &result.failures {
            // Several claims about one request often fail for one reason.
            let is_new =
                shown.is_none_or(|last| (&last.request, &last.way) != (&failure.request, &failure.way));
            self.failure(failure, result.requests, is_new);
            shown = Some(failure);
        }
    }

    fn failure(&mut self, failure: &Failure, requests: usize, with_way: bool) {
        let place = self.place(failure.span);
        let (expected, found) = (shown(&failure.expected), self.paint(RED, &shown(&failure.found)));
        let _ = writeln!(self.out, "      expected  {expected}  {place}");
        let _ = writeln!(self.out, "      found     {found}");
        if !with_way {
            return;
        }
        if !failure.request.is_empty() {
            let others = match failure.others {
                0 => String::new(),
                others => format!(" (and {others} more of {requests})"),
            };
            let _ = writeln!(self.out, "      request   {}{others}", shown(&failure.request));
        }
        let wide = failure.way.iter().map(|line| shown(&line.text).chars().count());
        let wide = wide.filter(|width| *width <= WIDEST).max().unwrap_or(0);
        for line in &failure.way {
            let text = shown(&line.text);
            let place = self.beside(&text, wide, line.span);
            let text = self.paint(DIM, &text);
            let _ = writeln!(self.out, "        {text}{place}");
        }
    }

    fn coverage(&mut self, tested: &Tested<'_>, least: Option<u8>) {
        let coverage = &tested.report.coverage;
        let (exercised, total) = (coverage.exercised(), coverage.rules.len());
        let Some(percent) = coverage.percent() else {
            let text = self.paint(YELLOW, "routes exercised: none, there are no routes in these states");
            let _ = writeln!(self.out, "{text}\n");
            return;
        };
        let code = match least {
            Some(least) if percent < f64::from(least) => RED,
            _ if exercised < total => YELLOW,
            _ => DIM,
        };
        // Rounded down, so that 100 % is all of them.
        let mut text = format!("routes exercised: {exercised}/{total} ({} %)", percent.floor());
        if let Some(least) = least.filter(|least| percent < f64::from(*least)) {
            let _ = write!(text, ", less than {least} %");
        }
        let text = self.paint(code, &text);
        let _ = writeln!(self.out, "{text}");
        for rule in coverage.rules.iter().filter(|rule| !rule.exercised) {
            let object = &rule.object;
            let namespace =
                object.namespace.as_ref().map_or(String::new(), |namespace| format!("{namespace}/"));
            let (list, index) = (rule.kind.as_str(), rule.index);
            let place = self.place(rule.span);
            let _ = writeln!(
                self.out,
                "  never: {list}[{index}] of {} {namespace}{}  {place}",
                object.kind, object.name
            );
        }
        self.out.push('\n');
    }
}
