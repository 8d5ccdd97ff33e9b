//! Who may depend on whom: core ← ebpf; core ← control ← {ipvsadm, daemon} ← rlvs. See ARCHITECTURE.md.

use crate::shell;
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// A crate of ours, which crates of ours it may use, and which it may use in its tests besides.
struct Arrow(&'static str, &'static [&'static str], &'static [&'static str]);

const ARROWS: [Arrow; 8] = [
    Arrow("rlvs-core", &[], &["rlvs-testkit"]),
    Arrow("rlvs-ebpf", &["rlvs-core"], &[]),
    Arrow("rlvs-control", &["rlvs-core"], &["rlvs-testkit"]),
    Arrow("rlvs-ipvsadm", &["rlvs-control"], &["rlvs-testkit"]),
    Arrow("rlvs-daemon", &["rlvs-control"], &["rlvs-testkit"]),
    Arrow("rlvs", &["rlvs-core", "rlvs-control", "rlvs-ipvsadm", "rlvs-daemon"], &["rlvs-testkit"]),
    Arrow("rlvs-testkit", &["rlvs-core"], &[]),
    Arrow("xtask", &[], &[]),
];

/// Crates of others that only one of ours may use (tests excepted): whoever else wants them goes through that one.
const ONLY: [(&str, &str); 3] =
    [("aya", "rlvs-control"), ("aya-obj", "rlvs-control"), ("aya-ebpf", "rlvs-ebpf")];

pub fn check(workspace: &Path) -> Result<Vec<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut metadata = Command::new(cargo);
    metadata.args(["metadata", "--no-deps", "--format-version=1"]).current_dir(workspace);
    wrong_arrows(&serde_json::from_str(&shell::output(&mut metadata)?).context("cargo metadata")?)
}

fn wrong_arrows(metadata: &Value) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for package in array(metadata, "packages")? {
        let name = string(package, "name")?;
        let Some(Arrow(_, uses, tests_use)) = ARROWS.iter().find(|arrow| arrow.0 == name) else {
            wrong.push(format!("{name} is not among the crates that xtask/src/lint/arrows.rs knows"));
            continue;
        };
        for dependency in array(package, "dependencies")? {
            let on = string(dependency, "name")?;
            let for_tests = dependency["kind"] == "dev";
            let ours = ARROWS.iter().any(|arrow| arrow.0 == on);
            let allowed = uses.contains(&on) || (for_tests && tests_use.contains(&on));
            if ours && !allowed {
                wrong.push(format!("{name} must not depend on {on}"));
            }
            if let Some((_, owner)) = ONLY.iter().find(|(theirs, _)| *theirs == on)
                && *owner != name
                && !for_tests
            {
                wrong.push(format!("{name} must not depend on {on}: only {owner} does"));
            }
            if name == "rlvs-core" && !ours && !for_tests {
                wrong.push(format!("rlvs-core depends on nothing, so not on {on}"));
            }
        }
    }
    Ok(wrong)
}

fn array<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    value[key].as_array().with_context(|| format!("cargo metadata has no {key}"))
}

fn string<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key].as_str().with_context(|| format!("cargo metadata has no {key}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn wrong(name: &str, on: &str, kind: Option<&str>) -> Vec<String> {
        let package = json!({ "name": name, "dependencies": [{ "name": on, "kind": kind }] });
        wrong_arrows(&json!({ "packages": [package] })).unwrap()
    }

    #[test]
    fn arrows_point_one_way() {
        assert!(wrong("rlvs-control", "rlvs-core", None).is_empty());
        assert_eq!(wrong("rlvs-ipvsadm", "rlvs-core", None), ["rlvs-ipvsadm must not depend on rlvs-core"]);
        assert_eq!(wrong("rlvs-ipvsadm", "rlvs-daemon", None).len(), 1);
        assert_eq!(wrong("rlvs-core", "serde", None).len(), 1);
        assert_eq!(wrong("rlvs-core", "rlvs-control", Some("build")).len(), 1);
    }

    #[test]
    fn tests_may_use_the_testkit_and_programs_may_not() {
        assert!(wrong("rlvs-core", "rlvs-testkit", Some("dev")).is_empty());
        assert_eq!(wrong("rlvs-control", "rlvs-testkit", None).len(), 1);
    }

    #[test]
    fn one_crate_loads_programs() {
        assert!(wrong("rlvs-control", "aya", None).is_empty());
        assert_eq!(wrong("rlvs", "aya", None), ["rlvs must not depend on aya: only rlvs-control does"]);
    }

    #[test]
    fn a_new_crate_gets_its_arrows() {
        assert_eq!(wrong("rlvs-new", "anyhow", None).len(), 1);
    }
}
