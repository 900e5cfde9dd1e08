//! `cargo xtask schema`: derives the field tables in `lint/src/schema/` from published schemas.
//!
//! A new Istio release is one command. Take `manifests/charts/base/files/crd-all.gen.yaml` from the
//! release (it is in the source archive of every Istio release, and in the `base` chart) and run
//!
//! ```text
//! cargo xtask schema --crds crd-all.gen.yaml --istio-release 1.32.0
//! ```
//!
//! The Gateway API publishes its CustomResourceDefinitions as `experimental-install.yaml` with each release; they
//! name their own version. Kubernetes' schemas come from the PyPI package `kubernetes-validate`, which is fetched
//! for `--kubernetes-release` when no `--kubernetes FILE` is given; the OpenAPI document of a cluster
//! (`kubectl get --raw /openapi/v2`) is read as well. Only the tables whose inputs are given are rewritten, and
//! `--check` rewrites nothing but fails when one of them differs.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::root;

mod crd;
mod facts;
mod kubernetes;
mod table;

/// What `cargo xtask schema` reads.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Files of CustomResourceDefinitions of Istio or the Gateway API
    #[arg(long, value_name = "FILE", num_args = 1..)]
    crds: Vec<PathBuf>,
    /// Files of Kubernetes definitions: an OpenAPI document, or JSON schemas with `$defs`
    #[arg(long, value_name = "FILE", num_args = 1..)]
    kubernetes: Vec<PathBuf>,
    /// The Istio release the CRDs are from: they do not say so themselves
    #[arg(long, value_name = "VERSION")]
    istio_release: Option<String>,
    /// The Kubernetes release; fetched with pip when no file is given
    #[arg(long, value_name = "VERSION")]
    kubernetes_release: Option<String>,
    /// Fail when a table is not what these inputs give, and write nothing
    #[arg(long)]
    check: bool,
}

/// Derives every table whose inputs are given.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut stale = Vec::new();
    let mut tables = Vec::new();

    let mut families: BTreeMap<&str, Vec<table::Kind>> = BTreeMap::new();
    let mut gateway_release = None;
    for path in &options.crds {
        let text = read(path)?;
        let file = crd::read(&text).with_context(|| format!("in {}", path.display()))?;
        gateway_release = gateway_release.or(file.release);
        for kind in file.kinds {
            let family = match kind.group.as_str() {
                group if group.ends_with(".istio.io") => "istio",
                group if group.starts_with("gateway.networking.") => "gateway-api",
                other => bail!("{}: no table is kept for the group `{other}`", path.display()),
            };
            families.entry(family).or_default().push(kind);
        }
    }
    for (family, kinds) in families {
        let source = match family {
            "istio" => {
                format!("Istio {}", release(options.istio_release.as_deref(), family, "--istio-release")?)
            }
            _ => format!("Gateway API {}", release(gateway_release.as_deref(), family, "the CRDs")?),
        };
        tables.push((family, table::render_crds(&source, kinds)?));
    }

    let mut kubernetes = options.kubernetes.clone();
    if kubernetes.is_empty()
        && let Some(version) = &options.kubernetes_release
    {
        kubernetes.push(kubernetes::fetch(version)?);
    }
    if !kubernetes.is_empty() {
        let version = release(options.kubernetes_release.as_deref(), "kubernetes", "--kubernetes-release")?;
        let mut schemas = kubernetes::Schemas::default();
        for path in &kubernetes {
            schemas.add(&read(path)?).with_context(|| format!("in {}", path.display()))?;
        }
        tables.push(("kubernetes", schemas.render(&format!("Kubernetes {version}"))?));
    }

    if tables.is_empty() {
        bail!("nothing to read: give --crds, --kubernetes or --kubernetes-release");
    }
    for (family, text) in tables {
        let path = table_path(family);
        let kinds = text.lines().filter(|line| line.starts_with("kind ")).count();
        if fs::read_to_string(&path).is_ok_and(|old| old == text) {
            eprintln!("{family}.txt is up to date: {kinds} kinds, {} bytes", text.len());
        } else if options.check {
            stale.push(family);
        } else {
            fs::write(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
            eprintln!("{family}.txt written: {kinds} kinds, {} bytes", text.len());
        }
    }
    if !stale.is_empty() {
        bail!("stale tables: {}; run the same command without --check", stale.join(", "));
    }
    Ok(())
}

/// The release to name in a table: as given, or else as the table that is there says.
fn release(given: Option<&str>, family: &str, how: &str) -> Result<String> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    let old = fs::read_to_string(table_path(family)).unwrap_or_default();
    let line = old.lines().next().unwrap_or_default();
    line.strip_prefix(table::TITLE)
        .and_then(|rest| rest.rsplit_once(' '))
        .map(|(_, version)| version.to_owned())
        .with_context(|| format!("which release are the schemas of {family} from? {how} should say so"))
}

fn table_path(family: &str) -> PathBuf {
    root().join(format!("lint/src/schema/{family}.txt"))
}

fn read(path: &PathBuf) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
