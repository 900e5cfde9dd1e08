//! The arguments, as data for clap.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Parser, Subcommand, ValueEnum};
use coalmine::Severity;
use coalmine::mesh::Assume;
use coalmine::rules::RULES;

use super::baseline::BaselineArgs;
use super::input::Choice;

/// Lints the routing and mTLS manifests of an Istio deployment, offline.
#[derive(Parser, Debug)]
#[command(name = "coalmine", version, max_term_width = 100, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub common: Common,
    /// When to use colour
    #[arg(long, value_enum, default_value_t = Color::Auto, global = true)]
    pub color: Color,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Lint manifests
    Lint(LintArgs),
    /// List every rule
    Rules {
        /// How to print the list
        #[arg(long, value_enum, default_value_t = RulesFormat::Human)]
        format: RulesFormat,
    },
    /// Explain a rule: what it finds, why it matters, what to write instead
    Explain {
        /// The rule's id, as in the findings
        rule: String,
    },
    /// Follow one request: every hop, why, and what answers
    Route(Box<super::route::RouteArgs>),
    /// Run the routing expectations that are kept beside the manifests
    Test(super::test::TestArgs),
    /// Say what the filter would decide for a request, how a rollout splits, or sign an override
    Decide(Box<DecideArgs>),
    /// Show which TLS each client sends to each host and port, what is accepted, and what decides it
    TlsCheck(super::tls_check::TlsCheckArgs),
    /// Check a rollout between its steps: every moment, the way back, and a safe order if there is one
    Rollout(super::rollout::RolloutArgs),
    /// Serve editors: the language server protocol on standard input and output
    Lsp(super::lsp::LspArgs),
    /// Draw who calls whom, through which match, weight and mTLS
    Graph(super::graph::GraphArgs),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write a manual page for each command
    #[command(hide = true)]
    Man {
        /// Where to
        folder: PathBuf,
    },
}

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Common {
    /// Namespace of objects that name none [default: default]
    #[arg(short, long, value_name = "NS", global = true)]
    pub namespace: Option<String>,
    /// Use this coalmine.yaml instead of the nearest one above each input
    #[arg(long, value_name = "FILE", global = true, conflicts_with = "isolated")]
    pub config: Option<PathBuf>,
    /// Ignore every coalmine.yaml
    #[arg(long, global = true)]
    pub isolated: bool,
    /// Read mesh-wide settings from this Istio MeshConfig
    #[arg(long, value_name = "FILE", global = true)]
    pub mesh_config: Option<PathBuf>,
    /// Whether an object that is not in the input is missing: in namespaces that the input defines
    /// (auto), everywhere (closed), nowhere (open)
    #[arg(long, value_enum, global = true)]
    pub assume: Option<AssumeArg>,
}

/// Which state of which deployment a question is about.
#[derive(clap::Args, Debug)]
pub(crate) struct StateArgs {
    /// Files, folders, or `-` for standard input [default: the current folder]
    pub paths: Vec<PathBuf>,
    /// Ask about the state after this step of the rollout [default: the last that leaves anything]
    #[arg(long, value_name = "STEP")]
    pub step: Option<String>,
}

#[derive(clap::Args, Debug)]
pub(crate) struct LintArgs {
    /// Files, folders, or `-` for standard input [default: the current folder]
    pub paths: Vec<PathBuf>,
    /// Lint all of the deployments that the paths belong to: the folder of the nearest coalmine.yaml, else
    /// the repository
    #[arg(long)]
    pub whole_deployment: bool,
    /// How to print the findings
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub format: Format,
    /// Write the findings to a file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Run only these rules
    #[arg(long, value_name = "RULE", value_delimiter = ',', value_parser = rule_ids(), hide_possible_values = true)]
    pub select: Vec<String>,
    /// Do not run these rules
    #[arg(long, value_name = "RULE", value_delimiter = ',', value_parser = rule_ids(), hide_possible_values = true)]
    pub ignore: Vec<String>,
    /// Show only findings of at least this severity
    #[arg(long, value_enum, value_name = "SEVERITY", default_value_t = SeverityArg::Info)]
    pub min_severity: SeverityArg,
    /// Exit with 1 when there is a finding of at least this severity
    #[arg(long, value_enum, value_name = "SEVERITY", default_value_t = FailOn::Error)]
    pub fail_on: FailOn,
    /// Apply the fixes that are safe. Standard input comes out fixed on standard output, also where there was
    /// nothing to fix, and the findings that remain go to standard error
    #[arg(long)]
    pub fix: bool,
    /// Apply or show unsafe fixes as well
    #[arg(long)]
    pub unsafe_fixes: bool,
    /// Show what the fixes would change instead of the findings, and change nothing; the exit code is that of
    /// the findings as they are
    #[arg(long)]
    pub diff: bool,
    #[command(flatten)]
    pub baseline: BaselineArgs,
    /// Lint again whenever a file changes
    #[arg(long, conflicts_with_all = ["fix", "diff", "write_baseline"])]
    pub watch: bool,
    /// What to call standard input in findings
    #[arg(long, value_name = "NAME", default_value = "<stdin>")]
    pub stdin_filename: String,
}

