//! RocksDB's static library, built once per version into a cache outside the checkout.
//!
//! Its C++ is most of a cold build (12 minutes on two cores) and never changes between two commits.
//! The library is made by cargo itself, from a package that depends on nothing but the pinned crate.

use std::{
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{dirs::Dirs, pins::Pin, progress, tools};

const LIBRARY: &str = "librocksdb.a";
const STAMP: &str = "built-from";
const NEWS_EVERY: Duration = Duration::from_secs(20);

/// Where the library is, if anywhere.
#[derive(Clone, Debug)]
pub struct Library {
    folder: Option<PathBuf>,
}

impl Library {
    /// None: cargo compiles RocksDB itself.
    pub fn absent() -> Self {
        Self { folder: None }
    }

    /// What tells the build script of `librocksdb-sys` to link this library. lz4 and zstd are not
    /// in it: their own crates compile and link them.
    pub fn variables(&self) -> Vec<(&'static str, OsString)> {
        self.folder
            .iter()
            .flat_map(|folder| {
                [
                    ("ROCKSDB_LIB_DIR", folder.clone().into_os_string()),
                    ("ROCKSDB_STATIC", "1".into()),
                ]
            })
            .collect()
    }
}

/// The library that is there now.
pub fn look(dirs: &Dirs, pin: &Pin) -> Library {
    if let Some(folder) = chosen_by_user() {
        return Library { folder: Some(folder) };
    }
    let cache = Cache::of(dirs, pin);
    Library { folder: cache.is_complete(pin).then_some(cache.lib) }
}

/// The library, built if it is not there.
///
/// # Errors
/// If it cannot be built or put in place.
pub fn ensure(dirs: &Dirs, pin: &Pin) -> Result<Library> {
    let found = look(dirs, pin);
    if found.folder.is_some() {
        return Ok(found);
    }
    let cache = Cache::of(dirs, pin);
    fs::create_dir_all(&cache.lib)
        .with_context(|| format!("cannot make {}", cache.lib.display()))?;
    // Two at once on a fresh machine (a demo and a test): the second waits and finds it done.
    let lock = File::create(cache.home.join("lock")).context("cannot make the cache's lock")?;
    lock.lock().context("cannot lock the cache")?;
    if !cache.is_complete(pin) {
        build(&cache, pin, &dirs.root)?;
    }
    Ok(Library { folder: Some(cache.lib) })
}

/// A library of one's own is used as it is, if it exists.
fn chosen_by_user() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("ROCKSDB_LIB_DIR")?);
    folder.join(LIBRARY).is_file().then_some(folder)
}

/// The cache's folder of one version.
struct Cache {
    home: PathBuf,
    lib: PathBuf,
    work: PathBuf,
}

impl Cache {
    fn of(dirs: &Dirs, pin: &Pin) -> Self {
        let home = dirs.cache.join("blaupause-rocksdb").join(&pin.version);
        Self { lib: home.join("lib"), work: home.join("build"), home }
    }

    /// The library is there and was built from what is pinned. The stamp is written last, so an
    /// interrupted build is never taken for a finished one.
    fn is_complete(&self, pin: &Pin) -> bool {
        self.lib.join(LIBRARY).is_file()
            && fs::read_to_string(self.lib.join(STAMP)).is_ok_and(|text| text == pin.stamp())
    }

    fn put(&self, built: &Path, pin: &Pin) -> Result<()> {
        let stamp = self.lib.join(STAMP);
        let _ = fs::remove_file(&stamp); // usually there is none
        move_into_place(|partial| fs::copy(built, partial).map(drop), &self.lib.join(LIBRARY))?;
        move_into_place(|partial| fs::write(partial, pin.stamp()), &stamp)
    }
}

/// Write beside the goal, make it durable, rename: the goal is absent or whole.
fn move_into_place(write: impl FnOnce(&Path) -> std::io::Result<()>, goal: &Path) -> Result<()> {
    let partial = goal.with_extension("partial");
    write(&partial)
        .and_then(|()| File::open(&partial)?.sync_all())
        .and_then(|()| fs::rename(&partial, goal))
        .with_context(|| format!("cannot write {}", goal.display()))
}

fn build(cache: &Cache, pin: &Pin, root: &Path) -> Result<()> {
    println!(
        "RocksDB {}: building its library once into {}.\n\
         This takes about 12 minutes on two cores; later builds link it.",
        pin.version,
        cache.lib.display()
    );
    write_package(&cache.work, pin, root)?;
    let target = cache.work.join("target");
    let mut cargo = Command::new("cargo");
    tools::forget_this_package(&mut cargo);
    cargo
        .args(["build", "--release"])
        .current_dir(&cache.work)
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("ROCKSDB_LIB_DIR")
        .env_remove("ROCKSDB_STATIC");
    let files = source_files(pin);
    let status = progress::run_watched(&mut cargo, Some(NEWS_EVERY), |elapsed| {
        let done = compiled(&target);
        match files {
            Some(files) => format!("RocksDB: {done} of {files} files compiled, {elapsed}"),
            None => format!("RocksDB: {done} files compiled, {elapsed}"),
        }
    })?;
    progress::check(status, "building RocksDB")?;
    let out = out_folder(&target).context("cargo built RocksDB but left no librocksdb.a")?;
    cache.put(&out.join(LIBRARY), pin)?;
    // Half a gigabyte that nobody needs any more.
    if let Err(error) = fs::remove_dir_all(&cache.work) {
        eprintln!("cannot remove {}: {error}", cache.work.display());
    }
    println!("RocksDB {} is in the cache.", pin.version);
    Ok(())
}

