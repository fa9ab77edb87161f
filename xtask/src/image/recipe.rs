//! The last stages of docker/Dockerfile for a folder of files: one description of each image,
//! whoever builds it.

use anyhow::{Context, Result};

/// What the stages of the Dockerfile begin with that hold no build.
const FROM_NOTHING: &str = "FROM scratch AS ";
/// Where they take the files from that `cargo xtask image --files` has collected.
const FROM_BUILD: &str = "--from=build ";
const COLLECTED: &str = "/image/";

/// The stage's instructions, with the files from the folder that is built in instead of from the stage
/// before.
///
/// # Errors
/// If there is no such stage.
pub fn from_files(dockerfile: &str, stage: &str) -> Result<String> {
    let first = format!("{FROM_NOTHING}{stage}");
    let mut lines = dockerfile.lines().skip_while(|line| *line != first);
    let from = lines.next().with_context(|| format!("docker/Dockerfile has no line `{first}`"))?;
    let mut text = format!("{from}\n");
    for line in lines.take_while(|line| !line.starts_with("FROM ")) {
        let local = match line.contains(FROM_BUILD) {
            true => line.replace(FROM_BUILD, "").replace(COLLECTED, ""),
            false => line.to_owned(),
        };
        text.push_str(&local);
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::image::USER;

    fn dockerfile() -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        fs::read_to_string(root.join("docker/Dockerfile")).unwrap()
    }

    #[test]
    fn a_stage_takes_its_files_from_the_folder() {
        let text = "FROM rust AS build\nRUN x\nFROM scratch AS a\n\
                    COPY --from=build /image/server /\nUSER 1\nFROM scratch AS b\nUSER 2\n";
        assert_eq!(from_files(text, "a").unwrap(), "FROM scratch AS a\nCOPY server /\nUSER 1\n");
        assert_eq!(from_files(text, "b").unwrap(), "FROM scratch AS b\nUSER 2\n");
        assert!(from_files(text, "c").is_err());
    }

    #[test]
    fn the_images_need_no_other_stage() {
        for stage in ["server", "test-network"] {
            let text = from_files(&dockerfile(), stage).unwrap();
            assert!(!text.contains("--from") && !text.contains("/image/"), "{text}");
            assert!(text.contains("\nCOPY server /\n"), "{text}");
            assert!(text.contains("\nENTRYPOINT ["), "{text}");
        }
    }

    #[test]
    fn nothing_runs_as_root_and_the_health_check_needs_no_shell() {
        let user = format!("\nUSER {USER}:{USER}\n");
        for stage in ["server", "test-network"] {
            assert!(from_files(&dockerfile(), stage).unwrap().contains(&user), "{stage}");
        }
        const { assert!(USER > 2000) };
        let server = from_files(&dockerfile(), "server").unwrap();
        assert!(server.contains("CMD [\"/usr/local/bin/blaupause\", \"health\""), "{server}");
    }

    #[test]
    fn what_is_built_without_a_target_is_the_server() {
        let text = dockerfile();
        let last = text.lines().rfind(|line| line.starts_with("FROM ")).unwrap();
        assert_eq!(last, "FROM scratch AS server");
    }
}
