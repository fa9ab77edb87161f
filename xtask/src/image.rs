//! `cargo xtask image`: the program in a container image, from files of this machine. No registry is
//! asked, so it works where none can be reached.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{dirs::Dirs, progress, tools::Tools};

mod files;
mod recipe;
mod trial;

pub use files::USER;

/// How the images are called if nobody says otherwise.
const SERVER_TAG: &str = "blaupause";
const TEST_NETWORK_TAG: &str = "blaupause-test-network";

/// What the command line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    debug: bool,
    test_network: bool,
    tag: Option<String>,
    /// Only the files of the images, into this folder: for the Dockerfile.
    files: Option<PathBuf>,
}

impl Wanted {
    /// # Errors
    /// If a word is unknown, a value is missing, or two of them contradict each other.
    pub fn parse(arguments: &[String]) -> Result<Self> {
        let mut wanted = Self::default();
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value"));
            match word.as_str() {
                "--debug" => wanted.debug = true,
                "--test-network" => wanted.test_network = true,
                "--tag" => wanted.tag = Some(value()?.clone()),
                "--files" => wanted.files = Some(PathBuf::from(value()?)),
                other => bail!(
                    "image knows --debug, --test-network, --tag NAME, --files DIR, not {other:?}"
                ),
            }
        }
        let names_an_image = wanted.test_network || wanted.tag.is_some();
        ensure!(
            wanted.files.is_none() || !names_an_image,
            "--files makes no image: it goes without --tag and --test-network"
        );
        Ok(wanted)
    }
}

/// The two images that docker/Dockerfile describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Image {
    Server,
    TestNetwork,
}

impl Image {
    /// The name of its stage.
    const fn stage(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::TestNetwork => "test-network",
        }
    }
}

/// Build the program, collect what it needs, make the image.
///
/// # Errors
/// If it cannot be built, or no Docker engine answers.
pub fn run(dirs: &Dirs, wanted: &Wanted) -> Result<()> {
    if wanted.files.is_none()
        && let Err(why) = engine()
    {
        bail!("{why}"); // before the minutes of building
    }
    let tools = Tools::prepare(dirs)?;
    let mut cargo = tools.cargo();
    cargo.args(["build", "--locked", "--bin", "blaupause"]);
    if !wanted.debug {
        cargo.arg("--release");
    }
    progress::run(&mut cargo, "building the server")?;
    let program = dirs.server(!wanted.debug);
    if let Some(folder) = &wanted.files {
        files::collect(&dirs.root, &program, folder)?;
        println!("\ncollected: {}", folder.display());
        return Ok(());
    }
    let (image, usual) = match wanted.test_network {
        true => (Image::TestNetwork, TEST_NETWORK_TAG),
        false => (Image::Server, SERVER_TAG),
    };
    let tag = wanted.tag.as_deref().unwrap_or(usual);
    let folder = context(dirs);
    files::collect(&dirs.root, &program, &folder)?;
    build(&dirs.root, &folder, image, tag)?;
    println!("\nbuilt: image {tag}");
    Ok(())
}

/// Make both images of the program as the tests have built it, and start them as docker/README.md says.
///
/// # Errors
/// If an image cannot be built, or does not do what docker/README.md says.
pub fn try_out(dirs: &Dirs) -> Result<()> {
    let folder = context(dirs);
    files::collect(&dirs.root, &dirs.server(false), &folder)?;
    trial::run(&dirs.root, &folder)
}

/// The version of the engine that answers here.
///
/// # Errors
/// If none does: what to say about it.
pub fn engine() -> Result<String, String> {
    match progress::output_of("docker", &["version", "--format", "{{.Server.Version}}"]) {
        Some(version) if !version.trim().is_empty() => Ok(version.trim().to_owned()),
        _ => Err("no Docker engine answers here (Debian: apt-get install docker.io)".to_owned()),
    }
}

/// What is sent to the engine; made anew each time.
fn context(dirs: &Dirs) -> PathBuf {
    dirs.target.join("image")
}

fn build(root: &Path, folder: &Path, image: Image, tag: &str) -> Result<()> {
    let from = root.join("docker/Dockerfile");
    let text =
        fs::read_to_string(&from).with_context(|| format!("cannot read {}", from.display()))?;
    let recipe = folder.join(format!("Dockerfile.{}", image.stage()));
    fs::write(&recipe, recipe::from_files(&text, image.stage())?)
        .with_context(|| format!("cannot write {}", recipe.display()))?;
    let mut docker = Command::new("docker");
    docker.args(["build", "--quiet", "--tag", tag, "--file"]).arg(&recipe).arg(folder);
    progress::run(&mut docker, "docker build")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Wanted> {
        Wanted::parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_command_line_is_understood() {
        assert_eq!(parse(&[]).unwrap(), Wanted::default());
        let wanted = parse(&["--debug", "--test-network", "--tag", "a:b"]).unwrap();
        assert!(wanted.debug && wanted.test_network);
        assert_eq!(wanted.tag.as_deref(), Some("a:b"));
        assert!(parse(&["--tag"]).is_err());
        assert!(parse(&["--push"]).is_err());
    }

    #[test]
    fn files_are_no_image() {
        assert_eq!(parse(&["--files", "/image"]).unwrap().files, Some(PathBuf::from("/image")));
        assert!(parse(&["--files", "/image", "--tag", "a"]).is_err());
        assert!(parse(&["--files", "/image", "--test-network"]).is_err());
    }
}
