//! `[[source]]` of an agent: what it backs up itself, as words for `outlast drop`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use outlast_drop::schedule::{InvalidSchedule, Schedule};
use outlast_fs::Excludes;
use outlast_types::WorkloadName;

use super::flaw::{Flaw, Source};
use super::key::Value;
use super::values::{Item, Settings};

const SECTION: &str = "source";
/// Each is a process of its own.
const SOURCES_MAX: usize = 100;
/// The share of an agent that has sources and no other share, in its state.
const PRIVATE_SHARE: &str = "share";
/// Recipes that read files, and those that read trees.
const OF_FILES: [&str; 2] = ["files", "sqlite"];

/// What an agent backs up itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sources {
    pub(crate) all: Vec<SourceSetting>,
    /// How many are read side by side.
    pub(crate) at_once: usize,
    /// Whether the share is the agent's alone, made for them in its state.
    pub(crate) is_share_private: bool,
}

/// One of its sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceSetting {
    pub(crate) workload: WorkloadName,
    recipe: Option<String>,
    /// The words of `outlast drop` after that, but for the share.
    words: Vec<String>,
    /// Where variables are for what reads it.
    pub(crate) environment: Option<PathBuf>,
    pub(crate) rpo: Option<Duration>,
    pub(crate) owner: Option<String>,
    /// Where it stands in the file, and what it is called there.
    pub(crate) place: Source,
    pub(crate) title: String,
}

impl SourceSetting {
    /// The words after `outlast drop`: its own, and those that say where and how it is run.
    pub(crate) fn command_line(&self, how: Vec<OsString>) -> Vec<OsString> {
        let recipe = self.recipe.iter().map(OsString::from);
        recipe.chain(how).chain(self.words.iter().map(OsString::from)).collect()
    }

    /// The files that it reads, if it does.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        let paths = self.words.iter().map(Path::new).filter(|path| path.is_absolute());
        // What follows it is a command.
        let is_command = self.words.iter().any(|word| word == "--");
        paths.filter(move |_| !is_command)
    }
}

/// What follows from having sources, where nobody set it: the share is a private one, and nothing stays there
/// that is vaulted.
pub(super) fn settle(settings: &mut Settings) {
    if settings.listed(SECTION).is_empty() || settings.is_set("agent.share") {
        return;
    }
    let Ok(state) = settings.path("agent.state") else { return };
    // What is no text was no text in the file.
    let share = state.join(PRIVATE_SHARE).to_string_lossy().into_owned();
    settings.settle("agent.share", Value::Text(share));
    settings.settle("agent.keep", Value::Count(0));
}

/// What is wrong with sources whose keys are right each by itself.
pub(super) fn judge(settings: &Settings) -> Vec<Flaw> {
    let items = settings.listed(SECTION);
    let mut flaws = Vec::new();
    if items.len() > SOURCES_MAX {
        flaws.extend(items.last().map(|item| {
            item.flaw(&format!("there are more than {SOURCES_MAX} sources, each of them a process"))
        }));
    }
    if settings.count("agent.sources_at_once").is_ok_and(|count| count == 0) {
        flaws.push(settings.flaw("agent.sources_at_once", "use 1 or more"));
    }
    let mut workloads = BTreeMap::new();
    for item in items {
        let workload = settings.text_if_set(&item.key("workload")).unwrap_or_default();
        if let Some(first) = workloads.insert(workload, item) {
            let words = format!("{workload} is the workload of {} already", first.title);
            flaws.push(settings.flaw(&item.key("workload"), &words));
        }
        flaws.extend(judge_content(settings, item));
        flaws.extend(judge_schedule(settings, item));
        flaws.extend(judge_patterns(settings, item));
        flaws.extend(judge_paths(settings, item));
    }
    flaws
}

