//! The linter as it is shipped: the program, completions for five shells, a manual page per command, and a Python
//! wheel that carries the program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::sha256;
use crate::{root, run, tools};

/// Where each shell looks for completions of a program.
const COMPLETIONS: [(&str, &str); 5] = [
    ("bash", "coalmine.bash"),
    ("zsh", "_coalmine"),
    ("fish", "coalmine.fish"),
    ("powershell", "_coalmine.ps1"),
    ("elvish", "coalmine.elv"),
];

/// Builds and writes everything to `dist`, and says what there is.
pub(super) fn write(dist: &Path) -> Result<()> {
    run("cargo", &["build", "--release", "--locked", "--package", "coalmine"])?;
    let name = format!("coalmine{}", std::env::consts::EXE_SUFFIX);
    let program = dist.join(&name);
    fs::copy(root().join("target/release").join(&name), &program)?;
    println!("linter    {}", program.display());

    let completions = anew(&dist.join("completions"))?;
    for (shell, file) in COMPLETIONS {
        fs::write(completions.join(file), output(&program, &["completions", shell])?)?;
    }
    println!("          {} for {} shells", completions.display(), COMPLETIONS.len());
    let man = anew(&dist.join("man"))?;
    output(&program, &["man", &man.to_string_lossy()])?;
    println!("          {} with {} pages", man.display(), fs::read_dir(&man)?.count());

    let wheels = anew(&dist.join("wheel"))?;
    match tools::python_tools() {
        Ok(bin) => {
            let maturin = bin.join("maturin").to_string_lossy().into_owned();
            let out = wheels.to_string_lossy().into_owned();
            run(&maturin, &["build", "--quiet", "--release", "--locked", "--out", &out])?;
            let wheel = fs::read_dir(&wheels)?.next().context("maturin wrote no wheel")??;
            println!("wheel     {}", wheel.path().display());
        }
        Err(error) => {
            println!("wheel     left out: {error:#}");
            fs::remove_dir(wheels)?;
        }
    }
    Ok(())
}

/// Writes `SHA256SUMS` over all files of `dist`, as `sha256sum --check` reads it.
pub(super) fn sums(dist: &Path) -> Result<()> {
    const NAME: &str = "SHA256SUMS";
    let mut files = Vec::new();
    let mut folders = vec![dist.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    let mut text = String::new();
    for path in files {
        let name = path.strip_prefix(dist)?.to_string_lossy().replace('\\', "/");
        if name != NAME {
            text.push_str(&format!("{}  {name}\n", sha256(&fs::read(&path)?)));
        }
    }
    fs::write(dist.join(NAME), text)?;
    println!("sums      {}", dist.join(NAME).display());
    Ok(())
}

/// The folder, empty.
fn anew(folder: &Path) -> Result<PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    Ok(folder.to_owned())
}

fn output(program: &Path, args: &[&str]) -> Result<Vec<u8>> {
    let output =
        Command::new(program).args(args).output().with_context(|| format!("{}", program.display()))?;
    ensure!(
        output.status.success(),
        "`coalmine {}` failed: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}
