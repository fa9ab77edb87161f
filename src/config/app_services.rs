//! `[app_services]`: registration files of bridges and bots (spec: application service API,
//! "Registration").

use std::{
    fs,
    path::{Path, PathBuf},
};

use blaupause_accounts::{
    self as accounts, AppService, Encryption, Ephemeral, Namespace, Namespaces, ServiceRegistration,
};
use ruma::ServerName;
use serde::{Deserialize, Serialize};

use super::{Findings, Maybe, secrets::warn_if_public};

/// Registration files are a page of text.
const FILE_SIZE_MAX: u64 = 1 << 20;
const REGISTRATIONS: &str = "app_services.registrations";
const DIRECTORY: &str = "app_services.directory";

/// Bridges and bots with a registration file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AppServices {
    /// Registration files.
    pub registrations: Vec<PathBuf>,
    /// Every `*.yaml` in it is a registration.
    pub directory: Maybe<PathBuf>,
}

impl AppServices {
    /// Read every registration. What is wrong with one becomes a finding that names its file.
    pub(super) fn read(
        &self,
        server: Option<&ServerName>,
        found: &mut Findings,
    ) -> accounts::AppServices {
        let files = self.files(found);
        // Without a name nothing starts, and that is said elsewhere.
        let Some(server) = server else { return accounts::AppServices::default() };
        let mut services = Vec::new();
        let mut read = Vec::new();
        for (key, file) in &files {
            match read_file(file).and_then(|text| parse(&text, server)) {
                Ok(service) => {
                    warn_if_public(key, file, found);
                    services.push(service);
                    read.push(file);
                }
                Err(why) => found.error(key, format!("{}: {why}", file.display())),
            }
        }
        accounts::AppServices::new(services).unwrap_or_else(|twice| {
            let (first, second) = (read[twice.first].display(), read[twice.second].display());
            found.error(REGISTRATIONS, format!("{second}: same {} as in {first}", twice.what));
            accounts::AppServices::default()
        })
    }

    fn files(&self, found: &mut Findings) -> Vec<(&'static str, PathBuf)> {
        let mut files: Vec<_> =
            self.registrations.iter().map(|file| (REGISTRATIONS, file.clone())).collect();
        let Some(directory) = self.directory.path() else { return files };
        match fs::read_dir(directory) {
            Ok(entries) => {
                let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
                let is_yaml = |path: &PathBuf| {
                    path.extension().is_some_and(|end| end == "yaml" || end == "yml")
                };
                let mut paths: Vec<_> = paths.filter(is_yaml).collect();
                paths.sort();
                files.extend(paths.into_iter().map(|path| (DIRECTORY, path)));
            }
            Err(error) => {
                found.error(DIRECTORY, format!("cannot read {}: {error}", directory.display()));
            }
        }
        files
    }
}

fn read_file(file: &Path) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}");
    let meta = fs::metadata(file).map_err(cannot)?;
    if !meta.is_file() {
        return Err("is not a file".to_owned());
    }
    if meta.len() > FILE_SIZE_MAX {
        return Err("is larger than 1 MiB".to_owned());
    }
    fs::read_to_string(file).map_err(cannot)
}

/// The file's fields. Those that nobody knows here are for others.
#[derive(Deserialize)]
struct File {
    id: String,
    url: Option<String>,
    as_token: String,
    hs_token: String,
    sender_localpart: String,
    namespaces: FileNamespaces,
    rate_limited: Option<bool>,
    receive_ephemeral: Option<bool>,
    #[serde(rename = "de.sorunome.msc2409.push_ephemeral")]
    push_ephemeral: Option<bool>,
    protocols: Option<Vec<String>>,
    #[serde(rename = "org.matrix.msc3202")]
    msc3202: Option<bool>,
    #[serde(rename = "org.matrix.msc3983")]
    msc3983: Option<bool>,
    #[serde(rename = "org.matrix.msc3984")]
    msc3984: Option<bool>,
}

