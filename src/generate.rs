//! `generate-config`: the shortest file that starts.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::cli::GenerateConfig;

/// The text of a configuration that starts as it is. All other keys keep their defaults.
///
/// # Errors
/// If the data folder's path is not UTF-8 or cannot be made absolute.
pub fn config(wanted: &GenerateConfig) -> anyhow::Result<String> {
    // Absolute, so that the server finds its data from whatever folder it is started in.
    let data = std::path::absolute(&wanted.data_dir).context("cannot make --data-dir absolute")?;
    Ok(format!(
        "# Blaupause. Every other key has its default: see config/blaupause.toml.
# Check a change with: blaupause check-config FILE

[server]
# The part after the colon of user ids. It can never be changed once there are users.
name = {name}
# Plain HTTP, for a reverse proxy that does HTTPS. See [tls] for HTTPS without one.
listen = [{listen}]

[storage]
path = {db}

[media]
path = {media}

[registration]
# \"closed\": accounts are made with `blaupause user create`.
# \"token\":  people with a token from tokens_file register themselves.
# \"open\":   everybody does.
mode = \"closed\"
",
        name = quoted(wanted.server_name.as_str()),
        listen = quoted(&wanted.listen.to_string()),
        db = quoted_path(&data.join("db"))?,
        media = quoted_path(&data.join("media"))?,
    ))
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn quoted_path(path: &Path) -> anyhow::Result<String> {
    let text =
        path.to_str().with_context(|| format!("{} is not UTF-8", PathBuf::from(path).display()))?;
    Ok(quoted(text))
}
