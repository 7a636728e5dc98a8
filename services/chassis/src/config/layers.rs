//! The layers themselves: who wrote which key, and sections read from the whole.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::tree::{self, is_secret, join, lookup, lookup_mut, mask, remove};
use super::{DEFAULT, Fault, Faults, older};

/// Before every variable that sets a key: `HUBBUB__GATEWAY__LISTEN`.
const PREFIX: &str = "HUBBUB__";
/// Most faults of one section that are looked for.
const FAULTS_MAX: usize = 64;

/// Who wrote a key. Later ones win.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layer {
    /// `config/default.toml`, compiled in.
    Default,
    /// A profile, compiled into a binary.
    Profile(&'static str),
    /// `--config`.
    File(PathBuf),
    /// A variable of the environment.
    Environment(String),
    /// The command line.
    CommandLine,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the defaults"),
            Self::Profile(name) => write!(f, "the profile {name}"),
            Self::File(path) => f.write_str(&path.display().to_string()),
            Self::Environment(name) => write!(f, "the variable {name}"),
            Self::CommandLine => f.write_str("the command line"),
        }
    }
}

/// Everything that was written, merged. Faults of the layers themselves are kept until a section
/// is read or [`Layers::faults`] is asked.
#[derive(Debug, Clone)]
pub struct Layers {
    whole: Table,
    defaults: Table,
    /// Who wrote each leaf, and the text as written where it came as text.
    origins: BTreeMap<String, (Layer, Option<String>)>,
    faults: Vec<Fault>,
    warnings: Vec<String>,
}

impl Layers {
    /// The defaults of every part.
    #[must_use]
    pub fn defaults() -> Self {
        let mut layers = Self {
            whole: Table::new(),
            defaults: Table::new(),
            origins: BTreeMap::new(),
            faults: Vec::new(),
            warnings: Vec::new(),
        };
        layers.text(&Layer::Default, DEFAULT);
        layers.defaults.clone_from(&layers.whole);
        layers
    }

    /// Puts a profile over what is there.
    pub fn profile(&mut self, name: &'static str, text: &str) {
        self.text(&Layer::Profile(name), text);
        self.defaults.clone_from(&self.whole);
    }

    /// Puts a file over what is there.
    pub fn file(&mut self, path: &Path) {
        let layer = Layer::File(path.to_owned());
        match std::fs::read_to_string(path) {
            Ok(text) => self.text(&layer, &text),
            Err(error) => self.fault(&path.display().to_string(), None, layer, error.to_string()),
        }
    }

    /// Puts the variables that mean us over what is there; `listen_key` is where the binary's own
    /// listener stands.
    pub fn environment(&mut self, listen_key: &str, vars: impl Iterator<Item = (String, String)>) {
        let mut vars: Vec<_> = vars.collect();
        let listen = lookup(&self.whole, listen_key).and_then(Value::as_str);
        let listen = (listen_key, listen.and_then(|listen| listen.parse().ok()));
        // Older names first: a key's own variable says more.
        vars.sort_by_key(|(name, _)| name.starts_with(PREFIX));
        for (name, value) in vars {
            let layer = Layer::Environment(name.clone());
            if let Some(path) = name.strip_prefix(PREFIX) {
                let key = path.to_ascii_lowercase().replace("__", ".");
                self.set(&key, &value, layer);
            } else if let Some(settings) = older::translate(listen, &name, &value) {
                match settings {
                    Ok(settings) => {
                        for (key, value) in &settings {
                            self.set(key, value, layer.clone());
                        }
                    }
                    Err(fault) => self.faults.push(fault),
                }
            }
        }
    }

    /// Puts `key=value` from the command line over what is there. A value that is no TOML is text.
    pub fn command_line(&mut self, setting: &str) {
        let Some((key, value)) = setting.split_once('=') else {
            let message = "expected KEY=VALUE".to_owned();
            return self.fault(setting, None, Layer::CommandLine, message);
        };
        let key = key.trim();
        if is_secret(key) {
            self.warnings.push(format!(
                "{key} is on the command line, where every user of this machine can read it"
            ));
        }
        self.set(key, value, Layer::CommandLine);
    }

    /// Sets `key` to `value` for whoever starts parts in one process.
    pub fn put(&mut self, key: &str, value: impl Into<Value>) {
        self.write(key, value.into(), (Layer::CommandLine, None));
    }

    /// Gives every table under `tables` the keys of the table `template` that it does not have itself,
    /// so that a new one need not repeat them all.
    #[must_use]
    pub fn filled(&self, tables: &str, template: &str) -> Self {
        let mut layers = self.clone();
        let template = lookup(&self.whole, template).and_then(Value::as_table);
        let names = lookup(&self.whole, tables).and_then(Value::as_table);
        for (name, table) in names.into_iter().flatten() {
            let Some(table) = table.as_table() else { continue };
            for (key, value) in template.into_iter().flatten() {
                if !table.contains_key(key) {
                    let key = join(&join(tables, name), key);
                    layers.write(&key, value.clone(), (Layer::Default, None));
                }
            }
        }
        layers
    }

