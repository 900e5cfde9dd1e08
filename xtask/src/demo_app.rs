//! `cargo xtask demo --app`: the voting application as `manifests/voting` deploys it, with a real Envoy as gateway
//! and sidecars: a table of scripted visits along the rollout, and its page to try the canary by hand.

use std::io::{IsTerminal as _, Write as _};
use std::sync::mpsc;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::ValueEnum;
use coalmine_tests::voting::Choice::{self, Cats, Dogs};
use coalmine_tests::voting::cluster::Cluster;
use coalmine_tests::voting::container;
use coalmine_tests::voting::visitor::Visitor;

use crate::{root, tools};

/// Where the votes are kept.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Stores {
    /// In this process: nothing needs to be installed.
    Embedded,
    /// In a Redis and a MariaDB of their own.
    Real,
}

/// What a visitor does before opening the page.
enum Deed {
    Look,
    Vote(&'static [Choice]),
    /// A value of the form's `featureflag`.
    Flag(&'static str),
}

/// One row: after which action, who, and what they do.
struct Visit(&'static str, usize, Deed);

const NAMES: [&str; 3] = ["ada", "bob", "eve"];

const SCRIPT: &[Visit] = &[
    Visit("1-deploy", 0, Deed::Vote(&[Cats, Dogs, Dogs, Cats, Dogs, Dogs])),
    Visit("1-deploy", 0, Deed::Look),
    Visit("2-update#1", 0, Deed::Look),
    Visit("2-update#1", 0, Deed::Look),
    Visit("2-update", 0, Deed::Look),
    Visit("2-update", 0, Deed::Look),
    Visit("3-canary", 0, Deed::Look),
    Visit("3-canary", 1, Deed::Look),
    Visit("3-canary", 1, Deed::Flag("set")),
    Visit("3-canary", 1, Deed::Vote(&[Dogs])),
    Visit("3-canary", 0, Deed::Look),
    Visit("3-canary", 2, Deed::Look),
    Visit("3-canary", 1, Deed::Flag("clear")),
];

/// Starts everything, shows the table, and stays until Ctrl-C unless `once`.
pub(crate) fn run(once: bool, stores: Stores) -> Result<()> {
    let version = coalmine_tests::ENVOY_VERSIONS[1];
    tools::envoy(version)?;
    let (stores, words) = match stores {
        Stores::Embedded => (container::Stores::Embedded, "embedded stores"),
        Stores::Real => {
            if !tools::optional(&tools::STORES)? {
                bail!("`--stores real` needs Redis and MariaDB; leave it out for embedded stores");
            }
            (container::Stores::Real, "a real Redis and a real MariaDB")
        }
    };
    println!(
        "\nmanifests/voting, applied action by action: Envoy {version} as gateway and sidecars, {words}\n"
    );
    let mut cluster = Cluster::new(&root().join("manifests/voting"), version, stores);
    table(&mut cluster)?;
    println!("\nIn this state: {}", cluster.pods().join(", "));
    if once {
        return Ok(());
    }
    println!("\nTry it in a browser: http://{}/   (Ctrl-C stops it)", cluster.gateway());
    // A handler, so that Envoy and the scratch folders are cleaned up rather than left behind.
    let (stop, stopped) = mpsc::channel();
    ctrlc::set_handler(move || stop.send(()).unwrap_or_default()).context("cannot wait for Ctrl-C")?;
    stopped.recv().context("cannot wait for Ctrl-C")?;
    println!("stopped");
    Ok(())
}

/// All columns but the last.
const WIDTHS: [usize; 5] = [14, 21, 16, 5, 37];

fn table(cluster: &mut Cluster) -> Result<()> {
    row(["after", "visitor", "cookie", "page", "result line", "answered by"]);
    println!("  {}", "-".repeat(WIDTHS.iter().sum::<usize>() + 44));
    let mut visitors: Vec<Visitor> = Vec::new();
    let mut reached = "";
    for Visit(action, who, deed) in SCRIPT {
        if reached != *action {
            run_to(cluster, action)?;
            reached = action;
        }
        if visitors.is_empty() {
            visitors.extend(NAMES.map(|_| Visitor::new(cluster.gateway())));
            // Somebody else's cookie that only looks like the flag.
            visitors[2].raw_cookie = Some("xfeatureflag=on".to_owned());
        }
        let visitor = &mut visitors[*who];
        let mut deeds = NAMES[*who].to_owned();
        let forms: Vec<String> = match deed {
            Deed::Look => Vec::new(),
            Deed::Vote(choices) => {
                let votes = |choice| choices.iter().filter(|own| **own == choice).count();
                deeds.push_str(&format!(" votes {} to {}", votes(Cats), votes(Dogs)));
                choices.iter().map(|choice| format!("vote={}", choice.name())).collect()
            }
            Deed::Flag(value) => {
                deeds.push_str(&format!(" {value}s the flag"));
                vec![format!("featureflag={value}")]
            }
        };
        for form in forms {
            let answer = visitor.submit(&form)?;
            if answer.status != 303 {
                bail!("{form} was answered by {}: {}", answer.status, answer.result);
            }
        }
        let cookie = visitor.cookie().unwrap_or_else(|| "-".to_owned());
        let seen = visitor.open()?;
        if seen.status != 200 {
            bail!("the page answered {}: {}", seen.status, seen.result);
        }
        let pods = format!("{}, {}", seen.pod, seen.analytics);
        let after = match *action {
            "2-update#1" => "analytics 1.1",
            action => action,
        };
        row([after, &deeds, &cookie, &seen.version, &seen.result, &pods]);
    }
    Ok(())
}

/// Like [`Cluster::run_to`], saying what takes its time where somebody watches.
fn run_to(cluster: &mut Cluster, name: &str) -> Result<()> {
    let mut stderr = std::io::stderr();
    let watched = stderr.is_terminal();
    for action in cluster.ahead(name) {
        if watched {
            write!(stderr, "\r\x1b[K{action} …")?;
        }
        cluster.advance().map_err(|failure| anyhow!("{action}: {failure}"))?;
    }
    if watched {
        write!(stderr, "\r\x1b[K")?;
    }
    Ok(())
}

fn row([after, visitor, cookie, page, result, pods]: [&str; 6]) {
    let [a, b, c, d, e] = WIDTHS;
    println!("  {after:<a$} {visitor:<b$} {cookie:<c$} {page:<d$} {result:<e$} {pods}");
}
