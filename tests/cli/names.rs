//! The tests that `tests/torture.md` and `tests/traps.md` name exist.

use std::path::{Path, PathBuf};

/// What stands in backticks and looks like a test, a module of tests, or a file.
fn named(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).filter(|name| {
        let is_word = |c: char| c.is_ascii_alphanumeric() || "_:/.".contains(c);
        name.chars().all(is_word) && (name.contains("::") || name.starts_with("tests/") || name.starts_with("src/"))
    })
}

/// The file of a module, as it is named: by its path, or as one of `tests/cluster`, of `tests` or of the crate.
fn file(root: &Path, module: &str) -> Option<PathBuf> {
    if module.contains('/') {
        return Some(root.join(module)).filter(|path| path.exists());
    }
    let path = module.trim_end_matches("::tests").replace("::", "/");
    let places = ["tests/cluster", "tests", "src"].into_iter();
    let names = places.flat_map(|place| [format!("{place}/{path}.rs"), format!("{place}/{path}/mod.rs")]);
    names.map(|name| root.join(name)).find(|path| path.exists())
}

fn is_there(root: &Path, name: &str) -> bool {
    let Some((module, test)) = name.rsplit_once("::") else { return root.join(name).exists() };
    let has_test = |path: PathBuf| {
        let code = std::fs::read_to_string(path).unwrap();
        let start = code.find(&format!("fn {test}(")).map(|at| &code[..at]);
        // Attributes stand between a test and its mark.
        start.is_some_and(|before| {
            before.lines().rev().take(4).any(|line| line.contains("test]") || line.contains("test("))
        })
    };
    file(root, module).is_some_and(has_test) || file(root, name).is_some()
}

#[test]
fn every_test_that_a_list_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (list, least) in [("tests/torture.md", 80), ("tests/traps.md", 50)] {
        let text = std::fs::read_to_string(root.join(list)).unwrap();
        let names: Vec<&str> = named(&text).collect();
        assert!(names.len() >= least, "{list} names {} tests", names.len());
        let missing: Vec<&&str> = names.iter().filter(|name| !is_there(root, name)).collect();
        assert!(missing.is_empty(), "{list} names what isn't there: {missing:?}");
    }
    assert!(!is_there(root, "kills::no_such_test") && !is_there(root, "tests/cli/nothing.rs"));
}

#[test]
fn each_of_the_fifty_has_its_row() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torture.md")).unwrap();
    let rows: Vec<usize> = text.lines().filter_map(|line| line.split('|').nth(1)?.trim().parse().ok()).collect();
    assert_eq!(rows, (1..=50).collect::<Vec<_>>());
    for line in
        text.lines().filter(|line| line.starts_with("| ") && !line.contains("---") && !line.contains("| proved by |"))
    {
        let proof = line.split('|').rev().nth(1).unwrap();
        assert!(proof.contains('`') || proof.contains("not yet"), "nothing proves {line}");
    }
}