/// Whether it is clear what a source is made of.
fn judge_content(settings: &Settings, item: &Item) -> Vec<Flaw> {
    let is_set = |key: &str| settings.is_set(&item.key(key));
    let recipe = settings.text_if_set(&item.key("recipe"));
    let reads_files = recipe.is_none_or(|recipe| OF_FILES.contains(&recipe));
    let mut flaws = Vec::new();
    let mut flaw = |key: &str, words: &str| flaws.push(settings.flaw(&item.key(key), words));
    match (recipe, is_set("paths"), is_set("exec")) {
        (_, true, true) => flaw("exec", "there is `paths`, too: write two of [[source]]"),
        (Some(_), _, true) => flaw("exec", "there is a recipe, too: write two of [[source]]"),
        (Some(recipe), true, _) if !reads_files => {
            flaw("paths", &format!("the recipe {recipe} reads a server, and no files"));
        }
        _ => {}
    }
    for key in ["paths", "exec"] {
        if is_set(key) && settings.words(&item.key(key)).is_empty() {
            flaw(key, "it is an empty list");
        }
    }
    if is_set("name") && !is_set("exec") {
        flaw("name", "it is the name of what `exec` prints, and there is none");
    }
    let is_tree = is_set("paths") && recipe != Some("sqlite");
    for key in ["exclude", "exclude_from", "exclude_caches", "one_file_system"] {
        if is_set(key) && !is_tree {
            flaw(key, "it is for files and directories, which are `paths`");
        }
    }
    match recipe {
        None if !is_set("paths") && !is_set("exec") => {
            flaws.push(item.flaw("say what to back up: `paths`, `exec`, or a `recipe`"));
        }
        Some(recipe) if reads_files && !is_set("paths") => {
            flaws.push(item.flaw(&format!("the recipe {recipe} needs `paths`")));
        }
        _ => {}
    }
    flaws
}

fn judge_schedule(settings: &Settings, item: &Item) -> Option<Flaw> {
    let text = |key: &str| settings.text_if_set(&item.key(key));
    let duration = |key: &str| settings.duration_if_set(&item.key(key));
    let jitter = duration("jitter").unwrap_or_default();
    let schedule = Schedule::new(duration("every")?, text("at"), jitter, text("timezone"));
    let error = schedule.err()?;
    let key = match error {
        InvalidSchedule::Interval => "every",
        InvalidSchedule::Jitter => "jitter",
        InvalidSchedule::Time { .. } => "at",
        InvalidSchedule::Zone { .. } => "timezone",
    };
    Some(settings.flaw(&item.key(key), &error.to_string()))
}

fn judge_patterns(settings: &Settings, item: &Item) -> Option<Flaw> {
    let key = item.key("exclude");
    let mut excludes = Excludes::default();
    let mut patterns = settings.words(&key).iter();
    let error = patterns.find_map(|pattern| excludes.add(pattern.as_bytes()).err())?;
    Some(settings.flaw(&key, &error.to_string()))
}

/// Nobody knows in which directory a service was started.
fn judge_paths(settings: &Settings, item: &Item) -> Vec<Flaw> {
    let keys = ["paths", "exclude_from"].map(|key| item.key(key));
    let flaw = |key: &String| {
        let path = settings.words(key).iter().find(|path| !Path::new(path).is_absolute())?;
        Some(settings.flaw(key, &format!("{path:?} does not begin with /")))
    };
    keys.iter().filter_map(flaw).collect()
}

/// The sources, which were judged.
pub(super) fn build(settings: &Settings) -> Result<Sources> {
    let items = settings.listed(SECTION).iter();
    let all = items.map(|item| source(settings, item)).collect::<Result<Vec<_>>>()?;
    Ok(Sources {
        is_share_private: !all.is_empty() && !settings.is_set("agent.share"),
        at_once: settings.count("agent.sources_at_once")?,
        all,
    })
}

fn source(settings: &Settings, item: &Item) -> Result<SourceSetting> {
    let workload: WorkloadName = WorkloadName::new(settings.text(&item.key("workload"))?)?;
    Ok(SourceSetting {
        recipe: settings.text_if_set(&item.key("recipe")).map(str::to_owned),
        words: words(settings, item, &workload)?,
        environment: settings.path_if_set(&item.key("environment")),
        rpo: settings.duration_if_set(&item.key("rpo")),
        owner: settings.text_if_set(&item.key("owner")).map(str::to_owned),
        place: item.place.clone(),
        title: item.title.clone(),
        workload,
    })
}