#[derive(Deserialize)]
struct FileNamespaces {
    users: Option<Vec<FileNamespace>>,
    aliases: Option<Vec<FileNamespace>>,
    rooms: Option<Vec<FileNamespace>>,
}

#[derive(Deserialize)]
struct FileNamespace {
    regex: String,
    exclusive: bool,
}

fn parse(text: &str, server: &ServerName) -> Result<AppService, String> {
    let file: File = serde_saphyr::from_str(text).map_err(|error| one_line(&error.to_string()))?;
    let namespaces = Namespaces {
        users: namespaces("users", file.namespaces.users)?,
        aliases: namespaces("aliases", file.namespaces.aliases)?,
        rooms: namespaces("rooms", file.namespaces.rooms)?,
    };
    let yes = |flag: Option<bool>| flag == Some(true);
    let registration = ServiceRegistration {
        id: file.id,
        url: file.url.filter(|url| !url.is_empty()),
        as_token: accounts::Secret::new(file.as_token),
        hs_token: accounts::Secret::new(file.hs_token),
        sender_localpart: file.sender_localpart,
        namespaces,
        rate_limited: file.rate_limited != Some(false),
        ephemeral: match (yes(file.receive_ephemeral), yes(file.push_ephemeral)) {
            (true, _) => Ephemeral::Yes,
            (false, true) => Ephemeral::UnderOldName,
            (false, false) => Ephemeral::No,
        },
        protocols: file.protocols.unwrap_or_default(),
        encryption: Encryption {
            device_lists: yes(file.msc3202),
            claims: yes(file.msc3983),
            queries: yes(file.msc3984),
        },
    };
    AppService::new(server, registration)
}

fn namespaces(
    kind: &str,
    namespaces: Option<Vec<FileNamespace>>,
) -> Result<Vec<Namespace>, String> {
    let namespaces = namespaces.unwrap_or_default().into_iter();
    let one = |namespace: FileNamespace| {
        Namespace::new(&namespace.regex, namespace.exclusive).map_err(|error| {
            format!("namespaces.{kind}: `{}`: {}", namespace.regex, one_line(&error))
        })
    };
    namespaces.map(one).collect()
}

/// The parsers draw pictures of the place; an error is a line here. What the file says is left out
/// with the picture: it may be a token.
fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let last = lines.clone().find(|line| line.starts_with("error:"));
    last.or_else(|| lines.clone().next()).unwrap_or("cannot be understood").to_owned()
}

#[cfg(test)]
mod tests {
    use ruma::{room_id, server_name, user_id};

    use super::*;

    /// As in the specification.
    const IRC: &str = r##"
id: "IRC Bridge"
url: "http://127.0.0.1:1234"
as_token: "30c05ae90a248a4188e620216fa72e349803310ec83e2a77b34fe90be6081f46"
hs_token: "312df522183efd404ec1cd22d2ffa4bbc76a8c1ccf541dd692eef281356bb74e"
sender_localpart: "_irc_bot" # Will result in @_irc_bot:example.org
namespaces:
  users:
    - exclusive: true
      regex: "@_irc_bridge_.*"
  aliases:
    - exclusive: false
      regex: "#_irc_bridge_.*"
  rooms: []
"##;

