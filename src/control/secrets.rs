//! The keys that sign the cookies of sticky pools, read from the files that the operator keeps.

use std::{
    collections::HashMap,
    fs,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::Arc,
};

use crate::{
    config::{Change, Config, Place, file},
    pool::sticky::Keys,
};

/// A larger file is no file of keys.
const LARGEST_FILE: u64 = 64 << 10;

/// Of one that can't be opened the path is not said: what stands there instead may be a key that was pasted.
const THE_FILE: &str = "the file of `secret_file`";

const MAKE_ONE: &str = "make one with `openssl rand -hex 32`, mode 640 and the service's group; a \
                        relative path starts at the folder of this configuration";

/// What was read for one configuration.
#[derive(Debug, Default)]
pub struct Secrets {
    /// Of each sticky pool, by its name; the very same as before where the file says the same.
    pub sticky_keys: HashMap<Arc<str>, Arc<Keys>>,
    /// What works but should not stay so.
    pub warnings: Vec<String>,
}

impl Secrets {
    /// The pools whose file says something else than the one that is held.
    pub fn changes(&self, held: &HashMap<Arc<str>, Arc<Keys>>) -> Vec<Change> {
        let changed = |(name, keys): &(&Arc<str>, &Arc<Keys>)| {
            held.get(*name).is_some_and(|held| !Arc::ptr_eq(held, keys))
        };
        let mut names: Vec<&Arc<str>> =
            self.sticky_keys.iter().filter(changed).map(|(name, _)| name).collect();
        names.sort();
        let change = |name| Change {
            words: format!("pool {name}: sticky keys changed"),
            closes: Vec::new(),
        };
        names.into_iter().map(change).collect()
    }
}

/// Reads the files that `config` names.
///
/// # Errors
/// For each that can't be used: its place in the configuration, what is wrong, what to do.
pub fn load(
    config: &Config,
    held: &HashMap<Arc<str>, Arc<Keys>>,
) -> Result<Secrets, Vec<(Place, String, String)>> {
    let mut secrets = Secrets::default();
    let mut troubles = Vec::new();
    for pool in &config.pools {
        let Some(sticky) = &pool.sticky else {
            continue;
        };
        match read(&sticky.secret_file) {
            Ok(keys) => {
                let same = held.get(&pool.name).filter(|held| ***held == keys).cloned();
                let keys = same.unwrap_or_else(|| Arc::new(keys));
                secrets.sticky_keys.insert(pool.name.clone(), keys);
                secrets.warnings.extend(readable_by_all(&sticky.secret_file));
            }
            Err((words, help)) => troubles.push((sticky.place, words, help.to_owned())),
        }
    }
    secrets.warnings.sort();
    secrets.warnings.dedup();
    if troubles.is_empty() { Ok(secrets) } else { Err(troubles) }
}

fn read(path: &Path) -> Result<Keys, (String, &'static str)> {
    let mut bytes = Vec::new();
    let opened = file::open(path);
    let read = opened.and_then(|file| file.take(LARGEST_FILE + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        return Err(match error.kind() {
            io::ErrorKind::NotFound => (format!("{THE_FILE} does not exist"), MAKE_ONE),
            io::ErrorKind::PermissionDenied => (
                format!("{THE_FILE} can't be read: permission denied"),
                "it must be readable by the service's user, and its directories open to it",
            ),
            _ => (format!("{THE_FILE} can't be read: {error}"), MAKE_ONE),
        });
    }
    let name = path.display();
    if bytes.len() as u64 > LARGEST_FILE {
        return Err((format!("{name} is larger than 64KiB: it is no file of keys"), MAKE_ONE));
    }
    let text = String::from_utf8_lossy(&bytes);
    Keys::parse(&text).map_err(|found| (format!("{name}: {found}"), ""))
}

fn readable_by_all(file: &Path) -> Option<String> {
    let mode = fs::metadata(file).ok()?.permissions().mode();
    let name = file.display();
    (mode & 0o004 != 0)
        .then(|| format!("{name} can be read by every user of this machine: `chmod o= {name}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn config(folder: &Path) -> Config {
        let text = "[listener.web]\nbind = \"127.0.0.1:80\"\n[[route]]\npool = \"app\"\n[pool.app]\n\
                    backends = [\"127.0.0.1:81\"]\nsticky = { cookie = \"srv\", secret_file = \"key\" }";
        config::parse(text, &folder.join("e.toml")).unwrap()
    }

    fn write(folder: &Path, text: &str, mode: u32) {
        fs::write(folder.join("key"), text).unwrap();
        fs::set_permissions(folder.join("key"), fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_same_file_is_the_same_keys() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        write(folder.path(), KEY, 0o640);
        let first = load(&config, &HashMap::new()).unwrap();
        assert!(first.warnings.is_empty());
        write(folder.path(), &format!("# the same\n{KEY}\n"), 0o644);
        let second = load(&config, &first.sticky_keys).unwrap();
        assert!(Arc::ptr_eq(&first.sticky_keys["app"], &second.sticky_keys["app"]));
        assert!(second.warnings[0].contains("chmod o="), "{:?}", second.warnings);
        write(folder.path(), &KEY.replace("00", "ff"), 0o640);
        let third = load(&config, &second.sticky_keys).unwrap();
        assert!(!Arc::ptr_eq(&second.sticky_keys["app"], &third.sticky_keys["app"]));
    }

    #[test]
    fn trouble_is_told_with_its_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let trouble = || load(&config, &HashMap::new()).unwrap_err().remove(0);
        let (_, words, help) = trouble();
        assert!(words.ends_with("`secret_file` does not exist"), "{words}");
        assert!(help.contains("openssl rand -hex 32"), "{help}");
        write(folder.path(), "secret\n", 0o640);
        let (_, words, _) = trouble();
        assert!(words.contains("line 1 is no key: expected 64 hex digits"), "{words}");
        write(folder.path(), &"#\n".repeat(40_000), 0o640);
        assert!(trouble().1.contains("larger than 64KiB"));
    }
}
