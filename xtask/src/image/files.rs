//! What goes into the images: the program, the libraries it is linked with, the certificate
//! authorities that this machine trusts, and a handful of lines in `/etc`.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{progress, system};

/// User and group in the images: above what systems give to their own services and first users.
pub const USER: u32 = 10001;

const PROGRAM: &str = "usr/local/bin/blaupause";
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What `docker/test-network/entry.sh` calls.
const ENTRY_PROGRAMS: [&str; 3] = ["/bin/sh", "/bin/cat", "/usr/bin/openssl"];

/// Folders of a test network's server that somebody else puts files into.
const GIVEN_FOLDERS: [&str; 2] = ["complement/ca", "complement/appservice"];

/// Fill a folder with three: `server`, what `test-network` has besides, and `empty`.
///
/// # Errors
/// If something of it is not on this machine or cannot be copied.
pub fn collect(root: &Path, program: &Path, folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            bail!("cannot clear {}: {error}", folder.display());
        }
        _ => {}
    }
    let (server, tests) = (folder.join("server"), folder.join("test-network"));
    make(&folder.join("empty"))?;
    put_server(program, &server)?;
    put_test_network(&root.join("docker/test-network"), &tests)
}

fn put_server(program: &Path, into: &Path) -> Result<()> {
    if !Path::new(AUTHORITIES).is_file() {
        system::install(&["ca-certificates"])?;
    }
    let target = into.join(PROGRAM);
    make(target.parent().expect("it lies in a folder"))?;
    put_program(program, &target)?;
    put_libraries(program, into)?;
    put(Path::new(AUTHORITIES), into)?;
    make(&into.join("etc/blaupause"))?;
    // Some builders give what they have to make above the data to the data's owner.
    make(&into.join("var/lib"))?;
    for (file, text) in lines_of_etc() {
        write(&into.join("etc").join(file), &text)?;
    }
    Ok(())
}

fn put_test_network(sources: &Path, into: &Path) -> Result<()> {
    if ENTRY_PROGRAMS.iter().any(|program| !Path::new(program).is_file()) {
        system::install(&["openssl"])?;
    }
    for program in ENTRY_PROGRAMS.map(Path::new) {
        put(program, into)?;
        put_libraries(program, into)?;
    }
    for given in GIVEN_FOLDERS {
        make(&into.join(given))?;
    }
    let read = |name: &str| {
        let path = sources.join(name);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    write(&into.join("entry.sh"), &read("entry.sh")?)?;
    for name in ["openssl.cnf", "test-network.toml"] {
        write(&into.join("etc/blaupause").join(name), &read(name)?)?;
    }
    Ok(())
}

/// Files of `/etc` with their text. `files` before `dns`: engines write names of hosts into a file.
fn lines_of_etc() -> [(&'static str, String); 3] {
    [
        ("passwd", format!("blaupause:x:{USER}:{USER}::/var/lib/blaupause:/sbin/nologin\n")),
        ("group", format!("blaupause:x:{USER}:\n")),
        ("nsswitch.conf", "hosts: files dns\n".to_owned()),
    ]
}

/// Without what only debuggers read, which is nine tenths of it. Names of functions stay.
fn put_program(from: &Path, to: &Path) -> Result<()> {
    if progress::output_of("strip", &["--version"]).is_none() {
        fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
        return Ok(());
    }
    let mut strip = Command::new("strip");
    strip.arg("--strip-debug").arg("-o").arg(to).arg(from);
    progress::check(strip.status().context("cannot start strip")?, "strip")?;
    // It was readable for its owner only, if that is how this user's files are.
    allow_everybody(to, 0o755)
}

fn put_libraries(program: &Path, into: &Path) -> Result<()> {
    let text = progress::output_of("ldd", &[&program.to_string_lossy()]).unwrap_or_default();
    let libraries = libraries(&text)
        .with_context(|| format!("{} cannot run on this machine", program.display()))?;
    libraries.iter().try_for_each(|library| put(library, into))
}

/// The files that `ldd` names. None for a static program, of which it says just that.
fn libraries(ldd: &str) -> Result<Vec<PathBuf>> {
    if let Some(line) = ldd.lines().find(|line| line.contains("not found")) {
        bail!("a library is not there: {}", line.trim());
    }
    let file =
        |line: &str| line.split_whitespace().find(|word| word.starts_with('/')).map(Into::into);
    Ok(ldd.lines().filter_map(file).collect())
}

/// A file of this machine at the same place in the image; a link becomes what it leads to.
fn put(file: &Path, into: &Path) -> Result<()> {
    let inside = file.strip_prefix("/").context("only whole paths can be put into an image")?;
    let target = into.join(inside);
    make(target.parent().expect("it lies in a folder"))?;
    let mode = fs::metadata(file)
        .and_then(|meta| fs::copy(file, &target).map(|_| meta.permissions().mode()))
        .with_context(|| format!("cannot copy {}", file.display()))?;
    allow_everybody(&target, mode | 0o444)
}

fn write(file: &Path, text: &str) -> Result<()> {
    make(file.parent().expect("it lies in a folder"))?;
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    allow_everybody(file, 0o644)
}

/// A folder that the image's user can enter, whatever the umask of this one says.
fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    allow_everybody(folder, 0o755)
}

fn allow_everybody(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("cannot set the rights of {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_ldd() {
        let text = "\tlinux-vdso.so.1 (0x00007f7e6275f000)\n\
                    \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f7e5ce1e000)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f7e62761000)\n";
        let found = libraries(text).unwrap();
        let wanted = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(found, wanted.map(PathBuf::from));
        assert!(libraries("\tstatically linked\n").unwrap().is_empty());
        assert!(libraries("\tlibx.so.1 => not found\n").is_err());
    }

    #[test]
    fn both_images_hold_what_they_start_with() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let folder = std::env::temp_dir().join(format!("xtask-image-{}", std::process::id()));
        // Any program of this machine stands for the server.
        collect(root, Path::new("/bin/cat"), &folder).unwrap();
        let mode =
            |path: &str| fs::metadata(folder.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("server/usr/local/bin/blaupause"), 0o755);
        assert_eq!(mode("server/etc/ssl/certs/ca-certificates.crt") & 0o444, 0o444);
        assert_eq!(mode("test-network/entry.sh"), 0o644);
        assert_eq!(mode("test-network/complement/ca"), 0o755);
        assert!(folder.join("server/var/lib").is_dir());
        assert!(!folder.join("server/bin/sh").exists(), "the server's image has no shell");
        assert!(folder.join("test-network/usr/bin/openssl").is_file());
        fs::remove_dir_all(folder).unwrap();
    }
}
