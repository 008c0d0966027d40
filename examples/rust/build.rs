//! Compile the `model.c` of every bundle into a library that the crate is linked with.
//!
//! `CC`, `CFLAGS` and `AR` are the user's to set, as with make.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    for name in ["CC", "CFLAGS", "AR"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    println!("cargo:rerun-if-changed=models");
    for entry in fs::read_dir("models")? {
        let bundle = entry?.path();
        if bundle.join("model.c").exists() {
            compile(&bundle, &out)?;
        }
    }
    println!("cargo:rustc-link-search=native={}", out.display());
    if env::var("CARGO_CFG_UNIX").is_ok() {
        println!("cargo:rustc-link-lib=m");
    }
    Ok(())
}

fn compile(bundle: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let name = bundle.file_name().and_then(|name| name.to_str());
    let name = name.ok_or("expected a bundle whose folder has a name in UTF-8")?;
    let object = out.join(format!("{name}.o"));
    // A prefix keeps a model called "m" apart from the library of that name.
    let library = out.join(format!("libmodel_{name}.a"));
    // No Cargo feature or profile: model.c needs -O2 in a debug build as well.
    let flags = env::var("CFLAGS").unwrap_or_else(|_| "-O2".into());
    let mut compiler = tool("CC", "cc");
    compiler.args(flags.split_whitespace()).args(["-fPIC", "-c"]);
    run(compiler.arg(bundle.join("model.c")).arg("-o").arg(&object))?;
    run(tool("AR", "ar").arg("crs").arg(&library).arg(&object))?;
    println!("cargo:rustc-link-lib=static=model_{name}");
    Ok(())
}

fn tool(variable: &str, default: &str) -> Command {
    let command = env::var(variable).unwrap_or_else(|_| default.into());
    let mut words = command.split_whitespace();
    let mut tool = Command::new(words.next().unwrap_or(default));
    tool.args(words);
    tool
}

fn run(command: &mut Command) -> Result<(), Box<dyn Error>> {
    let status = command.status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {status}").into())
}
