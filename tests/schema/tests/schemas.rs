// SPDX-License-Identifier: GPL-3.0-or-later
//! The schemas are those of the types, and what the documents and the snapshots show is as they
//! say, without a field that they do not have.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use serde_json::{Value, json};

type Outcome = anyhow::Result<()>;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The files in a folder and those below that end so.
fn files(folder: &Path, ending: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path, ending)?);
        } else if path.extension().is_some_and(|is| is == ending) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Readers ignore fields that they do not know, so the schemas allow them. Here they are refused:
/// a sample has none that we do not write. `merged` says that the object around has the say.
fn refuse_unknown(schema: &mut Value, merged: bool) {
    match schema {
        Value::Array(list) => list.iter_mut().for_each(|one| refuse_unknown(one, merged)),
        Value::Object(object) => {
            let fields = object.get("properties").is_some_and(Value::is_object)
                && object.get("type").is_some();
            for (key, part) in object.iter_mut() {
                let is_form = ["oneOf", "anyOf", "allOf"].contains(&key.as_str());
                refuse_unknown(part, is_form && (fields || merged));
            }
            if fields && !merged {
                object.insert("unevaluatedProperties".to_owned(), json!(false));
            }
        }
        _ => {}
    }
}

fn validators() -> anyhow::Result<BTreeMap<&'static str, Validator>> {
    let mut validators = BTreeMap::new();
    for (name, mut schema) in schema::all() {
        refuse_unknown(&mut schema, false);
        validators.insert(name, jsonschema::validator_for(&schema)?);
    }
    Ok(validators)
}

/// Checks one value by the schemas that it may have.
fn check(value: &Value, named: &[&Validator], place: &str) {
    let faults: Vec<String> = named
        .iter()
        .filter_map(|validator| validator.validate(value).err())
        .map(|fault| format!("{fault} at {}", fault.instance_path()))
        .collect();
    assert!(faults.len() < named.len(), "{place}: {value}: {faults:#?}");
}

/// The JSON that a text begins with.
fn first(text: &str) -> Option<Value> {
    serde_json::Deserializer::from_str(text)
        .into_iter()
        .next()?
        .ok()
}

#[test]
fn the_files_are_what_the_types_say() -> Outcome {
    let folder = repository().join(schema::FOLDER);
    let mut names = Vec::new();
    for (name, schema) in schema::all() {
        let path = folder.join(name).with_extension("json");
        let kept = fs::read_to_string(&path).unwrap_or_default();
        let fresh = schema::text(&schema)?;
        assert!(kept == fresh, "{name}.json is stale: cargo run -p schema");
        names.push(path);
    }
    assert_eq!(files(&folder, "json")?.len(), names.len(), "{names:?}");
    Ok(())
}

/// Messages of the sockets and output of `--json`, wherever a document shows them.
#[test]
fn what_the_documents_show_is_as_the_schemas_say() -> Outcome {
    let validators = validators()?;
    let printed: Vec<&Validator> = connect_cli::schema::PRINTED
        .iter()
        .map(|printed| &validators[printed.name])
        .collect();
    let mut seen = 0;
    for path in files(&repository().join("docs"), "md")? {
        let text = fs::read_to_string(&path)?;
        let mut fenced = false;
        for (number, line) in text.lines().enumerate() {
            let place = format!("{}:{}", path.display(), number + 1);
            if line.starts_with("```") {
                fenced = line == "```json";
                continue;
            }
            for start in ["{\"id\":", "{\"role\":", "{\"schema\":"] {
                for (at, _) in line.match_indices(start) {
                    let Some(value) = first(&line[at..]) else {
                        assert!(!fenced, "{place}: this is not JSON");
                        continue;
                    };
                    let named = if value.get("role").is_some() {
                        vec![&validators["socket-hello"]]
                    } else if value.get("request").is_some() {
                        vec![&validators["socket-request"]]
                    } else if value.get("reply").is_some() {
                        vec![&validators["socket-answer"]]
                    } else {
                        printed.clone()
                    };
                    check(&value, &named, &place);
                    seen += 1;
                }
            }
        }
    }
    assert!(seen >= 10, "only {seen} samples were found");
    Ok(())
}

/// Which schemas the snapshots of a module of connect-cli's tests may have.
fn of_module(module: &str) -> &'static [&'static str] {
    match module {
        "admin" => &["admin"],
        "db" => &["db-check", "db-compile", "db-diff", "db-dump", "db-explain"],
        "doctor" => &["doctor"],
        "events" => &["events"],
        "info" => &["info"],
        "ping" => &["ping"],
        "reload" => &["reload", "db-diff"],
        "remote" => &["hosts"],
        "script" => &["script"],
        "status" => &["status"],
        "submit" | "wait" => &["command"],
        _ => &[],
    }
}

#[test]
fn what_the_tests_of_connect_cli_have_seen_is_as_the_schemas_say() -> Outcome {
    let validators = validators()?;
    let mut seen = 0;
    for path in files(
        &repository().join("connect-cli/tests/cli/snapshots"),
        "snap",
    )? {
        let text = fs::read_to_string(&path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let module = name.split("__").nth(1).unwrap_or_default();
        let named: Vec<&Validator> = of_module(module)
            .iter()
            .map(|name| &validators[name])
            .collect();
        for start in ["\n{\n  \"schema\":", "\n{\"schema\":"] {
            for (at, _) in text.match_indices(start) {
                let value = first(&text[at..]);
                let value = value.ok_or_else(|| anyhow::anyhow!("{name}: this is not JSON"))?;
                check(&value, &named, &name);
                seen += 1;
            }
        }
    }
    assert!(seen >= 25, "only {seen} objects were found");
    Ok(())
}

/// The fields that no sentence describes: neither their own nor that of the form they make up.
fn undescribed(schema: &Value, form: bool, place: &str, found: &mut Vec<String>) {
    match schema {
        Value::Array(list) => list
            .iter()
            .for_each(|one| undescribed(one, form, place, found)),
        Value::Object(object) => {
            let form_says = form && object.contains_key("description");
            let fields = object.get("properties").and_then(Value::as_object);
            for (name, field) in fields.into_iter().flatten() {
                let says = field.get("description").is_some() || field.get("const").is_some();
                if !says && !form_says {
                    found.push(format!("{place}.{name}"));
                }
            }
            for (key, part) in object {
                let form = ["oneOf", "anyOf"].contains(&key.as_str());
                undescribed(part, form, &format!("{place}/{key}"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn each_field_is_described() {
    let mut found = Vec::new();
    for (name, schema) in schema::all() {
        undescribed(&schema, false, name, &mut found);
    }
    assert!(found.is_empty(), "{found:#?}");
}
