//! The linter's part of `cargo xtask demo`: each step of the voting rollout, then a broken variant.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{copy_folder, root, run};

/// One way to break the shipped manifests: what is changed, where, and what users would see.
pub(crate) struct Breakage {
    pub(crate) title: &'static str,
    pub(crate) file: &'static str,
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
    pub(crate) rule: &'static str,
}

pub(crate) const BREAKAGES: &[Breakage] = &[
    Breakage {
        title: "A route names a subset that nobody defined: users with the flag get 503",
        file: "3-canary/70-voting-app-virtual-service.yaml",
        from: "subset: v2-0",
        to: "subset: v2-1",
        rule: "unknown-subset",
    },
    Breakage {
        title: "The 2.0 storage is MySQL and the route says Redis' port: connections are refused",
        file: "3-canary/30-voting-storage-virtual-service.yaml",
        from: "number: 3306",
        to: "number: 6379",
        rule: "subset-port-mismatch",
    },
    Breakage {
        title: "The cookie regex also matches somebody else's cookie",
        file: "3-canary/70-voting-app-virtual-service.yaml",
        from: "^(.*?; *)?(featureflag=on)(;.*)?$",
        to: ".*featureflag=on.*",
        rule: "cookie-regex-unanchored",
    },
    Breakage {
        title: "A DestinationRule turns mTLS off while the namespace is STRICT: plaintext is reset",
        file: "3-canary/11-voting-analytics-destination-rule.yaml",
        from: "mode: ISTIO_MUTUAL",
        to: "mode: DISABLE",
        rule: "mtls-client-server-conflict",
    },
    Breakage {
        title: "An unquoted version label is a number: the API server refuses the Deployment",
        file: "3-canary/60-voting-app-2.0.yaml",
        from: "version: \"2.0\"",
        to: "version: 2.0",
        rule: "wrong-type",
    },
];

/// Lints the shipped steps, then each breakage in a copy below `target/demo`.
pub(crate) fn run_demo() -> Result<()> {
    run("cargo", &["build", "--quiet", "--package", "coalmine"])?;
    let coalmine = root().join("target/debug/coalmine");
    let voting = root().join("manifests/voting");
    heading("The shipped rollout, step by step");
    let mut steps: Vec<String> = fs::read_dir(&voting)?
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .filter(|name| name.starts_with(|c: char| c.is_ascii_digit()))
        .collect();
    steps.sort();
    for upto in 1..=steps.len() {
        let paths: Vec<String> =
            steps.iter().take(upto).map(|step| format!("manifests/voting/{step}")).collect();
        let step = paths.last().map_or("", String::as_str);
        println!("\n$ coalmine lint {}", if upto == 1 { step.to_owned() } else { format!("… {step}") });
        let output = Command::new(&coalmine).arg("lint").args(&paths).current_dir(root()).output()?;
        print!("{}", String::from_utf8_lossy(&output.stdout));
        if !output.status.success() {
            bail!("the shipped step {step} has findings");
        }
    }
    for breakage in BREAKAGES {
        show(breakage, &coalmine, &voting)?;
    }
    println!("\nEach rule's page: coalmine explain RULE. All rules: coalmine rules.");
    Ok(())
}

fn show(breakage: &Breakage, coalmine: &Path, voting: &Path) -> Result<()> {
    heading(breakage.title);
    let demo = root().join("target/demo");
    let copy = demo.join("voting");
    if copy.exists() {
        fs::remove_dir_all(&copy)?;
    }
    copy_folder(voting, &copy)?;
    let file = copy.join(breakage.file);
    let text = fs::read_to_string(&file).with_context(|| format!("{}", file.display()))?;
    if !text.contains(breakage.from) {
        bail!("{} no longer contains `{}`", breakage.file, breakage.from);
    }
    fs::write(&file, text.replace(breakage.from, breakage.to))?;
    println!("\n{}: `{}` becomes `{}`", breakage.file, breakage.from, breakage.to);
    println!("$ coalmine lint voting\n");
    let output =
        Command::new(coalmine).args(["lint", "voting", "--color", "auto"]).current_dir(&demo).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{text}");
    if !text.contains(breakage.rule) {
        bail!("`{}` was not reported", breakage.rule);
    }
    Ok(())
}

fn heading(text: &str) {
    println!("\n━━━ {text} ━━━");
}
