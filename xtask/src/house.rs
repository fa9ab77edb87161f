//! The house rules that no compiler checks.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

mod layers;

/// Above this a file is two files.
const LINES_MAX: usize = 800;

/// Words that a finished program does not contain, in halves so that this file does not either.
const FORBIDDEN: &[(&str, &str, &str)] = &[
    ("todo", "!(", "build it or leave it out"),
    ("unimplemented", "!(", "build it or leave it out"),
    ("#[al", "low(", "use #[expect(…, reason = \"…\")], which says when it is no longer needed"),
    ("#![al", "low(", "use #![expect(…, reason = \"…\")], which says when it is no longer needed"),
];

/// Every breach, one line each: `path:line: what`.
///
/// # Errors
/// If the files cannot be listed or read.
pub fn check(root: &Path) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for path in files(root)? {
        let Ok(text) = fs::read_to_string(root.join(&path)) else {
            continue; // deleted but not committed, or a picture
        };
        let name = path.to_string_lossy();
        broken.extend(check_file(&name, &text));
    }
    Ok(broken)
}

/// What git knows, and what is new: not what it ignores.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("cannot start git; is it installed?")?;
    if !output.status.success() {
        bail!("git ls-files failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let text = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
    Ok(text.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect())
}

fn check_file(path: &str, text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    let file_name = path.rsplit('/').next().unwrap_or(path);
    let is_source = [".rs", ".js", ".mjs", ".ts"].iter().any(|ending| path.ends_with(ending));
    let lines = text.lines().count();
    if is_source && lines > LINES_MAX {
        broken.push(format!("{path}:{lines}: more than {LINES_MAX} lines; split it"));
    }
    if file_name == "mod.rs" {
        broken
            .push(format!("{path}:1: a module `foo` is foo.rs and the folder foo/, never mod.rs"));
    }
    if path.ends_with(".rs") {
        broken.extend(forbidden(path, text));
        broken.extend(layers::check_source(path, text));
    }
    match file_name {
        "Cargo.toml" => {
            broken.extend(git_dependencies(path, text));
            broken.extend(layers::check_manifest(path, text));
        }
        "Cargo.lock" => broken.extend(foreign_sources(path, text)),
        _ => {}
    }
    broken
}

fn forbidden(path: &str, text: &str) -> Vec<String> {
    let code = |line: &str| !line.trim_start().starts_with("//");
    let mut broken = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| code(line)) {
        for (first, second, instead) in FORBIDDEN {
            let word = format!("{first}{second}");
            if line.contains(&word) {
                broken.push(format!("{path}:{}: `{word}…`: {instead}", at + 1));
            }
        }
    }
    broken
}

/// No forks: a dependency comes from the registry, or from this checkout.
fn git_dependencies(path: &str, text: &str) -> Vec<String> {
    let git = |line: &str| {
        let line = line.split('#').next().unwrap_or_default();
        line.split(['{', ','])
            .any(|part| part.split_once('=').is_some_and(|(key, _)| key.trim() == "git"))
            || line.trim().starts_with("[patch")
    };
    text.lines()
        .enumerate()
        .filter(|(_, line)| git(line))
        .map(|(at, _)| format!("{path}:{}: no git dependencies, no patches", at + 1))
        .collect()
}

fn foreign_sources(path: &str, text: &str) -> Vec<String> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| {
            line.starts_with("source = ") && !line.starts_with("source = \"registry+")
        })
        .map(|(at, line)| format!("{path}:{}: not from the registry: {line}", at + 1))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_reported() {
        assert!(check_file("a.rs", &"x\n".repeat(800)).is_empty());
        assert_eq!(check_file("a.rs", &"x\n".repeat(801)).len(), 1);
        assert!(check_file("a.md", &"x\n".repeat(801)).is_empty());
    }

    #[test]
    fn unfinished_code_is_reported_with_its_line() {
        let text = format!("fn a() {{\n    {}{}\"later\")\n}}\n", "todo", "!(");
        let broken = check_file("src/a.rs", &text);
        assert_eq!(broken.len(), 1);
        assert!(broken[0].starts_with("src/a.rs:2: "), "{broken:?}");
        assert!(check_file("src/a.rs", &text.replace("    ", "    // ")).is_empty());
    }

    #[test]
    fn silencing_a_lint_without_a_reason_is_reported() {
        let text = format!("{}{}dead_code)]", "#[al", "low(");
        assert_eq!(check_file("src/a.rs", &text).len(), 1);
    }

    #[test]
    fn module_files_have_the_modules_name() {
        assert_eq!(check_file("src/a/mod.rs", "").len(), 1);
        assert!(check_file("src/a.rs", "").is_empty());
    }

    #[test]
    fn dependencies_come_from_the_registry() {
        for line in
            ["a = { git = \"x\" }", "a = { version = \"1\", git=\"x\" }", "[patch.crates-io]"]
        {
            assert_eq!(check_file("Cargo.toml", line).len(), 1, "{line}");
        }
        for line in ["git2 = \"1\"", "a = { version = \"1\" } # git = x", "digit = \"1\""] {
            assert!(check_file("Cargo.toml", line).is_empty(), "{line}");
        }
        assert_eq!(check_file("Cargo.lock", "source = \"git+x\"").len(), 1);
        assert!(check_file("Cargo.lock", "source = \"registry+x\"").is_empty());
    }

    #[test]
    fn this_checkout_can_be_checked() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let all = files(root).unwrap();
        assert!(all.contains(&PathBuf::from("Cargo.toml")));
        assert!(all.iter().all(|path| !path.starts_with("target")));
        check(root).unwrap();
    }
}