    fn read(texts: &[&str]) -> (accounts::AppServices, Findings) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = AppServices::default();
        for (at, text) in texts.iter().enumerate() {
            let file = folder.path().join(format!("{at}.yaml"));
            fs::write(&file, text).expect("written");
            config.registrations.push(file);
        }
        let mut found = Findings::default();
        let services = config.read(Some(server_name!("example.org")), &mut found);
        (services, found)
    }

    #[track_caller]
    fn refused(texts: &[&str], why: &str) {
        let (services, found) = read(texts);
        assert!(services.is_empty());
        let [(key, text)] = found.errors.as_slice() else { panic!("{found:?}") };
        assert_eq!(key, REGISTRATIONS);
        assert!(text.contains(".yaml: ") && text.contains(why), "{text}");
        assert!(!text.contains('\n') && !text.contains("30c05ae90a"), "{text}");
    }

    #[test]
    fn the_example_of_the_specification_is_a_registration() {
        let (services, found) = read(&[IRC]);
        assert!(found.errors.is_empty(), "{found:?}");
        let service = services.iter().next().expect("it was read");
        assert_eq!(
            (service.id(), service.sender()),
            ("IRC Bridge", user_id!("@_irc_bot:example.org"))
        );
        assert!(service.owns_user(user_id!("@_irc_bridge_x:example.org")));
        assert!(!service.has_room(room_id!("!a:example.org")));
        assert!(service.is_rate_limited());
        assert_eq!(service.ephemeral(), Ephemeral::No);
        let token = "30c05ae90a248a4188e620216fa72e349803310ec83e2a77b34fe90be6081f46";
        assert!(services.by_token(token).is_some());
    }

    #[test]
    fn what_bridges_write_beside_is_understood_or_passed_over() {
        let text = format!(
            "{IRC}\nrate_limited: false\nde.sorunome.msc2409.push_ephemeral: true\n\
             receive_ephemeral: true\norg.matrix.msc3202: true\nio.element.msc4190: true\n\
             protocols: [irc]\n"
        );
        let (services, found) = read(&[&text]);
        assert!(found.errors.is_empty(), "{found:?}");
        let service = services.iter().next().expect("it was read");
        assert!(!service.is_rate_limited());
        assert_eq!(
            (service.ephemeral(), service.protocols()),
            (Ephemeral::Yes, &["irc".to_owned()][..])
        );
        assert!(service.encryption().device_lists && !service.encryption().claims);
    }

    #[test]
    fn a_service_that_listens_nowhere_has_no_url() {
        for url in ["null", "\"\""] {
            let (services, found) = read(&[&IRC.replace("\"http://127.0.0.1:1234\"", url)]);
            assert!(found.errors.is_empty(), "{found:?}");
            assert_eq!(services.iter().next().expect("it was read").url(), None);
        }
    }

    #[test]
    fn a_wrong_file_is_refused_with_its_name_and_the_reason() {
        refused(&["id: [unclosed"], "");
        refused(&["- a\n- list\n"], "");
        refused(&[&IRC.replace("sender_localpart", "sender")], "sender_localpart");
        refused(&[&IRC.replace("@_irc_bridge_.*", "@[")], "namespaces.users");
        refused(&[&IRC.replace("http://", "unix://")], "url");
        refused(&[&IRC.replace("exclusive: true", "exclusive: 5")], "");
    }

    #[test]
    fn two_registrations_with_the_same_id_or_token_are_refused() {
        refused(&[IRC, IRC], "same id");
        let other = IRC.replace("IRC Bridge", "other");
        refused(&[IRC, &other], "same as_token");
    }

    #[test]
    fn a_hostile_file_ends_in_an_error() {
        let mut laughs = "a: &a [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for (from, to) in "abcdefghij".chars().zip("bcdefghijk".chars()) {
            laughs += &format!("{to}: &{to} [{}]\n", format!("*{from},").repeat(10));
        }
        refused(&[&laughs], "");
        refused(&[&format!("id: {}", "[".repeat(100_000))], "");
    }

    #[test]
    fn a_folder_holds_registrations_too() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("irc.yaml"), IRC).expect("written");
        fs::write(folder.path().join("README"), "no registration").expect("written");
        let config = format!("directory = {:?}", folder.path());
        let config: AppServices = toml::from_str(&config).expect("a section");
        let mut found = Findings::default();
        let services = config.read(Some(server_name!("example.org")), &mut found);
        assert!(found.errors.is_empty() && services.iter().count() == 1, "{found:?}");
    }
}