    /// What is wrong with the layers themselves, sections among it that nobody reads.
    #[must_use]
    pub fn faults(&self) -> Faults {
        let known = |key: &str| self.defaults.contains_key(key.split('.').next().unwrap_or(key));
        let unread = self.origins.iter().filter(|(key, _)| !known(key));
        let unread = unread.map(|(key, (layer, _))| Fault {
            key: key.clone(),
            value: None,
            layer: Some(layer.clone()),
            message: "there is no such section".to_owned(),
        });
        Faults(self.faults.iter().cloned().chain(unread).collect())
    }

    /// What the operator should know, though it does not stop anything.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Reads the section at `path`, or finds everything that is wrong with it.
    pub fn section<T: DeserializeOwned>(&self, path: &str) -> Result<T, Faults> {
        let mut value = lookup(&self.whole, path).cloned().unwrap_or(Value::Table(Table::new()));
        let mut faults = Faults::default();
        // A fault is noted and mended, so that the next one shows.
        while faults.0.len() < FAULTS_MAX {
            let error = match serde_path_to_error::deserialize::<_, T>(value.clone()) {
                Ok(section) => return faults.or(Some(section)),
                Err(error) => error,
            };
            let inner = error.path().to_string();
            // The lines after the first tell the place, which the key tells better.
            let message = error.into_inner().to_string();
            let message = message.lines().next().unwrap_or_default().to_owned();
            let step = Step { section: path, inner: &inner, message: &message };
            if self.reread_as_text(&step, &mut value) {
                continue;
            }
            faults.0.push(self.fault_at(&step));
            if !self.mend(&step, &mut value) {
                break;
            }
        }
        Err(faults)
    }

    /// The whole as TOML, secrets masked.
    #[must_use]
    pub fn print(&self) -> String {
        let mut whole = self.whole.clone();
        mask(&mut whole);
        toml::to_string_pretty(&whole).unwrap_or_default()
    }

    fn text(&mut self, layer: &Layer, text: &str) {
        match text.parse::<Table>() {
            Ok(table) => self.merge("", table, layer),
            Err(error) => {
                let message = error.to_string().trim_end().replace('\n', "\n    ");
                self.fault("(the file)", None, layer.clone(), message);
            }
        }
    }

    fn merge(&mut self, path: &str, table: Table, layer: &Layer) {
        for (key, value) in table {
            let key = join(path, &key);
            match value {
                Value::Table(inner) if !inner.is_empty() => self.merge(&key, inner, layer),
                value => self.write(&key, value, (layer.clone(), None)),
            }
        }
    }

    fn set(&mut self, key: &str, text: &str, layer: Layer) {
        let value = format!("value = {text}")
            .parse::<Table>()
            .ok()
            .and_then(|mut table| if table.len() == 1 { table.remove("value") } else { None })
            .unwrap_or_else(|| Value::from(text));
        self.write(key, value, (layer, Some(text.to_owned())));
    }

    fn write(&mut self, key: &str, value: Value, origin: (Layer, Option<String>)) {
        tree::put(&mut self.whole, key, value);
        self.origins.insert(key.to_owned(), origin);
    }

    fn fault(&mut self, key: &str, value: Option<String>, layer: Layer, message: String) {
        self.faults.push(Fault { key: key.to_owned(), value, layer: Some(layer), message });
    }

    fn fault_at(&self, step: &Step<'_>) -> Fault {
        let key = step.key();
        let value = lookup(&self.whole, &key).filter(|value| !value.is_table());
        let value =
            value.map(|value| if is_secret(&key) { "***".to_owned() } else { value.to_string() });
        let layer = self.origins.get(&key).map(|(layer, _)| layer.clone());
        Fault { key, value, layer, message: step.message.to_owned() }
    }

    /// A number or a boolean that a variable or `--set` wrote where text is wanted is that text.
    fn reread_as_text(&self, step: &Step<'_>, value: &mut Value) -> bool {
        if !step.message.contains("expected a string") {
            return false;
        }
        let Some((_, Some(text))) = self.origins.get(&step.key()) else { return false };
        let text = Value::from(text.as_str());
        match lookup_mut(value, step.inner) {
            Some(place) if *place != text => {
                *place = text;
                true
            }
            _ => false,
        }
    }

    /// Puts the default back in the place of a fault, or takes the place away.
    fn mend(&self, step: &Step<'_>, value: &mut Value) -> bool {
        let default = lookup(&self.defaults, &step.key());
        match (lookup_mut(value, step.inner), default) {
            (Some(place), Some(default)) if place != default => {
                *place = default.clone();
                true
            }
            (Some(_), _) => remove(value, step.inner),
            (None, _) => false,
        }
    }
}

