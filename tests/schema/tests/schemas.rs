// SPDX-License-Identifier: GPL-3.0-or-later
//! The schemas are those of the types, and what the documents and the snapshots show is as they
//! say, without a field that they do not have.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use connect_ipc::event::{Event, EventName};
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
        let mut begin = 0;
        for (number, line) in text.split_inclusive('\n').enumerate() {
            // A value may go on in the next lines.
            let rest = &text[begin..];
            begin += line.len();
            let place = format!("{}:{}", path.display(), number + 1);
            if line.starts_with("```") {
                fenced = line.trim_end() == "```json";
                continue;
            }
            for start in ["{\"id\":", "{\"role\":", "{\"schema\":"] {
                for (at, _) in line.match_indices(start) {
                    let Some(value) = first(&rest[at..]) else {
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

/// The schema that a value refers to, or the value itself.
fn resolved<'a>(schema: &'a Value, part: &'a Value) -> &'a Value {
    let target = part.get("$ref").and_then(Value::as_str);
    let target = target.and_then(|target| schema.pointer(target.trim_start_matches('#')));
    target.unwrap_or(part)
}

/// The fields of an object, or of all forms that it may have.
fn fields(schema: &Value) -> BTreeSet<&str> {
    let forms = schema["oneOf"].as_array().into_iter().flatten();
    forms
        .chain([schema])
        .filter_map(|form| form["properties"].as_object())
        .flat_map(|properties| properties.keys().map(String::as_str))
        .collect()
}

/// The first cells of the tables in a section, which name fields.
fn first_cells(section: &str) -> BTreeSet<&str> {
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split('`').next()).collect()
}

/// Each word by which a part of an event can say what it is: those of the enums in its fields.
fn words_of<'a>(schema: &'a Value, part: &'a Value, words: &mut BTreeSet<&'a str>) {
    let part = resolved(schema, part);
    words.extend(part["const"].as_str());
    let forms = part["oneOf"].as_array().into_iter().flatten();
    let fields = part["properties"].as_object().into_iter().flatten();
    for inner in forms.chain(fields.map(|(_, field)| field)) {
        words_of(schema, inner, words);
    }
}

/// Each kind of event has its section, in which are its fields, and an example of it.
#[test]
fn the_page_of_events_has_each_kind_with_its_fields_and_an_example() -> Outcome {
    let mut schemas = schema::all();
    let schema = schemas.remove("socket-answer").unwrap_or_default();
    let mut strict = schema.clone();
    refuse_unknown(&mut strict, false);
    strict["$ref"] = json!("#/$defs/Event");
    let event = jsonschema::validator_for(&strict)?;

    let page = fs::read_to_string(repository().join("docs/reference/events.md"))?;
    let mut sections: BTreeMap<&str, &str> = page
        .split("\n### `")
        .skip(1)
        .filter_map(|section| section.split("\n## ").next()?.split_once("`\n"))
        .collect();
    let kinds = schema["$defs"]["EventKind"]["oneOf"].as_array();
    let mut words = BTreeSet::new();
    for kind in kinds.into_iter().flatten() {
        let properties = kind["properties"].as_object().into_iter().flatten();
        for (name, data) in properties {
            let section = sections.remove(name.as_str());
            let section = section.unwrap_or_else(|| panic!("{name} has no section"));
            let data = resolved(&schema, data);
            assert_eq!(first_cells(section), fields(data), "the fields of {name}");
            words_of(&schema, data, &mut words);
            let example = section.lines().find(|line| line.starts_with('{'));
            let example = example.unwrap_or_else(|| panic!("{name} has no example"));
            check(&serde_json::from_str(example)?, &[&event], name);
            let parsed: Event = serde_json::from_str(example)?;
            assert_eq!(parsed.kind.name().as_str(), name, "the example of {name}");
        }
    }
    assert!(sections.is_empty(), "no kinds: {:?}", sections.keys());
    assert!(words.len() > EventName::ALL.len() / 2, "only {words:?}");
    // Parts that helpers do not play are no words of an event.
    for word in words.difference(&BTreeSet::from(["core", "operator"])) {
        let is_told = page.contains(&format!("`{word}`")) || page.contains(&format!("\"{word}\""));
        assert!(is_told, "the page does not say what {word} means");
    }
    Ok(())
}