/// A source as it is written on a command line.
fn words(settings: &Settings, item: &Item, workload: &WorkloadName) -> Result<Vec<String>> {
    let mut words = vec![format!("--workload={workload}")];
    // In seconds, which are understood as they are meant.
    let seconds = |duration: Duration| format!("{}s", duration.as_secs());
    words.push(format!("--every={}", seconds(settings.duration(&item.key("every"))?)));
    let jitter = settings.duration_if_set(&item.key("jitter")).map(seconds);
    let at = settings.text_if_set(&item.key("at")).map(str::to_owned);
    let timezone = settings.text_if_set(&item.key("timezone")).map(str::to_owned);
    for (option, value) in [("jitter", jitter), ("at", at), ("timezone", timezone)] {
        words.extend(value.map(|value| format!("--{option}={value}")));
    }
    for (option, key) in [("exclude", "exclude"), ("exclude-from", "exclude_from")] {
        let values = settings.words(&item.key(key)).iter();
        words.extend(values.map(|value| format!("--{option}={value}")));
    }
    for (option, key) in
        [("exclude-caches", "exclude_caches"), ("one-file-system", "one_file_system")]
    {
        words.extend(settings.flag(&item.key(key)).then(|| format!("--{option}")));
    }
    let (exec, options) = (item.key("exec"), settings.words(&item.key("options")));
    words.extend(options.iter().cloned());
    if settings.is_set(&exec) {
        let name = settings.text_if_set(&item.key("name")).unwrap_or(workload.as_str());
        words.extend([format!("--exec={name}"), "--".to_owned()]);
        words.extend(settings.words(&exec).iter().cloned());
    } else {
        words.extend(settings.words(&item.key("paths")).iter().cloned());
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::super::{AgentSettings, Document};
    use super::*;

    const AGENT: &str = "[agent]\nstate = \"/a\"\nupstream = \"https://v/\"\nidentity = \"/i\"\n";

    fn read(text: &str, variables: &[(&str, &str)]) -> Result<AgentSettings, String> {
        let document = Document::new(Path::new("/etc/x.toml"), format!("{AGENT}{text}")).unwrap();
        let variables = variables.iter().map(|(name, text)| (name.into(), text.into()));
        document.with_variables(variables).map_err(|error| error.to_string())
    }

    fn line(source: &SourceSetting) -> String {
        let words = source.command_line(vec!["--share=/s".into()]).into_iter();
        words.map(|word| word.into_string().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn sources_are_words_for_drop() {
        let text = "[[source]]\nworkload = \"etc\"\npaths = [\"/etc\", \"/srv/my files\"]\nevery = \"6h\"\n\
                    at = \"01:30\"\ntimezone = \"UTC\"\njitter = \"10m\"\nexclude = [\"*.tmp\", \"-x\"]\n\
                    exclude_from = [\"/etc/x\"]\nexclude_caches = true\none_file_system = true\n\
                    [[source]]\nworkload = \"shop-db\"\nrecipe = \"postgres\"\nowner = \"team-shop\"\n\
                    options = [\"--database\", \"shop\", \"--\", \"--lock-wait-timeout=9\"]\nrpo = \"2h\"\n\
                    environment = \"/etc/outlast/shop.env\"\n\
                    [[source]]\nworkload = \"mongo\"\nexec = [\"mongodump\", \"--archive\"]\n\
                    options = [\"--nice=10\"]\n\
                    [[source]]\nworkload = \"lite\"\nrecipe = \"sqlite\"\npaths = [\"/srv/x.db\"]\n";
        let sources = read(text, &[]).unwrap().sources;
        let lines: Vec<String> = sources.all.iter().map(line).collect();
        assert_eq!(
            lines,
            [
                "--share=/s --workload=etc --every=21600s --jitter=600s --at=01:30 --timezone=UTC \
                 --exclude=*.tmp --exclude=-x --exclude-from=/etc/x --exclude-caches --one-file-system \
                 /etc /srv/my files",
                "postgres --share=/s --workload=shop-db --every=86400s --database shop -- \
                 --lock-wait-timeout=9",
                "--share=/s --workload=mongo --every=86400s --nice=10 --exec=mongo -- mongodump --archive",
                "sqlite --share=/s --workload=lite --every=86400s /srv/x.db",
            ]
        );
        let [etc, shop, mongo, _] = &sources.all[..] else { panic!("{sources:?}") };
        assert_eq!(
            (shop.rpo, shop.owner.as_deref()),
            (Some(Duration::from_secs(7200)), Some("team-shop"))
        );
        assert_eq!(shop.environment.as_deref(), Some(Path::new("/etc/outlast/shop.env")));
        assert_eq!((mongo.rpo, mongo.owner.as_deref(), sources.at_once), (None, None, 2));
        assert_eq!(
            etc.paths().collect::<Vec<_>>(),
            [Path::new("/etc"), Path::new("/srv/my files")]
        );
        assert_eq!(mongo.paths().count(), 0);
    }

    #[test]
    fn without_a_share_there_is_one_in_the_state_where_nothing_stays_that_is_vaulted() {
        const SOURCE: &str = "[[source]]\nworkload = \"etc\"\npaths = [\"/etc\"]\n";
        let own = read(SOURCE, &[]).unwrap();
        assert_eq!((own.config.share.as_path(), own.config.keep), (Path::new("/a/share"), 0));
        assert!(own.sources.is_share_private);
        let kept = read(SOURCE, &[("OUTLAST_AGENT_KEEP", "1")]).unwrap();
        assert_eq!((kept.config.keep, kept.sources.is_share_private), (1, true));
        let with_share = read(SOURCE, &[("OUTLAST_AGENT_SHARE", "/mnt")]).unwrap();
        assert_eq!(
            (with_share.config.share.as_path(), with_share.config.keep),
            (Path::new("/mnt"), 2)
        );
        assert!(!with_share.sources.is_share_private);
        let error = read("", &[]).unwrap_err();
        assert!(error.contains("share is missing in [agent]"), "{error}");
        let without = read("", &[("OUTLAST_AGENT_SHARE", "/mnt")]).unwrap();
        assert!(without.sources.all.is_empty() && !without.sources.is_share_private);
    }

    /// What a person reads who made a mistake: all of them, each where it is.
    #[test]
    fn mistakes_between_keys_are_told_where_they_are() {
        let text = "[[source]]\nworkload = \"a\"\n\
                    [[source]]\nworkload = \"a\"\npaths = [\"etc\"]\nexec = [\"x\"]\n\
                    [[source]]\nworkload = \"b\"\nrecipe = \"postgres\"\npaths = [\"/etc\"]\nname = \"x\"\n\
                    exclude = [\"[\"]\n\
                    [[source]]\nworkload = \"c\"\nrecipe = \"sqlite\"\nevery = \"7h\"\n\
                    [[source]]\nworkload = \"d\"\nexec = []\nat = \"25:00\"\n\
                    [[source]]\nworkload = \"e\"\npaths = [\"/etc\"]\ntimezone = \"Mars/Base\"\n\
                    exclude_from = [\"x\"]\n\
                    [[source]]\nworkload = \"f\"\npaths = [\"/etc\"]\njitter = \"25h\"\n";
        let told = read(text, &[("OUTLAST_AGENT_SOURCES_AT_ONCE", "0")]).unwrap_err();
        for (line, words) in [
            (5, "source[1]: say what to back up: `paths`, `exec`, or a `recipe`"),
            (8, "source[2].workload: a is the workload of source[1] already"),
            (9, "source[2].paths: \"etc\" does not begin with /"),
            (10, "source[2].exec: there is `paths`, too: write two of [[source]]"),
            (14, "source[3].paths: the recipe postgres reads a server, and no files"),
            (15, "source[3].name: it is the name of what `exec` prints, and there is none"),
            (16, "source[3].exclude: "),
            (17, "source[4]: the recipe sqlite needs `paths`"),
            (20, "source[4].every: an interval is a part of a day"),
            (23, "source[5].exec: it is an empty list"),
            (24, "source[5].at: \"25:00\" is no time of day"),
            (28, "source[6].timezone: the time zone \"Mars/Base\" is not known"),
            (29, "source[6].exclude_from: \"x\" does not begin with /"),
            (33, "source[7].jitter: the jitter must be shorter than the interval"),
        ] {
            let found = told.lines().any(|it| {
                it.contains(&format!("/etc/x.toml, line {line}, ")) && it.contains(words)
            });
            assert!(found, "line {line}: {words} is not in:\n{told}");
        }
        assert!(
            told.contains(
                "the variable OUTLAST_AGENT_SOURCES_AT_ONCE: agent.sources_at_once: use 1"
            )
        );
        let many: String = (0..101)
            .map(|number| format!("[[source]]\nworkload = \"w{number}\"\npaths = [\"/etc\"]\n"))
            .collect();
        assert!(read(&many, &[]).unwrap_err().contains("there are more than 100 sources"));
    }
}