/// A package that depends on RocksDB exactly as the workspace does. With the workspace's lock file
/// the versions of everything below it are the same too; cargo drops what is not needed.
fn write_package(folder: &Path, pin: &Pin, root: &Path) -> Result<()> {
    let manifest = format!(
        "[package]\nname = \"rocksdb-library\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
         [dependencies]\n{}\n[workspace]\n",
        pin.dependency
    );
    fs::create_dir_all(folder.join("src"))
        .and_then(|()| fs::write(folder.join("src/lib.rs"), ""))
        .and_then(|()| fs::write(folder.join("Cargo.toml"), manifest))
        .and_then(|()| fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")))
        .with_context(|| format!("cannot write {}", folder.display()))?;
    Ok(())
}

/// Folders of `librocksdb-sys`'s build script: one for the script itself, one for what it makes.
fn out_folders(target: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(target.join("release/build"))
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("librocksdb-sys-"))
        .map(|entry| entry.path().join("out"))
}

fn out_folder(target: &Path) -> Option<PathBuf> {
    out_folders(target).find(|folder| folder.join(LIBRARY).is_file())
}

fn compiled(target: &Path) -> usize {
    out_folders(target).flat_map(|folder| object_files(&folder)).count()
}

fn object_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries
        .flatten()
        .map(|entry| entry.path())
        .flat_map(|path| match path.is_dir() {
            true => object_files(&path),
            false if path.extension().is_some_and(|ending| ending == "o") => vec![path],
            false => Vec::new(),
        })
        .collect()
}

/// How many files there are to compile, from the list in the crate; only for the progress line.
fn source_files(pin: &Pin) -> Option<usize> {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))?;
    let package = format!("librocksdb-sys-{}", pin.sources);
    fs::read_dir(home.join("registry/src")).ok()?.flatten().find_map(|registry| {
        let list = registry.path().join(&package).join("rocksdb_lib_sources.txt");
        fs::read_to_string(list).ok().map(|text| text.trim().lines().count())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin() -> Pin {
        Pin {
            version: "9.9.9".into(),
            sources: "8".into(),
            dependency: "rocksdb = \"=9.9.9\"".into(),
        }
    }

    /// A folder that goes away with the test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        fn cache(&self) -> Cache {
            let home = self.0.join("cache");
            let cache = Cache { lib: home.join("lib"), work: home.join("build"), home };
            fs::create_dir_all(&cache.lib).unwrap();
            cache
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn an_interrupted_build_is_not_complete() {
        let scratch = Scratch::new("interrupted");
        let cache = scratch.cache();
        assert!(!cache.is_complete(&pin()));
        fs::write(cache.lib.join("librocksdb.partial"), "half").unwrap();
        assert!(!cache.is_complete(&pin()));
        fs::write(cache.lib.join(LIBRARY), "whole").unwrap();
        assert!(!cache.is_complete(&pin()), "the stamp is missing");
    }

    #[test]
    fn what_was_put_is_complete_for_its_pin_only() {
        let scratch = Scratch::new("put");
        let cache = scratch.cache();
        let built = scratch.0.join("built.a");
        fs::write(&built, "library").unwrap();
        cache.put(&built, &pin()).unwrap();
        assert!(cache.is_complete(&pin()));
        let other = Pin { dependency: "rocksdb = \"9\"".into(), ..pin() };
        assert!(!cache.is_complete(&other));
        cache.put(&built, &other).unwrap();
        assert!(cache.is_complete(&other) && !cache.is_complete(&pin()));
    }

    #[test]
    fn the_built_library_is_found_and_counted() {
        let scratch = Scratch::new("found");
        let out = scratch.0.join("release/build/librocksdb-sys-1a/out");
        fs::create_dir_all(out.join("rocksdb")).unwrap();
        fs::create_dir_all(scratch.0.join("release/build/librocksdb-sys-2b")).unwrap();
        fs::write(out.join("rocksdb/a.o"), "").unwrap();
        fs::write(out.join("b.o"), "").unwrap();
        assert_eq!(compiled(&scratch.0), 2);
        assert_eq!(out_folder(&scratch.0), None);
        fs::write(out.join(LIBRARY), "").unwrap();
        assert_eq!(out_folder(&scratch.0), Some(out));
    }
}