/// Where one attempt to read a section failed.
struct Step<'a> {
    section: &'a str,
    inner: &'a str,
    message: &'a str,
}

impl Step<'_> {
    fn key(&self) -> String {
        if self.inner == "." { self.section.to_owned() } else { join(self.section, self.inner) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Part {
        listen: std::net::SocketAddr,
        #[serde(with = "crate::config::span")]
        wait: Duration,
        name: String,
        size_max: u32,
    }

    fn layers(overlay: &str) -> Layers {
        let mut layers = Layers::defaults();
        layers.profile(
            "test",
            "[part]\nlisten = '127.0.0.1:1'\nwait = '1s'\nname = 'x'\nsize_max = 1",
        );
        layers.text(&Layer::File("over.toml".into()), overlay);
        layers
    }

    #[test]
    fn a_later_layer_wins() {
        let mut layers = layers("[part]\nwait = '2s'\nsize_max = 2");
        layers.environment(
            "part.listen",
            [("HUBBUB__PART__SIZE_MAX".to_owned(), "3".to_owned())].into_iter(),
        );
        layers.command_line("part.name=0123");
        let part: Part = layers.section("part").unwrap();
        assert_eq!(part.wait, Duration::from_secs(2));
        assert_eq!(part.size_max, 3);
        assert_eq!(part.name, "0123");
        assert_eq!(part.listen.port(), 1);
    }

    #[test]
    fn every_fault_is_told_with_key_value_and_layer() {
        let mut layers = layers("[part]\nlisten = 'here'\nwait = 5\ntypo = 1");
        layers.command_line("part.size_max=many");
        let faults = layers.section::<Part>("part").unwrap_err().to_string();
        assert_eq!(faults.lines().count(), 4, "{faults}");
        for part in [
            "part.listen = \"here\" (from over.toml)",
            "part.wait = 5 (from over.toml): expected a duration with its unit",
            "part.typo = 1 (from over.toml): unknown field",
            "part.size_max = \"many\" (from the command line)",
        ] {
            assert!(faults.contains(part), "{part} is not in\n{faults}");
        }
    }

    #[test]
    fn tables_take_what_they_lack_from_a_template() {
        let layers =
            layers("[part.all.one]\nname = 'y'\n[part.template]\nname = 'x'\nsize_max = 9");
        let filled = layers.filled("part.all", "part.template").print();
        let one = filled.split("[part.all.one]").nth(1).unwrap();
        assert!(one.contains("name = \"y\"") && one.contains("size_max = 9"), "{filled}");
    }

    #[test]
    fn older_names_go_on_working() {
        let mut layers = layers("[gateway]\nlisten = '0.0.0.0:8000'");
        let vars = [
            ("PORT", "9000"),
            ("CHAT_SERVICE_URL", "http://chat:80/"),
            ("JWT_SECRET", "a shared secret"),
            ("SMTP_HOST", "mail"),
            ("SMTP_PORT", "1025"),
            ("USER_SERVICE_URL", "http://user:80"),
        ];
        layers.environment(
            "gateway.listen",
            vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())),
        );
        let printed = layers.print();
        assert!(printed.contains("listen = \"0.0.0.0:9000\""), "{printed}");
        assert!(printed.contains("\"http://chat:80\""), "{printed}");
        assert!(
            printed.contains("host = \"mail\"") && printed.contains("port = 1025"),
            "{printed}"
        );
        let feed = "revocations_url = \"http://user:80/internal/revocations\"";
        assert_eq!(printed.matches(feed).count(), 2, "the gateway and the spokes: {printed}");
        assert!(printed.contains("jwt_secret = \"***\"") && !printed.contains("shared secret"));
    }

    #[test]
    fn a_secret_is_masked_and_warned_about_on_the_command_line() {
        let mut layers = layers("");
        for secret in ["abc", "271828"] {
            layers.command_line(&format!("user.setup_code={secret}"));
            assert!(!layers.print().contains(secret));
        }
        assert_eq!(layers.warnings().len(), 2);
    }

    #[test]
    fn a_file_that_is_no_toml_is_a_fault_and_so_is_a_section_that_nobody_reads() {
        assert_eq!(layers("[part").faults().0.len(), 1);
        let mut typo = layers("[gatway]\nlisten = 'x'");
        typo.command_line("chta.listen=1");
        let told = typo.faults().to_string();
        assert!(
            told.contains("gatway.listen (from over.toml): there is no such section"),
            "{told}"
        );
        assert!(told.contains("chta.listen (from the command line)"), "{told}");
        assert!(layers("").faults().0.is_empty());
    }
}