impl LintArgs {
    /// Files that this or an earlier run wrote, which are no manifests even where they lie among them.
    pub(crate) fn own_files(&self) -> Vec<&PathBuf> {
        let BaselineArgs { baseline, write_baseline } = &self.baseline;
        self.output.iter().chain(baseline).chain(write_baseline).collect()
    }

    /// What to read.
    pub(crate) fn choice<'c>(&'c self, own: &'c [&'c PathBuf]) -> Choice<'c> {
        Choice { paths: &self.paths, whole: self.whole_deployment, own }
    }
}

#[derive(clap::Args, Debug)]
pub(crate) struct DecideArgs {
    /// A manifest with the WasmPlugin, or a bare pluginConfig, in YAML or JSON; `-` for standard input
    #[arg(long, value_name = "FILE", required = true)]
    pub config: PathBuf,
    /// Which WasmPlugin of the file, if several run the filter
    #[arg(long, value_name = "[NS/]NAME")]
    pub plugin: Option<String>,
    /// A Cookie header of the request; several make several headers
    #[arg(long, value_name = "A=B; C=D")]
    pub cookie: Vec<String>,
    /// A header of the request
    #[arg(long, value_name = "NAME: VALUE")]
    pub header: Vec<String>,
    /// Who makes the request, put where the configuration looks first; with --sign, who may use the override
    #[arg(long, value_name = "ID")]
    pub subject: Option<String>,
    /// The request's method
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    pub method: String,
    /// The request's host
    #[arg(long, value_name = "HOST", default_value = "example.com")]
    pub host: String,
    /// The request's path and query
    #[arg(long, value_name = "PATH", default_value = "/")]
    pub path: String,
    /// The SPIFFE id of the client, for the mesh role
    #[arg(long, value_name = "URI")]
    pub principal: Option<String>,
    /// A signing key; otherwise the environment variable that the configuration names
    #[arg(long, value_name = "ID=VALUE")]
    pub key: Vec<String>,
    /// The time of the request, RFC 3339 [default: now]
    #[arg(long, value_name = "TIME")]
    pub now: Option<String>,
    /// Deal this many made-up subjects and show the split of each rollout
    #[arg(long, value_name = "N", conflicts_with = "sign", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub simulate: Option<u64>,
    /// Sign an override: a token that gives its holder this variant
    #[arg(long, value_name = "FLAG=VARIANT")]
    pub sign: Option<String>,
    /// How long the override works
    #[arg(long, value_name = "DURATION", default_value = "7d", requires = "sign")]
    pub expires: String,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t = DecideFormat::Human)]
    pub format: DecideFormat,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DecideFormat {
    /// For people
    Human,
    /// JSON, version 1
    Json,
}

fn rule_ids() -> PossibleValuesParser {
    PossibleValuesParser::new(RULES.iter().map(|rule| rule.id))
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    /// Snippets with the place marked
    Human,
    /// One line per finding
    Concise,
    /// JSON, version 1
    Json,
    /// SARIF 2.1.0
    Sarif,
    /// GitHub workflow commands
    Github,
    /// GitLab code quality
    Gitlab,
    /// JUnit XML
    Junit,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RulesFormat {
    Human,
    Json,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SeverityArg {
    Info,
    Warning,
    Error,
}

impl From<SeverityArg> for Severity {
    fn from(severity: SeverityArg) -> Self {
        match severity {
            SeverityArg::Info => Self::Info,
            SeverityArg::Warning => Self::Warning,
            SeverityArg::Error => Self::Error,
        }
    }
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FailOn {
    Error,
    Warning,
    Info,
    Never,
}

impl FailOn {
    /// Whether a finding of this severity fails the run.
    pub(crate) fn includes(self, severity: Severity) -> bool {
        match self {
            Self::Error => severity >= Severity::Error,
            Self::Warning => severity >= Severity::Warning,
            Self::Info => true,
            Self::Never => false,
        }
    }
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AssumeArg {
    Auto,
    Closed,
    Open,
}

impl From<AssumeArg> for Assume {
    fn from(assume: AssumeArg) -> Self {
        match assume {
            AssumeArg::Auto => Self::Auto,
            AssumeArg::Closed => Self::Closed,
            AssumeArg::Open => Self::Open,
        }
    }
}
